"""Which simulated company is it, and what does each of its days do to everybody?

Everything is drawn block by block, each block of `BLOCK` leads with its own seed: the same settings
give the same leads, and whole blocks stay the same when more leads are asked for. Times are whole
seconds since the epoch, days are counted from the first simulated day.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from features.clock import DAY, SECOND, to_instant
from features.errors import InputError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

BLOCK = 2_000
"""Leads drawn and written together; a constant, because the drawn company depends on it."""
DAY_S = 86_400
SPELLS = 4
"""How often a lead may be opened: once, and again after each of its first three wins."""
LONGEST_HORIZON_DAYS = 365
START = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The settings of a simulated company.

    Attributes:
        leads: how many leads, at least 1.
        events: about how many engagement events, at least 0.
        years: how long the company is watched, above 0 and up to 20.
        start: the first midnight, UTC.
        seed: at least 0; everything drawn follows from it and the other settings.

    Raises:
        InputError: a setting is outside its range.
    """

    leads: int = 20_000
    events: int = 400_000
    years: float = 2.0
    start: datetime = START
    seed: int = 0

    def __post_init__(self) -> None:
        wrong = [
            text
            for fails, text in (
                (self.leads < 1, f"leads must be at least 1, got {self.leads}"),
                (self.events < 0, f"events must be at least 0, got {self.events}"),
                (not 0.01 <= self.years <= 20, f"years must be 0.01 to 20, got {self.years}"),
                (self.seed < 0, f"seed must be at least 0, got {self.seed}"),
                (
                    to_instant(self.start) % DAY != 0,
                    f"start must be a midnight in UTC, got {self.start}",
                ),
            )
            if fails
        ]
        if wrong:
            raise InputError(f"no company can be simulated: {'; '.join(wrong)}")

    @property
    def days(self) -> int:
        """How many days are simulated."""
        return max(1, math.ceil(self.years * 365.25))

    @property
    def start_s(self) -> int:
        """The first second."""
        return to_instant(self.start) // SECOND

    @property
    def end_s(self) -> int:
        """The second at which the CRM is exported: nothing happens or is recorded from then on."""
        return self.start_s + self.days * DAY_S

    @property
    def change_day(self) -> int:
        """The day on which sales works differently and the website's form is another."""
        return int(0.55 * self.days)

    @property
    def blocks(self) -> int:
        """How many blocks the leads come in."""
        return -(-self.leads // BLOCK)

    def in_block(self, block: int) -> int:
        """How many leads a block has."""
        return min(BLOCK, self.leads - block * BLOCK)

    def rng(self, block: int, purpose: int) -> np.random.Generator:
        """The random numbers of a block for one purpose; no purpose disturbs another."""
        return np.random.default_rng([self.seed, block, purpose])


@dataclass(frozen=True, slots=True)
class Calendar:
    """What a day does to everybody, arrays by day; they go on past the end, for open horizons.

    `work` slows weekends down, `win` and `lose` multiply the chance of closing, `busy` engagement,
    `arrive` weighs the day a lead comes in, `changed` says whether the process change has happened.
    """

    work: Floats
    win: Floats
    lose: Floats
    busy: Floats
    arrive: Floats
    changed: Flags

    @classmethod
    def of(cls, world: World) -> Calendar:
        """The calendar of a world: season, quarter ends, a falling base rate, one process change."""
        day = np.arange(world.days + LONGEST_HORIZON_DAYS + 2)
        date = (np.datetime64(world.start_s // DAY_S, "D") + day).astype("datetime64[D]")
        month = date.astype("datetime64[M]").astype(np.int64) % 12
        work = np.where(np.is_busday(date), 1.0, 0.06)
        changed = day >= world.change_day
        drift = np.exp(-0.30 * day / 365.25) * np.where(changed, 0.8, 1.0)
        spring = np.cos(2 * np.pi * (day + world.start_s // DAY_S - 80) / 365.25)
        crowd = (1 + 0.15 * spring) * (1 + 0.1 * day / 365.25)
        return cls(
            work=work,
            win=work * drift * _MONTH_WIN[month] * np.where(_quarter_ends(date), 1.5, 1.0),
            lose=work * np.where(month == 0, 1.6, 1.0),
            busy=np.where(work < 1, 0.3, 1.0) * _MONTH_BUSY[month],
            arrive=np.where(work < 1, 0.3, 1.0) * crowd,
            changed=changed,
        )


_MONTH_WIN = np.array([0.85, 1.0, 1.2, 1.05, 1.0, 1.15, 0.75, 0.6, 1.15, 1.05, 1.2, 1.0])
_MONTH_BUSY = np.array([1.0, 1.05, 1.1, 1.0, 1.0, 0.95, 0.75, 0.65, 1.1, 1.1, 1.1, 0.7])


def _quarter_ends(date: NDArray[np.datetime64]) -> Flags:
    """Which dates lie in the last twelve days of a quarter."""
    month = date.astype("datetime64[M]")
    next_month = (month + 1).astype("datetime64[D]")
    in_last_month = month.astype(np.int64) % 3 == 2
    ends: Flags = in_last_month & ((next_month - date).astype(np.int64) <= 12)
    return ends
