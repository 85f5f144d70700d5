"""When did it go wrong, and where? The log loss of what was shown, taken apart by period and by part.

Miscalibration is estimated by recalibrating the very rows that are judged, so even a truthful model
shows some: beside it stands what a truthful one would show at most, 19 times of 20, with as many leads.
A part or period with too few outcomes is left out, and it is said so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import iso
from features.frames import Category
from training.enough import LEAST_WINS
from training.intervals import Interval, plain
from training.loop.logged import WEEK
from training.metrics import decomposition, observed_over_expected

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PERIOD = 4 * WEEK
"""Periods are counted from the epoch, so that they are the same whoever looks when."""

MOST_LEADS = 4_000
"""With more leads in a part, a seeded sample of them tells as much as anybody can read."""

DRAWS = 60
"""How often leads are drawn again, and truthful outcomes made up, for an interval."""


@dataclass(frozen=True)
class Taken:
    """The log loss of some scores, taken apart.

    Attributes:
        name: of the part, or of the day on which the period began.
        rows: scores that count.
        leads: their leads.
        won: won leads.
        log_loss: in nats.
        miscalibration: what a recalibration would save; at least 0.
        if_truthful: what a truthful model would show of it at most, 19 times of 20.
        discrimination: what the order is worth, with its interval by lead.
        uncertainty: the log loss of always answering these rows' own rate.
        ratio: observed over expected wins.
        left_out: why there are no figures; empty where there are.
    """

    name: str
    rows: int
    leads: int
    won: int
    log_loss: float | None = None
    miscalibration: float | None = None
    if_truthful: float | None = None
    discrimination: Interval | None = None
    uncertainty: float | None = None
    ratio: Interval | None = None
    left_out: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return dict(plain(self))


@dataclass(frozen=True)
class Outcomes:
    """Matured scores: what was shown, what came, whose; shape (n,) each."""

    probability: Floats
    y: Ints
    lead: Ints

    def take(self, rows: Ints) -> Outcomes:
        """Only these rows."""
        return Outcomes(self.probability[rows], self.y[rows], self.lead[rows])


def by_period(rows: Outcomes, scored_at: Ints, seed: int) -> list[Taken]:
    """One for each period of four weeks in which scores were shown, oldest first.

    Args:
        rows: matured scores.
        scored_at: when they were shown, shape (n,).
        seed: of the draws.
    """
    period = scored_at // PERIOD
    return [
        taken(iso(int(number) * PERIOD)[:10], rows.take(np.flatnonzero(period == number)), seed)
        for number in np.unique(period)
    ]


def by_part(rows: Outcomes, parts: Mapping[str, Category], seed: int) -> dict[str, list[Taken]]:
    """Dimension -> one for each of its parts that has rows, in the order of its levels."""
    return {
        dimension: [
            taken(name, rows.take(np.flatnonzero(column.codes == code)), seed)
            for code, name in enumerate(column.levels)
            if (column.codes == code).any()
        ]
        for dimension, column in parts.items()
    }


def taken(name: str, rows: Outcomes, seed: int) -> Taken:
    """Take the log loss of some rows apart; with fewer than 20 leads of either outcome only counts."""
    won, lost = (len(np.unique(rows.lead[rows.y == outcome])) for outcome in (1, 0))
    counts = Taken(name, len(rows.y), len(np.unique(rows.lead)), won)
    if min(won, lost) < LEAST_WINS:
        fewer = f"{min(won, lost)} leads that were {'won' if won <= lost else 'not won'}"
        return replace(counts, left_out=f"too few outcomes: {fewer}, {LEAST_WINS} are needed")
    rng = np.random.default_rng(seed)
    some = _some_leads(rows, rng)
    parts = decomposition(some.probability, some.y)
    drawn = [
        decomposition(again.probability, again.y).discrimination for again in _again(some, rng)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    return replace(
        counts,
        log_loss=parts.score,
        miscalibration=parts.miscalibration,
        if_truthful=_if_truthful(some, rng),
        discrimination=Interval(parts.discrimination, low, high),
        uncertainty=parts.uncertainty,
        ratio=observed_over_expected(rows.probability, rows.y, groups=rows.lead),
    )


def _some_leads(rows: Outcomes, rng: np.random.Generator) -> Outcomes:
    """The rows of at most so many leads."""
    leads = np.unique(rows.lead)
    if len(leads) <= MOST_LEADS:
        return rows
    kept = rng.choice(leads, MOST_LEADS, replace=False)
    return rows.take(np.flatnonzero(np.isin(rows.lead, kept)))


def _again(rows: Outcomes, rng: np.random.Generator) -> Iterator[Outcomes]:
    """As many leads, drawn again with all of their rows; draws of one outcome only are skipped."""
    code = np.unique(rows.lead, return_inverse=True)[1]
    order = np.argsort(code, kind="stable")
    of_lead = np.split(order, np.flatnonzero(np.diff(code[order])) + 1)
    for _ in range(DRAWS):
        chosen = rng.integers(len(of_lead), size=len(of_lead))
        drawn = rows.take(np.concatenate([of_lead[i] for i in chosen.tolist()]))
        if 0 < drawn.y.sum() < len(drawn.y):
            yield drawn


def _if_truthful(rows: Outcomes, rng: np.random.Generator) -> float | None:
    """The miscalibration that 19 of 20 truthful models stay below; None where none can be made up.

    A lead draws one number for all of its rows, as rows of one lead win together.
    """
    code = np.unique(rows.lead, return_inverse=True)[1]
    found = []
    for _ in range(DRAWS):
        won = (rng.random(int(code.max()) + 1)[code] < rows.probability).astype(np.int64)
        if 0 < won.sum() < len(won):
            found.append(decomposition(rows.probability, won).miscalibration)
    return float(np.quantile(found, 0.95)) if found else None
