"""Are facts that are sent kept once, as a whole, and felt at once by the scores they touch?"""

from __future__ import annotations

from typing import Any

import pytest
from agreed import NOW
from served import Served
from stores import counts, state

from features.clock import DAY, SECOND, iso
from features.store.ledger import read_queue
from features.store.outcomes import load_outcomes
from models.propensity import PropensityModel

LEAD = {
    "kind": "prospect",
    "owner": "anna",
    "name": "Çelik & Söhne",
    "attributes": {"industry": "Retail", "founded": "2001-07-01", "employees": 12, "age": 44},
}
YESTERDAY = iso(NOW - DAY)
ROWS: dict[str, dict[str, Any]] = {
    "answers": {"lead": "L-0001", "question": "pain", "answer": "Severe", "occurred_at": YESTERDAY},
    "events": {"lead": "L-0001", "kind": "webinar", "channel": "web", "occurred_at": YESTERDAY},
    "stages": {"lead": "L-0001", "stage": "qualified", "occurred_at": YESTERDAY},
    "deals": {"lead": "L-0001", "ending": "won", "amount": 125.5, "occurred_at": YESTERDAY},
}
ADDS = {"answers": 1, "events": 1, "stages": 1, "deals": 2}
"""Facts that a row of each sort adds: a deal also closes its lead."""


def facts(served: Served) -> int:
    """How many facts there are in the store."""
    with served.store.read() as connection:
        return sum(counts(connection).values())


def queued(served: Served) -> dict[str, float]:
    with served.store.read() as connection:
        return {row["lead_id"]: row["raw"] for row in read_queue(connection, limit=1_000).rows}


@pytest.mark.parametrize("sort", ROWS)
def test_facts_are_kept_once_however_often_they_are_sent(served: Served, sort: str) -> None:
    before = facts(served)
    for body in ([ROWS[sort]], {"rows": [ROWS[sort]]}, [ROWS[sort], ROWS[sort]]):
        answer = served.post(f"/v1/{sort}", "crm", json=body)
        assert answer.status_code == 200, answer.text
        said = answer.json()
        assert (said["rejected"], said["rescored"]) == ([], 1)
    assert said["added"] == 0
    assert facts(served) == before + ADDS[sort]


@pytest.mark.parametrize("sort", ROWS)
def test_the_same_id_with_other_content_is_refused(served: Served, sort: str) -> None:
    row = {**ROWS[sort], "external_id": "X-1", "source": "crm"}
    other = {**row, "occurred_at": iso(NOW - 2 * DAY)}
    assert served.post(f"/v1/{sort}", json=[row]).json()["added"] == 1
    answer = served.post(f"/v1/{sort}", json=[other])
    if sort == "deals":  # a deal may be corrected: the last revision counts
        assert answer.json()["added"] == 1
    else:
        assert answer.status_code == 422
        assert answer.json()["problems"][0]["field"] == "external_id"


@pytest.mark.parametrize("sort", ROWS)
def test_good_rows_are_kept_and_bad_ones_named_by_their_place(served: Served, sort: str) -> None:
    good, before = ROWS[sort], facts(served)
    bad: list[Any] = [
        {**good, "lead": "nobody"},
        {**good, "occurred_at": "2026-04-30T12:00:00"},
        {**good, "occurred_at": iso(NOW + DAY)},
        {**good, "colour": "red"},
        {key: value for key, value in good.items() if key != "lead"},
        None,
        [good],
    ]
    said = served.post(f"/v1/{sort}", json=[bad[0], good, *bad[1:]]).json()
    assert said["added"] == 1
    assert [row["index"] for row in said["rejected"]] == [0, 2, 3, 4, 5, 6, 7]
    for row in said["rejected"]:
        assert {problem["where"] for problem in row["problems"]} == {f"row {row['index'] + 1}"}
    assert facts(served) == before + ADDS[sort]


@pytest.mark.parametrize("sort", ROWS)
def test_a_request_without_one_good_row_is_refused_and_leaves_nothing(
    served: Served, sort: str
) -> None:
    before = facts(served)
    answer = served.post(f"/v1/{sort}", json=[{**ROWS[sort], "lead": "nobody"}, 3])
    assert answer.status_code == 422
    assert [problem["where"] for problem in answer.json()["problems"]] == ["row 1", "row 2"]
    assert served.post(f"/v1/{sort}", json=[]).status_code == 422
    assert served.post(f"/v1/{sort}", json={"rows": []}).status_code == 422
    assert served.post(f"/v1/{sort}", json={"row": [ROWS[sort]]}).status_code == 422
    assert facts(served) == before


def test_a_lead_is_kept_as_it_stands_and_sending_it_again_changes_nothing(served: Served) -> None:
    first = served.put("/v1/leads/N-1", "crm", json=LEAD)
    assert first.status_code == 200, first.text
    assert first.json()["fate"] == "added"
    assert first.json()["score"]["lead"] == "N-1"
    before = facts(served)
    served.clock.now += 60 * SECOND
    assert served.put("/v1/leads/N-1", "crm", json=LEAD).json()["fate"] == "unchanged"
    assert facts(served) == before
    got = served.get("/v1/leads/N-1", "crm").json()
    assert got["attributes"] == {**LEAD["attributes"], "founded": "2001-07-01T00:00:00Z"}  # type: ignore[dict-item]
    assert (got["owner"], got["name"], got["kind"]) == ("anna", "Çelik & Söhne", "prospect")
    assert got["since"] == iso(NOW)
    served.clock.now += 60 * SECOND
    assert served.put("/v1/leads/N-1", json={**LEAD, "owner": "ben"}).json()["fate"] == "added"
    assert served.get("/v1/leads/N-1").json()["owner"] == "ben"


def test_a_snapshot_with_its_own_time_or_id_is_a_fact_of_its_own(served_lite: Served) -> None:
    path = "/v1/leads/N-1"
    for body, fate in (
        ({**LEAD, "occurred_at": iso(NOW - 5 * DAY)}, "added"),
        ({**LEAD, "occurred_at": iso(NOW - 5 * DAY)}, "unchanged"),
        ({**LEAD, "occurred_at": iso(NOW - 3 * DAY)}, "added"),
        ({**LEAD, "external_id": "v-3"}, "added"),
    ):
        assert served_lite.put(path, json=body).json()["fate"] == fate


def test_a_lead_that_breaks_the_rules_is_refused_with_all_its_problems(served: Served) -> None:
    body = {
        "kind": "prospect",
        "attributes": {
            "industry": "Mining",
            "employees": "many",
            "newsletter": 1,
            "founded": "the year dot",
            "shoe_size": 44,
        },
    }
    before = facts(served)
    answer = served.put("/v1/leads/N-1", json=body)
    assert answer.status_code == 422
    fields = sorted(problem["field"].strip("'") for problem in answer.json()["problems"])
    assert fields == ["employees", "founded", "industry", "newsletter", "shoe_size"]
    assert facts(served) == before


def test_sensitive_attributes_are_shown_to_the_systems_that_send_them_alone(
    served_lite: Served,
) -> None:
    served_lite.put("/v1/leads/N-1", json=LEAD)
    for role, is_shown in (("crm", True), ("admin", True), ("analyst", False), ("rep", False)):
        shown = served_lite.get("/v1/leads/N-1", role).json()["attributes"]
        assert ("age" in shown) is is_shown
        assert shown["industry"] == "Retail"


def test_a_new_fact_is_felt_in_the_queue_at_once(served: Served) -> None:
    served.put("/v1/leads/N-1", json={**LEAD, "occurred_at": iso(NOW - 9 * DAY)})
    before = queued(served)["N-1"]
    rows = [
        {"lead": "N-1", "kind": kind, "occurred_at": iso(NOW - n * DAY)}
        for kind in ("visit", "webinar")
        for n in range(1, 6)
    ]
    assert served.post("/v1/events", json=rows).json()["rescored"] == 1
    assert queued(served)["N-1"] != before
    assert served.get("/v1/queue").json()["rows"][0]["last_touch"] == YESTERDAY


def test_a_deal_closes_its_lead_and_a_void_one_opens_it_again(served: Served) -> None:
    served.get("/v1/leads/L-0001/score")
    assert "L-0001" in queued(served)
    deal = {**ROWS["deals"], "external_id": "D-1"}
    served.post("/v1/deals", "analyst", json=[deal])
    assert "L-0001" not in queued(served)
    with served.store.read() as connection:
        assert len(load_outcomes(connection, ["L-0001"], NOW + 1).lead) == 1
    served.clock.now += SECOND
    served.post("/v1/deals", json=[{**deal, "ending": "void", "occurred_at": iso(NOW - DAY // 2)}])
    assert "L-0001" in queued(served)


def test_facts_stay_when_the_scores_cannot_be_renewed(
    served_lite: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    before = facts(served_lite)
    monkeypatch.setattr(PropensityModel, "told", broken)
    answer = served_lite.post("/v1/events", json=[ROWS["events"]])
    assert answer.status_code == 200
    assert answer.json()["added"] == 1
    assert answer.json()["rescored"] == 0
    said = served_lite.put("/v1/leads/N-1", json=LEAD).json()
    assert (said["fate"], said["score"]) == ("added", None)
    assert "next refresh" in said["warning"]
    assert facts(served_lite) == before + 3


def test_facts_are_kept_without_a_model(serve: Any, sqlite_store: Any) -> None:
    served = serve(sqlite_store, with_model=False)
    said = served.put("/v1/leads/N-1", json=LEAD).json()
    assert (said["fate"], said["score"]) == ("added", None)
    row = {**ROWS["events"], "lead": "N-1"}
    assert served.post("/v1/events", json=[row]).json() == {
        "added": 1,
        "unchanged": 0,
        "rejected": [],
        "rescored": 0,
    }


def test_a_lead_that_must_not_be_scored_still_takes_facts(served_lite: Served) -> None:
    served_lite.put("/v1/leads/L-0001/do-not-score", json={"do_not_score": True})
    said = served_lite.post("/v1/events", json=[ROWS["events"]]).json()
    assert (said["added"], said["rescored"]) == (1, 0)
    said = served_lite.put("/v1/leads/L-0001", json=LEAD).json()
    assert said["score"] is None
    assert "objected" in said["warning"]


def test_facts_in_any_order_and_portion_leave_the_same_store(served_lite: Served) -> None:
    rows = [
        {"lead": f"L-000{i}", "kind": kind, "occurred_at": iso(NOW - n * DAY)}
        for i in range(3)
        for kind in ("visit", "webinar")
        for n in (1, 2)
    ]
    served_lite.post("/v1/events", json=rows)
    with served_lite.store.read() as connection:
        once = state(connection)
    for row in reversed(rows):
        assert served_lite.post("/v1/events", json=[row]).json()["unchanged"] == 1
    with served_lite.store.read() as connection:
        assert state(connection) == once
