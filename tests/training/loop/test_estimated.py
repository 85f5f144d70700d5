"""Do estimates before the outcomes hold when scores are true, and is the suggestion near the truth?"""

from __future__ import annotations

import numpy as np
import pytest

from models.log_odds import sigmoid
from training.intervals import Interval
from training.loop.estimated import expected, prior_shift
from training.loop.judgement import implied_auc, order_of
from training.loop.periods import Outcomes, by_part, by_period, taken
from training.metrics import auc, log_loss


def scores(seed: int, n: int, middle: float = -1.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    raw = rng.normal(middle, 1.2, n)
    return raw, sigmoid(raw), (rng.random(n) < sigmoid(raw)).astype(int)


def test_bands_hold_what_comes_of_true_scores_nineteen_times_in_twenty() -> None:
    """Of 60 each at least 53: fewer by chance once in 100 (binomial)."""
    held = {"win_rate": 0, "log_loss": 0, "auc": 0}
    for seed in range(60):
        raw, p, y = scores(seed, 300)
        bands = expected(raw, p, seed)
        came = {"win_rate": y.mean(), "log_loss": log_loss(p, y), "auc": auc(raw, y)}
        for name, band in bands.items():
            held[name] += band.contains(came[name])
    assert min(held.values()) >= 53, held


def test_the_implied_auc_is_the_mean_over_what_may_happen() -> None:
    raw, p, _ = scores(1, 2_000)
    rng = np.random.default_rng(2)
    drawn = [auc(raw, (rng.random(2_000) < p).astype(int)) for _ in range(200)]
    assert implied_auc(raw, p) == pytest.approx(np.mean(drawn), abs=0.002)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.35])
def test_the_suggested_share_of_buyers_is_near_the_true_one_where_only_that_moved(
    share: float,
) -> None:
    """Buyers score N(1, 1), others N(−1, 1); calibrated where one in five buys."""
    rng = np.random.default_rng(3)
    buys = rng.random(4_000) < share
    score = rng.normal(np.where(buys, 1.0, -1.0), 1.0)
    calibrated = sigmoid(2 * score + np.log(0.2 / 0.8))
    found = prior_shift(calibrated, 0.2)
    assert found.now.estimate == pytest.approx(share, abs=0.03)
    assert found.now.contains(share)
    assert found.moved == (share != 0.2)
    assert "never applied" in found.words or not found.moved


def test_an_order_is_lost_only_where_the_leads_do_not_explain_it() -> None:
    raw, p, y = scores(4, 4_000)
    lead = np.arange(4_000)
    promised = Interval(0.78, 0.75, 0.81)
    fine = order_of(raw, p, y, lead, promised)
    assert fine is not None
    assert not fine.lost
    broken = order_of(raw, p, np.random.default_rng(0).permutation(y), lead, promised)
    assert broken is not None
    assert broken.lost
    # Leads that are all alike cannot be told apart by any model.
    alike = np.abs(raw + 1.5) < 0.3
    narrow = order_of(raw[alike], p[alike], y[alike], lead[alike], promised)
    assert narrow is not None
    assert narrow.now.estimate < 0.7
    assert not narrow.lost
    assert order_of(raw[:3], p[:3], np.zeros(3, dtype=int), lead[:3], promised) is None


def test_a_truthful_model_shows_less_miscalibration_than_it_may_and_a_wrong_one_more() -> None:
    """19 of 20 truthful ones stay below: of 20 at most 4 do not (binomial, 1 in 40)."""
    above = 0
    for seed in range(20):
        _, p, y = scores(seed, 600)
        found = taken("", Outcomes(p, y, np.arange(600)), seed)
        assert found.miscalibration is not None
        assert found.if_truthful is not None
        above += found.miscalibration > found.if_truthful
    assert above <= 4
    _, p, y = scores(1, 1_500)
    wrong = taken("", Outcomes(sigmoid(np.log(p / (1 - p)) + 0.9), y, np.arange(1_500)), 0)
    assert wrong.miscalibration > wrong.if_truthful  # type: ignore[operator]


def test_parts_and_periods_with_too_few_outcomes_are_left_out_with_the_reason() -> None:
    from features.frames import Category

    _, p, y = scores(2, 900)
    part = np.repeat([0, 1], [840, 60])
    rows = Outcomes(p, y, np.arange(900))
    big, small = by_part(rows, {"Region": Category(part, ("north", "south"))}, 0)["Region"]
    assert big.left_out == ""
    assert big.log_loss is not None
    parts = big.miscalibration - big.discrimination.estimate + big.uncertainty  # type: ignore[operator, union-attr]
    assert big.log_loss == pytest.approx(parts)
    assert (small.rows, small.log_loss) == (60, None)
    assert "20 are needed" in small.left_out
    weeks = np.repeat([2_900, 2_910], 450) * 7 * 86_400_000_000
    assert [one.rows for one in by_period(rows, weeks, 0)] == [450, 450]
