"""Who runs what is due? Any worker, one step at a time, each step under a lease of the database.

Rule: a turn that was begun and not ended is due again, so every step must bear being run twice. What was
missed is run once. A worker asked to stop ends the step that is under way, or leaves it where the step
can be left; the next worker takes it up. Nothing here knows the time: clock and waiting are arguments.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from features.clock import SECOND, iso
from features.errors import BusyError, NotEnoughEvidenceError, PropensityError, StoreError
from features.store.engine import Store
from features.store.leases import TERM_SECONDS, holding
from features.store.turns import Outcome, begin, end, last_turns
from training.loop.schedule import Line

log = logging.getLogger("propensity.worker")

LONGEST_WAIT = 60.0
"""Seconds after which a worker looks at the database again, whatever is due next."""

Said = Mapping[str, Any]
Run = Callable[[int, Callable[[], bool]], Said | None]
"""Given the present instant and whether to stop, says what was done; None: left in the middle."""


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of work that bears being done twice.

    Attributes:
        name: as the schedule calls it.
        lease: under which it is done; steps that must not meet share one.
        words: what it does, for people.
        run: does it.
    """

    name: str
    lease: str
    words: str
    run: Run


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a step: `outcome` is that of the turn, or `busy`, `left` or `unreachable`."""

    step: str
    outcome: str
    said: Said

    def to_json(self) -> dict[str, Any]:
        """One flat line."""
        return {"step": self.step, "outcome": self.outcome, **self.said}


def run_step(
    store: Store,
    step: Step,
    *,
    clock: Callable[[], int],
    holder: str,
    line: Line | None = None,
    stop: Callable[[], bool] = lambda: False,
    lease_seconds: float = TERM_SECONDS,
) -> Ran | None:
    """Run a step under its lease and note what came of it.

    Args:
        store: where leases and turns are kept.
        step: what is run.
        clock: gives the present instant.
        holder: who runs it; no two may share a name.
        line: of the schedule that asks for it; None: somebody asks by hand.
        stop: whether to leave it where it can be left.
        lease_seconds: how long others wait for a holder that died.

    Returns:
        What came of it; None where somebody else has just answered this due time.

    Raises:
        BusyError: somebody else is at it; says who, and since when.
        StoreError: the database failed.
    """
    with holding(store, step.lease, holder, seconds=lease_seconds) as held:
        now = clock()
        due = None
        if line is not None and (due := _still_due(store, line, now)) is None:
            return None
        with store.write() as connection:
            begin(connection, step.name, due=due, now=now, holder=holder)
        outcome, said = _tried(step, now, lambda: stop() or held.is_lost)
        if outcome is None or held.is_lost:
            return Ran(step.name, "left", {})
        with store.write() as connection:
            end(connection, step.name, now=clock(), outcome=outcome, said=said)
        return Ran(step.name, outcome, said)


def _still_due(store: Store, line: Line, now: int) -> int | None:
    with store.read() as connection:
        turn = last_turns(connection).get(line.step)
    return line.due(now, None if turn is None else turn.settled)


def _tried(step: Step, now: int, stop: Callable[[], bool]) -> tuple[Outcome | None, Said]:
    """What a step says, or why it failed; a database that is gone is not the step's failure."""
    try:
        said = step.run(now, stop)
    except (StoreError, BusyError):
        raise
    except NotEnoughEvidenceError as error:
        return "waits", {"reason": error.message}
    except PropensityError as error:
        return "failed", {"error": error.code, "reason": str(error)}
    except Exception as error:  # a step's boundary: what nobody foresaw in one stops no other
        log.exception("step %s failed", step.name)
        return "failed", {"error": "internal", "reason": f"{type(error).__name__}: {error}"}
    return (None, {}) if said is None else ("done", said)


@dataclass(frozen=True)
class Worker:
    """One of any number of processes that run what is due.

    Attributes:
        store: the database that all of them share.
        steps: what can be run, by name; lines of the schedule that name no step are passed over.
        schedule: in the order in which steps run.
        clock: gives the present instant.
        holder: how this process is called among all.
        look: puts the clock right; asked before each line of the schedule, as a step may take hours.
        tell: told what came of each step.
        stop: whether to end.
        wait: waits so many seconds, less when asked to stop.
        lease_seconds: how long others wait for this one when it dies.
    """

    store: Store
    steps: Mapping[str, Step]
    schedule: Sequence[Line]
    clock: Callable[[], int]
    holder: str
    look: Callable[[], object] = lambda: None
    tell: Callable[[Ran], None] = lambda _: None
    stop: Callable[[], bool] = lambda: False
    wait: Callable[[float], object] = lambda _: None
    lease_seconds: float = TERM_SECONDS
    _said: set[tuple[str, str]] = field(default_factory=set, init=False)

    def once(self) -> list[Ran]:
        """Run all that is due, each once, in the order of the schedule; what came of it."""
        ran = []
        for line in self.schedule:
            if self.stop():
                break
            if line.step in self.steps and (found := self._turn(line)) is not None:
                ran.append(found)
        return ran

    def run(self) -> None:
        """Run what is due until asked to stop."""
        while not self.stop():
            self.once()
            if not self.stop():
                self.wait(self._pause())

    def _turn(self, line: Line) -> Ran | None:
        """Run one line if it is due; a step that another is at, or a database that is gone, waits."""
        step = self.steps[line.step]
        try:
            self.look()
            if _still_due(self.store, line, self.clock()) is None:
                return None
            ran = run_step(
                self.store,
                step,
                clock=self.clock,
                holder=self.holder,
                line=line,
                stop=self.stop,
                lease_seconds=self.lease_seconds,
            )
        except BusyError as error:
            ran = Ran(step.name, "busy", {"reason": error.message})
        except StoreError as error:
            ran = Ran(step.name, "unreachable", {"reason": error.message})
        if ran is not None:
            self._say(ran)
        return ran

    def _say(self, ran: Ran) -> None:
        """Tell what came of a step; that somebody is at it only once, not every minute."""
        passing = ran.outcome in ("busy", "unreachable")
        key = (ran.step, str(ran.said.get("reason")))
        if passing and key in self._said:
            return
        self._said.difference_update({one for one in self._said if one[0] == ran.step})
        if passing:
            self._said.add(key)
        self.tell(ran)

    def _pause(self) -> float:
        """Seconds until something may be due."""
        now = self.clock()
        nearest = min((line.next(now) - now for line in self.schedule), default=0)
        return max(1.0, min(LONGEST_WAIT, nearest / SECOND)) if nearest else LONGEST_WAIT


def overview(
    store: Store, steps: Mapping[str, Step], schedule: Sequence[Line], now: int
) -> list[dict[str, Any]]:
    """Every step with its last turn, and when it is due next; for people and as JSON."""
    with store.read() as connection:
        turns = last_turns(connection)
    lines = {line.step: line for line in schedule}
    found = []
    for name, step in steps.items():
        turn, line = turns.get(name), lines.get(name)
        due = line.due(now, turn.settled if turn else None) if line else None
        coming = None if line is None else due if due is not None else line.next(now)
        found.append(
            {
                "step": name,
                "what": step.words,
                "due": None if coming is None else iso(coming),
                "last": None if turn is None else turn.to_json(),
            }
        )
    return found
