"""How sure is a number that was counted on a limited number of outcomes?

Rule: rows of one lead are one piece of evidence. Every standard error here sums what a lead's rows
contribute before squaring, so scoring the same lead twelve times does not make us twelve times surer.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


class OneClassError(ValueError):
    """All outcomes are the same, so nothing can be said about telling winners from losers."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the range its true value is in, at the stated level of confidence.

    Attributes:
        estimate: what was counted.
        lower: lower end; minus infinity when nothing is known.
        upper: upper end; infinity when nothing is known.
        level: how often such intervals cover the truth, in (0, 1).
    """

    estimate: float
    lower: float
    upper: float
    level: float = 0.95

    def contains(self, value: float) -> bool:
        """Tell whether the value lies in the interval, ends included."""
        return self.lower <= value <= self.upper

    @classmethod
    def around(cls, estimate: float, standard_error: float, level: float = 0.95) -> Interval:
        """Build the symmetrical normal interval."""
        reach = normal_quantile(level) * standard_error
        return cls(estimate, estimate - reach, estimate + reach, level)


def normal_quantile(level: float) -> float:
    """How many standard errors each way cover `level` of a normal distribution; .95 gives 1.96."""
    return float(ndtri((1 + level) / 2))


def wilson_interval(wins: float, n: float, level: float = 0.95) -> Interval:
    """Interval of a win rate; honest at 0 and n wins.

    Source: Wilson (1927); Brown, Cai and DasGupta (2001) on its coverage.

    Args:
        wins: how many were won, 0 <= wins <= n.
        n: how many leads; 0 is allowed and means nothing is known.
        level: confidence, in (0, 1).

    Returns:
        The observed rate (not a number without leads) and its interval inside [0, 1].
    """
    if n <= 0:
        return Interval(math.nan, 0.0, 1.0, level)
    z2, rate = normal_quantile(level) ** 2, wins / n
    middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
    reach = math.sqrt(z2 * (rate * (1 - rate) + z2 / (4 * n)) / n) / (1 + z2 / n)
    lower = 0.0 if wins <= 0 else max(0.0, middle - reach)
    upper = 1.0 if wins >= n else min(1.0, middle + reach)
    return Interval(rate, lower, upper, level)


def group_codes(groups: ArrayLike | None, n: int) -> Codes:
    """Number the groups 0..G-1; without groups every row is its own.

    Args:
        groups: lead ids of shape (n,), numbers or strings, or None.
        n: number of rows.

    Returns:
        int64 array of shape (n,).

    Raises:
        ValueError: the lengths differ.
    """
    if groups is None:
        return np.arange(n, dtype=np.int64)
    ids = np.asarray(groups)
    if ids.shape != (n,):
        raise ValueError(f"groups must have shape ({n},) like the outcomes, got {ids.shape}.")
    return np.asarray(np.unique(ids, return_inverse=True)[1], dtype=np.int64)


def clustered_error(contributions: Floats, codes: Codes) -> float:
    """Standard error of a sum whose terms belong to groups.

    Source: Liang and Zeger (1986), with the usual factor G / (G - 1) for a mean that was estimated.

    Args:
        contributions: shape (n,), each row's share of the estimate minus its expectation.
        codes: shape (n,), group numbers 0..G-1.

    Returns:
        The standard error; infinite with fewer than two groups.
    """
    sums = np.bincount(codes, weights=contributions)
    if len(sums) < 2:
        return math.inf
    return math.sqrt(float(sums @ sums) * len(sums) / (len(sums) - 1))


def effective_rows(won: Floats, codes: Codes, weights: Floats) -> float:
    """How many independent rows would say as much about the win rate as these rows of leads do.

    Source: Kish (1965), rows over the design effect; where all ended alike, the leads by weight.

    Args:
        won: shape (n,), 0 or 1.
        codes: shape (n,), lead numbers; not every number must occur.
        weights: shape (n,), at least 0, not all 0.

    Returns:
        Above 0 and at most n.
    """
    total = weights.sum()
    rate = float(weights @ won / total)
    if 0 < rate < 1:
        by_lead = np.bincount(codes, weights=weights * (won - rate) / total)
        rows = rate * (1 - rate) / float(by_lead @ by_lead)
    else:
        by_lead = np.bincount(codes, weights=weights / total)
        rows = 1.0 / float(by_lead @ by_lead)
    return min(rows, float(len(won)))


def checked_outcomes(y: ArrayLike, both: bool = False) -> Floats:
    """Return outcomes as floats after making sure that they are zeros and ones.

    Args:
        y: shape (n,), n >= 1, 1 = won, 0 = not won.
        both: refuse when only one class is there.

    Raises:
        ValueError: another shape or another value.
        OneClassError: `both` is asked for and all outcomes are the same.
    """
    won = np.asarray(y, dtype=np.float64)
    if won.ndim != 1 or not len(won):
        raise ValueError(f"Outcomes must have shape (n,) with at least one row, got {won.shape}.")
    if not np.all((won == 0) | (won == 1)):
        odd = won[(won != 0) & (won != 1)][0]
        raise ValueError(f"Outcomes must be 0 or 1, got {odd}; leave immature leads out.")
    if both and won.min() == won.max():
        only = "won" if won[0] else "not won"
        raise OneClassError(f"All {len(won)} outcomes are '{only}'; wait until both are there.")
    return won


def checked_floats(name: str, values: ArrayLike, n: int) -> Floats:
    """Return `values` as floats of shape (n,) without NaN; raise ValueError with the name else."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},) like the outcomes, got {numbers.shape}.")
    if np.isnan(numbers).any():
        raise ValueError(f"{name} has {int(np.isnan(numbers).sum())} values that are not numbers.")
    return numbers


def checked_probability(values: ArrayLike, n: int) -> Floats:
    """Return probabilities as floats of shape (n,); raise ValueError outside [0, 1]."""
    numbers = checked_floats("probability", values, n)
    if numbers.min() < 0 or numbers.max() > 1:
        raise ValueError(f"Probabilities must lie in [0, 1], got {numbers.min()}..{numbers.max()}.")
    return numbers


def checked_weights(weights: ArrayLike | None, n: int) -> Floats:
    """Return weights of shape (n,), all 1 without any; raise ValueError below 0 or all 0."""
    if weights is None:
        return np.ones(n)
    numbers = checked_floats("weights", weights, n)
    if numbers.min() < 0 or numbers.sum() <= 0:
        raise ValueError("Weights must be at least 0 and not all 0.")
    return numbers


def plain(value: Any) -> Any:
    """Turn dataclasses, tuples and numpy numbers into JSON; what is not finite becomes None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
