"""Newton's method finds what other people's solvers find, with bounds and without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime, minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from training.newton import Problem, minimise


def problem(seed: int, n: int = 400, width: int = 8, bounded: bool = False) -> Problem:
    """Correlated columns after one of ones, uneven weights and penalties, a prior mean not at 0."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n, width)) @ rng.normal(size=(width, width)) / 2
    matrix[:, 0] = 1.0
    truth = rng.normal(size=width)
    y = (rng.random(n) < expit(matrix @ truth)).astype(np.float64)
    free = np.full(width, np.inf)
    lower, upper = -free, free.copy()
    if bounded:
        lower[1:4], upper[3:6] = 0.0, 0.0
        lower[3] = -0.05
    return Problem(
        matrix,
        y,
        rng.uniform(0.1, 3.0, n),
        rng.normal(size=width) / 2,
        rng.uniform(0.1, 20.0, width),
        lower,
        upper,
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_ridge_is_the_one_that_scikit_learn_finds(seed: int) -> None:
    one = problem(seed)
    # C = 1 is a penalty of ½‖β‖²; its intercept is not penalised.
    precision = np.r_[1e-12, np.ones(7)]
    one = replace(one, mean=np.zeros(8), precision=precision)
    found = minimise(one, np.zeros(8))
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000)
    theirs.fit(one.matrix[:, 1:], one.y, sample_weight=one.weight)
    assert found == pytest.approx(np.r_[theirs.intercept_, theirs.coef_[0]], abs=1e-4)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("bounded", [False, True])
def test_with_and_without_bounds_it_is_as_low_as_l_bfgs_b_gets(seed: int, bounded: bool) -> None:
    one = problem(seed, bounded=bounded)
    found = minimise(one, np.zeros(8))
    theirs = minimize(
        one.value,
        np.zeros(8),
        jac=one.slope,
        method="L-BFGS-B",
        bounds=list(zip(one.lower, one.upper, strict=True)),
        options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 5_000},
    )
    assert one.value(found) <= theirs.fun + 1e-5
    assert found == pytest.approx(theirs.x, abs=2e-3)
    assert (found >= one.lower).all()
    assert (found <= one.upper).all()


def test_some_bounds_do_bind_in_the_comparison_above() -> None:
    touched = 0
    for seed in range(8):
        one = problem(seed, bounded=True)
        found = minimise(one, np.zeros(8))
        touched += int(((found == one.lower) | (found == one.upper)).sum())
    assert touched >= 8


@pytest.mark.parametrize("seed", range(3))
def test_slope_and_curvature_are_those_of_finite_differences(seed: int) -> None:
    one = problem(seed)
    at = np.random.default_rng(seed).normal(size=8) / 3
    assert one.slope(at) == pytest.approx(approx_fprime(at, one.value, 1e-6), rel=1e-4, abs=1e-2)
    step = 1e-5
    columns = [
        (one.slope(at + step * unit) - one.slope(at - step * unit)) / (2 * step)
        for unit in np.eye(8)
    ]
    assert one.curvature(at) == pytest.approx(np.column_stack(columns), rel=1e-4, abs=1e-3)


def test_where_it_is_highest_does_not_depend_on_the_digits_of_the_curvature() -> None:
    one = problem(1, n=20_000, width=4)
    at = minimise(one, np.zeros(4))
    slope = one.matrix.T @ (one.weight * (expit(one.matrix @ at) - one.y))
    slope += one.precision * (at - one.mean)
    inside = (at > one.lower) & (at < one.upper)
    assert np.abs(slope[inside]).max() < 1e-3, (
        "of 20,000 rows, each of which has a slope of about one"
    )


def test_curvature_is_the_same_whether_summed_in_one_portion_or_in_three() -> None:
    one = problem(1, n=20_000, width=4)
    at = np.full(4, 0.2)
    said = expit(one.matrix @ at)
    inner = one.weight * said * (1 - said)
    expected = (one.matrix * inner[:, None]).T @ one.matrix + np.diag(one.precision)
    assert one.curvature(at) == pytest.approx(expected, rel=1e-10)
    assert one.rough_curvature(at) == pytest.approx(expected, rel=3e-6)


def test_columns_that_say_the_same_a_million_times_are_fitted() -> None:
    """Seven digits of forty million rows hold no precision of one half any more."""
    rng = np.random.default_rng(0)
    fact = rng.normal(size=2_000)
    matrix = np.column_stack(
        [np.ones(2_000), *(fact * scale for scale in np.linspace(0.5, 1.5, 80))]
    )
    y = (rng.random(2_000) < expit(fact)).astype(np.float64)
    width, free = matrix.shape[1], np.full(matrix.shape[1], np.inf)
    weight = np.full(2_000, 20_000.0)
    one = Problem(matrix, y, weight, np.zeros(width), np.full(width, 0.5), -free, free)
    assert np.linalg.eigvalsh(one.rough_curvature(np.zeros(width))).min() < 0
    found = minimise(one, np.zeros(width))
    assert np.abs(one.slope(found)).max() < 10.0, "of forty million rows"


def test_the_covariance_is_the_inverse_of_the_curvature() -> None:
    one = problem(2)
    at = np.zeros(8)
    assert one.covariance(at) @ one.curvature(at) == pytest.approx(np.eye(8), abs=1e-9)


def test_where_outcomes_are_told_perfectly_it_still_ends_at_finite_coefficients() -> None:
    """Separation, the classical trap of Newton's method: the penalty alone holds it."""
    matrix = np.column_stack([np.ones(100), np.linspace(-1, 1, 100)])
    y = (matrix[:, 1] > 0).astype(np.float64)
    free = np.full(2, np.inf)
    one = Problem(matrix, y, np.ones(100), np.zeros(2), np.full(2, 1e-2), -free, free)
    found = minimise(one, np.array([0.0, -20.0]))
    assert np.abs(one.slope(found)).max() < 1e-2
    assert 10 < found[1] < 1_000


def test_without_rows_it_is_the_prior_mean() -> None:
    one = problem(3)
    none = replace(one, matrix=one.matrix[:0], y=one.y[:0], weight=one.weight[:0])
    assert minimise(none, np.zeros(8)) == pytest.approx(one.mean, abs=1e-6)


def test_a_start_outside_the_bounds_does_not_matter() -> None:
    one = problem(4, bounded=True)
    far = minimise(one, np.full(8, 3.0))
    assert far == pytest.approx(minimise(one, np.zeros(8)), abs=1e-3)
