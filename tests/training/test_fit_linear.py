"""The additive part is monotone where it must be, the scorecard without rows, the rows' with many."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from agreed import agreed
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit, logsumexp

import training.fit_linear as fit_linear_module
from features.bant import AGREED
from features.catalog import FeatureSpec
from features.frames import Category, Column, FeatureFrame
from features.pipeline import build_catalog
from models.encoder import EncodedColumn, Encoder
from training.design import Design
from training.fit import Rows
from training.fit_linear import AGREED_SLOPE, Prior, estimate_prior, fit_linear
from training.newton import minimise

ENCODER = Encoder(
    (
        EncodedColumn("up"),
        EncodedColumn("down"),
        EncodedColumn("free"),
        EncodedColumn("team", ("a", "b", "c")),
    )
)


def spec(name: str, monotone: Literal[-1, 0, 1] = 0) -> FeatureSpec:
    return FeatureSpec(
        name=name,
        kind="category" if name == "team" else "number",
        fact=f"attribute:{name}",
        label=name,
        phrase="{value}",
        missing="?",
        monotone=monotone,
    )


SPECS = (spec("up", 1), spec("down", -1), spec("free"), spec("team"))


def rows_of(matrix: np.ndarray, y: np.ndarray) -> Rows:
    """A lead each, at one instant."""
    n = len(y)
    return Rows(matrix, y.astype(np.float64), np.ones(n), np.arange(n), np.zeros(n, np.int64))


def drawn(n: int, seed: int, slopes: tuple[float, float, float] = (1.0, -1.0, 1.0)) -> Rows:
    rng = np.random.default_rng(seed)
    numbers, team = rng.normal(size=(n, 3)), rng.integers(0, 3, n)
    odds = numbers @ np.array(slopes) + np.array([0.5, 0.0, -0.5])[team] - 0.5
    matrix = np.column_stack([numbers, team])
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    return rows_of(matrix, rng.random(n) < expit(odds))


def prior_of(variance: float = 0.5, rate: float | None = None) -> Prior:
    return Prior(rate, np.full(4, variance))


def ladder(column: int, low: float = -4, high: float = 4) -> np.ndarray:
    matrix = np.zeros((200, 4))
    matrix[:, column] = np.linspace(low, high, 200)
    return matrix


# Monotone


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 300),
    slope=st.floats(-3, 3),
    variance=st.sampled_from([1e-3, 0.05, 2.0]),
    values=st.sampled_from([None, 2, 5]),
)
def test_what_must_not_fall_never_falls_whatever_the_rows_say(
    seed: int, n: int, slope: float, variance: float, values: int | None
) -> None:
    rows = drawn(n, seed, (slope, -slope, slope))
    if values is not None:
        rows = rows.reading(np.where(np.isnan(rows.matrix), np.nan, rows.matrix.round() % values))
        rows.matrix[:, 3] %= 3
    linear = fit_linear(rows, ENCODER, SPECS, prior_of(variance))
    assert (np.diff(linear.raw(ladder(0))) >= -1e-9).all()
    assert (np.diff(linear.raw(ladder(1))) <= 1e-9).all()


def test_what_is_free_does_fall_where_the_rows_say_so() -> None:
    linear = fit_linear(drawn(800, 1, (-1.0, 1.0, -1.0)), ENCODER, SPECS, prior_of())
    assert np.ptp(linear.raw(ladder(2))) > 1.0
    assert np.ptp(linear.raw(ladder(0))) < 0.2, "flat is the nearest to falling that it may be"
    assert np.ptp(linear.raw(ladder(1))) < 0.2


# Without rows, with few and with many


def scorecard_frame(n: int, seed: int) -> tuple[FeatureFrame, np.ndarray]:
    """Every column of the agreed definition: agreed scores anywhere in [-1, 1], the rest at random."""
    rng = np.random.default_rng(seed)
    score = rng.uniform(-1, 1, n)
    score[:5] = [-1, -0.5, 0, 0.5, 1]
    columns: dict[str, Column] = {}
    for one in build_catalog(agreed()):
        if one.kind == "category":
            levels = one.levels or ("x", "y", "z")
            columns[one.name] = Category(rng.integers(-1, len(levels), n), levels)
        else:
            columns[one.name] = np.where(rng.random(n) < 0.2, np.nan, 100 * rng.normal(size=n))
    columns[AGREED] = score
    return FeatureFrame(tuple(map(str, range(n))), np.zeros(n, np.int64), columns), score


@pytest.mark.parametrize("rate", [0.003, 0.2, 0.5, 0.97])
def test_without_rows_it_says_the_expected_rate_and_the_agreed_score_exactly(rate: float) -> None:
    catalog = build_catalog(agreed())
    frame, score = scorecard_frame(500, seed=0)
    encoder = Encoder.fit(frame, [one.name for one in catalog])
    none = rows_of(encoder.matrix(frame)[:0], np.zeros(0))
    prior = estimate_prior(none, encoder, catalog, rate, seed=0)
    linear = fit_linear(none, encoder, catalog, prior)
    expected = logit(rate) + AGREED_SLOPE * score
    assert linear.raw(encoder.matrix(frame)) == pytest.approx(expected, abs=1e-9)


def test_with_many_rows_what_was_expected_hardly_matters() -> None:
    rows = drawn(20_000, 3)
    wrong = fit_linear(rows, ENCODER, SPECS, prior_of(0.5, rate=0.01))
    without = fit_linear(rows, ENCODER, SPECS, prior_of(0.5))
    apart = np.abs(wrong.raw(rows.matrix) - without.raw(rows.matrix))
    assert apart.mean() < 0.03
    assert apart.max() < 0.3, "where hardly any row is"
    assert rows.y.mean() > 0.3, "and 1 % were expected"


def test_few_rows_move_it_from_what_was_expected_towards_what_they_say() -> None:
    said = []
    for n in (0, 5, 20, 100, 2_000):
        rows = drawn(n, 4)
        rows = replace(
            rows, y=(np.arange(n) % 2).astype(np.float64)
        )  # half of them won, and 5 % were expected
        linear = fit_linear(rows, ENCODER, SPECS, prior_of(1e-5, rate=0.05))
        said.append(float(expit(linear.raw(np.zeros((1, 4))))[0]))
    assert said[0] == pytest.approx(0.05, abs=1e-9)
    assert said == sorted(said)
    assert said[-1] == pytest.approx(0.5, abs=0.05)


def test_several_rows_of_a_lead_count_like_one() -> None:
    """Twice the same rows of the same leads: the same model, and no more certain."""
    rows = drawn(300, 5)
    rows = rows.reading(np.clip(rows.matrix.round(), -2, 2))  # the same knots for both
    twice = np.r_[np.arange(300), np.arange(300)]
    one = fit_linear(rows, ENCODER, SPECS, prior_of())
    other = fit_linear(rows.take(twice, np.ones(600)), ENCODER, SPECS, prior_of())
    at = drawn(50, 6).matrix
    assert one.raw(at) == pytest.approx(other.raw(at), abs=1e-6)
    assert one.variance(at) == pytest.approx(other.variance(at), abs=1e-6)


def test_every_term_has_mean_0_over_the_rows_it_was_learned_from() -> None:
    rows = drawn(500, 7)
    weight = np.random.default_rng(0).uniform(0.1, 2, 500)
    rows = replace(rows, weight=weight)
    linear = fit_linear(rows, ENCODER, SPECS, prior_of())
    means = weight @ linear.contributions(rows.matrix) / weight.sum()
    assert means == pytest.approx(np.zeros(4), abs=1e-9)


def test_the_terms_say_what_the_design_matrix_times_the_coefficients_says() -> None:
    rows = drawn(200, 8)
    design = Design.of(rows, ENCODER, SPECS)
    matrix = design.matrix(rows.matrix)
    coefficients = np.random.default_rng(1).normal(size=design.width)
    linear = design.linear(coefficients, np.eye(design.width), rows.weight, matrix)
    about = matrix - np.r_[0.0, design.centre(rows.weight, matrix)[1:]]
    assert linear.raw(rows.matrix) == pytest.approx(about @ coefficients, abs=1e-9)
    assert matrix.shape == (200, design.width)
    fresh = drawn(200, 9).matrix * [3, 3, 3, 1]
    later = design.matrix(fresh) - np.r_[0.0, design.centre(rows.weight, matrix)[1:]]
    assert linear.raw(fresh) == pytest.approx(later @ coefficients, abs=1e-9)


def test_rare_values_are_less_certain_than_common_ones() -> None:
    rng = np.random.default_rng(0)
    team = rng.choice(3, 600, p=[0.9, 0.09, 0.01]).astype(np.float64)
    matrix = np.column_stack([rng.normal(size=(600, 3)), team])
    linear = fit_linear(rows_of(matrix, rng.random(600) < 0.3), ENCODER, SPECS, prior_of())
    a, b, c = linear.terms[3].variances
    assert a < b < c


# How much each column may say


def test_noise_shrinks_to_near_nothing_and_what_tells_keeps_its_spread() -> None:
    """Twenty worlds of 3,000 rows; medians, so no single draw decides."""
    encoder = Encoder(
        (
            EncodedColumn("strong", tuple("abcdefghijkl")),
            EncodedColumn("noise", tuple("abcdefghijkl")),
        )
    )
    specs = (spec("team"), spec("team"))
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        codes = rng.integers(0, 12, size=(3_000, 2))
        effect = rng.normal(size=12)
        rows = rows_of(codes.astype(np.float64), rng.random(3_000) < expit(effect[codes[:, 0]]))
        prior = estimate_prior(rows, encoder, specs, None, seed=0)
        linear = fit_linear(rows, encoder, specs, prior)
        kept = np.std(linear.terms[0].values) / np.std(effect)
        found.append((prior.variances[0], prior.variances[1], kept, np.std(linear.terms[1].values)))
    strong, noise, kept, said = np.median(found, axis=0)
    assert strong > 0.4, "drawn with variance 1; its prior guess of .05 counts like 12 levels"
    assert noise < 0.04
    assert noise < strong / 15
    assert 0.85 < kept < 1.1
    assert said < 0.1


def few_rows(slope: float, seed: int, n: int = 80) -> Rows:
    """Ten columns, each as telling as the slope says."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(n, 10))
    return rows_of(numbers, rng.random(n) < expit(slope * numbers.sum(axis=1)))


TEN = tuple(f"c{i}" for i in range(10))
TEN_ENCODER, TEN_SPECS = Encoder(tuple(map(EncodedColumn, TEN))), tuple(map(spec, TEN))


def typical_variance(rows: Rows) -> float:
    return float(np.median(estimate_prior(rows, TEN_ENCODER, TEN_SPECS, None, seed=0).variances))


def test_few_rows_widen_the_prior_where_all_columns_tell_and_leave_it_narrow_in_noise() -> None:
    noise = [typical_variance(few_rows(0.0, seed)) for seed in range(20)]
    telling = [typical_variance(few_rows(1.0, seed)) for seed in range(20)]
    assert np.median(noise) < 0.03
    assert np.median(telling) > 0.2
    assert np.mean(np.array(noise) < 0.03) >= 0.8, "noise seldom looks like more"


def test_a_wide_prior_says_more_truth_of_fresh_rows_where_columns_tell() -> None:
    """Ten worlds of 80 rows: closer to the truth than under the narrow scale for all columns."""
    better = 0
    for seed in range(10):
        rows, fresh = few_rows(1.0, seed), few_rows(1.0, 100 + seed, 2_000)
        truth = expit(fresh.matrix.sum(axis=1))
        chosen = estimate_prior(rows, TEN_ENCODER, TEN_SPECS, None, seed=0)
        narrow = Prior(None, np.full(10, 0.02))
        off = [
            np.mean(
                (expit(fit_linear(rows, TEN_ENCODER, TEN_SPECS, p).raw(fresh.matrix)) - truth) ** 2
            )
            for p in (chosen, narrow)
        ]
        better += off[0] < off[1]
    assert better >= 9


def test_without_rows_the_narrowest_prior_is_taken() -> None:
    prior = estimate_prior(few_rows(0.0, 0, n=0), TEN_ENCODER, TEN_SPECS, 0.2, seed=0)
    assert prior.variances == pytest.approx(np.full(10, 0.02))


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_the_evidence_is_the_integral_of_the_likelihood_over_the_prior(slope: float) -> None:
    """One category of two levels, by a grid; the variances' density apart."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 2, 60)
    y = (rng.random(60) < expit(slope * (2 * codes - 1))).astype(np.float64)
    rows = rows_of(codes[:, None].astype(np.float64), y)
    encoder = Encoder((EncodedColumn("team", ("a", "b")),))
    design = Design.of(rows, encoder, (spec("team"),))
    axis = np.linspace(-4, 4, 41)
    level, a, b = (one.ravel() for one in np.meshgrid(axis, axis, axis, indexing="ij"))
    grid = np.column_stack([level, a, b, np.zeros(len(a))])
    apart = []
    for variance in (0.02, 0.4):
        prior = Prior(0.5, np.array([variance]))
        problem = fit_linear_module._problem(rows, design, prior)
        at = minimise(problem, np.zeros(4))
        found = fit_linear_module._evidence(problem, at, prior.variances, variance)
        raw = grid @ np.asarray(problem.matrix).T
        log = raw @ y - np.logaddexp(0.0, raw).sum(axis=1) - 0.5 * grid**2 @ problem.precision
        cell = np.log(axis[1] - axis[0]) - 0.5 * np.log(2 * np.pi)
        exact = logsumexp(log) + 3 * cell + 0.5 * np.log(problem.precision[:3]).sum()
        apart.append(found - exact)
    assert apart[0] == pytest.approx(apart[1], abs=0.1), "a constant apart, the same at every scale"
    assert apart[0] == pytest.approx(-3.0, abs=0.1), "the density's, half of what it is worth"


def test_of_many_rows_a_seeded_sample_of_whole_leads_estimates() -> None:
    rows = drawn(25_000, 10)
    one = estimate_prior(rows, ENCODER, SPECS, None, seed=1)
    assert (one.variances == estimate_prior(rows, ENCODER, SPECS, None, seed=1).variances).all()
    assert (one.variances != estimate_prior(rows, ENCODER, SPECS, None, seed=2).variances).any()
