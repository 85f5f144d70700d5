"""How wide is an interval that may be looked at as often as one likes?

Rule: what is looked at every week until it shows something needs an interval that covers the truth at
all looks together. An ordinary one covers it at one look that was fixed beforehand; looked at weekly for
two years it leaves the truth out at some look in about a third of all cases.

Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), *Time-uniform central limit theory and
asymptotic confidence sequences*, Annals of Statistics 52(6), theorem 2.2 and their choice of ρ (B.2).
Asymptotic means: like the central limit theorem it needs outcomes enough to begin with.
"""

from __future__ import annotations

import math

from training.intervals import Interval, normal_quantile

PLANNED = 5_000
"""Rows at which the interval is narrowest for its confidence: some 1.5 times as wide as one for a single
look. It is fixed beforehand, and no promise: any other number of rows costs a little more."""

POWER = 0.8
"""The chance with which "so many more would show it" comes true, should the difference stay as it is."""

_MOST = 10**9


def reach(n: int, level: float = 0.95, planned: int = PLANNED) -> float:
    """Half the width of the interval in standard errors of the mean of n rows.

    Args:
        n: rows so far, at least 1.
        level: the confidence for all looks together, in (0, 1).
        planned: rows at which it is to be narrowest.
    """
    alpha = 1 - level
    rho2 = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1) / planned
    grown = n * rho2 + 1
    return math.sqrt(2 * grown / (grown - 1) * math.log(math.sqrt(grown) / alpha))


def anytime_interval(estimate: float, error: float, n: int, level: float = 0.95) -> Interval:
    """The interval of a mean, or of a difference of means, over n rows.

    Args:
        estimate: of the mean.
        error: its standard error.
        n: rows, at least 1.
        level: the confidence for all looks together.
    """
    wide = reach(n, level) * error
    return Interval(estimate, estimate - wide, estimate + wide, level)


def rows_to_show(estimate: float, error: float, n: int, level: float = 0.95) -> int | None:
    """With how many rows in all the interval leaves out 0 with the chance `POWER`.

    Assumes that the estimate stays what it is and that its error falls with the square root.

    Args:
        estimate: of the mean, from n rows.
        error: its standard error.
        n: rows so far.
        level: the confidence for all looks together.

    Returns:
        At least 1; None where no number of rows would do.
    """
    if estimate == 0 or not math.isfinite(error):
        return None
    beyond = normal_quantile(2 * POWER - 1)

    def shows(rows: int) -> bool:
        return (reach(rows, level) + beyond) * error * math.sqrt(n / rows) <= abs(estimate)

    low, high = 0, 1
    while not shows(high):
        low, high = high, 2 * high
        if high > _MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return high
