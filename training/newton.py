"""Where is a penalised logistic likelihood highest, within bounds? Newton's method, safeguarded.

Each step is a quadratic problem within bounds; without active bounds it is one Cholesky factorisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, cholesky
from scipy.optimize import lsq_linear

Floats = NDArray[np.float64]

_CLOSE = 1e-8
_TURNS = 25
_PORTION = 8_192
"""Rows whose weighted copy is held at once."""


@dataclass(frozen=True)
class Problem:
    """Σ weight·logloss + ½ Σ precision·(β − mean)², minimised over β between bounds.

    Attributes:
        matrix: shape (n, width), a column of ones first.
        y, weight: shape (n,).
        mean, precision: of the prior, shape (width,).
        lower, upper: bounds, shape (width,).
    """

    matrix: Floats
    y: Floats
    weight: Floats
    mean: Floats
    precision: Floats
    lower: Floats
    upper: Floats

    def value(self, at: Floats) -> float:
        """The penalised loss."""
        raw = self.matrix @ at
        loss = self.weight @ (np.logaddexp(0.0, raw) - self.y * raw)
        return float(loss + 0.5 * self.precision @ (at - self.mean) ** 2)

    def slope(self, at: Floats) -> Floats:
        """Its gradient, shape (width,)."""
        wrong = self.weight * (_sigmoid(self.matrix @ at) - self.y)
        slope: Floats = self.matrix.T @ wrong + self.precision * (at - self.mean)
        return slope

    def curvature(self, at: Floats) -> Floats:
        """Its Hessian, shape (width, width)."""
        return self._curvature(at, self.matrix)

    def rough_curvature(self, at: Floats) -> Floats:
        """The same to seven digits of its largest part, for half the time: enough to step by.

        Where the loss is lowest `value` and `slope` say. Of many rows that say the same, so few digits
        may not be positive definite.
        """
        return self._curvature(at, self._short)

    def _curvature(self, at: Floats, matrix: NDArray[np.floating]) -> Floats:
        said = _sigmoid(self.matrix @ at)
        root = np.sqrt(self.weight * np.maximum(said * (1 - said), 1e-6)).astype(matrix.dtype)
        total = np.diag(self.precision)
        for start in range(0, len(root), _PORTION):
            rows = slice(start, start + _PORTION)
            portion = matrix[rows] * root[rows, None]
            total += portion.T @ portion  # a matrix by itself costs half of two matrices
        return total

    @cached_property
    def _short(self) -> NDArray[np.float32]:
        return self.matrix.astype(np.float32)

    def covariance(self, at: Floats) -> Floats:
        """Of the coefficients in Laplace's approximation, shape (width, width)."""
        found: Floats = cho_solve(cho_factor(self.curvature(at)), np.eye(len(at)))
        return found


def minimise(problem: Problem, start: Floats, rounds: int = 50) -> Floats:
    """The coefficients with the lowest penalised loss, shape (width,).

    Args:
        problem: what to minimise; convex, so there is one answer.
        start: where to begin, within the bounds.
        rounds: Newton steps at the most.
    """
    here = np.clip(start, problem.lower, problem.upper)
    value = problem.value(here)
    for _ in range(rounds):
        there, lower = _searched(problem, here, _step(problem, here), value)
        if value - lower < _CLOSE * max(1.0, abs(value)):
            return there
        here, value = there, lower
    return here


def _sigmoid(raw: Floats) -> Floats:
    said: Floats = 1.0 / (1.0 + np.exp(-np.clip(raw, -30, 30)))
    return said


def _step(problem: Problem, here: Floats) -> Floats:
    """The Newton step, within bounds where there are any."""
    try:
        return _step_by(problem, problem.rough_curvature(here), here)
    except LinAlgError:
        return _step_by(problem, problem.curvature(here), here)


def _step_by(problem: Problem, curvature: Floats, here: Floats) -> Floats:
    slope = problem.slope(here)
    there = _active_set(curvature, slope - curvature @ here, problem.lower, problem.upper)
    if there is None:
        # min ½‖R(β − target)‖² within the bounds, with RᵀR the curvature: the same, slow and sure.
        root = cholesky(curvature)
        target = here - cho_solve(cho_factor(curvature), slope)
        bounds = (problem.lower, problem.upper)
        there = lsq_linear(root, root @ target, bounds=bounds, method="bvls").x
    within: Floats = np.clip(there, problem.lower, problem.upper) - here
    return within


def _active_set(curvature: Floats, linear: Floats, lower: Floats, upper: Floats) -> Floats | None:
    """Where ½βᵀHβ + linearᵀβ is least between bounds, by the primal-dual active set; None: no end found.

    Source: Hintermüller, Ito and Kunisch (2003).
    """
    at, held = np.zeros(len(linear)), np.zeros(len(linear), dtype=bool)
    for _ in range(_TURNS):
        free = ~held
        inner = curvature[np.ix_(free, free)]
        pushed = linear[free] + curvature[np.ix_(free, held)] @ at[held]
        at[free] = cho_solve(cho_factor(inner), -pushed)
        pull = curvature @ at + linear
        low = (at < lower - 1e-12) | (held & (at <= lower) & (pull > 0))
        high = (at > upper + 1e-12) | (held & (at >= upper) & (pull < 0))
        at[low], at[high] = lower[low], upper[high]
        if np.array_equal(low | high, held):
            return at
        held = low | high
    return None


def _searched(problem: Problem, here: Floats, step: Floats, value: float) -> tuple[Floats, float]:
    """As much of a step as lowers the loss."""
    share = 1.0
    while share > 1e-6:
        there = here + share * step
        lower = problem.value(there)
        if lower <= value:
            return there, lower
        share /= 2
    return here, value
