"""How is the additive part fitted? Penalised logistic regression whose penalties the rows choose.

A number column becomes ramps between its quantiles, whose coefficients are the curve's increments:
shrinking them is a random walk prior of first order (Eilers and Marx 1996), under which trends are
cheap and jumps dear, and bounds on them make a curve monotone. A category's levels shrink towards
their mean like random intercepts: five deals of a level are neither ignored nor believed (Gelman and
Hill 2007, chapter 12).

How much a column's coefficients vary is estimated from the rows themselves, for each column, by
maximising the evidence in Laplace's approximation (MacKay 1992; Breslow and Clayton 1993) under an
inverse gamma prior, so that columns that tell much keep their spread and others stay near the prior's.
docs/decisions/0022 has figures.

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
from models.encoder import Encoder
from models.linear import Linear
from training.design import Design
from training.fit import Rows
from training.newton import Problem, minimise

Floats = NDArray[np.float64]

AGREED_SLOPE = 2.0
"""Log-odds between a lead of average answers and one of the best, before outcomes have a say."""

RATE_SPREAD = 0.5
"""Standard deviation, in log-odds, of the true rate around the expected one; 20 % may be 13 to 29 %."""

_SCALES = (0.02, 0.1, 0.4)
"""A column's coefficients are expected to vary by one of these, the same for all columns."""

_WORTH = 6.0
"""What is expected of a column's variance counts like so many of its coefficients."""

_CLEARLY = 2.0
"""Nats of evidence by which a wider scale must be better."""

_LEAST, _MOST = 1e-5, 2.0
_ROUNDS = 12
_SETTLED = 0.05
_ROWS = 20_000
"""Rows that estimate the variances: more change them by less than they are uncertain."""

_ROWS_FOR_SCALE = 1_000
"""Rows that decide between scales: with more, the columns' own evidence outweighs the scale."""


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
    few, many = (_sampled(rows, most, seed) for most in (_ROWS_FOR_SCALE, _ROWS))
    scale = _likeliest_scale(few, Design.of(few, encoder, specs), rate)
    return _estimated(many, Design.of(many, encoder, specs), rate, scale).prior


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
    """A prior, and the logarithm of how likely it and its scale make the rows, but for a constant."""

    prior: Prior
    evidence: float


def _likeliest_scale(rows: Rows, design: Design, rate: float | None) -> float:
    """The scale with the highest evidence; a wider one only where it is clearly better."""
    evidence = np.array([_estimated(rows, design, rate, scale).evidence for scale in _SCALES])
    return _SCALES[int(np.argmax(evidence - _CLEARLY * (np.arange(len(_SCALES)) > 0)))]


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
    """The log marginal likelihood in Laplace's approximation, with the variances' log density.

    Coefficients at a bound stay there, and are not integrated over. The density is that of log
    variances, under which every scale expects its own value as much.
    """
    free = (at > problem.lower) & (at < problem.upper)
    curvature = problem.curvature(at)[np.ix_(free, free)]
    rows = 0.5 * np.log(problem.precision[free]).sum() - 0.5 * np.linalg.slogdet(curvature)[1]
    expected = scale / variances
    columns = 0.5 * _WORTH * (np.log(expected) - expected).sum()
    return float(rows + columns - problem.value(at))


def _sampled(rows: Rows, most: int, seed: int) -> Rows:
    """At most about so many rows, whole leads at once."""
    share = most / max(len(rows.y), 1)
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
