"""Is one model better than another, or than no model at all, on the same leads?

Rule: a difference is decisive only when its interval leaves out 0; else the answer is *undecided*
and how many more outcomes would settle it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from models.calibrators import FLOOR, logit, sigmoid
from training.decomposition import log_loss_rows
from training.discrimination import auc_interval
from training.intervals import (
    Codes,
    Floats,
    checked_outcomes,
    checked_probability,
    checked_weights,
    clustered_error,
    group_codes,
    normal_quantile,
)
from training.reliability import calibration_slope_intercept

_RESAMPLES = 2000
_TAIL = 20
"""Draws beyond both ends of an interval, at least: an end that hangs on one draw is no end."""

_FEW_LEADS = 2000


@dataclass(frozen=True)
class PairedDifference:
    """Log loss of a minus log loss of b on the same leads; below 0 means a is better.

    Attributes:
        difference: in nats per lead.
        lower: lower end of its interval.
        upper: upper end of its interval.
        standard_error: clustered by lead.
        leads: how many leads, the pieces of evidence.
        level: confidence of the interval.
        method: `bootstrap` with few leads, `normal` with many.
    """

    difference: float
    lower: float
    upper: float
    standard_error: float
    leads: int
    level: float
    method: str

    @property
    def decisive(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.lower > 0 or self.upper < 0


def paired_log_loss_difference(
    p_a: ArrayLike,
    p_b: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    seed: int,
    weights: ArrayLike | None = None,
    level: float = 0.95,
) -> PairedDifference:
    """Compare two models on the same leads.

    Up to 2,000 leads the interval comes from resampling whole leads (Efron and Tibshirani 1993,
    percentile), beyond from the clustered standard error: the two agree by then.

    Args:
        p_a: shape (n,), probabilities of the first model.
        p_b: shape (n,), of the second.
        y: shape (n,), 1 = won, 0 = not won.
        groups: lead ids of shape (n,); a lead's rows are resampled together.
        seed: of the resampling.
        weights: shape (n,), or None for equal weights.
        level: confidence, in (0, 1).

    Returns:
        The difference a - b with its interval.
    """
    won = checked_outcomes(y)
    mass = checked_weights(weights, len(won))
    codes = group_codes(groups, len(won))
    gap = log_loss_rows(checked_probability(p_a, len(won)), won)
    gap = gap - log_loss_rows(checked_probability(p_b, len(won)), won)
    if not np.isfinite(gap).all():
        raise ValueError("A model was certain and wrong, its log loss is infinite: clip it first.")
    mean = float(np.average(gap, weights=mass))
    error = clustered_error(mass * (gap - mean) / mass.sum(), codes)
    leads = int(codes.max()) + 1
    if 2 <= leads <= _FEW_LEADS:
        lower, upper = _resampled(mass * gap, mass, codes, level, np.random.default_rng(seed))
        return PairedDifference(mean, lower, upper, error, leads, level, "bootstrap")
    reach = normal_quantile(level) * error
    return PairedDifference(mean, mean - reach, mean + reach, error, leads, level, "normal")


def _resampled(
    sums: Floats, mass: Floats, codes: Codes, level: float, rng: np.random.Generator
) -> tuple[float, float]:
    by_lead = np.column_stack([np.bincount(codes, sums), np.bincount(codes, mass)])
    means = np.empty(max(_RESAMPLES, math.ceil(_TAIL / (1 - level))))
    for draw in range(len(means)):
        total, weight = by_lead[rng.integers(0, len(by_lead), len(by_lead))].sum(axis=0)
        means[draw] = total / weight if weight > 0 else 0.0
    lower, upper = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(lower), float(upper)


def outcomes_needed(comparison: PairedDifference, power: float = 0.8) -> int | None:
    """How many more leads with an outcome would make an undecided difference decisive.

    Assumes that the difference stays what it is; its standard error falls with the square root.

    Args:
        comparison: an undecided paired difference.
        power: chance to decide with that many, in (0, 1).

    Returns:
        More leads needed; 0 when already decisive; None when no number would do (no difference).
    """
    if comparison.decisive:
        return 0
    if comparison.difference == 0 or not math.isfinite(comparison.standard_error):
        return None
    reach = normal_quantile(comparison.level) + float(ndtri(power))
    total = comparison.leads * (reach * comparison.standard_error / comparison.difference) ** 2
    return max(1, math.ceil(total) - comparison.leads)


@dataclass(frozen=True)
class Discrimination:
    """Whether the model tells winners from losers at all.

    Attributes:
        found: False is the verdict *no discrimination*.
        reason: one sentence for people, with the figures.
    """

    found: bool
    reason: str


CLAIM = 0.99
"""Confidence of the interval that must leave out chance: a model of shuffled outcomes is seen to
order leads once in 200 trainings."""


def no_discrimination(
    raw: ArrayLike,
    probability: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    seed: int = 0,
    weights: ArrayLike | None = None,
    folds: ArrayLike | None = None,
) -> Discrimination:
    """Say whether there is any evidence that the model knows more than the base rate.

    None is found when the AUC's interval, at the confidence `CLAIM`, contains 0.5, or when the log
    loss is not better than the base rate's beyond noise. For the latter the level is put right first:
    a model that orders well under a base rate that moved is miscalibrated, which is another finding
    with another cure.

    Args:
        raw: shape (n,), log-odds.
        probability: shape (n,), in [0, 1].
        y: shape (n,), 1 = won, 0 = not won.
        groups: lead ids of shape (n,).
        seed: of the resampling when there are few leads.
        weights: shape (n,), or None for equal weights.
        folds: shape (n,), by which model each row was scored; only for the AUC.

    Returns:
        The verdict and its reason.

    Raises:
        OneClassError: only wins or only losses.
    """
    area = auc_interval(raw, y, groups=groups, weights=weights, folds=folds, level=CLAIM)
    shown = f"AUC {area.estimate:.3f} ({area.lower:.3f} to {area.upper:.3f}, {CLAIM:.0%})"
    if area.lower <= 0.5:
        return Discrimination(False, f"No discrimination: {shown} is not above chance (0.5).")
    won = checked_outcomes(y, both=True)
    mass = checked_weights(weights, len(won))
    p = _at_level(checked_probability(probability, len(won)), won, mass)
    rate = np.full(len(won), np.average(won, weights=mass))
    gain = paired_log_loss_difference(p, rate, won, groups, seed=seed, weights=weights)
    if gain.upper >= 0:
        return Discrimination(
            False,
            f"No discrimination: {shown}, but log loss is {gain.difference:+.4f} against always "
            f"answering the base rate ({gain.lower:+.4f} to {gain.upper:+.4f}).",
        )
    return Discrimination(True, f"{shown}; log loss {gain.difference:+.4f} against the base rate.")


def _at_level(p: Floats, won: Floats, mass: Floats) -> Floats:
    shift = calibration_slope_intercept(p, won, weights=mass).intercept.estimate
    return sigmoid(logit(np.clip(p, FLOOR, 1 - FLOOR)) + shift)
