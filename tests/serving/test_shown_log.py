"""Is what was shown noted, by the page and by the API, without anybody waiting for it?"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agreed import NOW
from models_made import lead_id
from served import Serve, Served, sign_in
from sqlalchemy import select

from features.clock import DAY
from features.errors import StoreError
from features.store.engine import Store
from features.store.exposure import Shown, shown
from features.store.ingest import set_do_not_score
from features.store.ledger import read_queue
from features.store.trials import Rules, list_trials
from serving.queueing import refresh_queue
from serving.security import SESSION_COOKIE
from serving.shown_log import ShownLog, list_name

ONE = Shown(lead="L-0000", score=1, at=NOW, list="everybody", rank=1, channel="api")


def noted(served: Served) -> list[Any]:
    served.service.shown.write()
    with served.store.read() as connection:
        return list(connection.execute(select(shown).order_by(shown.c.rank)))


def queued(served: Served) -> None:
    refresh_queue(served.store, served.service.live.scorer(), NOW)


def test_what_the_api_shows_is_noted_with_its_places_and_once_a_day(served: Served) -> None:
    queued(served)
    answer = served.get("/v1/queue?limit=5&offset=2").json()
    served.get("/v1/queue?limit=5&offset=2")
    rows = noted(served)
    assert [(row.score, row.rank) for row in rows] == [
        (row["score_id"], row["rank"]) for row in answer["rows"]
    ]
    assert {(row.list, row.channel, row.place, row.chance) for row in rows} == {
        ("everybody", "api", "score", 1.0)
    }
    served.clock.now += DAY
    served.get("/v1/queue?limit=5&offset=2")
    assert len(noted(served)) == 10


def test_a_page_is_noted_as_the_reps_own_list_and_a_search_says_not_what_was_sought(
    served_lite: Served,
) -> None:
    queued(served_lite)
    token, _ = sign_in(served_lite, "anna", "rep")
    served_lite.client.cookies.set(SESSION_COOKIE, token)
    for path in ("/queue", "/queue?q=Company"):
        assert served_lite.client.get(path).status_code == 200
    lists = Counter((row.list, row.channel, row.chance) for row in noted(served_lite))
    assert {name for name, *_ in lists} == {"owner=anna", "owner=anna q"}
    assert {channel for _, channel, _ in lists} == {"page"}
    assert {chance for name, _, chance in lists if name.endswith("q")} == {None}


def test_pages_of_a_list_with_lots_fit_together_and_hold_nobody_who_objects(
    serve: Serve, company_store: Store
) -> None:
    served = serve(company_store, explore_share=0.3, holdout_share=0.2, first_places=10)
    queued(served)
    with served.store.write() as connection:
        set_do_not_score(connection, lead_id(1), objected=True)
    with served.store.read() as connection:
        expected = {row["lead_id"] for row in read_queue(connection, limit=10_000).rows}
    rows = []
    while part := served.get(f"/v1/queue?limit=7&offset={len(rows)}").json()["rows"]:
        rows += part
    assert len(rows) == len(expected)
    assert {row["lead"] for row in rows} == expected
    assert lead_id(1) not in expected
    assert {row["place"] for row in rows} == {"score", "explored", "holdout"}
    filtered = served.get("/v1/queue?kind=prospect&limit=1000").json()["rows"]
    assert {row["place"] for row in filtered} == {"score"}
    kept = {row.rank: row for row in noted(served) if row.list == "everybody"}
    assert [kept[row["rank"]].place for row in rows] == [row["place"] for row in rows]
    assert all(0 <= row.chance <= 1 for row in kept.values())
    with served.store.read() as connection:
        (trial,) = list_trials(connection)
    assert trial.rules == Rules(0.3, 0.2, 10)


def test_when_too_many_wait_the_oldest_go_and_are_counted(company_store: Store) -> None:
    log = ShownLog(company_store, capacity=3)
    log.note([replace(ONE, rank=rank) for rank in range(1, 6)])
    assert (log.waiting, log.dropped) == (3, 2)
    assert log.write() == 3
    log.note([replace(ONE, rank=5)])
    assert log.waiting == 0


def test_a_score_that_comes_back_to_its_place_is_a_showing_no_second_time(
    company_store: Store,
) -> None:
    log = ShownLog(company_store)
    for score in (1, 1, 2, 1):
        log.note([replace(ONE, score=score)])
    assert log.write() == 2
    log.note([replace(ONE, score=2), replace(ONE, score=2, at=NOW + DAY)])
    assert log.write() == 1


def test_what_is_remembered_does_not_grow_while_scores_are_renewed(company_store: Store) -> None:
    log = ShownLog(company_store, capacity=50)
    for score in range(0, 1_000, 20):
        log.note([replace(ONE, score=score + rank, rank=rank) for rank in range(20)])
        log.note([replace(ONE, score=score, channel="page")])
        assert log.places == 21
    for rank in range(1_000):
        log.note([replace(ONE, rank=rank)])
        assert log.places <= 200


def test_showings_that_were_dropped_are_a_figure(served_lite: Served) -> None:
    def dropped() -> str:
        lines = served_lite.get("/metrics").text.splitlines()
        return next(line for line in lines if line.startswith("propensity_shown_dropped_total "))

    assert dropped().endswith(" 0.0")
    served_lite.service.shown.dropped += 7
    assert dropped().endswith(" 7.0")


def test_what_cannot_be_written_now_is_written_later(company_store: Store) -> None:
    log = ShownLog(company_store)
    log.note([ONE])
    path = company_store.url.database
    assert path is not None
    company_store.close()
    away = Path(path).rename(f"{path}.away")
    with pytest.raises(StoreError):
        log.write()
    assert log.waiting == 1
    away.rename(path)
    assert log.write() == 1


def test_a_list_is_called_by_its_owner_and_by_what_narrows_it() -> None:
    assert list_name(None) == "everybody"
    assert list_name("ben", ("route", "a"), ("kind", None), ("q", "x")) == "owner=ben route=a q"
