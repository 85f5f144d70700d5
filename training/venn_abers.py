"""What would these outcomes say of a lead, had it been lost, and had it been won?

Rule: exactly two isotonic regressions with that lead among the others, for every score there is, in
one pass over the scores instead of one refit for each.
"""

from __future__ import annotations

import numpy as np

from models.calibrators import VennAbers
from training.intervals import Floats

Point = tuple[float, float]
"""A corner of the cumulative diagram: weight so far, won weight so far."""


def fit_venn_abers(raw: Floats, won: Floats, weights: Floats, own_weight: float = 1.0) -> VennAbers:
    """Fit the steps of an inductive Venn-Abers predictor.

    Source: Vovk and Petej (2014), Venn–Abers predictors; the one pass over a growing diagram is that of
    Vovk, Petej and Fedorova (2015), section 3, here with weights.

    Args:
        raw: shape (n,), finite log-odds.
        won: shape (n,), 0 or 1.
        weights: shape (n,), at least 0; their sum is taken as the number of leads.
        own_weight: of the lead that is asked about: 1, one lead.

    Returns:
        The steps; knots at which neither bound moves are left out.
    """
    knots, rank = np.unique(raw, return_inverse=True)
    mass, wins = (np.bincount(rank, rows).astype(np.float64) for rows in (weights, weights * won))
    high = had_it_been_won(mass, wins, own_weight)
    # A lead that was lost, seen in a mirror, is one that was won.
    low = 1.0 - had_it_been_won(mass[::-1], (mass - wins)[::-1], own_weight)[::-1]
    low = np.minimum(np.clip(np.maximum.accumulate(low), 0.0, 1.0), high)
    moves = np.diff(low, prepend=0.0) > 0
    moves |= np.diff(high, append=1.0) > 0
    moves[0] |= not moves.any()
    return VennAbers(*(tuple(table[moves].tolist()) for table in (knots, low, high)))


def had_it_been_won(mass: Floats, wins: Floats, own_weight: float) -> Floats:
    """What isotonic regression says at each score once a won lead with that score is added.

    The lead is at first put before all others; it moves up one score at a time, and the greatest convex
    minorant of the cumulative diagram is repaired from that corner on.

    Args:
        mass: shape (m,), weight at each distinct score, rising.
        wins: shape (m,), won weight there.
        own_weight: of the added lead, above 0.

    Returns:
        Shape (m,), never decreasing, in [0, 1].
    """
    ahead = list(zip(np.cumsum(mass).tolist(), np.cumsum(wins).tolist(), strict=True))
    corners = _minorant([(0.0, 0.0), *ahead], own_weight)
    said = np.empty(len(mass))
    for place, (weight, won) in enumerate(ahead):
        (x0, y0), (x1, y1) = corners[-1], corners[-2]
        said[place] = (y1 - y0) / (x1 - x0)
        # The scores up to here now come first, the lead after them.
        passed = (weight - own_weight, won - own_weight)
        if _turn(corners[-1], corners[-2], passed) < 0:
            corners.pop()
            while len(corners) > 1 and _turn(passed, corners[-1], corners[-2]) <= 0:
                corners.pop()
            corners.append(passed)
    return np.clip(np.maximum.accumulate(said), 0.0, 1.0)


def _minorant(points: list[Point], own_weight: float) -> list[Point]:
    """The corners of the greatest convex minorant, the lead first in it; the first corner last."""
    corners: list[Point] = [(-own_weight, -own_weight)]
    for point in points:
        while len(corners) > 1 and _turn(corners[-2], corners[-1], point) <= 0:
            corners.pop()
        corners.append(point)
    return corners[::-1]


def _turn(a: Point, b: Point, c: Point) -> float:
    """Above 0 when a, b, c turn left (c lies above the line through a and b), 0 on one line."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
