"""Is the queue in its order, the caller's own, and fresh: nobody closed, no old model, nothing lost?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agreed import NOW, agreed
from models_made import CLOSED, LEADS, OWNERS, company, lead_id, promote, put_bundle
from served import Served

from features.clock import DAY, SECOND, iso
from features.errors import NoModelError
from features.facts import Event, LeadVersion, StageChange
from features.store.access import Caller
from features.store.engine import Store
from features.store.ingest import ingest, set_do_not_score
from features.store.ledger import read_queue, score_history
from models.workspace import Workspace
from serving import queueing
from serving.queueing import QueueRefresher, queue_page, queue_slice, refresh_queue
from serving.scoring import Ask, Occasion, Scorer, score_one
from serving.state import LiveModel

ADMIN = Caller("boss", "admin")
ANNA = Caller("anna", "rep")


@pytest.fixture
def workspace(company_store: Store, tmp_path: Path) -> Workspace:
    url = company_store.url.render_as_string(hide_password=False)
    return Workspace(tmp_path, url, tmp_path / "definition.yaml", "")


@pytest.fixture
def scorer(workspace: Workspace) -> Scorer:
    live = LiveModel(workspace, lambda: NOW, 180.0)
    live.look()
    return live.scorer()


def everything(store: Store) -> list[Any]:
    with store.read() as connection:
        return list(read_queue(connection, limit=10_000).rows)


def test_a_refresh_queues_every_open_lead_and_nobody_else(
    company_store: Store, scorer: Scorer
) -> None:
    with company_store.write() as connection:
        set_do_not_score(connection, "L-0001", objected=True)
    told: list[int] = []
    done = refresh_queue(company_store, scorer, NOW, progress=told.append)
    rows = everything(company_store)
    expected = {lead_id(i) for i in range(LEADS) if i not in CLOSED} - {"L-0001"}
    assert {row["lead_id"] for row in rows} == expected
    assert done == sum(told) == len(expected)
    with company_store.read() as connection:
        (kept,) = score_history(connection, "L-0002")
    assert kept["channel"] == "queue"
    assert len(kept["reasons"]) <= 6


def test_the_order_is_raw_then_newest_touch_then_id(company_store: Store, scorer: Scorer) -> None:
    # Three leads that differ in nothing the model reads, but for an event of no agreed kind.
    twins = [
        LeadVersion(
            lead=name, occurred_at=NOW - DAY, recorded_at=NOW - DAY, attributes={"city": "Bonn"}
        )
        for name in ("T-b", "T-a", "T-c")
    ]
    stage = StageChange(lead="T-c", stage="new", occurred_at=NOW - 9, recorded_at=NOW - 9)
    with company_store.write() as connection:
        assert ingest(connection, [*twins, stage], agreed(), NOW).added == 4
    refresh_queue(company_store, scorer, NOW)
    rows = everything(company_store)
    keys = [(-r["raw"], -(r["last_touch"] or -1), r["lead_id"]) for r in rows]
    assert keys == sorted(keys)
    places = [row["lead_id"] for row in rows]
    first = places.index("T-c")
    assert places[first : first + 3] == ["T-c", "T-a", "T-b"]


def test_pages_hold_every_lead_once(company_store: Store, scorer: Scorer) -> None:
    refresh_queue(company_store, scorer, NOW)
    whole = [row["lead_id"] for row in everything(company_store)]
    found: list[str] = []
    with company_store.read() as connection:
        page = 1
        while rows := queue_page(connection, ADMIN, page=page, per_page=33).rows:
            found += [row["lead_id"] for row in rows]
            page += 1
    assert found == whole


def test_filters_hold_together(company_store: Store, scorer: Scorer) -> None:
    refresh_queue(company_store, scorer, NOW)
    rows = everything(company_store)
    with company_store.read() as connection:
        for name in ("owner", "route", "kind"):
            for value in {row[name] for row in rows} - {None}:
                view = queue_slice(connection, ADMIN, limit=1_000, **{name: value})
                expected = [row["lead_id"] for row in rows if row[name] == value]
                assert [row["lead_id"] for row in view.rows] == expected
                assert view.total == len(expected)
        view = queue_slice(connection, ADMIN, search="comPANY 7", limit=1_000)
        expected = [row["lead_id"] for row in rows if "Company 7" in row["name"]]
        assert [row["lead_id"] for row in view.rows] == expected
        view = queue_slice(connection, ADMIN)
        assert view.owners == ["anna", "ben"]
        assert sum(view.routes.values()) == len(rows)


def test_a_rep_sees_the_own_leads_whatever_is_asked_for(
    company_store: Store, scorer: Scorer
) -> None:
    refresh_queue(company_store, scorer, NOW)
    mine = {lead_id(i) for i in range(LEADS) if OWNERS[i % 3] == "anna" and i not in CLOSED}
    with company_store.read() as connection:
        for owner in (None, "ben", "anna"):
            view = queue_slice(connection, ANNA, owner=owner, limit=1_000)
            assert {row["lead_id"] for row in view.rows} == mine
            assert view.owner == "anna"
            assert view.owners == []
            assert sum(view.routes.values()) == len(mine)
        stranger = queue_slice(connection, Caller("zoe", "rep"))
        assert (stranger.total, stranger.routes) == (0, {})


def test_a_lead_that_closed_leaves_at_the_next_refresh(
    company_store: Store, scorer: Scorer
) -> None:
    refresh_queue(company_store, scorer, NOW)
    closing = StageChange(lead="L-0001", stage="won", occurred_at=NOW, recorded_at=NOW)
    with company_store.write() as connection:
        ingest(connection, [closing], agreed(), NOW)
    assert "L-0001" in {row["lead_id"] for row in everything(company_store)}
    refresh_queue(company_store, scorer, NOW + SECOND)
    rows = everything(company_store)
    assert "L-0001" not in {row["lead_id"] for row in rows}
    assert len(rows) == LEADS - len(CLOSED) - 1


def test_a_score_that_speaks_for_a_later_instant_is_not_overwritten(
    company_store: Store, scorer: Scorer
) -> None:
    later = score_one(
        company_store, scorer, Ask("L-0001", NOW + 5), Occasion(now=NOW, channel="queue")
    )
    refresh_queue(company_store, scorer, NOW)
    (row,) = [row for row in everything(company_store) if row["lead_id"] == "L-0001"]
    assert row["id"] == later.score_id


def test_a_refresh_holds_few_leads_at_once_and_says_the_same(
    company_store: Store, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server keeps what it once took, and has others to answer between two portions."""
    refresh_queue(company_store, scorer, NOW)
    at_once = {row["lead_id"]: row["raw"] for row in everything(company_store)}
    assert queueing.TOGETHER <= 1_000
    monkeypatch.setattr(queueing, "TOGETHER", 50)
    told: list[int] = []
    refresh_queue(company_store, scorer, NOW, progress=told.append)
    assert len(told) == -(-LEADS // 50)
    assert max(told) <= 50
    assert {row["lead_id"]: row["raw"] for row in everything(company_store)} == at_once


def test_a_refresh_can_be_stopped_between_portions(company_store: Store, scorer: Scorer) -> None:
    refresh_queue(company_store, scorer, NOW)
    before = len(everything(company_store))
    refresh_queue(company_store, scorer, NOW + SECOND, stop=lambda: True)
    assert len(everything(company_store)) == before, "nobody leaves after half a refresh"


class Refreshing:
    """A refresher whose clock and model a test moves."""

    def __init__(self, store: Store, scorer: Scorer) -> None:
        self.now = NOW
        self.scorer: Scorer | None = scorer
        self.refresher = QueueRefresher(store, self._scorer, lambda: self.now, minutes=60)

    def _scorer(self) -> Scorer:
        if self.scorer is None:
            raise NoModelError("none")
        return self.scorer

    def look(self) -> int | None:
        return self.refresher.look()


def test_the_queue_is_scored_when_it_is_empty_old_or_of_another_model(
    workspace: Workspace, company_store: Store, scorer: Scorer
) -> None:
    refreshing = Refreshing(company_store, scorer)
    everybody = LEADS - len(CLOSED)
    assert refreshing.look() == everybody
    assert refreshing.look() is None
    refreshing.now += 59 * 60 * SECOND
    assert refreshing.look() is None
    refreshing.now += 60 * SECOND
    assert refreshing.look() == everybody
    promote(workspace, put_bundle(workspace, seed=2))
    live = LiveModel(workspace, lambda: NOW, 180.0)
    live.look()
    refreshing.scorer = live.scorer()
    assert refreshing.look() == everybody
    assert {row["bundle"] for row in everything(company_store)} == {live.scorer().model.digest}
    assert refreshing.look() is None


def test_the_queue_is_scored_when_the_routes_were_agreed_anew(
    company_store: Store, scorer: Scorer, definition_text: str
) -> None:
    from dataclasses import replace

    from features.definition import parse_definition

    refreshing = Refreshing(company_store, scorer)
    refreshing.look()
    text = definition_text.replace("at_least: 0.3", "at_least: 0.9")
    refreshing.scorer = replace(scorer, agreed=parse_definition(text))
    assert refreshing.look() == LEADS - len(CLOSED)
    assert {row["route"] for row in everything(company_store)} == {"nurture", "hand_back"}


def test_a_process_that_starts_refreshes_only_what_is_older_than_the_facts(
    company_store: Store, scorer: Scorer
) -> None:
    Refreshing(company_store, scorer).look()
    assert Refreshing(company_store, scorer).look() is None, "somebody has just done it"
    event = Event(lead="L-0001", kind="visit", occurred_at=NOW, recorded_at=NOW + SECOND)
    with company_store.write() as connection:
        assert ingest(connection, [event], agreed(), NOW).added == 1
    started = Refreshing(company_store, scorer)
    started.now += 2 * SECOND
    assert started.look() == LEADS - len(CLOSED)


def test_without_a_model_nothing_is_refreshed(company_store: Store, scorer: Scorer) -> None:
    refreshing = Refreshing(company_store, scorer)
    refreshing.scorer = None
    assert refreshing.look() is None
    refreshing.scorer = scorer
    assert refreshing.look() == LEADS - len(CLOSED)


def test_a_running_service_fills_its_queue_by_itself(serve: Any, company_store: Store) -> None:
    import time

    served: Served = serve(company_store, champion_poll_seconds=0.02, refresh_queue=True)
    deadline = time.monotonic() + 60
    while served.get("/v1/queue").json()["total"] != LEADS - len(CLOSED):
        assert time.monotonic() < deadline, "the queue was not filled"
        time.sleep(0.05)
    while "propensity_queue_refreshed_timestamp_seconds 0.0" in served.get("/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_address_says_rank_and_total_and_everything_of_a_row(served: Served) -> None:
    refresh_queue(served.store, served.service.live.scorer(), NOW)
    said = served.get("/v1/queue?limit=5&offset=10", "crm").json()
    assert said["total"] == LEADS - len(CLOSED)
    assert (said["limit"], said["offset"]) == (5, 10)
    assert [row["rank"] for row in said["rows"]] == [11, 12, 13, 14, 15]
    whole = everything(served.store)
    assert [row["lead"] for row in said["rows"]] == [row["lead_id"] for row in whole[10:15]]
    row = said["rows"][0]
    assert row["as_of"] == iso(NOW)
    assert row["name"].startswith("Company ")
    assert row["model"] == served.service.live.scorer().model.digest
    assert {record.lead for record in company()} >= {row["lead"]}
