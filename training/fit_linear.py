"""How is the additive part fitted? Penalised logistic regression whose penalties the rows choose.

A number column becomes ramps between its quantiles, whose coefficients are the curve's increments:
shrinking them is a random walk prior of first order (Eilers and Marx 1996), under which trends are
cheap and jumps dear, and bounds on them make a curve monotone. A category's levels shrink towards
their mean like random intercepts: five deals of a level are neither ignored nor believed (Gelman and
Hill 2007, chapter 12).

How much a column's coefficients vary is estimated from the rows themselves, for each column, by
maximising the evidence in Laplace's approximation (MacKay 1992; Breslow and Clayton 1993) under an
inverse gamma prior, so that columns that tell much keep their spread and others stay near the prior's.
Few rows can hardly move a single column; together they still choose, by the same evidence, how wide
that prior is. docs/decisions/0022 has figures.

The agreed score is the prior mean: before any outcome the model is the scorecard, and it stays so
until outcomes speak against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.bant import AGREED
from features.catalog import FeatureSpec
from models.agreed import AGREED_SLOPE
from models.encoder import Encoder
from models.linear import Linear
from training.design import Design
from training.fit import Rows
from training.newton import Problem, minimise

Floats = NDArray[np.float64]

RATE_SPREAD = 0.5
"""Standard deviation, in log-odds, of the true rate around the expected one; 20 % may be 13 to 29 %."""

_SCALES = (0.02, 0.1, 0.4)
"""Columns' coefficients are expected to vary by one of these, the same for all columns."""

_WORTH = 6.0
"""What is expected of a column's variance counts like so many of its coefficients."""

_FEW = 500
"""Leads up to which the evidence chooses between scales. With more, columns have evidence of their
own, and forward in time the narrowest is better: the evidence does not know that effects drift."""

_LEAST, _MOST = 1e-5, 2.0
_ROUNDS = 12
_SETTLED = 0.05
_ROWS = 20_000
"""Rows that estimate the variances: more change them by less than they are uncertain."""


@dataclass(frozen=True)
class Prior:
    """What is believed before the rows are seen.

    Attributes:
        rate: the expected share of won rows; None: nothing is known.
        variances: of each column's coefficients, in the order of the columns.
    """

    rate: float | None
    variances: Floats


def estimate_prior(
    rows: Rows, encoder: Encoder, specs: Sequence[FeatureSpec], rate: float | None, seed: int
) -> Prior:
    """How much each column's coefficients vary, as the rows make most likely.

    Args:
        rows: what is learned from; of more than 20,000 a seeded sample is taken, whole leads at once.
        encoder: the columns.
        specs: their meaning.
        rate: the expected share of won rows, if it is agreed on.
        seed: of the sample.
    """
    rows = _sampled(rows, seed)
    design = Design.of(rows, encoder, specs)
    scales = _SCALES if len(np.unique(rows.lead)) <= _FEW else _SCALES[:1]
    estimates = [_estimated(rows, design, rate, scale) for scale in scales]
    # Rounded, so that of scales that the rows cannot tell apart the narrowest is taken.
    return max(estimates, key=lambda one: round(one.evidence, 3)).prior


def fit_linear(rows: Rows, encoder: Encoder, specs: Sequence[FeatureSpec], prior: Prior) -> Linear:
    """Fit the additive part under a prior, with the variance of each of its values.

    Args:
        rows: what to learn from; there may be none, then the prior speaks alone.
        encoder: the columns.
        specs: their meaning.
        prior: the expected rate and how much each column may say.
    """
    design = Design.of(rows, encoder, specs)
    problem = _problem(rows, design, prior)
    at = minimise(problem, _start(design, prior))
    return design.linear(at, problem.covariance(at), problem.weight, design.matrix(rows.matrix))


@dataclass(frozen=True)
class _Estimate:
    """A prior, and the log evidence for it: how likely it makes the rows, but for a constant."""

    prior: Prior
    evidence: float


def _estimated(rows: Rows, design: Design, rate: float | None, scale: float) -> _Estimate:
    """The most likely variances where columns' coefficients are expected to vary by a scale."""
    prior = Prior(rate, np.full(len(design.blocks), scale))
    problem, at = _problem(rows, design, prior), _start(design, prior)
    for _ in range(_ROUNDS):
        at = minimise(problem, at, rounds=6)
        variances = _most_likely(design, problem, at, scale)
        moved = np.abs(np.log(variances / prior.variances)).max(initial=0.0)
        prior = Prior(rate, variances)
        problem = _problem(rows, design, prior, problem.matrix)
        if moved < _SETTLED:
            break
    return _Estimate(prior, _evidence(problem, at, prior.variances, scale))


def _evidence(problem: Problem, at: Floats, variances: Floats, scale: float) -> float:
    """The log marginal likelihood in Laplace's approximation, and the log density of the variances.

    Coefficients at a bound are taken as fixed. The density is that of log variances, which is as
    high at one scale as at another, so that columns that say nothing do not choose.
    """
    free = (at > problem.lower) & (at < problem.upper)
    curvature = problem.curvature(at)[np.ix_(free, free)]
    volume = np.log(problem.precision[free]).sum() - np.linalg.slogdet(curvature)[1]
    expected = scale / variances
    density = _WORTH * (np.log(expected) - expected).sum()
    return float(0.5 * (volume + density) - problem.value(at))


def _sampled(rows: Rows, seed: int) -> Rows:
    """At most about `_ROWS` rows, whole leads at once."""
    share = _ROWS / max(len(rows.y), 1)
    if share >= 1:
        return rows
    drawn = np.random.default_rng(seed).random(int(rows.lead.max()) + 1) < share
    kept = np.flatnonzero(drawn[rows.lead])
    return rows.take(kept, rows.weight[kept])


def _problem(rows: Rows, design: Design, prior: Prior, matrix: Floats | None = None) -> Problem:
    """The penalised likelihood; rows count as many as there are leads, for leads are the evidence."""
    known = prior.rate is not None
    precision = 1.0 / np.concatenate(
        [[RATE_SPREAD**2 if known else 1e9], design.spread_out(prior.variances)]
    )
    total = rows.weight.sum()
    leads = len(np.unique(rows.lead))
    return Problem(
        matrix=_centred(rows, design) if matrix is None else matrix,
        y=rows.y,
        weight=rows.weight * (leads / total) if total > 0 else rows.weight,
        mean=_prior_mean(design, prior.rate),
        precision=precision,
        lower=design.lower,
        upper=design.upper,
    )


def _prior_mean(design: Design, rate: float | None) -> Floats:
    """The scorecard: the expected rate, and a slope on the agreed score."""
    mean = np.zeros(design.width)
    mean[0] = 0.0 if rate is None else np.log(rate / (1 - rate))
    for block, here in design.places():
        if block.column == AGREED and block.knots is not None:
            mean[here][:-1] = AGREED_SLOPE * np.diff(block.knots)
    return mean


def _centred(rows: Rows, design: Design) -> Floats:
    """The design matrix about its mean, so that the level is the intercept's alone, whatever its width.

    The agreed score is centred at 0: there the scorecard says the expected rate.
    """
    matrix = design.matrix(rows.matrix)
    matrix[:, 1:] -= design.centre(rows.weight, matrix)[1:]
    return matrix


def _start(design: Design, prior: Prior) -> Floats:
    return _prior_mean(design, prior.rate)


def _most_likely(design: Design, problem: Problem, at: Floats, scale: float) -> Floats:
    """One step of expectation maximisation for the variance of each column's coefficients."""
    spread = np.diag(problem.covariance(at))
    away = (at - problem.mean) ** 2 + spread
    seen = np.asarray(np.abs(problem.matrix).sum(axis=0) > 1e-9)
    found = []
    for _, here in design.places():
        known = seen[here]
        total = away[here][known].sum() + _WORTH * scale
        found.append(total / (known.sum() + _WORTH))
    variances: Floats = np.clip(np.array(found), _LEAST, _MOST)
    return variances
