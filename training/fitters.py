"""Which numbers make each kind of calibrator fit these outcomes best?

Rule: every formula is drawn towards what is said now (`start`: the model itself, or the calibrator of a
champion), by a fixed prior that fades as outcomes arrive, so few outcomes move a probability little and
none of the fits can run away. Level and spread are moved on top of `start`; the other kinds are fitted
to the raw score, beta drawn towards `start` where that is a formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from models.calibrators import (
    Beta,
    Calibrator,
    Identity,
    Isotonic,
    Offset,
    Platt,
    adjusted,
    logit,
    softplus,
)
from training.decomposition import recalibrated
from training.intervals import Codes, Floats
from training.logistic import LogisticProblem, Prior, fit_logistic
from training.venn_abers import fit_venn_abers

LEVEL_SPREAD = 0.5
"""How far in log-odds a level is believed to be off before outcomes speak (standard deviation)."""

SLOPE_SPREAD = 0.5
"""How far from 1 a slope is believed to be before outcomes speak (standard deviation)."""

WINS_PER_BIN = 50
"""Fewest wins and losses behind one step of an isotonic calibrator: a rate known to about 15 %."""


AS_IT_IS = Identity()
"""Where there is no champion, what is said now is what the model says."""


def said_now(start: Calibrator, raw: Floats) -> Floats:
    """Log-odds that `start` shows, shape (n,); the raw score itself where it changes nothing."""
    return raw if isinstance(start, Identity) else logit(start.apply(raw))


def fit_start(
    raw: Floats, won: Floats, weights: Floats, start: Calibrator = AS_IT_IS
) -> Calibrator:
    """Leave it as it is; here so that every candidate is made the same way."""
    del raw, won, weights
    return start


def fit_offset(
    raw: Floats, won: Floats, weights: Floats, start: Calibrator = AS_IT_IS
) -> Calibrator:
    """Fit the level alone, drawn towards no change.

    Args:
        raw: shape (n,), finite log-odds.
        won: shape (n,), 0 or 1.
        weights: shape (n,), at least 0; their sum is taken as the number of leads.
        start: what is said now, and is moved.

    Returns:
        The calibrator with the highest posterior density: `start`, moved.
    """
    now = said_now(start, raw)
    prior = Prior(np.zeros(1), np.array([LEVEL_SPREAD**-2]))
    problem = LogisticProblem(np.ones((len(raw), 1)), won, weights, prior, now)
    return adjusted(start, 1.0, float(fit_logistic(problem)[0]))


def fit_platt(
    raw: Floats, won: Floats, weights: Floats, start: Calibrator = AS_IT_IS
) -> Calibrator:
    """Fit spread and level of what is said, drawn towards no change; arguments as `fit_offset`."""
    now = said_now(start, raw)
    prior = Prior(np.array([1.0, 0.0]), np.array([SLOPE_SPREAD, LEVEL_SPREAD]) ** -2)
    design = np.column_stack([now, np.ones_like(now)])
    problem = LogisticProblem(design, won, weights, prior, np.zeros_like(now))
    slope, intercept = fit_logistic(problem, not_negative=(0,))
    return adjusted(start, float(slope), float(intercept))


def fit_beta(raw: Floats, won: Floats, weights: Floats, start: Calibrator = AS_IT_IS) -> Beta:
    """Fit the two ends and the level, drawn towards no change; arguments as `fit_offset`.

    Source: Kull, Silva Filho and Flach (2017): logistic regression on ln q and -ln(1 - q).
    """
    spreads = np.array([SLOPE_SPREAD, SLOPE_SPREAD, LEVEL_SPREAD])
    prior = Prior(np.array(_ends(start)), spreads**-2)
    design = np.column_stack([-softplus(-raw), softplus(raw), np.ones_like(raw)])
    problem = LogisticProblem(design, won, weights, prior, np.zeros_like(raw))
    a, b, c = fit_logistic(problem, not_negative=(0, 1))
    return Beta(float(a), float(b), float(c))


def _ends(start: Calibrator) -> tuple[float, float, float]:
    """The numbers of the beta calibrator that says what `start` says; of no change for a table."""
    match start:
        case Offset():
            return 1.0, 1.0, start.shift
        case Platt():
            return start.slope, start.slope, start.intercept
        case Beta():
            return start.a, start.b, start.c
        case _:
            return 1.0, 1.0, 0.0


def fit_isotonic(
    raw: Floats, won: Floats, weights: Floats, start: Calibrator = AS_IT_IS
) -> Isotonic:
    """Fit a rising step table on wide bins, joined by straight lines; arguments as `fit_offset`.

    Plain isotonic regression makes a step of a handful of leads and says 0 % and 100 %. Here equal
    shares of leads are binned first so that about `WINS_PER_BIN` of the rarer outcome stand behind
    each, and each bin is drawn towards the overall rate by one lead.
    """
    del start
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


def fit_steps(
    raw: Floats, won: Floats, weights: Floats, start: Calibrator = AS_IT_IS
) -> Calibrator:
    """Fit Venn-Abers steps to the raw score; arguments as `fit_offset`."""
    del start
    return fit_venn_abers(raw, won, weights)


Fitter = Callable[[Floats, Floats, Floats, Calibrator], Calibrator]
FITTERS: Mapping[str, Fitter] = {
    "start": fit_start,
    "offset": fit_offset,
    "platt": fit_platt,
    "beta": fit_beta,
    "isotonic": fit_isotonic,
    "venn_abers": fit_steps,
}
"""What may be tried, by name; `start` is to change nothing."""
