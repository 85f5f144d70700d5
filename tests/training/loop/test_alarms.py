"""Is the alarm a fair bet, alike in any order, silent on the truth, quick to find what is wrong?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.log_odds import sigmoid
from training.loop.alarms import (
    BETS,
    FALSE_ALARMS,
    THRESHOLD,
    TOO_HIGH,
    TOO_LOW,
    TOO_SURE,
    TOO_TIMID,
    TWO_YEARS,
    Bet,
    e_detector,
    segment_threshold,
)

FEW_BETS = (
    Bet(-0.5, 1.0, 0.3, TOO_HIGH),
    Bet(0.4, 1.0, 0.2, TOO_LOW),
    Bet(0.0, 0.5, 0.5, TOO_SURE),
)


def slowly(
    p: Sequence[float], y: Sequence[int], week: Sequence[int], bets: Sequence[Bet]
) -> list[float]:
    """The e-value after each week: over starts and bets, stake times the product over all rows since."""
    weeks, found = sorted(set(week)), []
    for last in weeks:
        total = 0.0
        for start, bet in itertools.product([w for w in weeks if w <= last], bets):
            product = bet.weight
            for one in [w for w in weeks if start <= w <= last]:
                rows = [i for i, w in enumerate(week) if w == one]
                odds = [math.log(p[i] / (1 - p[i])) for i in rows]
                before = [math.log(a / (1 - a)) for a, w in zip(p, week, strict=True) if w < one]
                for i, said in zip(rows, odds, strict=True):
                    centre = sum(before) / len(before) if before else said
                    told = 1 / (1 + math.exp(-(centre + bet.slope * (said - centre) + bet.level)))
                    product *= told / p[i] if y[i] else (1 - told) / (1 - p[i])
            total += product
        found.append(total)
    return found


probabilities = st.floats(0.02, 0.9)
rows = st.lists(
    st.tuples(probabilities, st.integers(0, 1), st.integers(0, 4)), min_size=1, max_size=14
)


@given(rows)
def test_the_state_is_the_sum_over_starts_of_products_over_rows(
    given_rows: list[tuple[float, int, int]],
) -> None:
    p, y, week = zip(*given_rows, strict=True)
    found = e_detector(p, y, week, bets=FEW_BETS)
    assert np.exp(found.log_e) == pytest.approx(slowly(p, y, week, FEW_BETS), rel=1e-9)
    assert found.weeks.tolist() == sorted(set(week))
    assert found.outcomes.sum() == len(y)


@given(rows, st.randoms(use_true_random=False))
def test_outcomes_that_arrive_in_another_order_give_the_same_state(
    given_rows: list[tuple[float, int, int]], luck: object
) -> None:
    shuffled = list(given_rows)
    luck.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (e_detector(*zip(*some, strict=True)) for some in (given_rows, shuffled))
    assert one.log_e == pytest.approx(other.log_e, abs=1e-9)
    assert one.raised_in == other.raised_in


def test_with_true_probabilities_the_e_value_grows_by_one_a_week_on_average_and_no_more() -> None:
    """Every possible outcome of three weeks of two leads, weighed by its chance: exactly 1, 2, 3."""
    p, week = np.array([0.1, 0.4, 0.25, 0.3, 0.7, 0.05]), [0, 0, 1, 1, 2, 2]
    mean = np.zeros(3)
    for outcome in itertools.product([0, 1], repeat=6):
        y = np.array(outcome)
        chance = float(np.prod(np.where(y == 1, p, 1 - p)))
        mean += chance * np.exp(e_detector(p, y, week).log_e)
    assert mean == pytest.approx([1.0, 2.0, 3.0], rel=1e-12)


def test_the_bets_are_fair_where_later_scores_of_a_week_follow_what_came_of_earlier_ones() -> None:
    """What is said of the second lead of a week depends on whether the first one won."""
    mean = np.zeros(2)
    for outcome in itertools.product([0, 1], repeat=4):
        p, chance = [], 1.0
        for i, won in enumerate(outcome):
            said = 0.3 if i % 2 == 0 else (0.9 if outcome[i - 1] else 0.05)
            p.append(said)
            chance *= said if won else 1 - said
        mean += chance * np.exp(e_detector(p, outcome, [0, 0, 1, 1]).log_e)
    assert mean == pytest.approx([1.0, 2.0], rel=1e-12)


def test_the_threshold_is_what_the_promised_share_of_false_alarms_asks_for() -> None:
    assert pytest.approx(FALSE_ALARMS) == TWO_YEARS / THRESHOLD
    assert sum(bet.weight for bet in BETS) == pytest.approx(1.0)
    assert segment_threshold(20) == pytest.approx(20 * segment_threshold(1))


def drawn(
    seed: int, weeks: int, per_week: int, odds: float = 1.0, slope: float = 1.0
) -> tuple[np.ndarray, ...]:
    """What was said, what came where the truth differs from it by these, and the weeks."""
    rng = np.random.default_rng(seed)
    said = rng.normal(-1.6, 1.0, weeks * per_week)
    truth = sigmoid(-1.6 + slope * (said + 1.6) + math.log(odds))
    return (
        sigmoid(said),
        (rng.random(len(said)) < truth).astype(int),
        np.repeat(np.arange(weeks), per_week),
    )


def test_the_truth_is_hardly_ever_called_wrong() -> None:
    """At most 2 in 100 alarms in two years: three or more in 40 by chance less often than 1 in 20."""
    raised = [e_detector(*drawn(seed, TWO_YEARS, 25)).raised_in is not None for seed in range(40)]
    assert sum(raised) <= 2


@pytest.mark.parametrize(
    ("odds", "slope", "words"),
    [(0.65, 1.0, TOO_HIGH), (1.5, 1.0, TOO_LOW), (1.0, 0.6, TOO_SURE), (1.0, 1.7, TOO_TIMID)],
)
def test_what_is_wrong_is_found_within_a_quarter_and_named(
    odds: float, slope: float, words: str
) -> None:
    found = [e_detector(*drawn(seed, 20, 100, odds, slope)) for seed in range(12)]
    weeks = [20 if one.raised_in is None else one.raised_in + 1 for one in found]
    assert np.median(weeks) <= 13
    assert [one.wrong for one in found].count(words) >= 11


def test_a_long_good_past_does_not_delay_the_alarm() -> None:
    good, bad = drawn(1, 90, 100), drawn(2, 14, 100, odds=0.5)
    together = [
        np.concatenate([a, b]) for a, b in zip(good, (bad[0], bad[1], bad[2] + 90), strict=True)
    ]
    found = e_detector(*together)
    assert found.raised_in is not None
    assert 90 <= found.raised_in <= 90 + 8


def test_an_alarm_stays_raised_when_good_weeks_follow() -> None:
    bad, good = drawn(3, 12, 100, odds=0.5), drawn(4, 60, 100)
    found = e_detector(
        *[
            np.concatenate([a, b])
            for a, b in zip(bad, (good[0], good[1], good[2] + 12), strict=True)
        ]
    )
    assert found.raised_in is not None
    assert found.raised_in < 12
    assert found.highest > THRESHOLD
    assert found.e_value < found.highest


def test_without_outcomes_it_stands_at_nothing_and_certainties_do_not_break_it() -> None:
    nothing = e_detector([], [], [])
    assert (nothing.raised_in, nothing.e_value, nothing.highest) == (None, 0.0, 0.0)
    found = e_detector([0.0, 1.0, 0.0, 1.0] * 50, [1, 0, 1, 0] * 50, [0] * 100 + [1] * 100)
    assert found.raised_in == 1, "a slope is wrong about the middle of the weeks before"
    assert math.isfinite(found.e_value)
