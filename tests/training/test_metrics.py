"""Metrics agree with loops, with scikit-learn and with published figures, and their intervals cover."""

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles import naive_metrics as naive
from scipy.stats import norm
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from models.calibrators import FLOOR, logit, sigmoid
from training import metrics
from training.decomposition import recalibrated
from training.intervals import Interval, clustered_error, plain

shares = st.floats(0.01, 0.99)
# Few distinct values, so that ties are the rule.
rows = st.lists(
    st.tuples(st.integers(-3, 3), st.integers(0, 1), st.integers(0, 4)), min_size=2, max_size=60
)


def split(drawn: list[tuple[int, int, int]]) -> tuple[list[float], list[int], list[int]]:
    raw, y, groups = (list(column) for column in zip(*drawn, strict=True))
    assume(0 < sum(y) < len(y))
    return raw, y, groups


def world(seed: int, n: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Leads of a perfectly calibrated model, about 18 % of whom buy."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(-1.8, spread, n)
    p = sigmoid(raw)
    return raw, p, (rng.random(n) < p).astype(float)


# Agreement with plain loops


@given(rows)
def test_auc_is_the_share_of_pairs_in_the_right_order(drawn: Any) -> None:
    raw, y, groups = split(drawn)
    weights = [group + 1.0 for group in groups]
    assert metrics.auc(raw, y) == pytest.approx(naive.auc(raw, y), abs=1e-12)
    assert metrics.auc(raw, y, weights) == pytest.approx(naive.auc(raw, y, weights), abs=1e-12)


@given(rows)
def test_auc_interval_uses_delongs_variance(drawn: Any) -> None:
    raw, y, _ = split(drawn)
    assume(1 < sum(y) < len(y) - 1)
    area = metrics.auc_interval(raw, y)
    assume(0 < area.estimate < 1)
    error = math.sqrt(naive.delong_variance(raw, y))
    centre = math.log(area.estimate / (1 - area.estimate))
    reach = 1.959964 * error / (area.estimate * (1 - area.estimate))
    assert area.lower == pytest.approx(float(sigmoid(centre - reach)), abs=1e-6)
    assert area.upper == pytest.approx(float(sigmoid(centre + reach)), abs=1e-6)


@given(rows, st.integers(1, 12))
def test_calibration_errors_are_those_of_the_loops(drawn: Any, bins: int) -> None:
    raw, y, _ = split(drawn)
    p = sigmoid(raw).tolist()
    assert metrics.ece(p, y, bins) == pytest.approx(naive.ece(p, y, bins), abs=1e-12)
    assume(any(naive.bins_of(p, bins).count(own) > 1 for own in naive.bins_of(p, bins)))
    found = metrics.debiased_ece(p, y, bins)
    assert found.squared == pytest.approx(naive.debiased_squared_error(p, y, bins), abs=1e-12)
    assert found.root == pytest.approx(math.copysign(abs(found.squared) ** 0.5, found.squared))


@given(rows)
def test_pooling_violators_agrees_with_loops_and_scikit_learn(drawn: Any) -> None:
    raw, y, groups = split(drawn)
    weights = np.array(groups) + 1.0
    found = recalibrated(np.array(raw, float), np.array(y, float), weights)
    loops = naive.pool_adjacent_violators(raw, y, weights.tolist())
    np.testing.assert_allclose(found, loops, atol=1e-12)
    theirs = IsotonicRegression(y_min=0, y_max=1).fit(raw, y, sample_weight=weights)
    np.testing.assert_allclose(found, theirs.predict(raw), atol=1e-9)


@given(rows, st.floats(0.01, 1.0))
def test_lift_gives_the_worst_and_the_best_way_to_break_ties(drawn: Any, share: float) -> None:
    raw, y, _ = split(drawn)
    lift = metrics.lift_at(share, raw, y)
    assert (lift.wins_lower, lift.wins_upper) == naive.lift_range(share, raw, y)
    assert lift.wins_lower - 1e-9 <= lift.wins <= lift.wins_upper + 1e-9
    assert lift.lift == pytest.approx(lift.wins / lift.leads / np.mean(y))


@given(rows)
def test_clustered_error_adds_up_a_leads_rows_before_squaring(drawn: Any) -> None:
    raw, _, groups = split(drawn)
    assume(len(set(groups)) > 1)
    values = np.array(raw, float)
    codes = np.unique(groups, return_inverse=True)[1]
    error = clustered_error((values - values.mean()) / len(values), codes)
    expected = naive.clustered_variance_of_mean(raw, groups)
    assert error**2 == pytest.approx(expected, abs=1e-12)


# Agreement with scikit-learn


@given(st.lists(st.tuples(shares, st.integers(0, 1), st.floats(0.1, 5)), min_size=2))
def test_scores_agree_with_scikit_learn(drawn: list[tuple[float, int, float]]) -> None:
    p, y, weights = (list(column) for column in zip(*drawn, strict=True))
    loss = sk.log_loss(y, p, labels=[0, 1], sample_weight=weights)
    assert metrics.log_loss(p, y, weights) == pytest.approx(loss, rel=1e-9)
    assert metrics.log_loss(p, y) == pytest.approx(sk.log_loss(y, p, labels=[0, 1]), rel=1e-9)
    # scikit-learn's Brier score refuses a single class; its mean squared error is the same number.
    squared = sk.mean_squared_error(y, p, sample_weight=weights)
    assert metrics.brier(p, y, weights) == pytest.approx(squared, rel=1e-9)
    assume(0 < sum(y) < len(y))
    area = sk.roc_auc_score(y, p, sample_weight=weights)
    assert metrics.auc(p, y, weights) == pytest.approx(area, abs=1e-9)


def test_the_calibration_line_is_an_unpenalised_logistic_regression() -> None:
    raw, p, y = world(3, 4000, 1.3)
    off = sigmoid(1.5 * raw + 0.4)
    line = metrics.calibration_slope_intercept(off, y)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    theirs.fit(logit(np.clip(off, FLOOR, 1 - FLOOR))[:, None], y)
    assert line.slope.estimate == pytest.approx(theirs.coef_[0, 0], rel=1e-5)
    # At the intercept's solution the mean probability is the win rate: the score equation.
    moved = sigmoid(logit(np.clip(off, FLOOR, 1 - FLOOR)) + line.intercept.estimate)
    assert moved.mean() == pytest.approx(y.mean(), abs=1e-9)
    assert line.slope.contains(1 / 1.5)
    assert metrics.calibration_slope_intercept(p, y).slope.contains(1.0)


# Published figures


@pytest.mark.parametrize(
    ("wins", "n", "lower", "upper"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_is_newcombes(wins: int, n: int, lower: float, upper: float) -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3.
    found = metrics.wilson_interval(wins, n)
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=6e-5)


@pytest.mark.parametrize(("n", "naive_error"), [(100, 0.082), (500, 0.037), (2000, 0.018)])
def test_a_perfect_model_shows_the_published_naive_error_but_no_debiased_one(
    n: int, naive_error: float
) -> None:
    # Figures measured with a base rate of 18 %; the spread of the scores moves them by a tenth.
    shown, squared = [], []
    for seed in range(300):
        _, p, y = world(seed, n)
        shown.append(metrics.ece(p, y))
        squared.append(metrics.debiased_ece(p, y).squared)
    assert np.mean(shown) == pytest.approx(naive_error, rel=0.15)
    # Mean zero within four standard errors: wrong in 6 of 100,000 seeds.
    assert abs(np.mean(squared)) < 4 * np.std(squared) / math.sqrt(len(squared))


def test_the_debiased_error_finds_a_bad_model_that_the_naive_error_cannot_tell() -> None:
    found = []
    for seed in range(200):
        raw, _, y = world(seed, 500)
        found.append(metrics.debiased_ece(sigmoid(1.6 * raw + 1.08), y).squared)
    assert np.mean(found) > 10 * np.std(found) / math.sqrt(len(found))


@pytest.mark.parametrize(("rate", "n"), [(0.2, 1538), (0.1, 3461), (0.05, 7305)])
def test_observed_over_expected_needs_the_published_number_of_leads(rate: float, n: int) -> None:
    # Riley et al. (2021): n = (1 - rate) / (rate · 0.051²) for a ratio known to about ±10 %.
    won = np.zeros(n)
    won[: round(rate * n)] = 1
    ratio = metrics.observed_over_expected(np.full(n, rate), won)
    assert math.log(ratio.upper / ratio.estimate) / 1.959964 == pytest.approx(0.051, rel=0.005)


def test_more_outcomes_needed_follows_the_square_root_law() -> None:
    # (1.96 + 0.8416)² = 7.849: a difference of one standard error on 100 leads needs 785.
    undecided = metrics.PairedDifference(0.01, -0.0096, 0.0296, 0.01, 100, 0.95, "normal")
    assert metrics.outcomes_needed(undecided) == 685
    assert metrics.outcomes_needed(undecided, power=0.5) == math.ceil(384.1459) - 100


def test_no_number_of_outcomes_decides_between_equals() -> None:
    _, p, y = world(0, 50)
    same = metrics.paired_log_loss_difference(p, p, y, seed=0)
    assert same.difference == 0
    assert not same.decisive
    assert metrics.outcomes_needed(same) is None


def test_a_decisive_difference_needs_nothing_more() -> None:
    _, p, y = world(0, 5000)
    won = metrics.paired_log_loss_difference(p, np.full(len(y), 0.5), y, seed=0)
    assert won.upper < 0
    assert won.method == "normal"
    assert metrics.outcomes_needed(won) == 0


# The parts add up


@given(
    st.lists(st.tuples(shares, st.integers(0, 1)), min_size=1),
    st.sampled_from(["log_loss", "brier"]),
)
def test_a_score_is_exactly_its_three_parts(drawn: list[tuple[float, int]], score: str) -> None:
    p, y = (list(column) for column in zip(*drawn, strict=True))
    parts = metrics.decomposition(p, y, score)
    whole = parts.miscalibration - parts.discrimination + parts.uncertainty
    assert parts.score == pytest.approx(whole, abs=1e-12)
    assert parts.score == pytest.approx(getattr(metrics, score)(p, y), rel=1e-12)
    assert min(parts.miscalibration, parts.discrimination) >= -1e-12
    assert metrics.base_rate_log_loss(y) == pytest.approx(
        metrics.decomposition(p, y).uncertainty, abs=1e-12
    )


def test_a_moved_level_is_miscalibration_and_not_lost_discrimination() -> None:
    raw, p, y = world(1, 20_000)
    right, moved = metrics.decomposition(p, y), metrics.decomposition(sigmoid(raw + 1.0), y)
    assert moved.discrimination == pytest.approx(right.discrimination, abs=1e-12)
    assert moved.miscalibration > 10 * right.miscalibration


def test_the_gain_curve_of_ties_is_the_diagonal() -> None:
    gain = metrics.cumulative_gain([1.0] * 10, [1, 0] * 5, points=11)
    assert gain.captured == pytest.approx(gain.share)


def test_the_gain_curve_of_a_perfect_order_is_full_at_the_base_rate() -> None:
    gain = metrics.cumulative_gain(range(10), [0] * 8 + [1] * 2, points=11)
    assert gain.captured[1:4] == pytest.approx((0.5, 1.0, 1.0))


def test_reliability_bands_hold_every_lead_once_and_rise_with_the_raw_score() -> None:
    raw, p, y = world(2, 1003)
    bands = metrics.reliability_bins(raw, p, y)
    assert len(bands) == 10
    assert sum(band.n for band in bands) == 1003
    assert sum(band.wins for band in bands) == y.sum()
    assert all(a.raw_high < b.raw_low for a, b in pairwise(bands))
    assert max(band.n for band in bands) - min(band.n for band in bands) <= 1


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_the_order_of_the_rows_changes_nothing(seed: int) -> None:
    raw, p, y = world(seed, 200)
    raw, p = raw.round(), p.round(1)
    other = np.random.default_rng(seed).permutation(200)
    assume(0 < y.sum() < 200)
    first = metrics.evaluate_predictions(raw, p, y).to_json()
    second = metrics.evaluate_predictions(raw[other], p[other], y[other]).to_json()
    # Which lead a resample draws depends on the row, so the sentence with its figures may differ.
    first.pop("discrimination"), second.pop("discrimination")
    np.testing.assert_allclose(flat(first), flat(second), rtol=1e-6, atol=1e-9)


def flat(value: Any) -> list[float]:
    """All figures of a JSON object in one list, unknown ones as NaN."""
    if isinstance(value, dict | list):
        inside = value.values() if isinstance(value, dict) else value
        return [number for item in inside for number in flat(item)]
    return [math.nan if value is None else float(value)]


# Intervals cover what they promise


def covered(hits: list[bool], low: float, high: float) -> bool:
    return low <= float(np.mean(hits)) <= high


@pytest.mark.parametrize(("n", "distance"), [(80, 0.7), (300, 1.5)])
def test_the_auc_interval_covers_the_true_area(n: int, distance: float) -> None:
    # 95 % of 1,000 runs have a standard error of 0.7 points: wrong by 3 of them once in 370 seeds.
    rng, hits = np.random.default_rng(5), []
    for _ in range(1000):
        y = (rng.random(n) < 0.25).astype(float)
        raw = rng.normal(0, 1, n) + distance * y
        hits.append(metrics.auc_interval(raw, y).contains(float(norm.cdf(distance / math.sqrt(2)))))
    assert covered(hits, 0.93, 0.975)


def test_the_auc_interval_needs_groups_when_leads_repeat() -> None:
    rng, with_groups, without = np.random.default_rng(6), [], []
    for _ in range(600):
        lead = np.repeat(np.arange(80), 4)
        y = (rng.random(80) < 0.3).astype(float)[lead]
        raw = (rng.normal(0, 1, 80))[lead] + y
        truth = float(norm.cdf(1 / math.sqrt(2)))
        with_groups.append(metrics.auc_interval(raw, y, groups=lead).contains(truth))
        without.append(metrics.auc_interval(raw, y).contains(truth))
    # Standard error of 600 runs at 95 %: 0.9 points.
    assert covered(with_groups, 0.92, 0.98)
    assert np.mean(without) < 0.75


@pytest.mark.parametrize(("rate", "n"), [(0.05, 40), (0.2, 100), (0.5, 30)])
def test_the_wilson_interval_covers_the_true_rate(rate: float, n: int) -> None:
    # Exact, by summing the binomial: Brown, Cai and DasGupta (2001) find .93 and more in this range.
    wins = np.arange(n + 1)
    chance = np.exp([log_binomial(n, int(k), rate) for k in wins])
    hits = [metrics.wilson_interval(int(k), n).contains(rate) for k in wins]
    assert 0.93 <= float(chance @ np.array(hits)) <= 0.985


def log_binomial(n: int, k: int, rate: float) -> float:
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return ways + k * math.log(rate) + (n - k) * math.log(1 - rate)


def test_observed_over_expected_covers_one_for_a_perfect_model() -> None:
    hits = []
    for seed in range(1000):
        _, p, y = world(seed, 400, spread=0.5)
        hits.append(metrics.observed_over_expected(p, y).contains(1.0))
    assert covered(hits, 0.93, 0.975)


@pytest.mark.slow
@pytest.mark.parametrize("n", [300, 3000])
def test_the_paired_interval_covers_the_true_difference(n: int) -> None:
    # Both models wrong in different ways; the true difference comes from the true probabilities.
    many = np.random.default_rng(0).normal(-1.8, 1.0, 400_000)
    true = expected_loss(many, 1.3 * many) - expected_loss(many, many + 0.3)
    hits = []
    for seed in range(200):
        raw, _, y = world(seed, n)
        found = metrics.paired_log_loss_difference(
            sigmoid(1.3 * raw), sigmoid(raw + 0.3), y, seed=seed
        )
        hits.append(found.lower <= true <= found.upper)
    # Standard error of 200 runs at 95 %: 1.5 points.
    assert covered(hits, 0.905, 0.99)


def expected_loss(truth: np.ndarray, raw: np.ndarray) -> float:
    chance, p = sigmoid(truth), sigmoid(raw)
    return float(-np.mean(chance * np.log(p) + (1 - chance) * np.log1p(-p)))


def test_the_slopes_interval_covers_one_for_a_perfect_model() -> None:
    hits = []
    for seed in range(400):
        _, p, y = world(seed, 400)
        hits.append(metrics.calibration_slope_intercept(p, y).slope.contains(1.0))
    # Standard error of 400 runs at 95 %: 1.1 points.
    assert covered(hits, 0.92, 0.98)


# No discrimination


def test_a_model_that_knows_nothing_is_said_to_know_nothing() -> None:
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        y = (rng.random(400) < 0.3).astype(float)
        raw = rng.normal(-0.85, 0.3, 400)
        found.append(metrics.no_discrimination(raw, sigmoid(raw), y).found)
    # The AUC's interval alone lets 2.5 % through; the log loss must agree.
    assert np.mean(found) <= 0.03


def test_an_order_that_is_upside_down_is_no_discrimination() -> None:
    raw, _, y = world(0, 2000)
    verdict = metrics.no_discrimination(-raw, sigmoid(-raw), y)
    assert not verdict.found
    assert "AUC 0.2" in verdict.reason
    assert "not above chance" in verdict.reason


def test_a_model_whose_level_is_off_still_discriminates() -> None:
    raw, _, y = world(0, 2000)
    assert metrics.log_loss(sigmoid(raw + 2), y) > metrics.base_rate_log_loss(y)
    assert metrics.no_discrimination(raw, sigmoid(raw + 2), y).found


def test_an_order_without_usable_probabilities_is_named_as_such() -> None:
    rng = np.random.default_rng(2)
    y = (rng.random(3000) < 0.3).astype(float)
    raw = rng.normal(0, 3, 3000) + 0.6 * y
    verdict = metrics.no_discrimination(raw, sigmoid(raw), y)
    assert not verdict.found
    assert "base rate" in verdict.reason


# Edges


@pytest.mark.parametrize("only", [0, 1])
def test_one_class_alone_is_refused_by_what_needs_two(only: int) -> None:
    raw, y = [0.1, 0.2], [only, only]
    for needs_two in (
        lambda: metrics.auc(raw, y),
        lambda: metrics.auc_interval(raw, y),
        lambda: metrics.lift_at(0.5, raw, y),
        lambda: metrics.cumulative_gain(raw, y),
        lambda: metrics.calibration_slope_intercept(sigmoid(raw), y),
        lambda: metrics.no_discrimination(raw, sigmoid(raw), y),
        lambda: metrics.evaluate_predictions(raw, sigmoid(raw), y),
    ):
        with pytest.raises(metrics.OneClassError, match="All 2 outcomes"):
            needs_two()


def test_one_class_alone_still_has_losses_and_an_upper_bound() -> None:
    p, y = [0.02] * 100, [0] * 100
    assert metrics.base_rate_log_loss(y) == 0
    assert metrics.ece(p, y) == pytest.approx(0.02)
    ratio = metrics.observed_over_expected(p, y)
    # Exact Poisson: with none seen, the 97.5 % bound of the mean is 3.689 (Garwood 1936).
    assert (ratio.estimate, ratio.lower) == (0, 0)
    assert ratio.upper == pytest.approx(3.6889 / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: metrics.log_loss([0.5], [0, 1]), "shape"),
        (lambda: metrics.log_loss([1.5], [1]), "[0, 1]"),
        (lambda: metrics.log_loss([math.nan], [1]), "not numbers"),
        (lambda: metrics.log_loss([0.5], [2]), "0 or 1"),
        (lambda: metrics.log_loss([], []), "at least one row"),
        (lambda: metrics.log_loss([0.5], [1], [-1]), "Weights"),
        (lambda: metrics.lift_at(0, [1, 2], [0, 1]), "share"),
        (lambda: metrics.auc_interval([1, 2], [0, 1], groups=["a"]), "groups"),
        (lambda: metrics.decomposition([0.5], [1], "accuracy"), "log_loss, brier"),
        (lambda: metrics.observed_over_expected([0.0], [0]), "promised"),
        (lambda: metrics.paired_log_loss_difference([1.0], [0.5], [0], seed=0), "certain"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_the_reason(call: Any, says: str) -> None:
    with pytest.raises(ValueError) as refusal:
        call()
    assert says in str(refusal.value)


def test_a_certainty_that_was_wrong_costs_everything() -> None:
    assert metrics.log_loss([0.0], [1]) == math.inf
    assert metrics.log_loss([0.0, 1.0], [0, 1]) == 0


def test_perfect_separation_does_not_claim_to_be_certain() -> None:
    # Wilson for 5 of 5: lower end 0.5655.
    area = metrics.auc_interval(range(10), [0] * 5 + [1] * 5)
    assert (area.estimate, area.upper) == (1.0, 1.0)
    assert area.lower == pytest.approx(0.5655, abs=1e-4)


def test_a_single_winner_says_nothing_about_the_area() -> None:
    assert metrics.auc_interval([3, 1, 2], [1, 0, 0]) == Interval(1.0, 0.0, 1.0)


@pytest.mark.parametrize("n", [10, 330, 2_430, 2_870])
def test_one_probability_for_all_has_no_slope(n: int) -> None:
    """Rounding left a variance below 0 for a third of such rows, and warned of its root."""
    wins = 3 * n // 10
    for p in np.linspace(0.05, 0.95, 5).tolist():
        line = metrics.calibration_slope_intercept([p] * n, [1] * wins + [0] * (n - wins))
        assert math.isnan(line.slope.estimate)
        assert line.intercept.estimate == pytest.approx(logit(0.3) - logit(p), abs=1e-6)


def test_an_evaluation_is_plain_json_with_null_for_what_is_unknown() -> None:
    flat = metrics.evaluate_predictions([0.0] * 10, [0.3] * 10, [1] * 3 + [0] * 7)
    text = json.loads(json.dumps(flat.to_json(), allow_nan=False))
    assert text["calibration"]["slope"]["estimate"] is None
    assert text["wins"] == 3
    assert text["lifts"][0]["tied"] == 10
    assert plain(np.float64("nan")) is None


def test_an_evaluation_counts_leads_not_rows_as_evidence() -> None:
    raw, p, y = world(4, 500)
    twice = [np.repeat(column, 2) for column in (raw, p, y)]
    once = metrics.evaluate_predictions(raw, p, y)
    doubled = metrics.evaluate_predictions(*twice, groups=np.repeat(np.arange(500), 2))
    assert (doubled.n, doubled.leads) == (1000, 500)
    assert doubled.log_loss == pytest.approx(once.log_loss)
    width = once.auc.upper - once.auc.lower
    assert doubled.auc.upper - doubled.auc.lower == pytest.approx(width, rel=0.01)
    ratio = once.observed_over_expected.upper
    assert doubled.observed_over_expected.upper == pytest.approx(ratio)
