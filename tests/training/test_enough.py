"""How many more outcomes are needed agrees with the literature, and with what comes when they do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.enough import LEVEL_ERROR, enough, leads_for_level, more_for_level
from training.intervals import Interval, normal_quantile
from training.reliability import observed_over_expected


@pytest.mark.parametrize(("rate", "leads"), [(0.20, 1538), (0.10, 3460), (0.05, 7305)])
def test_outcomes_for_the_level_are_those_of_riley_2021(rate: float, leads: int) -> None:
    # Riley et al. (2021), criterion 1: (1 − φ) / (φ · .051²), worked for φ = 20, 10 and 5 %.
    assert leads_for_level(rate) == leads


def test_with_that_many_outcomes_the_interval_is_as_narrow_as_was_said() -> None:
    rng, rate = np.random.default_rng(0), 0.2
    n = leads_for_level(rate)
    won = rng.random(n) < rate
    level = observed_over_expected(np.full(n, rate), won)
    assert level.upper / level.estimate == pytest.approx(math.exp(1.96 * LEVEL_ERROR), rel=0.02)
    assert abs(more_for_level(level, n) or 0) < 0.15 * n


def test_more_leads_for_the_level_follow_from_the_error_that_was_measured() -> None:
    error = 0.102  # twice what is wanted: four times the leads
    factor = math.exp(normal_quantile(0.95) * error)
    assert more_for_level(Interval(0.9, 0.9 / factor, 0.9 * factor), 100) == 300
    narrow = math.exp(normal_quantile(0.95) * 0.05)
    assert more_for_level(Interval(1.0, 1 / narrow, narrow), 100) == 0
    assert more_for_level(Interval(0.0, 0.0, 3.0), 100) is None
    assert more_for_level(Interval(1.2, 0.4, math.inf), 3) is None, "a handful bounds nothing"
    assert more_for_level(Interval(1.2, 1e-200, 1e200), 3) > 3, (
        "nearly nothing, and the ratio overflows"
    )


def test_the_rarer_outcome_decides_what_is_missing() -> None:
    have = enough(7, 300, 0.02, None)
    assert (have.more_to_judge, have.more_to_trust, have.rarer) == (13, 93, "won")
    assert have.more_for_level is None
    other = enough(300, 7, 0.98, None)
    assert (other.more_to_judge, other.rarer) == (13, "not won")
    assert enough(100, 100, 0.5, None).more_to_trust == 0


@pytest.mark.parametrize("rate", [None, 0.0, 1.0])
def test_without_a_base_rate_no_number_is_made_up(rate: float | None) -> None:
    assert enough(0, 0, rate, None).for_level is None
