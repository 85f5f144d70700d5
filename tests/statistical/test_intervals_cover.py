"""Do intervals hold the truth as often as they claim, where leads come often and weigh differently?

300 worlds of 500 leads with one to four rows each; the rows of a lead share their luck, as adjacent
cohorts of one lead do. An honest 95 % covers 285 of 300 worlds, standard deviation 3.8; allowed are
four of them (one in 16,000) on the low side. Taking rows for leads must fall below that, or the tests
could not tell.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from training.metrics import (
    auc,
    auc_interval,
    calibration_slope_intercept,
    debiased_ece,
    observed_over_expected,
    paired_log_loss_difference,
    reliability_bins,
)

WORLDS, LEADS = 300, 500
LOWEST = 0.95 - 4 * (0.95 * 0.05 / WORLDS) ** 0.5


class Rows(NamedTuple):
    raw: np.ndarray
    p: np.ndarray
    y: np.ndarray
    lead: np.ndarray
    weight: np.ndarray


def drawn(seed: int, leads: int = LEADS) -> Rows:
    """A perfectly calibrated model; a lead's rows win together, and some leads stand for two."""
    rng = np.random.default_rng(seed)
    lead = np.repeat(np.arange(leads), rng.integers(1, 5, leads))
    raw = rng.normal(-1.8, 1.0, leads)[lead] + rng.normal(0, 0.2, len(lead))
    y = (rng.random(leads)[lead] < expit(raw)).astype(float)
    return Rows(raw, expit(raw), y, lead, rng.integers(1, 3, leads)[lead].astype(float))


@cache
def worlds() -> tuple[Rows, ...]:
    return tuple(drawn(seed) for seed in range(WORLDS))


@cache
def the_auc() -> float:
    """Of 200,000 leads: its own standard error is below .001."""
    many = drawn(10_000, 200_000)
    return auc(many.raw, many.y)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_auc_is_covered(weighted: bool) -> None:
    hits = [
        auc_interval(w.raw, w.y, groups=w.lead, weights=w.weight if weighted else None).contains(
            the_auc()
        )
        for w in worlds()
    ]
    assert np.mean(hits) > LOWEST


@pytest.mark.parametrize("weighted", [False, True])
def test_observed_over_expected_is_covered_by_leads_and_not_by_rows(weighted: bool) -> None:
    by_lead, by_row = [], []
    for w in worlds():
        weight = w.weight if weighted else None
        by_lead.append(observed_over_expected(w.p, w.y, groups=w.lead, weights=weight).contains(1))
        by_row.append(observed_over_expected(w.p, w.y, weights=weight).contains(1))
    assert LOWEST < np.mean(by_lead) < 0.99, "neither too narrow nor far too wide"
    assert np.mean(by_row) < LOWEST


@pytest.mark.parametrize("weighted", [False, True])
def test_bands_are_covered_by_leads_and_not_by_rows(weighted: bool) -> None:
    """The target of a band is the mean of what is promised in it, which here is the truth."""
    by_lead, by_row = [], []
    for w in worlds():
        weight = w.weight if weighted else None
        for found, groups in ((by_lead, w.lead), (by_row, None)):
            bands = reliability_bins(w.raw, w.p, w.y, 5, groups=groups, weights=weight)
            found += [band.lower <= band.predicted <= band.upper for band in bands]
    # 1,500 bands, those of a world nearly independent; few wins in the lowest cost a little.
    assert np.mean(by_lead) > 0.925
    assert np.mean(by_row) < 0.9


def test_the_slope_is_covered() -> None:
    hits = [
        calibration_slope_intercept(w.p, w.y, groups=w.lead, weights=w.weight).slope.contains(1.0)
        for w in worlds()
    ]
    assert np.mean(hits) > LOWEST


def test_the_debiased_error_of_a_perfect_model_is_nothing_on_average() -> None:
    by_lead = [debiased_ece(w.p, w.y, groups=w.lead, weights=w.weight).squared for w in worlds()]
    by_row = [debiased_ece(w.p, w.y, weights=w.weight).squared for w in worlds()]
    error = np.std(by_lead, ddof=1) / WORLDS**0.5
    assert abs(np.mean(by_lead)) < 4 * error
    assert np.mean(by_row) > 4 * error, "rows taken for leads look like miscalibration"


@pytest.mark.slow
def test_the_difference_of_two_models_is_covered() -> None:
    """Two models wrong by as much to either side: the mean difference over all worlds is nothing."""
    found = []
    for seed, w in enumerate(worlds()[:80]):
        rng = np.random.default_rng(20_000 + seed)
        one, other = (expit(w.raw + rng.normal(0, 0.4, LEADS)[w.lead]) for _ in range(2))
        found.append(paired_log_loss_difference(one, other, w.y, w.lead, seed=0, weights=w.weight))
    hits = [difference.lower <= 0 <= difference.upper for difference in found]
    assert np.mean(hits) > 0.95 - 4 * (0.95 * 0.05 / len(hits)) ** 0.5


@cache
def folds_of_nothing() -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
    """300 sets of 300 leads, six columns and an outcome by lot, scored in five folds."""
    found = []
    for seed in range(WORLDS):
        rng = np.random.default_rng(seed)
        x, y = rng.integers(0, 2, (300, 6)).astype(float), rng.integers(0, 2, 300)
        fold, raw = rng.permutation(300) % 5, np.empty(300)
        for held in range(5):
            model = LogisticRegression().fit(x[fold != held], y[fold != held])
            raw[fold == held] = model.decision_function(x[fold == held])
        found.append((raw, y, fold))
    return tuple(found)


@pytest.mark.slow
def test_chance_is_covered_in_folds_and_not_when_folds_are_compared() -> None:
    """Models of five folds share what they learned; what one learned of nothing, they all did."""
    within = [auc_interval(raw, y, folds=fold).contains(0.5) for raw, y, fold in folds_of_nothing()]
    pooled = [auc_interval(raw, y).contains(0.5) for raw, y, _ in folds_of_nothing()]
    assert np.mean(within) >= LOWEST
    assert np.mean(pooled) < LOWEST
