"""What two learners of half the leads disagree about becomes the variance of one of all of them."""

from __future__ import annotations

import numpy as np
import pytest

from training.uncertainty import AGREED_SPREAD, measure_spread


def halves(variance: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds of two learners of half the leads each, of a learner with this variance.

    A learner of half the leads has twice the variance.
    """
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=len(variance))
    one, other = (truth + np.sqrt(2 * variance) * rng.normal(size=len(truth)) for _ in range(2))
    return one, other


@pytest.mark.parametrize(("constant", "factor"), [(0.04, 0.5), (0.0, 1.0), (0.1, 0.0), (0.02, 3.0)])
def test_the_variance_that_differences_were_made_with_is_recovered(
    constant: float, factor: float
) -> None:
    """20 draws of 5,000 rows: the median variance is within a tenth at low, middle and high ones."""
    ratios = []
    for seed in range(20):
        terms = np.random.default_rng(100 + seed).gamma(2.0, 0.05, 5_000)
        variance = constant + factor * terms
        spread = measure_spread(*halves(variance, seed), terms)
        at = np.quantile(terms, [0.1, 0.5, 0.9])
        ratios.append((spread.constant + spread.factor * at) / (constant + factor * at))
    assert np.median(ratios, axis=0) == pytest.approx(np.ones(3), abs=0.1)


def test_nine_of_ten_normal_differences_are_within_the_reach() -> None:
    terms = np.random.default_rng(0).gamma(2.0, 0.05, 20_000)
    variance = 0.03 + terms
    spread = measure_spread(*halves(variance, 1), terms)
    assert spread.reach == pytest.approx(1.6449, abs=0.05)
    assert spread.reach >= 1.6448


def test_heavier_tails_than_normal_reach_further() -> None:
    rng = np.random.default_rng(2)
    terms = np.full(20_000, 0.1)
    # Variances that the terms do not know of: some rows are far less certain than others.
    hidden = np.where(rng.random(20_000) < 0.8, 0.02, 0.6)
    one, other = halves(hidden, 3)
    spread = measure_spread(one, other, terms)
    inside = np.abs(one - other) / 2 <= spread.reach * np.sqrt(
        spread.constant + spread.factor * terms
    )
    assert inside.mean() >= 0.89


def test_no_variance_is_negative_and_learners_that_agree_are_certain() -> None:
    terms = np.linspace(0.01, 1, 100)
    falling = halves(1.0 / terms, 0)  # more variance where the terms see less
    spread = measure_spread(*falling, terms)
    assert spread.constant >= 0
    assert spread.factor >= 0
    same = np.linspace(-1, 1, 100)
    assert measure_spread(same, same, terms).constant == 0


def test_before_outcomes_the_expected_rate_is_as_uncertain_as_agreed() -> None:
    """Twenty per cent may be 13 to 29 %, as said where the spread of the rate is set."""
    low, high = (
        1 / (1 + np.exp(-(np.log(0.2 / 0.8) + side * AGREED_SPREAD.constant**0.5)))
        for side in (-1, 1)
    )
    assert (round(low, 2), round(high, 2)) == (0.13, 0.29)
