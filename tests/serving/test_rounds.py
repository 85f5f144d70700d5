"""Is a lead that is scored among others answered as if it had been alone?"""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import own_loop
import pytest
from models_made import company, lead_id, promote, put_bundle
from served import Serve, Served

from features.errors import NotFoundError
from features.store.engine import Store
from models.forest_engine import ENGINE
from serving import rounds
from serving.rounds import Rounds
from serving.scoring import Ask, LeadScore, Occasion, score_one

SAME = ("lead", "raw", "probability", "interval", "reasons", "route", "warnings", "model")


def same(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in SAME}


def held(served: Served) -> Any:
    """Keeps the database busy, so that requests gather behind it."""
    return served.store.write()


def test_many_at_once_are_answered_as_each_alone(served_lite: Served) -> None:
    ENGINE.wait()  # LightGBM, which answers before, explains with other last digits
    leads = [lead_id(i) for i in range(1, 40)]
    asked = [*leads, "nobody", *leads[:10]]
    alone = {lead: served_lite.post("/v1/scores", json={"lead": lead}) for lead in leads}
    with ThreadPoolExecutor(16) as clients:
        with held(served_lite):
            waiting = [
                clients.submit(served_lite.post, "/v1/scores?reasons=3", json={"lead": lead})
                for lead in asked
            ]
        together = [one.result(60) for one in waiting]
    ids = set()
    for lead, answer in zip(asked, together, strict=True):
        if lead == "nobody":
            assert answer.status_code == 404
            continue
        assert answer.json()["lead"] == lead
        ids.add(answer.json()["score_id"])
        usual = served_lite.post("/v1/scores?reasons=3", json={"lead": lead})
        assert same(answer.json()) == same(usual.json())
        assert answer.json()["raw"] == alone[lead].json()["raw"]
    assert len(ids) == len(asked) - 1


def test_a_round_of_two_models_answers_each_with_its_own(
    served_lite: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = served_lite.service
    first = parts.live.scorer()
    promote(parts.workspace, put_bundle(parts.workspace, seed=2))
    parts.live.look()
    second = parts.live.scorer()
    assert first.model.digest != second.model.digest
    now = parts.clock()

    async def both() -> list[LeadScore]:
        mine = Rounds(parts.store, parts.ledger)
        scorers = (first, second, first)
        asked = [mine.score(one, Ask("L-0003", now), Occasion(now=now)) for one in scorers]
        tasks = [asyncio.create_task(one) for one in asked]
        await asyncio.sleep(0)  # all wait before the first round begins
        mine.start()
        found = await asyncio.gather(*tasks)
        mine.stop()
        return list(found)

    found = own_loop.run(both())
    digests = [first.model.digest, second.model.digest, first.model.digest]
    assert [one.model for one in found] == digests
    for scorer, one in zip((first, second), found, strict=False):
        alone = score_one(parts.store, scorer, Ask("L-0003", now), Occasion(now=now))
        assert one.raw == alone.raw


def test_an_error_that_nobody_foresaw_spoils_one_answer_alone(
    served_lite: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = rounds.computed

    def failing(store: Store, scorer: Any, asked: Any, **rest: Any) -> Any:
        if any(ask.lead == "L-0005" for ask, _ in asked):
            raise ZeroDivisionError
        return usual(store, scorer, asked, **rest)

    monkeypatch.setattr(rounds, "computed", failing)
    parts = served_lite.service
    now = parts.clock()

    async def three() -> list[Any]:
        mine = Rounds(parts.store, parts.ledger)
        leads = ("L-0004", "L-0005", "L-0006", "nobody")
        scorer = parts.live.scorer()
        tasks = [
            asyncio.create_task(mine.score(scorer, Ask(lead, now), Occasion(now=now)))
            for lead in leads
        ]
        await asyncio.sleep(0)
        mine.start()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        mine.stop()
        return list(found)

    good, bad, also, missing = own_loop.run(three())
    assert (good.lead, also.lead) == ("L-0004", "L-0006")
    assert isinstance(bad, ZeroDivisionError)
    assert isinstance(missing, NotFoundError)


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("reasons=", {"lead": "L-0001"}),
        ("reasons=101", {"lead": "L-0001"}),
        ("reasons=-1", {"lead": "L-0001"}),
        ("reasons=x", {"lead": "L-0001"}),
        ("", {"lead": ""}),
        ("", {"lead": "L-0001", "attributes": {"city": "\ud800"}}),
        ("", {"lead": "L-0001", "attributes": {"city": ["Bonn"]}}),
        ("", {"lead": "L-0001", "attributes": {"": 1.0}}),
        ("", {"lead": "L-0001", "attributes": {"city": "x" * 301}}),
        ("", {"lead": "L-0001", "kind": "stranger"}),
        ("", {"lead": "L-0001", "more": 1}),
        ("", []),
    ],
)
def test_what_is_wrong_is_answered_the_long_way(
    served_lite: Served, query: str, body: object
) -> None:
    answer = served_lite.post(f"/v1/scores?{query}", content=json.dumps(body))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["problems"]


def test_the_short_way_and_the_long_one_say_the_same(served_lite: Served) -> None:
    version = next(record for record in company() if record.lead == "L-0002")
    sent = {"lead": "sent", "attributes": {"employees": 12, "city": "Bonn", "growth": None}}
    for body in ({"lead": version.lead}, sent):
        for n in (0, 1, 5, 100):
            short = served_lite.post(f"/v1/scores?reasons={n}", json=body)
            # A parameter that is not known is not plain, and changes nothing.
            long = served_lite.post(f"/v1/scores?reasons={n}&plain=no", json=body)
            assert (short.status_code, long.status_code) == (200, 200)
            assert same(short.json()) == same(long.json())
            assert [*short.headers] == [*long.headers]


def test_queued_scores_have_their_ids_at_once_and_are_in_the_ledger_at_the_end(
    serve: Serve, company_store: Store
) -> None:
    served = serve(company_store, ledger_durability="queued")
    ids = [
        served.post("/v1/scores", json={"lead": lead_id(i)}).json()["score_id"]
        for i in range(1, 12)
    ]
    assert len(set(ids)) == 11
    served.service.ledger.stop()
    history = served.get(f"/v1/leads/{lead_id(1)}/scores").json()["scores"]
    assert ids[0] in [score["score_id"] for score in history]


def test_whose_connection_fails_keeps_nobody_else_from_an_answer() -> None:
    told: list[str] = []

    def lost(_: object) -> None:
        raise RuntimeError("the transport is closed")

    those = [SimpleNamespace(tell=tell) for tell in (told.append, lost, told.append)]
    rounds._settle(those, ["one", "two", "three"])  # type: ignore[arg-type]
    assert told == ["one", "three"]
