"""How good were these predictions, and how sure can we be of that?

Rule: no figure without what it takes to judge it: the AUC has an interval, the log loss stands
beside the base rate's, a difference is decisive only when its interval leaves out 0. This page
gathers what `discrimination` (order), `reliability` (level), `decomposition` (whose fault) and
`comparison` (which model) measure, and offers all of it under one name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from training.comparison import (
    Discrimination,
    PairedDifference,
    no_discrimination,
    outcomes_needed,
    paired_log_loss_difference,
)
from training.decomposition import Decomposition, brier_rows, decomposition, log_loss_rows
from training.discrimination import (
    Gain,
    Lift,
    auc,
    auc_interval,
    cumulative_gain,
    lift_at,
)
from training.intervals import (
    Interval,
    OneClassError,
    checked_floats,
    checked_outcomes,
    checked_probability,
    checked_weights,
    group_codes,
    plain,
    wilson_interval,
)
from training.reliability import (
    CalibrationLine,
    DebiasedError,
    ReliabilityBin,
    calibration_slope_intercept,
    debiased_ece,
    ece,
    observed_over_expected,
    reliability_bins,
)

__all__ = [
    "CalibrationLine",
    "DebiasedError",
    "Decomposition",
    "Discrimination",
    "Evaluation",
    "Gain",
    "Interval",
    "Lift",
    "OneClassError",
    "PairedDifference",
    "ReliabilityBin",
    "auc",
    "auc_interval",
    "base_rate_log_loss",
    "brier",
    "calibration_slope_intercept",
    "cumulative_gain",
    "debiased_ece",
    "decomposition",
    "ece",
    "evaluate_predictions",
    "lift_at",
    "log_loss",
    "no_discrimination",
    "observed_over_expected",
    "outcomes_needed",
    "paired_log_loss_difference",
    "reliability_bins",
    "wilson_interval",
]

LIFT_SHARES = (0.05, 0.1, 0.2, 0.3)
"""The shares of leads for which an evaluation reports the lift."""


def log_loss(probability: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Mean negative log likelihood, in nats; lower is better, infinite if a certainty was wrong.

    Args:
        probability: shape (n,), in [0, 1].
        y: shape (n,), 1 = won, 0 = not won.
        weights: shape (n,), or None for equal weights.
    """
    won = checked_outcomes(y)
    rows = log_loss_rows(checked_probability(probability, len(won)), won)
    return float(np.average(rows, weights=checked_weights(weights, len(won))))


def brier(probability: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Mean squared error of the probability, in [0, 1]; lower is better. Arguments as `log_loss`."""
    won = checked_outcomes(y)
    rows = brier_rows(checked_probability(probability, len(won)), won)
    return float(np.average(rows, weights=checked_weights(weights, len(won))))


def base_rate_log_loss(y: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Log loss of always answering these outcomes' own win rate, in nats; 0 with one class.

    Args:
        y: shape (n,), 1 = won, 0 = not won.
        weights: shape (n,), or None for equal weights.
    """
    won = checked_outcomes(y)
    rate = np.average(won, weights=checked_weights(weights, len(won)))
    return log_loss(np.full(len(won), rate), won, weights)


@dataclass(frozen=True)
class Evaluation:
    """Everything that is known about predictions whose outcomes have matured.

    Attributes:
        n: rows.
        leads: distinct leads, the pieces of evidence.
        wins: rows that were won.
        base_rate: share of rows that were won, by weight.
        auc: with its interval, rows of a lead taken as one.
        log_loss: in nats.
        base_rate_log_loss: of always answering `base_rate`.
        brier: mean squared error.
        ece: naive, over ten equal-mass bins; see `debiased_ece` before worrying.
        debiased_ece: the same with the bins' noise taken off.
        observed_over_expected: 1 is right on average.
        calibration: slope (1 is right) and intercept (0 is right).
        log_loss_parts: miscalibration, discrimination, uncertainty.
        brier_parts: the same for the Brier score.
        discrimination: whether any was found.
        lifts: at the shares of `LIFT_SHARES`.
        bins: reliability in ten bands of the raw score.
        gain: the cumulative gain curve.
    """

    n: int
    leads: int
    wins: int
    base_rate: float
    auc: Interval
    log_loss: float
    base_rate_log_loss: float
    brier: float
    ece: float
    debiased_ece: DebiasedError
    observed_over_expected: Interval
    calibration: CalibrationLine
    log_loss_parts: Decomposition
    brier_parts: Decomposition
    discrimination: Discrimination
    lifts: tuple[Lift, ...]
    bins: tuple[ReliabilityBin, ...]
    gain: Gain

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; figures that are not finite become null."""
        return dict(plain(self))


def evaluate_predictions(
    raw: ArrayLike,
    probability: ArrayLike,
    y: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    seed: int = 0,
) -> Evaluation:
    """Gather every figure about one set of predictions.

    Args:
        raw: shape (n,), log-odds; orders.
        probability: shape (n,), in [0, 1]; was shown.
        y: shape (n,), 1 = won, 0 = not won, matured.
        groups: lead ids of shape (n,); rows of one lead are one piece of evidence.
        weights: shape (n,), how many rows each stands for; None for equal weights. Counts, lift and
            gain are of the rows as they are.
        folds: shape (n,), by which model each row was scored; None for one model. The AUC then compares
            only rows of one model, and its interval knows that the models share what they learned.
        seed: of the resampling when there are few leads.

    Returns:
        The evaluation.

    Raises:
        OneClassError: only wins or only losses.
    """
    won = checked_outcomes(y, both=True)
    scores = checked_floats("raw", raw, len(won))
    p = checked_probability(probability, len(won))
    codes = group_codes(groups, len(won))
    leads = int(codes.max()) + 1
    # DeLong's own variance, unless a lead has several rows.
    clusters = None if leads == len(won) else codes
    return Evaluation(
        n=len(won),
        leads=leads,
        wins=int(won.sum()),
        base_rate=float(np.average(won, weights=checked_weights(weights, len(won)))),
        auc=auc_interval(scores, won, groups=clusters, weights=weights, folds=folds),
        log_loss=log_loss(p, won, weights),
        base_rate_log_loss=base_rate_log_loss(won, weights),
        brier=brier(p, won, weights),
        ece=ece(p, won, weights=weights),
        debiased_ece=debiased_ece(p, won, groups=clusters, weights=weights),
        observed_over_expected=observed_over_expected(p, won, groups=clusters, weights=weights),
        calibration=calibration_slope_intercept(p, won, groups=clusters, weights=weights),
        log_loss_parts=decomposition(p, won, weights=weights),
        brier_parts=decomposition(p, won, "brier", weights),
        discrimination=no_discrimination(
            scores, p, won, clusters, seed=seed, weights=weights, folds=folds
        ),
        lifts=tuple(lift_at(share, scores, won) for share in LIFT_SHARES),
        bins=reliability_bins(scores, p, won, groups=clusters, weights=weights),
        gain=cumulative_gain(scores, won),
    )
