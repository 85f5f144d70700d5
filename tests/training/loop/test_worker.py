"""Does what is due run once, by one of many workers, and again when it was killed in the middle?"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from features.clock import DAY, HOUR
from features.errors import BusyError, ConflictError, NotEnoughEvidenceError, StoreError
from features.store.engine import Store
from features.store.leases import holding
from features.store.turns import begin, last_turns
from training.loop.schedule import Line
from training.loop.worker import Ran, Step, Worker, overview, run_step

NOW = 20_000 * DAY + HOUR


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Work:
    """Steps that note when they ran."""

    ran: list[tuple[str, int]] = field(default_factory=list)

    def step(self, name: str, does: Callable[[], Any] = lambda: {"ok": True}) -> Step:
        def run(now: int, _stop: Callable[[], bool]) -> Any:
            self.ran.append((name, now))
            return does()

        return Step(name, f"lease of {name}", f"does {name}", run)


def worker(store: Store, clock: Clock, *steps: Step, told: list[Ran] | None = None) -> Worker:
    return Worker(
        store,
        {step.name: step for step in steps},
        [Line(step.name, DAY) for step in steps],
        clock,
        "host-1/17",
        tell=(told if told is not None else []).append,
    )


def test_what_is_due_runs_in_the_order_of_the_schedule_and_not_again(store: Store) -> None:
    work, clock = Work(), Clock()
    one = worker(store, clock, work.step("score"), work.step("loop"))
    assert [ran.outcome for ran in one.once()] == ["done", "done"]
    assert one.once() == []
    clock.now += DAY
    one.once()
    assert [name for name, _ in work.ran] == ["score", "loop"] * 2


def test_a_month_of_missed_nights_is_caught_up_once(store: Store) -> None:
    work, clock = Work(), Clock()
    one = worker(store, clock, work.step("loop"))
    one.once()
    clock.now += 30 * DAY
    for _ in range(3):
        one.once()
    assert work.ran == [("loop", NOW), ("loop", NOW + 30 * DAY)]


def test_the_state_of_each_step_is_in_the_database(store: Store) -> None:
    def broken() -> Any:
        raise ConflictError("somebody else promoted")

    def early() -> Any:
        raise NotEnoughEvidenceError("12 more wins are needed")

    def bug() -> Any:
        raise ZeroDivisionError("oops")

    work, clock = Work(), Clock()
    steps = [work.step("broken", broken), work.step("early", early), work.step("bug", bug)]
    worker(store, clock, *steps).once()
    with store.read() as connection:
        turns = last_turns(connection)
    assert {name: turn.outcome for name, turn in turns.items()} == {
        "broken": "failed",
        "early": "waits",
        "bug": "failed",
    }
    assert turns["early"].said == {"reason": "12 more wins are needed"}
    assert turns["bug"].said["reason"] == "ZeroDivisionError: oops"
    assert all(turn.holder == "host-1/17" and turn.finished_at == NOW for turn in turns.values())
    shown = overview(store, {s.name: s for s in steps}, [Line("early", DAY)], NOW)
    assert [one["due"] for one in shown] == [None, "2024-10-05T00:00:00Z", None]


def test_a_turn_that_was_killed_is_run_again(store: Store) -> None:
    work, clock = Work(), Clock()
    line = Line("loop", DAY)
    with store.write() as connection:
        begin(connection, "loop", due=line.newest(NOW), now=NOW, holder="host-0/1")
    assert [ran.outcome for ran in worker(store, clock, work.step("loop")).once()] == ["done"]


def test_a_step_left_in_the_middle_is_due_again(store: Store) -> None:
    work, clock = Work(), Clock()
    left = worker(store, clock, work.step("score", lambda: None))
    assert [ran.outcome for ran in left.once()] == ["left"]
    assert [ran.outcome for ran in worker(store, clock, work.step("score")).once()] == ["done"]


def test_a_step_asked_for_by_hand_does_not_answer_the_schedule(store: Store) -> None:
    work, clock = Work(), Clock()
    step = work.step("loop")
    one = worker(store, clock, step)
    one.once()
    clock.now += DAY
    ran = run_step(store, step, clock=clock, holder="anna")
    assert ran is not None
    assert ran.outcome == "done"
    assert [ran.outcome for ran in one.once()] == ["done"]


def test_of_two_workers_at_once_one_runs_and_the_other_says_who_does(store: Store) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Any:
        begun.set()
        assert go_on.wait(30)
        return {}

    work, clock = Work(), Clock()
    first = worker(store, clock, work.step("loop", slow))
    second = replace(worker(store, clock, work.step("loop")), holder="host-2/4")
    thread = threading.Thread(target=first.once)
    thread.start()
    try:
        assert begun.wait(30)
        (said,) = second.once()
    finally:
        go_on.set()
        thread.join()
    assert said.outcome == "busy"
    assert "host-1/17 is at it, since 20" in said.said["reason"]
    assert work.ran == [("loop", NOW)]
    assert second.once() == [], "it has been done"


def test_the_other_of_two_workers_says_who_is_at_it_only_once(store: Store) -> None:
    work, clock, told = Work(), Clock(), list[Ran]()
    step = work.step("loop")
    one = worker(store, clock, step, told=told)
    with holding(store, step.lease, "host-2/4"):
        assert [ran.outcome for ran in one.once()] == ["busy"]
        one.once()
        with pytest.raises(BusyError, match="host-2/4 is at it, since 20"):
            run_step(store, step, clock=clock, holder="anna")
    assert [ran.said["reason"].split(",")[0] for ran in told] == [
        "lease of loop: host-2/4 is at it"
    ]
    assert work.ran == []
    assert [ran.outcome for ran in one.once()] == ["done"]


def test_a_due_time_that_another_answered_meanwhile_is_not_answered_twice(store: Store) -> None:
    work, clock = Work(), Clock()
    step, line = work.step("loop"), Line("loop", DAY)
    assert run_step(store, step, clock=clock, holder="a", line=line) is not None
    assert run_step(store, step, clock=clock, holder="b", line=line) is None
    assert work.ran == [("loop", NOW)]


def test_a_database_that_is_gone_fails_no_step(sqlite_store: Store) -> None:
    def gone() -> Any:
        raise StoreError("the database is gone")

    work, clock, told = Work(), Clock(), list[Ran]()
    one = worker(sqlite_store, clock, work.step("loop", gone), told=told)
    assert [ran.outcome for ran in one.once()] == ["unreachable"]
    one.once()
    assert len(told) == 1
    assert [r.outcome for r in worker(sqlite_store, clock, work.step("loop")).once()] == ["done"]


def test_a_worker_asked_to_stop_begins_nothing_more(sqlite_store: Store) -> None:
    stopping = threading.Event()

    def last() -> Any:
        stopping.set()
        return {}

    work, clock, waited = Work(), Clock(), list[float]()
    steps = [work.step("score", last), work.step("loop")]
    one = Worker(
        sqlite_store,
        {step.name: step for step in steps},
        [Line(step.name, DAY) for step in steps],
        clock,
        "host-1/17",
        stop=stopping.is_set,
        wait=waited.append,
    )
    one.run()
    assert work.ran == [("score", NOW)]
    assert waited == []


def test_a_clock_that_is_put_right_during_a_step_is_right_for_the_next(
    sqlite_store: Store,
) -> None:
    work, clock = Work(), Clock(NOW + HOUR)  # an hour ahead
    step = work.step("score"), work.step("loop")
    one = worker(sqlite_store, clock, *step)
    right = iter([NOW + HOUR, NOW])
    replace(one, look=lambda: setattr(clock, "now", next(right))).once()
    assert work.ran == [("score", NOW + HOUR), ("loop", NOW)]


def test_a_worker_waits_until_something_may_be_due_but_never_long(sqlite_store: Store) -> None:
    clock, waited = Clock(), list[float]()
    one = Worker(
        sqlite_store,
        {},
        [Line("loop", DAY)],
        clock,
        "host-1/17",
        stop=lambda: len(waited) == 2,
        wait=lambda seconds: (
            waited.append(seconds),
            setattr(clock, "now", NOW + 23 * HOUR - 5_000_000),
        ),
    )
    one.run()
    assert waited == [60.0, 5.0]
