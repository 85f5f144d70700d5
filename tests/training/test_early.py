"""The level is read from the wins that were on record by then, and from nothing else."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.clock import DAY
from features.frames import FeatureFrame
from models.calibrators import Identity, Offset, sigmoid
from training.dataset import Dataset
from training.delay import NEVER, FollowUp
from training.early import SPREAD, Level, level_at, read_early, saved_early, times_of_winning
from training.forward import said_forward
from training.unseen import Unseen

HORIZON = 90 * DAY
MONTH = 30 * DAY
NOW = 400 * DAY


def rows_of(as_of: np.ndarray, lead: np.ndarray, told: np.ndarray, now: int = NOW) -> Unseen:
    """Rows as they are known at an instant: a win within the horizon is told after `told`."""
    known = np.where(told < now - as_of, told, NEVER)
    y = np.where(known < NEVER, 1, 0)
    y = np.where(as_of + HORIZON <= now, y, -1)
    frame = FeatureFrame(tuple(f"L{one}" for one in lead.tolist()), as_of, {})
    follow = FollowUp(known, known < NEVER, known)
    reason = np.zeros(len(y), dtype=np.int64)
    return Unseen(Dataset(frame, lead, y, reason, now, follow), np.ones(len(y)))


def company(
    seed: int, months: int, fallen: float, since: int, a_month: int = 250
) -> tuple[np.ndarray, Unseen]:
    """Leads of monthly cohorts; from one on their log-odds are lower by `fallen` than is said."""
    rng = np.random.default_rng(seed)
    month = np.repeat(np.arange(months), a_month)
    raw = rng.normal(-1.7, 1.0, len(month))
    won = rng.random(len(month)) < sigmoid(raw - fallen * (month >= since))
    after = (HORIZON * rng.beta(1.2, 2.0, len(month))).astype(np.int64)
    told = np.where(won, after, NEVER)
    return raw, rows_of(month * MONTH, np.arange(len(month)), told, months * MONTH)


def in_loops(said: list[float], watched: list[int], told: list[int], times: list[int]) -> float:
    """The mean of what is believed of the level, one lead after the other on a finer grid."""

    def worth(level: float) -> float:
        total = -0.5 * (level / SPREAD) ** 2
        for p, age, win in zip(said, watched, told, strict=True):
            share = sum(time < age for time in times) / len(times)
            if share == 0.0:
                continue
            odds = p / (1 - p) * math.exp(level)
            by_now = share * odds / (1 + odds)
            total += math.log(by_now if win < age else 1 - by_now)
        return math.exp(total)

    levels = np.linspace(-2, 2, 801).tolist()
    beliefs = [worth(level) for level in levels]
    return float(np.average(levels, weights=beliefs))


@given(
    st.lists(
        st.tuples(st.floats(0.02, 0.7), st.integers(1, 120), st.integers(0, 90), st.booleans()),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.integers(0, 90), min_size=1, max_size=8),
)
def test_the_level_is_what_plain_loops_find(
    rows: list[tuple[float, int, int, bool]], times: list[int]
) -> None:
    watched = [age * DAY for _, age, *_ in rows]
    told = [after * DAY if won else NEVER for *_, after, won in rows]
    seconds = sorted(time * DAY for time in times)
    said = [p for p, *_ in rows]
    lead = np.arange(len(rows))
    found = level_at(
        NOW,
        np.array(said),
        rows_of(NOW - np.array(watched), lead, np.array(told)),
        np.array(seconds),
    )
    if found.leads == 0:
        assert all(age <= min(seconds) for age in watched), "nobody could have won by then"
        return
    assert found.level == pytest.approx(in_loops(said, watched, told, seconds), abs=2e-3)


def read(raw: np.ndarray, rows: Unseen, spread: float = SPREAD) -> Level:
    """What the open cohorts say beside the matured ones, of a company that ends now."""
    now = rows.dataset.cutoff
    times = times_of_winning(rows.dataset, now, HORIZON)
    open_ = np.flatnonzero(rows.dataset.y < 0)
    return level_at(now, sigmoid(raw[open_]), rows.take(open_), times, spread)


@pytest.mark.parametrize("fallen", [-0.4, 0.0, 0.4])
def test_a_level_that_moved_is_read_before_any_horizon_is_over_and_is_as_sure_as_it_says(
    fallen: float,
) -> None:
    """150 worlds with known probabilities, of which only rows that are still open have moved."""
    found = [read(*company(seed, 12, fallen, since=10), spread=10.0) for seed in range(150)]
    off = np.array([one.level + fallen for one in found])
    assert abs(off.mean()) < 0.04, "no bias beyond that of a logarithm of few wins"
    assert np.mean(np.abs(off / [one.spread for one in found]) < 1.96) == pytest.approx(
        0.95, abs=0.04
    )


def test_what_is_believed_at_first_draws_a_reading_of_few_wins_towards_no_change() -> None:
    raw, rows = company(0, 12, 1.0, since=10)
    free, drawn = (read(raw, rows, spread) for spread in (10.0, 0.1))
    assert free.level < 2 * drawn.level < 0
    assert drawn.spread < 0.1 < free.spread


def test_what_is_recorded_from_the_instant_on_changes_nothing() -> None:
    raw, later = company(3, 12, 0.4, since=8)
    instant = 11 * MONTH - 5 * DAY
    known = later.dataset
    told = known.follow.told  # type: ignore[union-attr]
    then = rows_of(known.as_of, known.lead, told, instant)
    assert then.dataset.follow is not None
    assert (then.dataset.follow.told != told).any()
    times = [times_of_winning(rows.dataset, instant, HORIZON) for rows in (later, then)]
    np.testing.assert_array_equal(times[0], times[1])
    one, other = (
        read_early(instant, raw, rows, 7 * MONTH, Identity(), times[0]) for rows in (later, then)
    )
    assert one == other
    assert one.leads == 3 * 250, "those before the instant that the calibrator has not learned from"


def test_rows_that_the_calibrator_has_learned_from_say_nothing() -> None:
    raw, rows = company(4, 12, 0.4, since=8)
    now, times = 12 * MONTH, times_of_winning(rows.dataset, 12 * MONTH, HORIZON)
    follow = rows.dataset.follow
    assert follow is not None
    old = rows.dataset.as_of <= 9 * MONTH
    other = FollowUp(follow.ended, follow.won, np.where(old, NEVER, follow.told))
    turned = Unseen(replace(rows.dataset, follow=other), rows.weight)
    one, same = (
        read_early(now, raw, some, 9 * MONTH, Offset(0.1), times) for some in (rows, turned)
    )
    assert one == same
    assert one != read_early(now, raw, turned, 8 * MONTH, Offset(0.1), times)


def test_where_all_outcomes_come_at_the_end_of_the_horizon_nothing_is_read() -> None:
    as_of = np.repeat(np.arange(12), 50) * MONTH
    told = np.where(np.arange(600) % 3 == 0, HORIZON - 1, NEVER)
    rows = rows_of(as_of, np.arange(600), told, 12 * MONTH)
    times = times_of_winning(rows.dataset, 12 * MONTH, HORIZON)
    assert len(times) > 100
    found = read_early(12 * MONTH, np.zeros(600), rows, 9 * MONTH, Identity(), times)
    assert found.leads == 0
    assert found.level == 0.0


def test_who_has_seen_hardly_any_win_does_not_know_when_they_come() -> None:
    raw, rows = company(5, 12, 0.4, since=8)
    few = times_of_winning(rows.dataset, 12 * MONTH, HORIZON)[:29]
    assert read_early(12 * MONTH, raw, rows, -1, Identity(), few).leads == 0


def test_rows_of_one_lead_are_one_piece_of_evidence() -> None:
    raw, rows = company(6, 12, 0.4, since=8)
    open_ = np.flatnonzero(rows.dataset.y < 0)
    times = times_of_winning(rows.dataset, 12 * MONTH, HORIZON)
    said = sigmoid(raw[open_])
    once = level_at(12 * MONTH, said, rows.take(open_), times)
    twice = level_at(12 * MONTH, np.tile(said, 2), rows.take(np.tile(open_, 2)), times)
    assert twice.leads == once.leads
    assert twice.level == pytest.approx(once.level)
    assert twice.spread == pytest.approx(once.spread)


def saved(raw: np.ndarray, rows: Unseen) -> float:
    """What reading early saved of the matured rows of a company, in nats a lead."""
    known = np.flatnonzero(rows.dataset.y >= 0)
    some = rows.take(known)
    walked = said_forward(raw[known], some, Identity(), HORIZON, seed=0)
    assert len(walked.calibrators) == len(walked.began)
    found = saved_early(raw[known], some, walked, Identity(), rows.dataset, HORIZON, 0)
    assert found is not None
    return -found.difference


def test_where_the_level_falls_reading_early_saves_log_loss_and_else_costs_next_to_none() -> None:
    assert saved(*company(1, 16, 0.8, since=9)) > 0.002
    assert -0.002 < saved(*company(1, 16, 0.0, since=9)) < 0.001


def test_what_reading_early_has_saved_is_not_known_before_outcomes_are() -> None:
    raw, rows = company(7, 4, 0.4, since=1, a_month=40)
    known = np.flatnonzero(rows.dataset.y >= 0)
    some = rows.take(known)
    walked = said_forward(raw[known], some, Identity(), HORIZON, seed=0)
    assert saved_early(raw[known], some, walked, Identity(), rows.dataset, HORIZON, 0) is None
