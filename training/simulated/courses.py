"""How do simulated leads go, day by day? Daily rates of closing and moving, and a course drawn by them.

An open lead is in one of 20 states: an intent nobody sees (cold, warm, hot, buying) times a stage
that the CRM shows some hours later. A day goes like this: the lead may close between 08:00 and 18:00
(won, lost or off merit, by rates of its state, its traits, its age, its purchase date and the
calendar); otherwise its stage and then its intent may move at midnight. Nothing the CRM records acts
back on the course, so the state at an instant says everything about the future: `chances` reckons
backward, by the same rates, what this module draws forward.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.simulated import words
from training.simulated.drives import Drives
from training.simulated.leads import Leads, draw_leads
from training.simulated.world import (
    DAY_S,
    SPELLS,
    Calendar,
    Flags,
    Floats,
    Ints,
    World,
)

States = NDArray[np.int8]

NOT_YET, RESTING, GONE = -1, -2, -3
"""States outside the buying cycle: not opened yet, a client at rest, closed for good."""
NEVER = np.iinfo(np.int64).max // 2
"""The second of what does not happen while the company is watched."""
WON, LOST, JUNK, DUPLICATE, STILL_OPEN = 0, 1, 2, 3, -1
REST_DAYS = 120
"""The least time between a win and the next opening."""
OPENS_AT_S, CLOSES_AT_S = 8 * 3600, 18 * 3600
"""Deals close at a second drawn evenly from these office hours."""

_INTENTS, _STAGES = len(words.INTENTS), len(words.STAGES)
_CONTACTED = words.STAGES.index("contacted")

_INTENT_WIN = np.array([0.02, 0.18, 1.0, 3.0])
_STAGE_WIN = np.array([0.03, 0.12, 0.5, 1.8, 6.0])
_AUTHORITY_WIN = np.array([1.25, 1.1, 0.8, 0.4])
_WIN = _INTENT_WIN[:, None] * np.where(
    np.arange(_STAGES) >= words.STAGES.index("proposal"), _AUTHORITY_WIN[:, None, None], 1.0
)
WIN_RATE = (_WIN * _STAGE_WIN).reshape(len(_AUTHORITY_WIN), -1)
"""Daily rate of winning by authority and state; who decides matters once there is a proposal."""
LOSE_RATE = (
    np.array([0.0085, 0.0070, 0.0050, 0.0025])[:, None] * np.array([0.8, 1.0, 1.0, 1.3, 1.5])
).reshape(-1)
OFF_RATE = np.tile([0.008, 0.003, 0.0006, 0.0003, 0.0001], _INTENTS)
"""Daily rates of losing and of ending off merit, by state."""
UP = np.array([0.013, 0.024, 0.034, 0.0])
DOWN = np.array([0.0, 0.020, 0.028, 0.028])
"""Daily chances of warming up and of cooling down, by intent."""
ADVANCE = np.array([0.3, 1.2, 3.2, 5.0])[:, None] * np.array([0.050, 0.020, 0.030, 0.012, 0.0])
"""Daily chance of reaching the next stage, by intent and stage."""
_FIRST_INTENT = np.cumsum(
    [[0.72, 0.24, 0.04, 0.0], [0.5, 0.37, 0.11, 0.02], [0.25, 0.42, 0.25, 0.08]], axis=1
)
_CAP = 0.35
_DUPLICATES = 0.3


def nearness(day: Ints, target: Floats) -> Floats:
    """How near a purchase date is: 1 on the day, falling to 0 over 75 days before and after it."""
    return np.maximum(0.0, 1.0 - np.abs(day - target) / 75.0)


def warming(heat: Floats, near: Floats) -> Floats:
    """What multiplies the daily chances `UP`, at most 8; shape (n,)."""
    return np.minimum(8.0, heat * (0.5 + 1.7 * near))


@dataclass(frozen=True, slots=True)
class Standing:
    """Where some open leads stand on a day, arrays of shape (n,) or any shape they broadcast to.

    `win0`, `lose0`, `off0` are the daily rates of the state before the day has its say: shape (n,)
    for the state a lead is in, (20, n) for all states at once.
    """

    win0: Floats
    lose0: Floats
    off0: Floats

    @classmethod
    def of(cls, drives: Drives, lead: Ints, client: Flags, state: States | None) -> Standing:
        """For leads in their states; for all states when `state` is None."""
        win = drives.win[lead] * np.where(client, 1.6, 1.0)
        if state is None:
            rates = WIN_RATE[drives.authority[lead]].T, LOSE_RATE[:, None], OFF_RATE[:, None]
        else:
            rates = WIN_RATE[drives.authority[lead], state], LOSE_RATE[state], OFF_RATE[state]
        return cls(win * rates[0], drives.lose[lead] * rates[1], drives.off[lead] * rates[2])

    def closing(
        self, calendar: Calendar, day: Ints, age: Ints, near: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """The chances of being won, lost and closed off merit on a day, for leads `age` days old.

        Nobody closes on the day of opening; losses take their time, junk is seen through early.
        """
        rate = self.win0 * (calendar.win[day] * (0.4 + 1.2 * near) * (age > 0))
        won = rate / (1.0 + rate / _CAP)
        lost = self.lose0 * (calendar.lose[day] * np.minimum(age / 75.0, 1.8))
        off = self.off0 * (calendar.work[day] * np.where(age < 30, 1.0, 0.3) * (age > 0))
        return won, lost, off


@dataclass(frozen=True, slots=True)
class Course:
    """How a block's n leads went.

    `state` has shape (days + 1, n): the state during each day, and after the last. `opened`,
    `closed` (seconds, `NEVER` where not) and `outcome` have shape (n, SPELLS): one column for each
    time a lead was opened.
    """

    state: States
    opened: Ints
    closed: Ints
    outcome: NDArray[np.int8]

    @property
    def open_at_end(self) -> int:
        """How many leads are open at the export."""
        return int((self.state[-1] >= 0).sum())

    def spell_at(self, lead: Ints, second: Ints) -> Ints:
        """Which opening is the latest strictly before a second; −1 before the first."""
        spell: Ints = (self.opened[lead] < second[:, None]).sum(axis=1) - 1
        return spell


@dataclass(frozen=True, slots=True)
class Block:
    """Some leads that are drawn together: who they are and how they went."""

    world: World
    calendar: Calendar
    number: int
    leads: Leads
    course: Course

    @classmethod
    def draw(cls, world: World, calendar: Calendar, number: int) -> Block:
        """Draw a block: always the same one for the same settings."""
        leads = draw_leads(world, calendar, number)
        return cls(world, calendar, number, leads, _follow(world, calendar, leads, number))

    def rng(self, purpose: int) -> np.random.Generator:
        """The block's random numbers for one purpose."""
        return self.world.rng(self.number, purpose)

    def day_of(self, second: Ints) -> Ints:
        """The day that a second lies in."""
        return (second - self.world.start_s) // DAY_S

    def second_of(self, day: Ints) -> Ints:
        """The first second of a day."""
        return self.world.start_s + day * DAY_S

    def target(self, lead: Ints, spell: Ints) -> Floats:
        """The day on which leads mean to decide, counted like all days."""
        target: Floats = (
            self.day_of(self.course.opened[lead, spell]) + self.leads.target_days[lead, spell]
        )
        return target


class _Walk:
    """The leads of a block on their way, one day after the other."""

    def __init__(
        self, world: World, calendar: Calendar, leads: Leads, rng: np.random.Generator
    ) -> None:
        n = len(leads)
        self.world, self.calendar, self.leads, self.rng = world, calendar, leads, rng
        self.drives = Drives.of(leads)
        self.first_day = (leads.opened - world.start_s) // DAY_S
        self.state = np.full(n, NOT_YET, dtype=np.int8)
        self.spell = np.full(n, -1, dtype=np.int64)
        self.day_opened = np.zeros(n, dtype=np.int64)
        self.day_closed = np.zeros(n, dtype=np.int64)
        self.opened = np.full((n, SPELLS), NEVER, dtype=np.int64)
        self.closed = np.full((n, SPELLS), NEVER, dtype=np.int64)
        self.outcome = np.full((n, SPELLS), STILL_OPEN, dtype=np.int8)

    def begin(self, day: int) -> None:
        """Open the leads whose day it is, and clients who come back."""
        rested = (
            (self.state == RESTING)
            & (day - self.day_closed >= REST_DAYS)
            & (self.spell < SPELLS - 1)
        )
        returning = np.flatnonzero(rested)
        drawn = self.rng.random(len(returning)) < 0.004 * self.calendar.work[day]
        self._open(np.flatnonzero(self.first_day == day), day, None)
        self._open(returning[drawn], day, self.rng.integers(7 * 3600, 19 * 3600, int(drawn.sum())))

    def _open(self, lead: Ints, day: int, second: Ints | None) -> None:
        self.spell[lead] += 1
        self.day_opened[lead] = day
        at = (
            self.leads.opened[lead] if second is None else self.world.start_s + day * DAY_S + second
        )
        self.opened[lead, self.spell[lead]] = at
        edges = _FIRST_INTENT[self.drives.warmth[lead]]
        intent = (self.rng.random(len(lead))[:, None] >= edges).sum(axis=1).clip(max=_INTENTS - 1)
        self.state[lead] = intent * _STAGES

    def end(self, day: int) -> None:
        """Close the leads that close today and move the others on to tomorrow."""
        lead = np.flatnonzero(self.state >= 0)
        state, opened = self.state[lead], self.day_opened[lead]
        spell = self.spell[lead]
        today = np.full(len(lead), day)
        near = nearness(today, opened + self.leads.target_days[lead, spell])
        standing = Standing.of(self.drives, lead, self.leads.client[lead] | (spell > 0), state)
        chances = standing.closing(self.calendar, today, today - opened, near)
        drawn = self.rng.random(len(lead))
        ended = (drawn[:, None] >= np.cumsum(np.stack(chances, axis=1), axis=1)).sum(axis=1)
        self._close(lead[ended < 3], ended[ended < 3], day)
        stays = ended == 3
        self._move(lead[stays], state[stays], near[stays], day)

    def _close(self, lead: Ints, ended: Ints, day: int) -> None:
        second = self.rng.integers(OPENS_AT_S, CLOSES_AT_S, len(lead))
        again = self.rng.random(len(lead)) < _DUPLICATES
        self.closed[lead, self.spell[lead]] = self.world.start_s + day * DAY_S + second
        self.outcome[lead, self.spell[lead]] = np.where((ended == JUNK) & again, DUPLICATE, ended)
        self.day_closed[lead] = day
        self.state[lead] = np.where(ended == WON, RESTING, GONE)

    def _move(self, lead: Ints, state: States, near: Floats, day: int) -> None:
        intent, stage = np.divmod(state.astype(np.int64), _STAGES)
        draws = self.rng.random((2, len(lead)))
        skips = (stage == _CONTACTED) & ~self.calendar.changed[day]
        goes = draws[0] < ADVANCE[intent, stage] * self.calendar.work[day]
        up = UP[intent] * warming(self.drives.heat[lead], near)
        step = (draws[1] < up).astype(np.int64) - (draws[1] >= 1.0 - DOWN[intent])
        self.state[lead] = (intent + step) * _STAGES + stage + goes * (1 + skips)


def _follow(world: World, calendar: Calendar, leads: Leads, block: int) -> Course:
    """Draw how the leads of a block go, from the first day to the last."""
    walk = _Walk(world, calendar, leads, world.rng(block, 1))
    path = np.empty((world.days + 1, len(leads)), dtype=np.int8)
    for day in range(world.days):
        walk.begin(day)
        path[day] = walk.state
        walk.end(day)
    path[world.days] = walk.state
    return Course(path, walk.opened, walk.closed, walk.outcome)
