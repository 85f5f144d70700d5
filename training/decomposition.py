"""Is a bad score the fault of the level, of the order, or of the world?

Rule: score = miscalibration - discrimination + uncertainty, exactly. Miscalibration up asks for a
new calibrator, discrimination down for a new model, uncertainty moved for neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression
from scipy.special import xlog1py, xlogy

from training.intervals import Floats, checked_outcomes, checked_probability, checked_weights


def recalibrated(scores: Floats, won: Floats, weights: Floats) -> Floats:
    """The best non-decreasing probabilities for these outcomes (pool adjacent violators).

    Source: Ayer et al. (1955).

    Args:
        scores: shape (n,), whatever orders the leads; equal scores get equal answers.
        won: shape (n,), 0 or 1.
        weights: shape (n,), at least 0.

    Returns:
        Shape (n,), in [0, 1].
    """
    _, rank = np.unique(scores, return_inverse=True)
    mass = np.bincount(rank, weights=weights)
    rate = np.bincount(rank, weights=weights * won) / np.where(mass > 0, mass, 1.0)
    # Scores of no weight carry no evidence; a sliver of weight keeps the solver defined.
    fitted = isotonic_regression(rate, weights=np.where(mass > 0, mass, 1e-12)).x
    return np.asarray(np.clip(fitted, 0.0, 1.0)[rank], dtype=np.float64)


def log_loss_rows(p: Floats, won: Floats) -> Floats:
    """Log loss of each row, shape (n,), in nats; infinite where a certainty was wrong."""
    return np.asarray(-(xlogy(won, p) + xlog1py(1 - won, -p)), dtype=np.float64)


def brier_rows(p: Floats, won: Floats) -> Floats:
    """Squared error of each row's probability, shape (n,)."""
    return np.asarray((p - won) ** 2, dtype=np.float64)


_ROWS: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "log_loss": log_loss_rows,
    "brier": brier_rows,
}


@dataclass(frozen=True)
class Decomposition:
    """A score taken apart: score = miscalibration - discrimination + uncertainty.

    Attributes:
        score: the mean score itself, lower is better.
        miscalibration: what recalibrating these leads would have saved, >= 0: recalibrate.
        discrimination: what knowing the order is worth over the base rate, >= 0: if low, retrain.
        uncertainty: the score of always answering the base rate.
    """

    score: float
    miscalibration: float
    discrimination: float
    uncertainty: float


def decomposition(
    probability: ArrayLike,
    y: ArrayLike,
    score: str = "log_loss",
    weights: ArrayLike | None = None,
) -> Decomposition:
    """Split a mean score by recalibrating isotonically on the same leads.

    Source: Dimitriadis, Gneiting and Jordan (2021), CORP.

    Args:
        probability: shape (n,), in [0, 1].
        y: shape (n,), 1 = won, 0 = not won.
        score: `log_loss` or `brier`.
        weights: shape (n,), or None for equal weights.

    Returns:
        The four parts, in nats or squared probability.
    """
    won = checked_outcomes(y)
    p = checked_probability(probability, len(won))
    mass = checked_weights(weights, len(won))
    if score not in _ROWS:
        raise ValueError(f"score must be one of {', '.join(_ROWS)}, got {score!r}.")
    rows = _ROWS[score]
    base = np.full(len(won), np.average(won, weights=mass))
    parts = [
        float(np.average(rows(q, won), weights=mass)) for q in (p, recalibrated(p, won, mass), base)
    ]
    return Decomposition(parts[0], parts[0] - parts[1], parts[2] - parts[1], parts[2])
