"""When is what recorded about simulated leads? Recording lags, stage changes and closed deals.

Nothing here acts back on a lead's course. Everything has two times, when it happened and when it was
recorded; what is recorded at or after the export is not in the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.simulated import words
from training.simulated.courses import LOST, NEVER, STILL_OPEN, WON, Block
from training.simulated.leads import Leads
from training.simulated.world import DAY_S, SPELLS, Flags, Ints, World

HOUR_S = 3600
LONGEST_LAG_DAYS = 20
"""Deals and openings are recorded within so many days."""

Lag = tuple[tuple[float, int, int], ...]
"""How long recording takes: (share, from, to) in seconds, drawn evenly within each."""
PROMPT: Lag = ((0.93, 1, 120), (0.05, 120, DAY_S), (0.02, 3 * DAY_S, 30 * DAY_S))
BY_HAND: Lag = (
    (0.68, 60, HOUR_S),
    (0.22, DAY_S, 3 * DAY_S),
    (0.10, 3 * DAY_S, LONGEST_LAG_DAYS * DAY_S),
)
_OPENING: Lag = ((0.92, 1, 600), (0.08, DAY_S, 10 * DAY_S))
_FAIR: Lag = ((0.3, 60, DAY_S), (0.7, 2 * DAY_S, 12 * DAY_S))
_CLOSING: Lag = (
    (0.78, 60, 2 * HOUR_S),
    (0.14, DAY_S, 3 * DAY_S),
    (0.08, 3 * DAY_S, LONGEST_LAG_DAYS * DAY_S),
)


def lags(rng: np.random.Generator, n: int, lag: Lag) -> Ints:
    """Recording lags in seconds, shape (n,)."""
    piece = np.searchsorted(
        np.cumsum([share for share, _, _ in lag])[:-1], rng.random(n), side="right"
    )
    low = np.array([start for _, start, _ in lag])[piece]
    high = np.array([stop for _, _, stop in lag])[piece]
    lag_s: Ints = low + (rng.random(n) * (high - low)).astype(np.int64)
    return lag_s


@dataclass(frozen=True, slots=True)
class Known:
    """When a block's openings and closings were recorded, seconds of shape (n, SPELLS) or `NEVER`."""

    opened: Ints
    closed: Ints

    @classmethod
    def of(cls, block: Block) -> Known:
        """Draw the lags; lists from trade fairs come in late."""
        rng, course = block.rng(2), block.course
        fair = (block.leads.source == words.SOURCES.index("trade fair"))[:, None]
        prompt, late, closing = (
            lags(rng, course.opened.size, lag).reshape(course.opened.shape)
            for lag in (_OPENING, _FAIR, _CLOSING)
        )
        slow = fair & (np.arange(SPELLS) == 0)
        opened = np.where(
            course.opened < NEVER, course.opened + np.where(slow, late, prompt), NEVER
        )
        # Who closes a lead has entered it: no closing is known before its opening.
        closed = np.maximum(course.closed + closing, np.minimum(opened, NEVER - 60) + 60)
        return cls(opened, np.where(course.closed < NEVER, closed, NEVER))


def exported(world: World, at: Ints, recorded: Ints) -> Flags:
    """Which facts are in the files: happened and recorded before the export."""
    return (at < world.end_s) & (recorded < world.end_s)


def stage_changes(block: Block, known: Known) -> dict[str, Ints]:
    """Openings and moves to the next stage, by lead and time, as columns `lead at recorded code`."""
    rng, course, stages = block.rng(3), block.course, len(words.STAGES)
    path = course.state[: block.world.days].T
    before, after = path[:, :-1], path[:, 1:]
    moved = (before >= 0) & (after >= 0) & (before % stages != after % stages)
    lead, day = np.nonzero(moved)
    # Seen when the office opens, before anything can close.
    at = block.second_of(day + 1) + rng.integers(13 * HOUR_S // 2, 8 * HOUR_S, len(lead))
    recorded = at + lags(rng, len(lead), BY_HAND)
    opening, spell = np.nonzero(course.opened < NEVER)
    return by_lead(
        block,
        known,
        lead=np.concatenate([opening, lead]),
        at=np.concatenate([course.opened[opening, spell], at]),
        recorded=np.concatenate([known.opened[opening, spell], recorded]),
        code=np.concatenate([np.zeros(len(opening), dtype=np.int64), after[moved] % stages]),
    )


def by_lead(block: Block, known: Known, **columns: Ints) -> dict[str, Ints]:
    """The exported rows of columns `lead`, `at`, `recorded` and others, by lead and time.

    A CRM can record nothing about a lead that it does not have yet.
    """
    entered = known.opened[columns["lead"], 0]
    columns["recorded"] = np.maximum(columns["recorded"], entered)
    kept = np.flatnonzero(exported(block.world, columns["at"], columns["recorded"]))
    order = kept[np.lexsort((columns["at"][kept], columns["lead"][kept]))]
    return {name: column[order] for name, column in columns.items()}


def deals(block: Block, known: Known) -> dict[str, NDArray[Any]]:
    """Closed deals by lead and time: columns `lead at recorded code amount reason`.

    `amount` is NaN where nothing was quoted, `reason` −1 where none was given.
    """
    rng, leads, course = block.rng(5), block.leads, block.course
    lead, spell = np.nonzero(course.outcome != STILL_OPEN)
    at, outcome = course.closed[lead, spell], course.outcome[lead, spell].astype(np.int64)
    state = course.state[block.day_of(at), lead].astype(np.int64)
    size = 700 * leads.employees[lead] ** 0.5 * _PRICE[leads.product[lead]]
    amount = np.round(size * np.exp(rng.normal(0, 0.4, len(lead))), -1)
    quoted = (outcome == LOST) & (state % len(words.STAGES) >= words.STAGES.index("proposal"))
    quoted &= rng.random(len(lead)) < 0.8
    told = (outcome == LOST) & (rng.random(len(lead)) > 0.12)
    kept = exported(block.world, at, known.closed[lead, spell])
    columns = {
        "lead": lead,
        "at": at,
        "recorded": known.closed[lead, spell],
        "code": outcome,
        "amount": np.where((outcome == WON) | quoted, amount, np.nan),
        "reason": np.where(told, _reasons(rng, leads, lead, state), -1),
    }
    return {name: column[kept] for name, column in columns.items()}


_PRICE = np.array([1.0, 1.6, 1.3, 3.0])
"""By product."""


def _reasons(rng: np.random.Generator, leads: Leads, lead: Ints, state: Ints) -> Ints:
    """Why reps say a deal was lost: weights in the order of `words.LOST_REASONS`."""
    cold = state < len(words.STAGES)
    weights = np.column_stack(
        [
            np.full(len(lead), 1.0),
            np.where(leads.solution[lead] == 1, 2.5, 0.6),
            np.where(leads.budget[lead] == 3, 4.0, 0.4),
            np.full(len(lead), 1.0),
            np.where(leads.need[lead] >= 2, 1.5, 0.6),
            np.where(cold, 3.0, 0.5),
        ]
    ).cumsum(axis=1)
    drawn = rng.random(len(lead)) * weights[:, -1]
    reason: Ints = (drawn[:, None] >= weights).sum(axis=1)
    return reason
