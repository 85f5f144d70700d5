"""How do trees read a category of many levels? By the rate at which each level's leads have won.

A rate is shrunk to that of all rows. A row that is learned from is read by the outcomes that were
known before it – of other leads, whose horizons were over –, else it would be told its own label:
target statistics in time order (Prokhorenkova et al. 2018, section 3.2). A row that is scored later
is read by all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.blend import Rates
from models.encoder import Encoder
from training.fit import Rows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MANY_LEVELS = 30
"""Categories with more levels than this are read by their rates, and segments with however many."""

_WORTH = 20.0
"""The rate of all rows counts like this many rows of each level."""


def many_leveled(encoder: Encoder, segments: Sequence[str] = ()) -> list[str]:
    """The categories that trees read by rates."""
    return [
        column.name
        for column in encoder.columns
        if column.levels is not None
        and (len(column.levels) > MANY_LEVELS or column.name in segments)
    ]


def level_rates(codes: Floats, y: Floats, weight: Floats, levels: int) -> Rates:
    """The rate of each level as all these rows tell it, in log-odds.

    Args:
        codes: shape (n,); NaN is *not known*, which is a level of its own here.
        y: outcomes, shape (n,).
        weight: of the rows, shape (n,).
        levels: how many codes there are.
    """
    code = _codes(codes, levels)
    won = np.bincount(code, weights=weight * y, minlength=levels + 1).astype(np.float64)
    seen = np.bincount(code, weights=weight, minlength=levels + 1).astype(np.float64)
    table = _shrunk(won, seen, float(won.sum()), float(seen.sum()))
    return Rates(tuple(table[:-1].tolist()), float(table[-1]))


def rates_in_time(codes: Floats, rows: Rows, levels: int, gap: int | None) -> Floats:
    """The rate of each row's level as it was known at the row's as-of, in log-odds, shape (n,).

    Args:
        codes: shape (n,), of the same rows.
        rows: their outcomes, weights, leads and instants.
        levels: how many codes there are.
        gap: microseconds after its as-of at which a row's outcome is known; None where that depends on
            the outcome itself, because the promise has no horizon.

    Where rows have no order (one instant for all), or no gap, leads are taken in a seeded order instead.
    """
    code, now = _codes(codes, levels), rows.as_of
    if gap is None or (len(now) and now.min() == now.max()):
        order = np.random.default_rng(0).permutation(int(rows.lead.max(initial=0)) + 1)
        now, gap = order[rows.lead], 0
    known_at = now + gap
    arrive, ask = np.argsort(known_at, kind="stable"), np.argsort(now, kind="stable")
    won, seen = np.zeros(levels + 1), np.zeros(levels + 1)
    all_won = all_seen = 0.0
    said, done = np.zeros(len(code)), 0
    for row in ask.tolist():
        while done < len(arrive) and known_at[arrive[done]] < now[row]:
            other = arrive[done]
            won[code[other]] += rows.weight[other] * rows.y[other]
            seen[code[other]] += rows.weight[other]
            all_won += rows.weight[other] * rows.y[other]
            all_seen += rows.weight[other]
            done += 1
        mine = code[row]
        said[row] = _shrunk(won[mine], seen[mine], all_won, all_seen)
    return said


def _codes(codes: Floats, levels: int) -> Ints:
    return np.where(np.isnan(codes), levels, np.minimum(codes, levels)).astype(np.int64)


def _shrunk(won: Floats, seen: Floats, all_won: float, all_seen: float) -> Floats:
    overall = (all_won + 0.5) / (all_seen + 1.0)
    rate = (won + _WORTH * overall) / (seen + _WORTH)
    logit: Floats = np.log(rate / (1.0 - rate))
    return logit
