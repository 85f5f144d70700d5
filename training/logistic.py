"""Which few coefficients fit the outcomes best, given where we believed they were?

Rule: the answer is the one optimum of a convex problem, found by Newton's method; no random start,
no early stop, so the same outcomes always give the same coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from training.intervals import Codes, Floats

_STEPS = 100
_HALVINGS = 40
_TOLERANCE = 1e-10


@dataclass(frozen=True)
class Prior:
    """What is believed before outcomes: independent normal distributions, one per coefficient.

    Attributes:
        mean: shape (k,).
        precision: shape (k,), one over the variance; 0 = nothing is believed.
    """

    mean: Floats
    precision: Floats


@dataclass(frozen=True)
class LogisticProblem:
    """Outcomes to be explained by a few columns.

    Attributes:
        design: shape (n, k), the constant column included by the caller.
        y: shape (n,), 0 or 1.
        weights: shape (n,), at least 0.
        prior: on the k coefficients.
        offset: shape (n,), log-odds that are taken as given.
    """

    design: Floats
    y: Floats
    weights: Floats
    prior: Prior
    offset: Floats

    def margin(self, beta: Floats) -> Floats:
        """Log-odds of each row, shape (n,)."""
        return np.asarray(self.design @ beta + self.offset, dtype=np.float64)

    def loss(self, beta: Floats) -> float:
        """Negative log posterior, up to a constant."""
        margin, away = self.margin(beta), beta - self.prior.mean
        unlikely = self.weights @ (np.logaddexp(0.0, margin) - self.y * margin)
        return float(0.5 * self.prior.precision @ (away * away) + unlikely)

    def gradient(self, beta: Floats) -> Floats:
        """Derivative of the loss, shape (k,)."""
        pull = self.design.T @ (self.weights * (expit(self.margin(beta)) - self.y))
        return np.asarray(pull + self.prior.precision * (beta - self.prior.mean), dtype=np.float64)

    def information(self, beta: Floats) -> Floats:
        """Second derivative of the likelihood's part of the loss, shape (k, k)."""
        p = expit(self.margin(beta))
        return np.asarray((self.design.T * (self.weights * p * (1 - p))) @ self.design)


def _inverse(curve: Floats) -> Floats:
    # pinv: without a prior, a column that says nothing leaves the curve singular.
    return np.asarray(np.linalg.pinv(curve, hermitian=True), dtype=np.float64)


def _newton(problem: LogisticProblem, free: NDArray[np.bool_]) -> Floats:
    """Move only the free coefficients; the others stay at 0."""
    beta = np.where(free, problem.prior.mean, 0.0)
    loss = problem.loss(beta)
    for _ in range(_STEPS):
        curve = problem.information(beta) + np.diag(problem.prior.precision)
        step = np.zeros_like(beta)
        step[free] = -_inverse(curve[np.ix_(free, free)]) @ problem.gradient(beta)[free]
        step, loss = _downhill(problem, beta, step, loss)
        beta = beta + step
        if np.max(np.abs(step)) <= _TOLERANCE:
            break
    return beta


def _downhill(
    problem: LogisticProblem, beta: Floats, step: Floats, loss: float
) -> tuple[Floats, float]:
    """Halve the step until the loss does not rise; no step when it always does."""
    for _ in range(_HALVINGS):
        after = problem.loss(beta + step)
        if after <= loss:
            return step, after
        step = step / 2
    return np.zeros_like(step), loss


def fit_logistic(problem: LogisticProblem, not_negative: tuple[int, ...] = ()) -> Floats:
    """Fit a penalised logistic regression, some coefficients held at or above 0.

    Args:
        problem: what to fit.
        not_negative: which coefficients must not fall below 0; at most two or three.

    Returns:
        Coefficients of shape (k,).
    """
    everything = np.ones(problem.design.shape[1], dtype=bool)
    beta = _newton(problem, everything)
    if all(beta[bound] >= 0 for bound in not_negative):
        return beta
    # The loss is convex: the optimum holds some subset of the bounds with equality. Try them all.
    answers = []
    for size in range(1, len(not_negative) + 1):
        for held in combinations(not_negative, size):
            free = everything.copy()
            free[list(held)] = False
            beta = _newton(problem, free)
            if all(beta[bound] >= 0 for bound in not_negative):
                answers.append((problem.loss(beta), size, beta))
    return min(answers, key=lambda answer: answer[:2])[2]


def coefficient_errors(problem: LogisticProblem, beta: Floats, codes: Codes) -> Floats:
    """Standard errors of the coefficients, leads as clusters (sandwich); the prior is left out.

    Source: Huber (1967), Liang and Zeger (1986).

    Args:
        problem: what was fitted.
        beta: the coefficients, shape (k,).
        codes: shape (n,), lead numbers 0..G-1.

    Returns:
        Shape (k,); infinite when there are fewer than two leads.
    """
    bread = _inverse(problem.information(beta))
    residual = problem.weights * (problem.y - expit(problem.margin(beta)))
    scores = np.column_stack([np.bincount(codes, residual * column) for column in problem.design.T])
    if len(scores) < 2:
        return np.full(len(beta), np.inf)
    meat = scores.T @ scores * (len(scores) / (len(scores) - 1))
    variance = np.diag(bread @ meat @ bread)
    # Of columns that say the same, rounding may leave a variance a hair below 0.
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)), dtype=np.float64)
