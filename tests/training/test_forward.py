"""What is said forward knows nothing of what came later, and shows a drift that out of fold hides."""

from __future__ import annotations

import numpy as np
import pytest
from falling_company import HORIZON, company, ratio, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from features.clock import DAY
from models.calibrators import Identity, Offset
from training.calibrate import fit_calibrator
from training.forward import LEAST_WINS, MOST_STEPS, Forward, enough, out_of_fold, said_forward
from training.unseen import Unseen


def walk(raw: np.ndarray, rows: Unseen) -> Forward:
    return said_forward(raw, rows, Identity(), HORIZON, seed=0)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1_000), st.integers(4, 7))
def test_outcomes_that_were_not_known_yet_change_nothing_that_was_said(seed: int, at: int) -> None:
    raw, rows = company(seed % 7, months=8, a_month=150)
    before = walk(raw, rows)
    assert before.waited
    instant, known = at * 30 * DAY, rows.dataset
    unknown = np.flatnonzero(known.as_of + HORIZON > instant)
    flipped = known.y.copy()
    some = np.random.default_rng(seed).permutation(unknown)[: len(unknown) // 2]
    flipped[some] = 1 - flipped[some]
    after = walk(raw, rows_of(known.as_of, known.lead, flipped))
    spoken = known.as_of <= instant
    assert after.said[spoken].tobytes() == before.said[spoken].tobytes()
    assert (after.said != before.said).any() or at >= 5


def test_until_enough_is_known_the_calibrator_of_the_training_speaks() -> None:
    raw, rows = company(0, months=8)
    start = Offset(0.4)
    forward = said_forward(raw, rows, start, HORIZON, seed=0)
    month = rows.dataset.as_of // (30 * DAY)
    # The first month is known after 90 days: three cohorts go by.
    assert set(month[forward.step == -1].tolist()) == {0, 1, 2}
    np.testing.assert_array_equal(forward.said[forward.step < 0], start.apply(raw[month < 3]))
    np.testing.assert_array_equal(forward.as_trained, start.apply(raw))
    assert forward.began.tolist() == [m * 30 * DAY for m in range(3, 8)]
    assert [int(forward.step[month == m][0]) for m in range(3, 8)] == [0, 1, 2, 3, 4]


def test_a_history_as_short_as_the_horizon_is_walked_without_waiting_and_says_so() -> None:
    raw, rows = company(1, months=3)
    forward = walk(raw, rows)
    assert not forward.waited
    assert forward.began.tolist() == [30 * DAY, 60 * DAY]
    one_month, alone = company(1, months=1)
    assert len(walk(one_month, alone).began) == 0


def test_without_waiting_no_lead_speaks_of_itself_and_no_later_row_speaks() -> None:
    raw, rows = company(2, months=3)
    known, before = rows.dataset, walk(*company(2, months=3))
    twice = np.flatnonzero(np.bincount(known.lead) == 2)
    for who in twice[:5].tolist():
        flipped = np.where(known.lead == who, 1 - known.y, known.y)
        after = walk(raw, rows_of(known.as_of, known.lead, flipped))
        mine = known.lead == who
        assert after.said[mine].tobytes() == before.said[mine].tobytes()
    last = known.as_of == known.as_of.max()
    flipped = np.where(last, 1 - known.y, known.y)
    after = walk(raw, rows_of(known.as_of, known.lead, flipped))
    assert after.said.tobytes() == before.said.tobytes()


def test_many_cohorts_take_no_more_calibrations_than_are_affordable() -> None:
    raw, rows = company(3, months=8)
    daily = rows.dataset.as_of + rows.dataset.lead % 30 * DAY
    forward = walk(raw, rows_of(daily, rows.dataset.lead, rows.dataset.y))
    assert 3 < len(forward.began) <= MOST_STEPS
    assert forward.step.max() == len(forward.began) - 1


@pytest.mark.parametrize(("won", "lost"), [(LEAST_WINS - 1, 500), (500, LEAST_WINS - 1)])
def test_too_few_of_either_make_no_calibration(won: int, lost: int) -> None:
    y = np.repeat([1, 0], [won, lost])
    assert not enough(y, np.arange(len(y)))
    assert not enough(np.repeat(y, 4), np.repeat(np.arange(len(y)), 4)), "leads count, not rows"
    assert enough(np.r_[y, 1, 0], np.arange(len(y) + 2))


@pytest.mark.slow
def test_a_level_that_keeps_falling_is_seen_forward_and_hidden_out_of_fold() -> None:
    """Log-odds fall by .1 a month. Out of fold, observed over expected is 1 whatever comes.

    The mean over 6 companies has a standard error near .03; a drift that goes on is worse still in the
    next quarter than it was on the way, so forward figures are held to half of what is to come.
    """
    forward, folded, truth = [], [], []
    for seed in range(6):
        raw, rows = company(seed, months=11, drift=0.1)
        past = np.flatnonzero(rows.dataset.as_of < 240 * DAY)
        next_quarter = np.flatnonzero(rows.dataset.as_of >= 240 * DAY)
        seen = rows.take(past)
        walked = walk(raw[past], seen)
        forward.append(ratio(walked.said, seen, walked.step >= 0))
        y, lead, ones = seen.dataset.y, seen.dataset.lead, np.ones(len(past))
        folded.append(ratio(out_of_fold(raw[past], y, lead, ones, 0), seen, ones > 0))
        shipped = fit_calibrator(raw[past], y, groups=lead, seed=0).calibrator
        truth.append(ratio(shipped.apply(raw), rows, next_quarter))
    assert np.mean(folded) == pytest.approx(1.0, abs=0.02)
    assert np.mean(truth) < 0.75
    assert np.log(np.mean(forward)) < 0.5 * np.log(np.mean(truth))


def test_a_company_that_stands_still_is_right_forward() -> None:
    """Eight companies: the standard error of their mean is near .025; .1 is wrong once in 10,000."""
    found = []
    for seed in range(8):
        raw, rows = company(100 + seed, months=8)
        walked = walk(raw, rows)
        found.append(ratio(walked.said, rows, walked.step >= 0))
    assert np.mean(found) == pytest.approx(1.0, abs=0.1)
