"""What came of what was promised? Win rates by band, the gain of working in order, parts that are off.

The edges of the bands are fixed, so that this month's table can be laid beside last month's; what a band
promised is the mean of what was shown in it. A lead's weeks are one piece of evidence everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.intervals import Interval, plain, wilson_interval
from training.loop.judgement import rate_of
from training.metrics import cumulative_gain, lift_at

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EDGES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
"""Bands of probability: from one edge to below the next, the last up to 1."""

SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)
"""The shares of the scores, best first, of which gain and lift are told."""


@dataclass(frozen=True)
class Band:
    """One band of what was shown.

    Attributes:
        low: its lower edge, inclusive.
        high: its upper edge, exclusive but for the last.
        rows: scores that count.
        leads: their leads.
        won: scores that were won.
        said: the mean of what was shown; None in an empty band.
        rate: the share that won with its 95 % interval; None in an empty band.
    """

    low: float
    high: float
    rows: int
    leads: int
    won: int
    said: float | None
    rate: Interval | None

    @property
    def verdict(self) -> str:
        """Whether what was said lies in the interval of what happened."""
        if self.rate is None or self.said is None:
            return "nobody here"
        if self.rate.contains(self.said):
            return "as promised, within noise"
        return "less than promised" if self.rate.estimate < self.said else "more than promised"

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**plain(self), "verdict": self.verdict}


def bands_of(probability: Floats, y: Ints, lead: Ints) -> list[Band]:
    """The bands of matured scores, lowest first; empty ones too.

    Args:
        probability: as shown, shape (n,).
        y: 1 won, 0 not won, shape (n,).
        lead: a number per lead, shape (n,).
    """
    code = np.clip(np.searchsorted(EDGES, probability, side="right") - 1, 0, len(EDGES) - 2)
    found = []
    for number in range(len(EDGES) - 1):
        here = np.flatnonzero(code == number)
        some = len(here) > 0
        found.append(
            Band(
                EDGES[number],
                EDGES[number + 1],
                len(here),
                len(np.unique(lead[here])),
                int(y[here].sum()),
                float(probability[here].mean()) if some else None,
                rate_of(y[here], lead[here], 0.95) if some else None,
            )
        )
    return found


def gains_of(raw: Floats, y: Ints, lead: Ints) -> list[dict[str, Any]]:
    """For each of `SHARES`: the share of wins in the best-scored part, with its interval, and the lift.

    The interval is Wilson's for the share of won leads that are in the part, the cut being given.

    Args:
        raw: log-odds as shown, shape (n,); what the queue is ordered by.
        y: 1 won, 0 not won, shape (n,); nothing is told without a win, or of wins only.
        lead: a number per lead, shape (n,).
    """
    won_leads = len(np.unique(lead[y == 1]))
    if not won_leads or y.all():
        return []
    gain = cumulative_gain(raw, y)
    found = []
    for share in SHARES:
        captured = float(np.interp(share, gain.share, gain.captured))
        interval = wilson_interval(captured * won_leads, won_leads)
        lift = lift_at(share, raw, y)
        found.append({"share": share, "captured": plain(interval), "lift": lift.lift})
    return found
