"""What does every calibrator share? Log-odds and back, limits, and numbers that can be trusted.

Rule: no probability below `FLOOR` or above one minus it is ever shown, and a raw score that is not a
number is refused rather than answered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

FLOOR = 1e-4
"""No probability below this or above one minus this is ever shown."""

Floats = NDArray[np.float64]


class CalibratorError(ValueError):
    """A calibrator, or the JSON it should be read from, is not one we can trust."""


def sigmoid(log_odds: ArrayLike) -> Floats:
    """Turn log-odds into probabilities without overflow.

    Args:
        log_odds: shape (n,), any float including infinities.

    Returns:
        shape (n,), in [0, 1].
    """
    odds = np.exp(-np.abs(np.asarray(log_odds, dtype=np.float64)))
    return np.where(np.signbit(log_odds), odds, 1.0) / (1.0 + odds)


def logit(probability: ArrayLike) -> Floats:
    """Turn probabilities into log-odds; the inverse of `sigmoid`.

    Args:
        probability: shape (n,), in [0, 1]; 0 and 1 give minus and plus infinity.

    Returns:
        shape (n,), log-odds.
    """
    share = np.asarray(probability, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(share) - np.log1p(-share), dtype=np.float64)


def softplus(log_odds: ArrayLike) -> Floats:
    """Compute ln(1 + exp(x)) without overflow; shape (n,) in, shape (n,) out, >= 0."""
    return np.logaddexp(0.0, np.asarray(log_odds, dtype=np.float64))


def inside(probability: Floats) -> Floats:
    """Hold probabilities, shape (n,), off 0 and 1 by `FLOOR`."""
    return np.clip(probability, FLOOR, 1.0 - FLOOR)


def readable(raw: ArrayLike) -> Floats:
    """Return raw scores of shape (n,) as floats; CalibratorError for one that is not a number."""
    # Contiguous: a strided view may go another way through numpy's exp and differ in one bit.
    scores = np.ascontiguousarray(raw, dtype=np.float64)
    if scores.ndim != 1:
        raise CalibratorError(f"Raw scores must have shape (n,), got {scores.shape}.")
    if np.isnan(scores).any():
        row = int(np.flatnonzero(np.isnan(scores))[0])
        raise CalibratorError(f"Raw score {row} is not a number; the model that made it is broken.")
    return scores


def number(name: str, value: object) -> float:
    """Return a finite number as a float; CalibratorError, with its name, for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CalibratorError(f"{name} must be a finite number, got {value!r}.")
    return float(value)


def require_finite(**numbers: float) -> None:
    """Raise CalibratorError unless every number is finite."""
    for name, value in numbers.items():
        number(name, value)


def require_not_negative(**numbers: float) -> None:
    """Raise CalibratorError unless every number is finite and at least 0."""
    require_finite(**numbers)
    for name, value in numbers.items():
        if value < 0:
            raise CalibratorError(
                f"{name} must be at least 0 or leads change places, got {value!r}."
            )


@dataclass(frozen=True)
class Plain:
    """What the calibrators share: a name, and their numbers as plain JSON."""

    kind: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object that `calibrator_from_json` reads back bit for bit."""
        numbers = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"kind": self.kind} | {
            name: list(map(float, value)) if isinstance(value, tuple) else float(value)
            for name, value in numbers.items()
        }
