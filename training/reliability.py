"""When we said 20 %, did 20 % buy?

Rule: the naive calibration error is never reported alone. A perfect model shows .082 on 100 leads,
so beside it stand the debiased error, the interval of observed over expected, and the bins' counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from models.calibrators import FLOOR, logit
from training.intervals import (
    Codes,
    Floats,
    Interval,
    checked_floats,
    checked_outcomes,
    checked_probability,
    checked_weights,
    clustered_error,
    effective_rows,
    group_codes,
    normal_quantile,
    wilson_interval,
)
from training.logistic import LogisticProblem, Prior, coefficient_errors, fit_logistic


def equal_mass_bins(values: Floats, bins: int) -> Codes:
    """Number each value's bin so that bins hold about equally many and equal values stay together.

    Args:
        values: shape (n,).
        bins: how many at most, at least 1.

    Returns:
        int64 array of shape (n,), bin numbers rising with the value; some may be empty.
    """
    _, rank, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    return np.asarray(np.floor(middle * bins / len(values)), dtype=np.int64)[rank]


@dataclass(frozen=True)
class _Binned:
    mass: Floats
    predicted: Floats
    observed: Floats
    noise: Floats


def _binned(p: Floats, won: Floats, codes: Codes, leads: Codes, weights: Floats) -> _Binned:
    """Bins by code: their weight, means, and the squared standard error of the observed rate.

    The noise is not a number in a bin with a single lead.
    """
    mass = np.bincount(codes, weights=weights).astype(np.float64)
    safe = np.where(mass > 0, mass, 1.0)
    predicted = np.bincount(codes, weights=weights * p) / safe
    observed = np.bincount(codes, weights=weights * won) / safe
    share = weights * (won - observed[codes]) / safe[codes]
    cell, row = np.unique(codes * (int(leads.max()) + 1) + leads, return_inverse=True)
    bin_of = cell // (int(leads.max()) + 1)
    squares = np.bincount(bin_of, np.bincount(row, share) ** 2, minlength=len(mass))
    groups = np.bincount(bin_of, minlength=len(mass))
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = np.where(groups > 1, squares * groups / (groups - 1), np.nan)
    filled = mass > 0
    return _Binned(mass[filled], predicted[filled], observed[filled], noise[filled])


def ece(
    probability: ArrayLike, y: ArrayLike, bins: int = 10, *, weights: ArrayLike | None = None
) -> float:
    """Naive expected calibration error: mean |predicted - observed| over equal-mass bins.

    Biased upwards: the noise of each bin counts as error. Compare with `debiased_ece`.

    Args:
        probability: shape (n,), in [0, 1].
        y: shape (n,), 1 = won, 0 = not won.
        bins: how many equal-mass bins.
        weights: shape (n,), or None for equal weights.

    Returns:
        In [0, 1].
    """
    won = checked_outcomes(y)
    p = checked_probability(probability, len(won))
    mass, rows = checked_weights(weights, len(won)), np.arange(len(won))
    cells = _binned(p, won, equal_mass_bins(p, bins), rows, mass)
    return float(cells.mass @ np.abs(cells.predicted - cells.observed) / cells.mass.sum())


@dataclass(frozen=True)
class DebiasedError:
    """Calibration error with the noise of the bins taken off.

    Attributes:
        squared: mean squared error in probability; below 0 when less than noise was seen.
        root: its root with the sign kept, in probability.
    """

    squared: float
    root: float


def debiased_ece(
    probability: ArrayLike,
    y: ArrayLike,
    bins: int = 10,
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> DebiasedError:
    """Squared calibration error over equal-mass bins, minus what a perfect model would show.

    Source: Bröcker (2012); Kumar, Liang and Ma (2019), section 4: in each bin the unbiased estimate
    of the noise is subtracted, observed · (1 - observed) / (n - 1) for leads with one row each; with
    groups the rows of a lead in a bin are summed first.

    Args:
        probability: shape (n,), in [0, 1].
        y: shape (n,), 1 = won, 0 = not won.
        bins: how many equal-mass bins; bins with one lead say nothing and are left out.
        groups: lead ids of shape (n,); rows of one lead are one piece of evidence.
        weights: shape (n,), or None for equal weights.

    Returns:
        About 0 for a perfect model; not a number when no bin has two leads.
    """
    won = checked_outcomes(y)
    p = checked_probability(probability, len(won))
    mass, leads = checked_weights(weights, len(won)), group_codes(groups, len(won))
    cells = _binned(p, won, equal_mass_bins(p, bins), leads, mass)
    wide = ~np.isnan(cells.noise)
    if not wide.any():
        return DebiasedError(math.nan, math.nan)
    excess = (cells.predicted - cells.observed)[wide] ** 2 - cells.noise[wide]
    squared = float(np.average(excess, weights=cells.mass[wide]))
    return DebiasedError(squared, math.copysign(math.sqrt(abs(squared)), squared))


def observed_over_expected(
    probability: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """How many were won for each win that was promised; 1 is right on average.

    Source: the ratio estimator, Cochran (1977), chapter 6, on the log scale; where all are promised
    the same its standard error is Debray's (2017) sqrt((1 - rate) / wins). With groups a lead's rows
    are summed first.

    Args:
        probability: shape (n,), in [0, 1], not all 0.
        y: shape (n,), 1 = won, 0 = not won.
        groups: lead ids of shape (n,).
        weights: shape (n,), or None for equal weights.
        level: confidence, in (0, 1).

    Returns:
        O/E with its interval on the log scale; without any win from 0 to the exact Poisson bound.
    """
    won = checked_outcomes(y)
    mass = checked_weights(weights, len(won))
    p = checked_probability(probability, len(won))
    expected = float(mass @ p)
    if expected <= 0:
        raise ValueError("Nothing was promised: all probabilities are 0.")
    wins = float(mass @ won)
    codes = group_codes(groups, len(won))
    if wins == 0:
        # A lead's rows win together, so what stands for one row is what a lead weighs.
        alike = mass.sum() / effective_rows(won, codes, mass)
        return Interval(0.0, 0.0, -math.log((1 - level) / 2) * alike / expected, level)
    ratio = wins / expected
    error = clustered_error(mass * (won - ratio * p), codes) / wins
    factor = math.exp(min(normal_quantile(level) * error, 700.0))
    return Interval(ratio, ratio / factor, ratio * factor, level)


@dataclass(frozen=True)
class CalibrationLine:
    """The straight line through the outcomes on the log-odds scale.

    Attributes:
        slope: 1 is right; below 1 the model was too sure, above 1 too timid.
        intercept: calibration in the large, log-odds to add at slope 1; 0 is right.
    """

    slope: Interval
    intercept: Interval


def calibration_slope_intercept(
    probability: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    level: float = 0.95,
) -> CalibrationLine:
    """Logistic regression of the outcomes on the log-odds that were shown.

    Source: Cox (1958); Van Calster et al. (2016): slope with a free constant, then the constant
    alone with the slope held at 1.

    Args:
        probability: shape (n,), in [0, 1]; read as at least 1e-4 away from 0 and 1.
        y: shape (n,), 1 = won, 0 = not won.
        groups: lead ids of shape (n,); standard errors treat a lead's rows as one.
        weights: shape (n,), or None for equal weights.
        level: confidence, in (0, 1).

    Returns:
        Slope and intercept; the slope is not a number when all probabilities are the same.

    Raises:
        OneClassError: only wins or only losses.
    """
    won = checked_outcomes(y, both=True)
    odds = logit(np.clip(checked_probability(probability, len(won)), FLOOR, 1 - FLOOR))
    codes, one = group_codes(groups, len(won)), np.ones_like(odds)
    mass = checked_weights(weights, len(won))
    # A whisper of a prior: with perfect separation the slope would run away.
    whisper = Prior(np.zeros(2), np.array([1e-6, 0.0]))
    line = LogisticProblem(np.column_stack([odds, one]), won, mass, whisper, 0.0 * odds)
    moved = LogisticProblem(one[:, None], won, mass, Prior(np.zeros(1), np.zeros(1)), odds)
    slope, intercept = _first(line, codes, level), _first(moved, codes, level)
    if np.ptp(odds) == 0:
        slope = Interval(math.nan, -math.inf, math.inf, level)
    return CalibrationLine(slope, intercept)


def _first(problem: LogisticProblem, codes: Codes, level: float) -> Interval:
    beta = fit_logistic(problem)
    error = coefficient_errors(problem, beta, codes)
    return Interval.around(float(beta[0]), float(error[0]), level)


@dataclass(frozen=True)
class ReliabilityBin:
    """One band of the raw score: what was promised there and what came.

    Attributes:
        raw_low: lowest raw score in the band, log-odds.
        raw_high: highest raw score in the band, log-odds.
        n: rows.
        wins: how many of them were won.
        predicted: mean probability that was shown, by weight.
        observed: win rate, by weight.
        lower: lower end of the win rate's interval.
        upper: upper end.
    """

    raw_low: float
    raw_high: float
    n: int
    wins: int
    predicted: float
    observed: float
    lower: float
    upper: float


def reliability_bins(
    raw: ArrayLike,
    probability: ArrayLike,
    y: ArrayLike,
    bins: int = 10,
    level: float = 0.95,
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
) -> tuple[ReliabilityBin, ...]:
    """Promised against observed in equal-mass bands of the raw score.

    Bands are cut on the raw score because calibrated probabilities have ties. Intervals are Wilson's
    with the effective number of rows, because rows of one lead win together (Korn and Graubard 1998).

    Args:
        raw: shape (n,), log-odds.
        probability: shape (n,), in [0, 1].
        y: shape (n,), 1 = won, 0 = not won.
        bins: how many bands at most.
        level: confidence of each band's interval.
        groups: lead ids of shape (n,); rows of one lead are one piece of evidence.
        weights: shape (n,), or None for equal weights.

    Returns:
        The bands that hold leads, lowest raw score first.
    """
    won = checked_outcomes(y)
    scores = checked_floats("raw", raw, len(won))
    p = checked_probability(probability, len(won))
    mass, leads = checked_weights(weights, len(won)), group_codes(groups, len(won))
    bands = _rows_of(equal_mass_bins(scores, bins))
    return tuple(
        _band(scores[here], p[here], won[here], leads[here], mass[here], level)
        for here in bands
        if mass[here].sum() > 0
    )


def _rows_of(codes: Codes) -> list[Codes]:
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def _band(
    raw: Floats, p: Floats, won: Floats, leads: Codes, mass: Floats, level: float
) -> ReliabilityBin:
    observed = float(np.average(won, weights=mass))
    rows = effective_rows(won, leads, mass)
    rate = wilson_interval(observed * rows, rows, level)
    return ReliabilityBin(
        raw_low=float(raw.min()),
        raw_high=float(raw.max()),
        n=len(won),
        wins=int(won.sum()),
        predicted=float(np.average(p, weights=mass)),
        observed=observed,
        lower=rate.lower,
        upper=rate.upper,
    )
