"""Immature rows are used where others were watched to the end, weighted as loops weigh them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from agreed import DEFINITION_TEXT, NOW
from hypothesis import given
from hypothesis import strategies as st
from small_datasets import dataset_of

from features.clock import DAY
from features.definition import parse_definition
from features.facts import Queries
from features.store.outcomes import ENDINGS, Deals
from training.config import TrainConfig
from training.delay import NEVER, Delayed, FollowUp, delayed, follow_up
from training.splits import forward_split, pieces

HORIZON, LAG = 90 * DAY, 3 * DAY
DATED = parse_definition(DEFINITION_TEXT)
UNTIL_CLOSED = parse_definition(
    DEFINITION_TEXT.replace("horizon_days: 90", "horizon_days: null").replace(
        "{every_days: 30}", "{after_opening_hours: 0}"
    )
)


def deals_of(*rows: tuple[int, int, str]) -> Deals:
    """(lead, close, ending); recorded at once."""
    lead, at, ending = zip(*rows, strict=True) if rows else ((), (), ())
    closed = np.array(at, dtype=np.int64)
    codes = np.array([ENDINGS.index(one) for one in ending], dtype=np.int64)
    return Deals(np.array(lead, dtype=np.int64), closed, closed, codes, np.full(len(lead), np.nan))


def test_what_decides_a_row_is_its_first_win_else_its_first_other_ending() -> None:
    at = NOW - 200 * DAY
    deals = deals_of(
        (0, at + 9 * DAY, "lost"),
        (0, at + 20 * DAY, "won"),
        (0, at + 30 * DAY, "won"),
        (1, at + 40 * DAY, "off_merit"),
        (1, at + 50 * DAY, "lost"),
        (2, at - 1, "won"),
        (2, at + HORIZON, "won"),
    )
    found = follow_up(Queries.at([0, 1, 2, 3], at), deals, DATED, NOW)
    assert found.ended.tolist() == [20 * DAY, 40 * DAY, NEVER, NEVER]
    assert found.won.tolist() == [True, False, False, False]


def test_without_a_horizon_the_first_ending_decides() -> None:
    at = NOW - 200 * DAY
    deals = deals_of((0, at + 9 * DAY, "lost"), (0, at + 20 * DAY, "won"), (1, at, "won"))
    found = follow_up(Queries.at([0, 1], at), deals, UNTIL_CLOSED, NOW)
    assert found.ended.tolist() == [9 * DAY, 0]
    assert found.won.tolist() == [False, True]


def test_what_is_recorded_at_the_cutoff_is_not_known() -> None:
    at = NOW - 50 * DAY
    deals = deals_of((0, NOW - DAY, "won"))
    assert follow_up(Queries.at([0], at), deals, DATED, NOW - DAY).ended.tolist() == [NEVER]
    assert follow_up(Queries.at([0], at), deals, DATED, NOW - DAY + 1).won.tolist() == [True]


def in_loops(as_of: list[int], ended: list[int], base: list[float], cutoff: int) -> list[float]:
    """The weights by the definition of the product-limit estimate of being watched."""
    time, decided = [], []
    for at, end in zip(as_of, ended, strict=True):
        watched = max(cutoff - LAG - at, 0)
        time.append(min(end, watched, HORIZON))
        decided.append(end < min(watched, HORIZON) or watched >= HORIZON)
    followed = [i for i, at in enumerate(as_of) if at < cutoff - LAG]
    weights = []
    for i in range(len(as_of)):
        if i not in followed or not decided[i]:
            weights.append(0.0)
            continue
        surely = 1.0
        for stop in sorted({time[j] for j in followed if not decided[j] and time[j] < time[i]}):
            lost = sum(base[j] for j in followed if not decided[j] and time[j] == stop)
            at_risk = lost + sum(base[j] for j in followed if time[j] > stop)
            surely *= 1 - lost / at_risk
        weights.append(base[i] / surely)
    return weights


ages = st.integers(0, 40).map(lambda n: n * 5)
ends = st.one_of(st.none(), st.integers(0, 110))


@given(
    st.lists(
        st.tuples(ages, ends, st.booleans(), st.sampled_from([1.0, 2.0, 3.0])),
        min_size=1,
        max_size=40,
    )
)
def test_weights_are_what_plain_loops_find(
    rows: list[tuple[int, int | None, bool, float]],
) -> None:
    as_of = [NOW - age * DAY for age, *_ in rows]
    ended = [NEVER if end is None else end * DAY for _, end, *_ in rows]
    base = [stands_for for *_, stands_for in rows]
    follow = FollowUp(np.array(ended), np.array([won for *_, won, _ in rows]))
    found = delayed(
        np.array(as_of), follow, HORIZON, LAG, NOW, immature=True, weight=np.array(base)
    )
    if found.watched.refused is None:
        assert found.weight == pytest.approx(in_loops(as_of, ended, base, NOW))
        assert found.watched.effective_rows <= found.watched.used + 1e-6
    else:
        matured = [at + HORIZON + LAG <= NOW for at in as_of]
        assert found.weight.tolist() == [b * m for b, m in zip(base, matured, strict=True)]
    assert (found.weight > 0).tolist() == (found.y >= 0).tolist()


def steady(days: int, *, won_at: int | None = None) -> tuple[np.ndarray, FollowUp]:
    """A row a day for so many days; each is decided after `won_at` days."""
    as_of = NOW - np.arange(1, days + 1) * DAY
    ended = np.full(days, NEVER if won_at is None else won_at * DAY)
    return as_of, FollowUp(ended, ended < NEVER)


def asked(days: int, *, immature: bool = True, won_at: int | None = 10) -> Delayed:
    as_of, follow = steady(days, won_at=won_at)
    return delayed(as_of, follow, HORIZON, LAG, NOW, immature=immature)


def test_a_window_as_long_as_the_horizon_is_refused_with_the_reason() -> None:
    found = asked(93)
    assert "watched for 90 days and the horizon is 90" in str(found.watched.refused)
    assert found.watched.used == found.watched.matured == 1
    assert "Only rows whose horizon is over were used" in found.watched.sentence()


def test_few_rows_watched_to_the_end_are_refused_although_one_is_old() -> None:
    as_of, follow = steady(60, won_at=None)
    as_of[0] = NOW - 400 * DAY
    found = delayed(as_of, follow, HORIZON, LAG, NOW, immature=True)
    assert "of the rows were watched to the end of the horizon" in str(found.watched.refused)


def test_rows_are_used_when_they_were_watched_long_enough() -> None:
    found = asked(200)
    assert found.watched.refused is None
    # Decided after 10 days: all rows but the 13 youngest (10 days and 3 of lag).
    assert found.watched.used == 200 - 13
    assert "rows whose horizon was not over" in found.watched.sentence()
    assert json.loads(json.dumps(found.watched.to_json()))["used"] == 187


def test_nobody_who_did_not_ask_gets_immature_rows() -> None:
    found = asked(200, immature=False)
    assert found.watched.used == found.watched.matured == 200 - 92
    assert set(found.weight.tolist()) == {0.0, 1.0}
    assert found.watched.effective_rows == pytest.approx(108)


def test_no_rows_are_weighed_without_fuss() -> None:
    assert len(asked(0).weight) == 0


def history(seed: int = 0) -> tuple[np.ndarray, FollowUp]:
    rng = np.random.default_rng(seed)
    as_of = (NOW - rng.integers(0, 700, 3_000) * DAY).astype(np.int64)
    ended = np.where(rng.random(3_000) < 0.7, rng.integers(0, 90, 3_000) * DAY + 1, NEVER)
    return as_of, FollowUp(ended, (ended < NEVER) & (rng.random(3_000) < 0.4))


def test_a_split_with_immature_rows_fills_its_gaps_with_what_was_decided_by_then() -> None:
    as_of, follow = history()
    old = as_of + HORIZON + LAG <= NOW
    plain = dataset_of(np.arange(3_000).tolist(), as_of.tolist(), follow.won.astype(int))
    full = type(plain)(plain.frame, plain.lead, plain.y, plain.reason, NOW, follow)
    matured, config = full.take(np.flatnonzero(old)), TrainConfig()
    without = forward_split(matured, DATED, config)
    split = forward_split(matured, DATED, config, immature=True)
    (fold,), (before,) = split.lesson.folds, without.lesson.folds
    assert split.judge.rows.tolist() == without.judge.rows.tolist()
    for piece, shorter, by, watched in (
        (fold.fit, before.fit, split.bounds.calibrate_from, split.watched[0]),
        (fold.calibrate, before.calibrate, split.bounds.judge_from, split.watched[1]),
    ):
        assert watched.refused is None
        assert set(shorter.rows.tolist()) < set(piece.rows.tolist())
        assert matured.as_of[piece.rows].max() < by
        known = np.minimum(matured.follow.ended, HORIZON)[piece.rows]
        assert (matured.as_of[piece.rows] + known + LAG <= by).all()
        assert piece.weight.min() >= 1.0
    assert without.watched == ()
    again = pieces(matured, split.bounds)
    assert [p.rows.tolist() for p in again] == [
        p.rows.tolist() for p in (fold.fit, fold.calibrate, split.judge)
    ]


def test_leads_that_go_on_in_the_next_piece_do_not_hide_who_ceased_to_be_watched() -> None:
    """Leads with a row every 30 days until they close: whoever is open at a bound has rows beyond it.

    So the rows that fit must on average take as long to close as all rows do. Four standard errors
    of 30 splits, one in 16,000.
    """
    off = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        opened = rng.integers(0, 700, 800)
        lives = 1 + rng.geometric(1 / 40, 800).clip(max=85)
        won = rng.random(800) < 0.4
        lead, day = (
            np.array(column)
            for column in zip(
                *(
                    (i, d)
                    for i in range(800)
                    for d in range(0, 700, 10)
                    if opened[i] <= d < opened[i] + lives[i]
                ),
                strict=True,
            )
        )
        as_of, ended = (day * DAY).astype(np.int64), (opened + lives)[lead] * DAY - day * DAY
        rows = dataset_of(lead.tolist(), as_of.tolist(), won[lead].astype(int))
        follow = FollowUp(ended, won[lead])
        rows = type(rows)(rows.frame, rows.lead, rows.y, rows.reason, NOW, follow)
        split = forward_split(rows, DATED, TrainConfig(seed=seed), immature=True)
        assert split.bounds is not None
        assert split.bounds.immature
        fit = split.lesson.folds[0].fit
        until = split.bounds.calibrate_from - LAG
        everyone = ended[as_of < until] / DAY
        off.append(np.average(ended[fit.rows] / DAY, weights=fit.weight) - everyone.mean())
    error = float(np.std(off)) / len(off) ** 0.5
    assert abs(float(np.mean(off))) < 4 * error


def test_a_split_that_is_refused_is_the_plain_one_and_says_why() -> None:
    as_of, follow = history(2)
    young = as_of > NOW - 400 * DAY
    rows = dataset_of(np.arange(3_000).tolist(), as_of.tolist(), follow.won.astype(int))
    rows = type(rows)(rows.frame, rows.lead, rows.y, rows.reason, NOW, follow)
    some = rows.take(np.flatnonzero(young & (as_of + HORIZON + LAG <= NOW)))
    config = TrainConfig(judge_share=0.1, calibrate_share=0.05)
    plain, asked_for = (forward_split(some, DATED, config, immature=i) for i in (False, True))
    assert any(one.refused for one in asked_for.watched)
    assert asked_for.bounds == plain.bounds
    for one, other in zip(asked_for.lesson.folds, plain.lesson.folds, strict=True):
        assert one.fit.rows.tolist() == other.fit.rows.tolist()
        assert one.calibrate.weight.tolist() == other.calibrate.weight.tolist()


def test_a_split_of_rows_that_nobody_followed_stays_as_it_is() -> None:
    as_of, follow = history(1)
    rows = dataset_of(np.arange(3_000).tolist(), as_of.tolist(), follow.won.astype(int))
    assert forward_split(rows, DATED, TrainConfig(), immature=True).watched == ()
