"""Does the report say what is there, in words, in figures, and in a file that runs nothing?"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from watched_company import Watched, watched

from features.clock import DAY, HOUR
from features.store.reports import MONITOR, newest_report, newest_summary, past_reports
from training.intervals import wilson_interval
from training.loop.bands import EDGES, bands_of, gains_of
from training.loop.logged import WEEK
from training.loop.monitor import Monitoring, monitor, read_since
from training.loop.page import page
from training.loop.reports import keep, make_report, newest_whole_weeks
from training.loop.sections import sections

HOSTILE = '<script>window.hacked=1</script>"'


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Watched:
    return watched(tmp_path_factory.mktemp("reported"), migrated_sqlite, weeks=20)


@pytest.fixture(scope="module")
def found(company: Watched) -> Monitoring:
    return make_report(company.workspace, now=company.after(20))


def test_a_report_holds_the_monitors_verdict_and_is_plain_json(
    company: Watched, found: Monitoring
) -> None:
    alone = monitor(company.workspace, now=company.after(20))
    assert (found.verdict, found.alarm) == (alone.verdict, alone.alarm)
    content = found.to_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert {part["dimension"] for part in content["where"]["parts"]} >= {"Route"}


@pytest.mark.parametrize(("most", "kept"), [(9, 9), (8, 5), (5, 5), (4, 2), (2, 2), (1, 2)])
def test_the_alarm_of_a_part_is_fed_whole_weeks(most: int, kept: int) -> None:
    """Weeks of 4, 3 and 2 scores: a week that does not fit as a whole is left out."""
    week = np.repeat([7, 8, 9], [4, 3, 2])
    assert newest_whole_weeks(week, most).tolist() == list(range(9 - kept, 9))


def test_scores_are_read_from_the_beginning_of_a_week() -> None:
    instants = 3_000 * WEEK + np.arange(0, 7 * DAY, 5 * HOUR)
    assert len({read_since(at, 93 * DAY) % WEEK for at in instants.tolist()} - {0}) == 0


def test_the_same_ledger_gives_the_same_report(company: Watched, found: Monitoring) -> None:
    assert make_report(company.workspace, now=company.after(20)).to_json() == found.to_json()


def test_a_kept_report_is_found_and_kept_again_it_stays_one(
    company: Watched, found: Monitoring
) -> None:
    for _ in range(2):
        keep(company.workspace, found)
    earlier = make_report(company.workspace, now=company.after(3))
    keep(company.workspace, earlier)
    with company.workspace.store.read() as connection:
        newest = newest_report(connection, MONITOR)
        summary = newest_summary(connection, MONITOR)
        past = past_reports(connection, MONITOR)
    assert newest is not None
    assert summary is not None
    assert newest.body["verdict"] == found.to_json()["verdict"]
    assert summary.summary["alarm"] == newest.body["alarm"]
    assert [one.made_at for one in past] == [found.now, earlier.now]
    assert {section["key"] for section in newest.body["sections"]} >= {"bands", "alarm", "gains"}


def test_bands_count_every_score_and_their_intervals_are_wilsons_where_leads_differ() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(400) ** 3
    y = (rng.random(400) < p).astype(int)
    bands = bands_of(p, y, np.arange(400))
    assert sum(band.rows for band in bands) == 400
    assert sum(band.won for band in bands) == y.sum()
    for band, low, high in zip(bands, EDGES, EDGES[1:], strict=False):
        here = (p >= low) & (p < high)
        assert band.rows == here.sum()
        assert band.rate is not None
        oracle = wilson_interval(int(y[here].sum()), int(here.sum()))
        assert (band.rate.lower, band.rate.upper) == pytest.approx((oracle.lower, oracle.upper))


def test_a_lead_of_twelve_weeks_is_one_piece_of_evidence_in_its_band() -> None:
    y, p = np.repeat([1, 0, 0, 1, 0], 12), np.full(60, 0.4)
    many = bands_of(p, y, np.repeat(np.arange(5), 12))[5].rate
    alone = bands_of(p[::12], y[::12], np.arange(5))[5].rate
    assert many is not None
    assert alone is not None
    assert (many.lower, many.upper) == pytest.approx((alone.lower, alone.upper), abs=0.02)


def test_gains_need_wins_and_losses_and_half_of_no_order_holds_half_of_the_wins() -> None:
    lead = np.arange(200)
    assert gains_of(np.zeros(200), np.zeros(200, dtype=int), lead) == []
    assert gains_of(np.zeros(200), np.ones(200, dtype=int), lead) == []
    tied = gains_of(np.zeros(200), (lead % 4 == 0).astype(int), lead)
    assert tied[-1]["captured"]["estimate"] == pytest.approx(0.5)
    assert tied[-1]["lift"] == pytest.approx(1.0)


def test_the_file_asks_nobody_runs_nothing_and_escapes_other_peoples_names(
    found: Monitoring,
) -> None:
    report = dict(found.report)
    report["where"] = json.loads(json.dumps(report["where"]))
    report["where"]["parts"][0]["name"] = HOSTILE
    shown = page(Monitoring(found.now, found.through, found.verdict, found.alarm, report))
    assert "<script" not in shown
    assert "&lt;script&gt;window.hacked=1" in shown
    assert not re.search(r'(?:src|href)="?(?!data:)[a-z]+:', shown)
    assert "default-src 'none'" in shown
    assert shown.count("<img") == shown.count("data:image/png") >= 3


def test_every_picture_stands_beside_a_table_that_holds_its_figures(found: Monitoring) -> None:
    with_pictures = [one for one in sections(found.to_json()) if one["picture"]]
    assert {one["key"] for one in with_pictures} >= {"bands", "gains", "alarm"}
    for one in with_pictures:
        assert one["rows"], one["key"]
        assert one["picture"]["words"]
    for one in sections(found.to_json()):
        assert all(len(row) == len(one["head"]) for row in one["rows"]), one["key"]


def test_without_anything_to_report_the_page_still_says_what_to_do(
    tmp_path: Path, migrated_sqlite: Path, company: Watched
) -> None:
    from page_company import workspace_at

    nothing = workspace_at(tmp_path, migrated_sqlite)
    empty = make_report(nothing, now=company.after(1))
    keep(nothing, empty)
    assert sections(empty.to_json()) == []
    assert "propensity train" in page(empty)
