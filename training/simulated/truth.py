"""With what true probability does a simulated lead win? For any lead at any instant it was open.

`probability` is P(won within the horizon | all traits, the frailty and the intent nobody sees, the
calendar): what a perfectly informed observer would say. A model sees less and cannot equal it lead by
lead. What a calibrated model owes is this: among leads with the same score, in any segment it can
tell apart and on average, the mean of the true probability equals the score. Compare means by band,
segment and month, not lead by lead.

The simulated company is drawn again from its settings, block by block, which is quicker than reading
it from disk would be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import SECOND, Instants
from features.errors import InputError
from training.simulated.chances import Chances, chances
from training.simulated.courses import REST_DAYS, WON, Block, Course
from training.simulated.records import Known
from training.simulated.world import (
    BLOCK,
    DAY_S,
    LONGEST_HORIZON_DAYS,
    Calendar,
    Flags,
    Ints,
    World,
)

SETTINGS = "simulation.json"


class Truth:
    """The true probabilities of a simulated company.

    Args:
        world: its settings; `Truth.of(directory)` reads them from where `simulate` wrote them.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.calendar = Calendar.of(world)
        # 32 blocks of 1.5 MB each for two years: 64,000 leads without drawing any of them twice.
        self.block = lru_cache(maxsize=32)(partial(Block.draw, world, self.calendar))

    @classmethod
    def of(cls, directory: Path) -> Truth:
        """The truth about the company that `simulate` wrote into a directory.

        Raises:
            InputError: there is no finished simulation.
        """
        return cls(read_settings(directory))

    def probability(
        self, leads: Sequence[str], as_of: Instants | int, *, horizon_days: float = 90.0
    ) -> Chances:
        """P(won) and P(ended off merit) within `[as_of, as_of + horizon)`.

        Args:
            leads: external ids, n of them.
            as_of: instants (microseconds), shape (n,) or one for all, up to the end of the world.
            horizon_days: above 0 and up to 365.

        Returns:
            Arrays of shape (n,). A lead that has closed and cannot be back within the horizon (a
            client rests 120 days) has 0; NaN where the lead is not open and the answer not 0.

        Raises:
            InputError: an unknown lead, an instant past the end, or a horizon out of range.
        """
        number = np.array([self._number(lead) for lead in leads], dtype=np.int64)
        # Whole seconds are what happens: one before as_of is before the next whole second.
        second = np.broadcast_to(-(-np.asarray(as_of, dtype=np.int64) // SECOND), number.shape)
        horizon_s = round(horizon_days * DAY_S)
        self._check(second, horizon_s)
        found = Chances(np.full(len(number), np.nan), np.full(len(number), np.nan))
        for block in np.unique(number // BLOCK).tolist():
            rows = np.flatnonzero(number // BLOCK == block)
            part = self.in_block(block, number[rows] % BLOCK, second[rows], horizon_s)
            found.won[rows], found.off_merit[rows] = part.won, part.off_merit
        return found

    def in_block(self, block: int, lead: Ints, second: Ints, horizon_s: int) -> Chances:
        """`probability` for positions in one block, at whole seconds."""
        drawn: Block = self.block(block)
        open_ = is_open(drawn.course, lead, second)
        found = np.where(_stays_closed(drawn.course, lead, second, second + horizon_s), 0.0, np.nan)
        won, off_merit = found.copy(), found
        part = chances(drawn, lead[open_], second[open_], horizon_s)
        won[open_], off_merit[open_] = part.won, part.off_merit
        return Chances(won, off_merit)

    def grid(self, block: int, every_days: float, horizon_s: int) -> dict[str, NDArray[Any]]:
        """The leads that are or seem open, every so many days: the columns of `truth.parquet`."""
        drawn: Block = self.block(block)
        step = round(every_days * DAY_S)
        instants = np.arange(self.world.start_s + step, self.world.end_s + 1, step)
        n = len(drawn.leads)
        lead, second = np.tile(np.arange(n), len(instants)), np.repeat(instants, n)
        open_, seen = is_open(drawn.course, lead, second), seems_open(Known.of(drawn), lead, second)
        rows = np.flatnonzero(open_ | seen)
        found = self.in_block(block, lead[rows], second[rows], horizon_s)
        return {
            "lead": lead[rows],
            "as_of": second[rows] * SECOND,
            "open": open_[rows],
            "seems_open": seen[rows],
            "p_won": found.won,
            "p_off_merit": found.off_merit,
        }

    def _number(self, lead: str) -> int:
        number = int(lead[1:]) if lead[:1] == "L" and lead[1:].isdecimal() else -1
        if not 0 <= number < self.world.leads:
            raise InputError(f"{lead!r} is no lead of this simulated company of {self.world.leads}")
        return number

    def _check(self, second: Ints, horizon_s: int) -> None:
        if not 0 < horizon_s <= LONGEST_HORIZON_DAYS * DAY_S:
            raise InputError(f"horizon_days must be above 0 and up to {LONGEST_HORIZON_DAYS}")
        if len(second) and second.max() > self.world.end_s:
            raise InputError("an as_of lies after the end of the simulated company")


def is_open(course: Course, lead: Ints, second: Ints) -> Flags:
    """Which leads are truly open at a second: opened strictly before it and not closed before it."""
    spell = course.spell_at(lead, second)
    open_: Flags = (spell >= 0) & (course.closed[lead, spell] >= second)
    return open_


def seems_open(known: Known, lead: Ints, second: Ints) -> Flags:
    """Which leads are open as far as is recorded by a second."""
    opened, closed = known.opened[lead], known.closed[lead]
    between: Flags = (opened < second[:, None]) & (closed >= second[:, None])
    return np.asarray(between.any(axis=1))


def _stays_closed(course: Course, lead: Ints, second: Ints, end: Ints) -> Flags:
    """Which leads, closed by `second`, cannot win again before `end`: lost ones, clients at rest."""
    spell = course.spell_at(lead, second)
    closed = course.closed[lead, spell]
    rests = (course.outcome[lead, spell] != WON) | (end <= closed + REST_DAYS * DAY_S)
    stays: Flags = (spell >= 0) & (closed < second) & rests
    return stays


def write_settings(directory: Path, world: World, summary: Mapping[str, object]) -> None:
    """Write what the company can be drawn from again, and what came out."""
    settings = {
        "leads": world.leads,
        "events": world.events,
        "years": world.years,
        "start": world.start.isoformat(),
        "seed": world.seed,
    }
    content = {"settings": settings, "summary": dict(summary)}
    (directory / SETTINGS).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_settings(directory: Path) -> World:
    """The settings of the simulation in a directory; see `Truth.of` for what is raised."""
    path = directory / SETTINGS
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))["settings"]
        return World(**{**settings, "start": datetime.fromisoformat(settings["start"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{directory} holds no finished simulated company: {path.name}: {error}",
            hint="Write one with `propensity simulate DIRECTORY`.",
        ) from error
