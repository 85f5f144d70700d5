"""With what true probability does a simulated lead win within a horizon? Reckoned backward, exactly.

Over the days of the horizon, from the last to the first, each of the 20 states is given its chance of
ending in a win: today's chance of closing, or else tomorrow's expected value. That is a product of
daily matrices with the calendar, the lead's age and its purchase date in them; nothing is sampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.simulated import words
from training.simulated.courses import (
    ADVANCE,
    CLOSES_AT_S,
    DOWN,
    OPENS_AT_S,
    UP,
    Block,
    Standing,
    nearness,
    warming,
)
from training.simulated.drives import Drives
from training.simulated.world import DAY_S, Calendar, Floats, Ints

_INTENTS, _STAGES = len(words.INTENTS), len(words.STAGES)
_CONTACTED = words.STAGES.index("contacted")
_PIECE = 1_000
"""Rows reckoned together: as many as stay in a processor's cache."""


@dataclass(frozen=True, slots=True)
class Chances:
    """True probabilities of what ends first within the horizon, arrays of shape (n,), 0 to 1."""

    won: Floats
    off_merit: Floats


def chances(block: Block, lead: Ints, as_of: Ints, horizon_s: int) -> Chances:
    """The true probabilities for open leads, given all of their traits, their state and the calendar.

    Args:
        block: the leads and how they went; of that, only the state at `as_of` is used.
        lead: positions in the block, shape (n,); each open at its as-of.
        as_of: seconds, shape (n,); the horizon is `[as_of, as_of + horizon_s)`.
        horizon_s: up to `LONGEST_HORIZON_DAYS`, in seconds.
    """
    drives = Drives.of(block.leads)
    found = np.zeros((2, len(lead)))
    for first in range(0, len(lead), _PIECE):
        rows = slice(first, first + _PIECE)
        found[:, rows] = _reckon(block, drives, lead[rows], as_of[rows], horizon_s)
    return Chances(found[0], found[1])


def _reckon(block: Block, drives: Drives, lead: Ints, as_of: Ints, horizon_s: int) -> Floats:
    """Backward over the days of the horizon: shape (2, n), won and off merit."""
    n, spell, calendar = len(lead), block.course.spell_at(lead, as_of), block.calendar
    first, opened = block.day_of(as_of), block.day_of(block.course.opened[lead, spell])
    target = block.target(lead, spell)
    standing = Standing.of(drives, lead, block.leads.client[lead] | (spell > 0), None)
    value = np.zeros((2, _INTENTS * _STAGES, n))
    for ahead in range(-(-horizon_s // DAY_S), -1, -1):
        day = first + ahead
        near, midnight = nearness(day, target), block.second_of(day)
        won, lost, off = standing.closing(calendar, day, day - opened, near)
        begun, ended = _closed_by(as_of - midnight), _closed_by(as_of + horizon_s - midnight)
        closing = won + lost + off
        value = (1.0 - closing) * _tomorrow(value, warming(drives.heat[lead], near), calendar, day)
        value[0] += won * (ended - begun)
        value[1] += off * (ended - begun)
        if ahead == 0:
            # Known at as_of: the lead has not closed earlier today.
            value /= 1.0 - closing * begun
    state = block.course.state[first, lead].astype(np.int64)
    found: Floats = value[:, state, np.arange(n)]
    return found


def _closed_by(since_midnight: Ints) -> Floats:
    """The share of a day's closings that come strictly before a second of it, 0 to 1."""
    share: Floats = (since_midnight - OPENS_AT_S).clip(0, CLOSES_AT_S - OPENS_AT_S) / (
        CLOSES_AT_S - OPENS_AT_S
    )
    return share


def _tomorrow(value: Floats, warms: Floats, calendar: Calendar, day: Ints) -> Floats:
    """Expected value after midnight's moves, from the values of tomorrow's states (2, 20, n)."""
    v = value.reshape(2, _INTENTS, _STAGES, -1)
    up, down = UP[:, None, None] * warms, DOWN[:, None, None]
    moved = (1.0 - up - down) * v
    moved[:, :-1] += up[:-1] * v[:, 1:]
    moved[:, 1:] += down[1:] * v[:, :-1]
    onward = np.empty_like(moved)
    onward[:, :, :-1], onward[:, :, -1] = moved[:, :, 1:], moved[:, :, -1]
    old = ~calendar.changed[day]
    onward[:, :, _CONTACTED] = np.where(old, moved[:, :, _CONTACTED + 2], onward[:, :, _CONTACTED])
    goes = ADVANCE[:, :, None] * calendar.work[day]
    expected: Floats = moved + goes * (onward - moved)
    return expected.reshape(value.shape)
