"""Does the monitor say what is wrong where something was made wrong, and nothing where nothing is?"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from agreed import agreed
from watched_company import FIRST, WAIT, Watched, show, watched

from features.clock import DAY, HOUR, iso
from features.store.merges import Merge
from features.store.outcomes import Deal
from features.store.promotions import champion
from features.store.recording import record_merged
from models.log_odds import logit, sigmoid
from training.loop.logged import WEEK, Logged, one_at_a_time, read_logged
from training.loop.monitor import Ground, ground_of, monitor


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Watched:
    """Thirty weeks of true probabilities."""
    return watched(tmp_path_factory.mktemp("calm"), migrated_sqlite)


def test_true_probabilities_ask_for_nothing(calm: Watched) -> None:
    found = monitor(calm.workspace, now=calm.after(30))
    assert found.verdict.action == "nothing", found.verdict.reason
    assert not found.alarm.is_raised
    # The newest deal closed before the last weeks had matured.
    assert 1_500 < found.verdict.evidence["rows"] == found.verdict.evidence["leads"] < 1_800
    assert found.alarm.bundle == calm.digest
    assert found.to_json()["verdict"]["evidence"]["observed_over_expected"]["level"] == 0.95


def test_with_few_outcomes_it_waits_and_says_how_many_are_missing(calm: Watched) -> None:
    before, soon = (monitor(calm.workspace, now=calm.after(weeks)) for weeks in (-1, 1))
    assert (before.verdict.action, soon.verdict.action) == ("wait", "wait")
    assert before.verdict.evidence["rows"] == 0
    assert soon.verdict.evidence["rows"] > 30
    won = soon.verdict.evidence["won_leads"]
    assert f"{20 - won} more are needed" in soon.verdict.reason


def test_a_level_that_fell_asks_for_a_new_calibration(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    fallen = watched(
        tmp_path,
        migrated_sqlite,
        lambda raw, week, _: sigmoid(raw + (np.log(0.4) if week >= 12 else 0.0)),
        weeks=28,
    )
    assert monitor(fallen.workspace, now=fallen.after(12)).verdict.action == "nothing"
    found = monitor(fallen.workspace, now=fallen.after(28))
    assert found.verdict.action == "recalibrate", found.verdict.reason
    assert "more was promised than came" in found.verdict.reason
    assert found.alarm.is_raised
    assert found.alarm.since is not None
    # The week of scores that raised it is one of those that were wrong, once it had matured.
    assert FIRST + 12 < (found.alarm.since - WAIT) / WEEK <= FIRST + 28
    assert monitor(fallen.workspace, now=found.alarm.since).alarm.is_raised
    assert not monitor(fallen.workspace, now=found.alarm.since - 1).alarm.is_raised


def test_an_order_that_broke_asks_for_a_new_model(tmp_path: Path, migrated_sqlite: Path) -> None:
    broken = watched(
        tmp_path,
        migrated_sqlite,
        lambda raw, week, rng: rng.permutation(sigmoid(raw)) if week >= 4 else sigmoid(raw),
        weeks=28,
    )
    found = monitor(broken.workspace, now=broken.after(28))
    assert found.verdict.action == "retrain", found.verdict.reason
    assert found.verdict.evidence["auc"]["now"]["upper"] < 0.73


def test_a_market_that_moved_with_its_scores_asks_for_a_look_at_the_market(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    moved = watched(
        tmp_path, migrated_sqlite, weeks=28, middle=lambda week: -1.6 if week < 14 else -0.4
    )
    found = monitor(moved.workspace, now=moved.after(28))
    assert found.verdict.action == "look_at_market", found.verdict.reason
    assert not found.alarm.is_raised


def test_deals_that_arrive_in_any_order_give_the_same_monitoring(
    calm: Watched, tmp_path: Path, migrated_sqlite: Path
) -> None:
    other = watched(tmp_path, migrated_sqlite, close=False)
    shuffled = list(other.deals)
    random.Random(1).shuffle(shuffled)
    for start in range(0, len(shuffled), 700):
        other.close(shuffled[start : start + 700])
    other.close(shuffled[:200])  # sent again
    one, two = (monitor(w.workspace, now=w.after(30)).to_json() for w in (calm, other))
    assert one == two


def test_what_was_known_later_does_not_change_an_earlier_look(calm: Watched) -> None:
    """Each week's state is a prefix of the state of all later looks."""
    whole = ground_of(calm.workspace, calm.after(30))
    assert isinstance(whole, Ground)
    for weeks in (5, 17):
        earlier = ground_of(calm.workspace, calm.after(weeks))
        assert isinstance(earlier, Ground)
        assert len(earlier.detector.weeks) == weeks
        assert earlier.detector.log_e.tolist() == whole.detector.log_e[:weeks].tolist()


def test_a_week_enters_only_once_all_of_it_has_matured(calm: Watched) -> None:
    ripe = (FIRST + 3) * WEEK + WAIT
    for now, weeks in ((ripe - 1, 2), (ripe, 3)):
        found = ground_of(calm.workspace, now)
        assert isinstance(found, Ground)
        assert len(found.detector.weeks) == weeks


def test_outcomes_are_known_no_longer_than_deals_come_in(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    """Where deals stopped coming in, silence is not taken for losses."""
    silent = watched(tmp_path, migrated_sqlite, weeks=20, per_week=20, close=False)
    last = (FIRST + 20) * WEEK
    silent.close([deal for deal in silent.deals if deal.recorded_at < last])
    found = monitor(silent.workspace, now=silent.after(20))
    assert found.through is not None
    assert found.through <= last
    assert found.verdict.evidence["observed_over_expected"]["upper"] > 0.8


def test_a_lead_scored_every_other_day_is_one_a_week_and_one_at_a_time_for_the_alarm(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    company = watched(tmp_path, migrated_sqlite, weeks=1, per_week=5)
    begin = (FIRST + 1) * WEEK
    at = begin + np.arange(0, 120, 2, dtype=np.int64) * DAY + HOUR
    show(company.workspace, ["Busy"] * len(at), at, np.full(len(at), -1.0), company.digest)
    deal = Deal(
        lead="Busy", ending="won", occurred_at=begin + 30 * DAY, recorded_at=begin + 30 * DAY
    )
    company.close([deal])
    rows = read_logged(
        company.workspace.store, agreed(), [company.digest], since=begin, cutoff=begin + 400 * DAY
    )
    assert len(rows) == len(np.unique(at // WEEK))
    counted = rows.take(one_at_a_time(rows, WAIT))
    # The second promise that counts is the first shown once the outcome of the first was known.
    assert [int(one - at[0]) // DAY for one in counted.scored_at] == [0, 98]
    assert counted.y.tolist() == [1, 0]
    assert set(rows.y[rows.as_of <= begin + 30 * DAY].tolist()) == {1}


def test_leads_that_became_one_are_one_piece_of_evidence(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    company = watched(tmp_path, migrated_sqlite, weeks=2, per_week=5)
    twins = ("W000-001", "W000-003", "W001-002")
    cutoff = company.after(20)

    def read() -> Logged:
        store = company.workspace.store
        return read_logged(store, agreed(), [company.digest], since=0, cutoff=cutoff)

    before = read()
    with company.workspace.store.write() as connection:
        given = [Merge(lead=one, survivor=twins[2], recorded_at=cutoff - DAY) for one in twins[:2]]
        assert record_merged(connection, given, agreed(), cutoff).added == 2
    rows = read()
    assert (len(np.unique(before.lead)), len(np.unique(rows.lead))) == (10, 8)
    # In the first week two of the three were shown: the one shown first counts.
    assert (len(before), len(rows)) == (10, 9)
    shared = rows.take(rows.lead == np.argmax(np.bincount(rows.lead)))
    assert np.diff(shared.week).tolist() == [1]
    assert len(set(shared.known_since.tolist())) == 1


@pytest.mark.parametrize("channel", ["payload", "shadow"])
def test_scores_that_promised_nobody_anything_do_not_count(
    channel: str, tmp_path: Path, migrated_sqlite: Path
) -> None:
    company = watched(tmp_path, migrated_sqlite, weeks=1, per_week=5)
    at = np.array([(FIRST + 1) * WEEK + HOUR])
    show(company.workspace, ["Supposed"], at, np.array([0.0]), company.digest, channel=channel)
    rows = read_logged(
        company.workspace.store, agreed(), [company.digest], since=0, cutoff=company.after(9)
    )
    assert len(rows) == 5


def test_a_score_shows_as_it_was_said(calm: Watched) -> None:
    rows = read_logged(
        calm.workspace.store, agreed(), [calm.digest], since=0, cutoff=calm.after(30)
    )
    assert logit(rows.probability) == pytest.approx(rows.raw)
    assert np.all(np.diff(rows.scored_at) >= 0)


def test_a_fresh_calibration_is_watched_by_outcomes_that_it_cannot_have_learned_from(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    """A lead known to it from an earlier row shares its deal with that row, until the calibration."""
    company = watched(tmp_path, migrated_sqlite, weeks=1, per_week=5)
    through = (FIRST + 1) * WEEK
    made = through + WAIT
    instants = [through - DAY, through + DAY, made - 1, made + WEEK]
    show(company.workspace, ["Old"] * 4, np.array(instants), np.zeros(4), company.digest)
    later = np.array([through + 2 * DAY, made - HOUR])
    show(company.workspace, ["New", "Newer"], later, np.zeros(2), company.digest)
    ground = ground_of(company.workspace, company.after(60))
    assert isinstance(ground, Ground)
    assert ground.own.all(), "without a recalibration all of the line's scores count"
    calibration = {
        **ground.model.about["calibration"],
        "through_instant": through,
        "calibrated_at": iso(made),
    }
    about = {**ground.model.about, "calibration": calibration}
    fresh = replace(ground, model=replace(ground.model, about=about))
    assert fresh.rows.as_of[fresh.own].tolist() == [*later.tolist(), made + WEEK]


def test_without_a_model_or_a_deal_it_says_what_is_missing(
    tmp_path: Path, migrated_sqlite: Path, calm: Watched
) -> None:
    from page_company import workspace_at

    nothing = workspace_at(tmp_path, migrated_sqlite)
    with nothing.store.read() as connection:
        assert champion(connection) is None
    found = monitor(nothing, now=calm.after(1))
    assert (found.verdict.action, found.alarm.bundle) == ("wait", "")
    assert "propensity train" in found.verdict.reason
