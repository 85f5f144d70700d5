"""Does any input make the service fail, or leave something half written? Never a 500, never half.

Every example is sent to the real service; after each group the store holds what it held before.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from agreed import NOW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import Served
from stores import state

from features.clock import DAY, iso
from features.errors import InputError
from serving.errors import unkept
from serving.intake import EVENTS, take
from serving.once import Unkeyed

THEN = iso(NOW - DAY)
ANSWER = {"lead": "L-0001", "question": "pain", "answer": "Severe", "occurred_at": THEN}
EVENT = {"lead": "L-0001", "kind": "visit", "occurred_at": THEN}
STAGE = {"lead": "L-0001", "stage": "qualified", "occurred_at": THEN}
DEAL = {"lead": "L-0001", "ending": "won", "occurred_at": THEN}
GOOD: dict[str, dict[str, Any]] = {
    "answers": ANSWER,
    "events": EVENT,
    "stages": STAGE,
    "deals": DEAL,
}

BAD_TEXT = ["\ud800", "a\udfffb", "\x00", "L-0001\x00", "x" * 301, ""]
BAD_TIME: list[Any] = [
    "2026-04-30T12:00:00",
    "2026-04-30",
    "yesterday",
    "",
    "2026-13-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "99999-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59",
    iso(NOW + DAY),
    1_777_636_800,
    1e300,
    None,
    True,
    [],
    {},
]
WRONG: list[Any] = [None, True, 7, 1.5, [], ["x"], {}, {"x": 1}, 10**18 - 1]


def everything(served: Served) -> Any:
    """All that is in the store, but for scores: asking is no change."""
    with served.store.read() as connection:
        return state(connection)


def is_clear(answer: Any, *, rows: bool = False) -> bool:
    """Whether an answer is a problem that says something; bulk answers may name their bad rows."""
    if rows and answer.status_code == 200:
        return bool(answer.json().get("rejected"))
    return (
        400 <= answer.status_code < 500
        and answer.headers["content-type"] == "application/problem+json"
        and bool(answer.json()["detail"])
    )


@pytest.fixture
def unchanged(served: Served) -> Any:
    """The service; its facts must be afterwards what they were before."""
    before = everything(served)
    yield served
    assert everything(served) == before


@pytest.mark.parametrize("path", ["/v1/scores", "/v1/scores/batch", *(f"/v1/{s}" for s in GOOD)])
def test_what_is_no_json_is_refused_everywhere(served_lite: Served, path: str) -> None:
    before = everything(served_lite)
    for body in (
        b"",
        b"{",
        b"not json",
        b'{"lead": NaN}',
        b'{"lead": 1e400}',
        b'{"lead": Infinity}',
        b'{"lead": "L-0001", "lead": "L-0002"}',
        b'{"lead": "\xff"}',
        b"[" * 50_000,
        b"null",
        b"7",
        b'"L-0001"',
        b"[]",
        b"{}",
    ):
        answer = served_lite.post(path, content=body)
        assert is_clear(answer), (body[:40], answer.status_code, answer.text)
    assert everything(served_lite) == before


@pytest.mark.parametrize("text", BAD_TEXT)
def test_text_that_cannot_be_stored_is_refused_wherever_it_stands(
    unchanged: Served, text: str
) -> None:
    fact = {"kind": "visit", "occurred_at": THEN}
    answered = {"question": "pain", "answer": text, "occurred_at": THEN}
    for body in (
        {"lead": text},
        {"lead": "x", "attributes": {"city": text}} if text else {"lead": text},
        {"lead": "x", "attributes": {text: "Bonn"}},
        {"lead": "x", "events": [{**fact, "kind": text}]},
        {"lead": "x", "events": [{**fact, "channel": text}]},
        {"lead": "x", "answers": [answered]},
        {text: "x"},
    ):
        assert is_clear(unchanged.post("/v1/scores", content=json.dumps(body))), body
        batch = unchanged.post("/v1/scores/batch", content=json.dumps({"leads": [body]}))
        assert batch.status_code == 200
        assert batch.json()["refused"] == 1
    for sort, good in GOOD.items():
        for name in ("lead", "source", "external_id", *(k for k in good if k != "occurred_at")):
            rows = [{**good, name: text}]
            answer = unchanged.post(f"/v1/{sort}", content=json.dumps(rows))
            assert is_clear(answer, rows=True), (sort, name, answer.text)
    for body in ({"owner": text}, {"name": text}, {"source": text}, {"external_id": text}):
        assert is_clear(unchanged.put("/v1/leads/N-1", content=json.dumps(body))), body


@pytest.mark.parametrize("time", BAD_TIME, ids=repr)
def test_times_that_are_none_naive_or_to_come_are_refused(served_lite: Served, time: Any) -> None:
    before = everything(served_lite)
    event = {"kind": "visit", "occurred_at": time}
    bodies = [{"lead": "x", "events": [event]}]
    if time is not None:
        bodies += [
            {"lead": "L-0001", "as_of": time},
            {"lead": "x", "opened_at": time},
            {"lead": "x", "events": [{**EVENT, "recorded_at": time}]},
        ]
    for body in bodies:
        assert is_clear(served_lite.post("/v1/scores", json=body)), body
    for sort, good in GOOD.items():
        rows = [{**good, "occurred_at": time}]
        assert is_clear(served_lite.post(f"/v1/{sort}", json=rows)), sort
        if time is not None:
            rows = [{**good, "recorded_at": time}]
            assert is_clear(served_lite.post(f"/v1/{sort}", json=rows)), sort
    if time is not None:
        assert is_clear(served_lite.put("/v1/leads/N-1", json={"occurred_at": time}))
    assert everything(served_lite) == before


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_wrong_types_are_refused_field_by_field(served_lite: Served, wrong: Any) -> None:
    before = everything(served_lite)
    whole = {
        "lead": "x",
        "kind": "prospect",
        "attributes": {},
        "answers": [],
        "events": [],
        "opened_at": THEN,
        "as_of": THEN,
    }
    may_be = {"attributes": ({},), "answers": ([],), "events": ([],)}
    for name in whole:
        if (wrong is None and name != "lead") or wrong in may_be.get(name, ()):
            continue
        body = {**whole, name: wrong}
        assert is_clear(served_lite.post("/v1/scores", json=body)), body
    for sort, good in GOOD.items():
        for name in good:
            answer = served_lite.post(f"/v1/{sort}", json=[{**good, name: wrong}])
            assert is_clear(answer), (sort, name)
        assert is_clear(served_lite.post(f"/v1/{sort}", json=[wrong]))
        assert is_clear(served_lite.post(f"/v1/{sort}", json={"rows": wrong}))
    assert everything(served_lite) == before


@pytest.mark.parametrize(
    ("attribute", "values"),
    [
        ("industry", ["Mining", 3, True, 1.5]),
        ("city", [3, True, []]),
        ("employees", ["12", True, [1], {}]),
        ("newsletter", ["yes", 1, 0.0]),
        ("founded", ["the year dot", "2001-13-01", 2001, True, "2001-01-01T00:00:00", "1.1.2001"]),
    ],
)
def test_an_attribute_of_another_type_is_refused_by_name(
    served_lite: Served, attribute: str, values: list[Any]
) -> None:
    for value in values:
        answer = served_lite.post(
            "/v1/scores", json={"lead": "x", "attributes": {attribute: value}}
        )
        assert answer.status_code == 422, (value, answer.text)
        (field,) = {problem["field"] for problem in answer.json()["problems"]}
        assert field.endswith(attribute)


def test_numbers_at_the_ends_of_their_range_are_scored(served_lite: Served) -> None:
    for value in (1.7e308, -1.7e308, 5e-324, -0.0, 10**17, 0):
        answer = served_lite.post(
            "/v1/scores", json={"lead": "x", "attributes": {"growth": value, "employees": value}}
        )
        assert answer.status_code == 200, (value, answer.text)


@pytest.mark.parametrize("lead", ["%00", "a%00b", "%ff", "%ED%A0%80", "x" * 400, "%20", "..%2F.."])
def test_a_strange_lead_in_the_address_is_not_found_or_refused(served: Served, lead: str) -> None:
    for method, path in (("GET", ""), ("GET", "/score"), ("GET", "/scores")):
        answer = served.call(method, f"/v1/leads/{lead}{path}")
        assert is_clear(answer), (method, path, answer.status_code)
        assert answer.status_code in (404, 422)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=1001",
        "limit=ten",
        "limit=99999999999999999999999",
        "offset=-1",
        "offset=99999999999999999999999",
        "kind=human",
        "q=%00",
        "q=%ff%00",
        "owner=%00",
        "route=%00",
        "q=" + "x" * 301,
    ],
)
def test_a_strange_question_to_the_queue_is_refused(served: Served, query: str) -> None:
    answer = served.get(f"/v1/queue?{query}")
    assert answer.status_code == 422
    assert is_clear(answer)


@pytest.mark.parametrize("text", ["%", "_", "\\", "'", '"', "ß", "💥", "%ff", "';drop table leads"])
def test_search_takes_any_text_as_text(served: Served, text: str) -> None:
    served.get("/v1/leads/L-0001/score")
    answer = served.client.get("/v1/queue", params={"q": text}, headers=served.headers("admin"))
    assert answer.status_code == 200
    assert answer.json()["total"] == 0


def test_no_answer_repeats_what_was_sent(served_lite: Served) -> None:
    secret = "Erika Mustermann"
    for method, path, body in (
        ("POST", "/v1/scores", {"lead": [secret]}),
        ("POST", "/v1/scores", {"lead": secret}),
        ("POST", "/v1/scores", {"lead": "x", "kind": secret}),
        ("POST", "/v1/scores", {"lead": "x", "attributes": {"industry": secret}}),
        ("POST", "/v1/scores", {"lead": "x", "as_of": secret}),
        ("POST", "/v1/scores", {"lead": "x", "events": [{**EVENT, "kind": secret}]}),
        ("POST", "/v1/scores/batch", {"leads": secret}),
        ("POST", "/v1/scores/batch", {"leads": [{"lead": secret, "kind": secret}]}),
        ("PUT", "/v1/leads/N-1", {"owner": [secret], "kind": secret}),
        *(("POST", f"/v1/{sort}", [{**good, "lead": secret}]) for sort, good in GOOD.items()),
    ):
        answer = served_lite.call(method, path, json=body)
        assert secret not in answer.text, (path, body)
        assert answer.status_code != 500


rows_of_anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from([THEN, "L-0001", "visit", "pain", "Severe", "qualified", "won"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [*ANSWER, *EVENT, "attributes", "events", "as_of", "rows", "leads", "kind"]
            )
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["/v1/scores", "/v1/scores/batch", *(f"/v1/{sort}" for sort in GOOD)]),
    body=rows_of_anything,
    wrapped=st.sampled_from([None, "leads", "rows"]),
)
def test_whatever_is_sent_the_service_does_not_fail(
    served_lite: Served, path: str, body: Any, wrapped: str | None
) -> None:
    sent = body if wrapped is None else {wrapped: [body]}
    answer = served_lite.post(path, content=json.dumps(sent))
    assert answer.status_code < 500, answer.text
    assert answer.headers["content-type"] in ("application/json", "application/problem+json")


def test_of_many_bad_rows_few_problems_are_kept_and_all_are_counted(served_lite: Served) -> None:
    fields = {f"unknown field number {i}": 1 for i in range(150)}
    rows = [{"lead": "L-0000", "kind": "visit", "occurred_at": THEN, **fields}] * 300
    parts, once = served_lite.service, Unkeyed()
    with pytest.raises(InputError) as refused:
        take(parts, EVENTS, rows, NOW, once)
    kept = refused.value.problems
    assert 300 <= len(kept) < 6_000
    assert len(kept) + unkept(kept) == 150 * 300
    answer = served_lite.post("/v1/events", content=json.dumps(rows)).json()
    assert answer["problems"][-1]["message"] == f"{150 * 300 - 100} more problems are not listed"


def test_bad_rows_make_no_huge_answer(served_lite: Served) -> None:
    """Each row is named and has a problem; the rest is counted, not listed."""
    n, fields = 2_000, {f"unknown field number {i}": 1 for i in range(50)}
    good = {"lead": "L-0000", "kind": "visit", "occurred_at": THEN}
    for path, rows in (
        ("/v1/events", [good, *[{**good, **fields}] * n]),
        ("/v1/scores/batch", {"leads": [{"lead": "x", **fields}] * n}),
        ("/v1/scores/batch", {"leads": [{"lead": "x", "attributes": fields}] * n}),
        ("/v1/stages", [{**good, **fields}] * n),
    ):
        sent = json.dumps(rows)
        answer = served_lite.post(path, content=sent)
        assert len(answer.content) < len(sent) / 2, path
        bad = answer.json().get("rejected") or [
            {"index": row["index"], **row["error"]} for row in answer.json().get("results", ())
        ]
        if answer.status_code == 200:
            assert len({row["index"] for row in bad}) == n
            assert {len(row["problems"]) for row in bad} == {2}
            assert "more problems are not listed" in bad[-1]["problems"][-1]["message"]
        else:
            assert len(answer.json()["problems"]) == 101
