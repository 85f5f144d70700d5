"""Which numbers make each kind of calibrator fit these outcomes best?

Rule: every kind is drawn towards changing nothing, by a fixed prior that fades as outcomes arrive,
so few outcomes move a probability little and none of the fits can run away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from models.calibrators import Beta, Calibrator, Identity, Isotonic, Offset, Platt, softplus
from training.decomposition import recalibrated
from training.intervals import Codes, Floats
from training.logistic import LogisticProblem, Prior, fit_logistic

LEVEL_SPREAD = 0.5
"""How far in log-odds a level is believed to be off before outcomes speak (standard deviation)."""

SLOPE_SPREAD = 0.5
"""How far from 1 a slope is believed to be before outcomes speak (standard deviation)."""

WINS_PER_BIN = 50
"""Fewest wins and losses behind one step of an isotonic calibrator: a rate known to about 15 %."""


def _logistic(
    columns: list[Floats], offset: Floats, won: Floats, weights: Floats, spreads: list[float]
) -> LogisticProblem:
    design = np.column_stack(columns)
    prior = Prior(np.zeros(len(spreads)), 1.0 / np.square(spreads))
    # Slopes are believed to be 1: their prior mean; the constant is believed to be 0.
    prior.mean[:-1] = 1.0
    return LogisticProblem(design, won, weights, prior, offset)


def fit_identity(raw: Floats, won: Floats, weights: Floats) -> Identity:
    """Trust the model; here so that every candidate is made the same way."""
    del raw, won, weights
    return Identity()


def fit_offset(raw: Floats, won: Floats, weights: Floats) -> Offset:
    """Fit the level alone, drawn towards no change.

    Args:
        raw: shape (n,), finite log-odds.
        won: shape (n,), 0 or 1.
        weights: shape (n,), at least 0; their sum is taken as the number of leads.

    Returns:
        The calibrator with the highest posterior density.
    """
    problem = _logistic([np.ones_like(raw)], raw, won, weights, [LEVEL_SPREAD])
    return Offset(float(fit_logistic(problem)[0]))


def fit_platt(raw: Floats, won: Floats, weights: Floats) -> Platt:
    """Fit slope and level, drawn towards slope 1 and level 0; arguments as `fit_offset`."""
    none = np.zeros_like(raw)
    spreads = [SLOPE_SPREAD, LEVEL_SPREAD]
    problem = _logistic([raw, none + 1], none, won, weights, spreads)
    slope, intercept = fit_logistic(problem, not_negative=(0,))
    return Platt(float(slope), float(intercept))


def fit_beta(raw: Floats, won: Floats, weights: Floats) -> Beta:
    """Fit the two ends and the level, drawn towards no change; arguments as `fit_offset`.

    Source: Kull, Silva Filho and Flach (2017): logistic regression on ln q and -ln(1 - q).
    """
    none = np.zeros_like(raw)
    spreads = [SLOPE_SPREAD, SLOPE_SPREAD, LEVEL_SPREAD]
    columns = [-softplus(-raw), softplus(raw), none + 1]
    problem = _logistic(columns, none, won, weights, spreads)
    a, b, c = fit_logistic(problem, not_negative=(0, 1))
    return Beta(float(a), float(b), float(c))


def fit_isotonic(raw: Floats, won: Floats, weights: Floats) -> Isotonic:
    """Fit a rising step table on wide bins, joined by straight lines; arguments as `fit_offset`.

    Plain isotonic regression makes a step of a handful of leads and says 0 % and 100 %. Here equal
    shares of leads are binned first so that about `WINS_PER_BIN` of the rarer outcome stand behind
    each, and each bin is drawn towards the overall rate by one lead.
    """
    rarer = min(float(weights @ won), float(weights @ (1 - won)))
    bins = max(1, int(rarer / WINS_PER_BIN))
    _, rank = np.unique(raw, return_inverse=True)
    mass = np.bincount(rank, weights=weights)
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    codes = np.minimum(np.floor(middle * bins), bins - 1).astype(np.int64)[rank]
    heavy, at, wins = (_totals(codes, rows) for rows in (weights, weights * raw, weights * won))
    filled = heavy > 0
    place = at[filled] / heavy[filled]
    base = float(np.average(won, weights=weights))
    rate = recalibrated(place, (wins[filled] + base) / (heavy[filled] + 1), heavy[filled])
    knots = np.unique(place, return_index=True)[1]
    return Isotonic(tuple(place[knots].tolist()), tuple(rate[knots].tolist()))


def _totals(codes: Codes, rows: Floats) -> Floats:
    return np.bincount(codes, weights=rows).astype(np.float64)


Fitter = Callable[[Floats, Floats, Floats], Calibrator]
FITTERS: Mapping[str, Fitter] = {
    "identity": fit_identity,
    "offset": fit_offset,
    "platt": fit_platt,
    "beta": fit_beta,
    "isotonic": fit_isotonic,
}
