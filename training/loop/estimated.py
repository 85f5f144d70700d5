"""How good are scores whose outcomes are still to come, if they are true? And was that so before?

Rule: an estimate from probabilities alone believes them, so it can never find them wrong, and nothing is
decided by it. It is given with a band, and beside it stands how often past bands held what then came.
Source: confidence-based performance estimation with calibrated scores (arXiv 2401.08348).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import iso
from models.log_odds import inside, logit
from training.intervals import Interval, plain
from training.loop.judgement import implied_auc
from training.loop.logged import Logged
from training.loop.periods import PERIOD
from training.metrics import auc, log_loss

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS = 200
"""How often outcomes are made up for the band of the AUC."""

LEAST_LEADS = 50
"""Periods with fewer leads are not estimated."""


@dataclass(frozen=True)
class Estimate:
    """What the probabilities of a period lead to expect, and what came of them.

    Attributes:
        period: the day on which it began.
        leads: of each lead the first score of the period.
        expected: figure -> what is to be expected, with its 95 % band.
        realised: figure -> what came; None while the period has not matured.
    """

    period: str
    leads: int
    expected: dict[str, Interval]
    realised: dict[str, float] | None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "period": self.period,
            "leads": self.leads,
            "expected": {name: plain(value) for name, value in self.expected.items()},
            "realised": plain_figures(self.realised),
        }


def plain_figures(figures: dict[str, float] | None) -> dict[str, Any] | None:
    """Figures as JSON; None stays None."""
    return None if figures is None else {name: plain(value) for name, value in figures.items()}


@dataclass(frozen=True)
class Estimated:
    """Every period, and how often the bands of matured ones held what came, by figure."""

    periods: tuple[Estimate, ...]

    def coverage(self) -> dict[str, Any]:
        """Figure -> in how many matured periods the band held, of how many, and the mean error."""
        known = [one for one in self.periods if one.realised is not None]
        found: dict[str, Any] = {}
        for name in ("win_rate", "log_loss", "auc"):
            pairs = [
                (one.expected[name], one.realised[name])
                for one in known
                if one.realised is not None and name in one.realised and name in one.expected
            ]
            found[name] = {
                "periods": len(pairs),
                "held": sum(band.contains(came) for band, came in pairs),
                "mean_error": float(np.mean([abs(b.estimate - came) for b, came in pairs]))
                if pairs
                else None,
            }
        return found

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        periods = [one.to_json() for one in self.periods]
        return {"periods": periods, "coverage": self.coverage()}


def estimated(rows: Logged, seed: int) -> Estimated:
    """The expectation of each period of four weeks, and what came where all of it has matured.

    Args:
        rows: scores as shown, matured or not.
        seed: of the made-up outcomes.
    """
    period = rows.scored_at // PERIOD
    found = []
    for number in np.unique(period).tolist():
        here = np.flatnonzero(period == number)
        first = here[np.unique(rows.lead[here], return_index=True)[1]]
        if len(first) >= LEAST_LEADS:
            found.append(_estimate(int(number), rows.take(first), seed))
    return Estimated(tuple(found))


def _estimate(number: int, rows: Logged, seed: int) -> Estimate:
    matured = bool((rows.y >= 0).all())
    return Estimate(
        iso(number * PERIOD)[:10],
        len(rows),
        expected(rows.raw, rows.probability, seed),
        _realised(rows) if matured else None,
    )


def expected(raw: Floats, probability: Floats, seed: int) -> dict[str, Interval]:
    """Win rate, log loss and AUC of leads that win with these probabilities, with 95 % bands.

    The bands are of what comes: they hold the luck of so many leads. Rate and loss are sums over
    leads, whose variances are known; the AUC's band is drawn.

    Args:
        raw: what orders, shape (n,).
        probability: inside (0, 1), shape (n,).
        seed: of the draws.
    """
    p = inside(probability)
    n, variance = len(p), p * (1 - p)
    loss = float(-(p * np.log(p) + (1 - p) * np.log1p(-p)).mean())
    found = {
        "win_rate": Interval.around(float(p.mean()), float(np.sqrt(variance.sum())) / n),
        "log_loss": Interval.around(loss, float(np.sqrt((variance * logit(p) ** 2).sum())) / n),
    }
    drawn = _drawn_areas(raw, p, np.random.default_rng(seed))
    if len(drawn):
        low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
        found["auc"] = Interval(implied_auc(raw, p), low, high)
    return found


def _drawn_areas(raw: Floats, p: Floats, rng: np.random.Generator) -> list[float]:
    found = []
    for _ in range(DRAWS):
        won = rng.random(len(p)) < p
        if won.any() and not won.all():
            found.append(auc(raw, won.astype(np.float64)))
    return found


def _realised(rows: Logged) -> dict[str, float]:
    found = {"win_rate": float(rows.y.mean()), "log_loss": log_loss(rows.probability, rows.y)}
    if 0 < rows.y.sum() < len(rows.y):
        found["auc"] = auc(rows.raw, rows.y)
    return found


@dataclass(frozen=True)
class PriorShift:
    """What the share of buyers would be among new leads, were it only that share which had moved.

    Attributes:
        before: the share among the leads that the calibration learned from.
        now: the share among the new ones, with its 95 % interval.
        leads: how many new ones.
    """

    before: float
    now: Interval
    leads: int

    @property
    def moved(self) -> bool:
        """Whether the interval leaves the old share out."""
        return not self.now.contains(self.before)

    @property
    def words(self) -> str:
        """A suggestion for people; it is never applied."""
        if not self.moved:
            return "No sign that the share of buyers among new leads is another than before."
        return (
            f"If the leads were of the same sort and only the share of buyers had moved, it would be "
            f"{self.now.estimate:.1%} ({self.now.lower:.1%} to {self.now.upper:.1%}) instead of "
            f"{self.before:.1%}. A suggestion and never applied: another mix of leads looks just the "
            "same, and then the scores are right as they are. Outcomes decide."
        )

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**plain(self), "moved": self.moved, "words": self.words}


def prior_shift(probability: Floats, before: float) -> PriorShift:
    """The share of buyers that makes unlabelled scores most likely.

    Source: Saerens, Latinne and Decaestecker (2002); only for calibrated scores (Alexandari, Kundaje
    and Shrikumar 2020). Their iteration climbs a concave likelihood in one number; it is iterated until
    it stands still, and the curvature there gives the interval.

    Args:
        probability: of new leads, one a lead, shape (n,), n at least 1.
        before: the share of buyers where the scores were calibrated, inside (0, 1).
    """
    odds = np.exp(logit(inside(probability)) - float(logit(np.array([before]))[0]))
    share = before
    for _ in range(2_000):
        moved = float((share * odds / (share * odds + 1 - share)).mean())
        if abs(moved - share) < 1e-10:
            break
        share = moved
    slope = (odds - 1) / (share * odds + 1 - share)
    error = 1.0 / float(np.sqrt((slope**2).sum())) if slope.any() else np.inf
    around = Interval.around(share, error)
    inside_unit = Interval(share, max(0.0, around.lower), min(1.0, around.upper))
    return PriorShift(before, inside_unit, len(odds))
