"""Does the short way to a score say what the long one says, whatever is sent, and keep no rule aside?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from served import Serve, Served

from features.store.engine import Store
from features.store.ingest import set_do_not_score
from features.store.keys import revoke_key
from features.store.ledger import read_score
from models.forest_engine import ENGINE
from serving import short_way
from serving.plain_requests import plain_ask

CHANGING = ("score_id", "request_id")

LONG = "&plain=no"
"""A parameter that nobody knows is not plain, and changes nothing."""

NAMES = [
    "industry",
    "city",
    "channel",
    "employees",
    "growth",
    "newsletter",
    "founded",
    "age",
    "close_reason",
    "nobody_knows",
    "",
]
TEXTS = st.sampled_from(
    [
        "Retail",
        "Software",
        "Öffentlich",
        "Select",
        "Bonn",
        "",
        "a:b",
        "2026-01-02",
        "x" * 301,
        "\x00",
    ]
) | st.text(max_size=5)
NUMBERS = (
    st.sampled_from([0, -0.0, 7, 1e17, 1e18, -1e300, 10**18 - 1, 10**18, 10**30, 1e-7])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(10**6), 10**6)
)
VALUES = TEXTS | NUMBERS | st.booleans() | st.none() | st.just([1]) | st.just({})
ATTRIBUTES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8)
GOOD = st.fixed_dictionaries(
    {},
    optional={
        "industry": st.sampled_from(["Retail", "No", "Öffentlich", None]),
        "city": st.sampled_from(["Bonn", "Zürich", "nowhere yet", "", None]),
        "channel": st.sampled_from(["Select", "web", None]),
        "employees": st.integers(0, 10**6) | st.floats(0, 1e6) | st.none(),
        "growth": st.floats(-1e17, 1e17) | st.none(),
        "newsletter": st.booleans() | st.none(),
        "age": st.integers(0, 99),
        "close_reason": st.just("price"),
    },
)
LEADS = st.sampled_from(
    ["L-0001", "L-0000", "nobody", "sent", ".", "", "ä", 7, None, "a:b", "x" * 301]
)
BODIES = st.fixed_dictionaries(
    {"lead": LEADS},
    optional={
        "attributes": GOOD | ATTRIBUTES | st.none() | st.just("text"),
        "kind": st.sampled_from(["prospect", "client", "stranger", None, 7, [], {}]),
        "as_of": st.just("2026-04-01T00:00:00Z"),
        "more": st.just(1),
    },
)
GOOD_BODIES = st.fixed_dictionaries(
    {"lead": st.sampled_from(["sent", "L-0003"])},
    optional={"attributes": GOOD, "kind": st.sampled_from(["prospect", "client"])},
)


def asked_both_ways(served: Served, body: bytes, reasons: int = 5) -> Iterator[Any]:
    for way in ("", LONG):
        yield served.post(f"/v1/scores?reasons={reasons}{way}", content=body)


@contextmanager
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The bodies that the short way was asked to read, and could."""
    read: list[bytes] = []

    def counted(body: bytes, *rest: Any) -> Any:
        found = plain_ask(body, *rest)
        if found is not None:
            read.append(body)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(short_way, "plain_ask", counted)
        yield read


def told(answer: Any) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name not in CHANGING}


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(BODIES | GOOD_BODIES, st.sampled_from([0, 1, 5, 100]))
@example({"lead": "sent", "attributes": {"employees": 10**18}}, 5)
@example({"lead": "sent", "attributes": {"founded": ""}}, 5)
@example({"lead": "sent", "attributes": {"newsletter": 1}}, 5)
@example({"lead": "sent", "attributes": {"employees": True}}, 5)
def test_both_ways_say_the_same_of_whatever_is_sent(
    served_lite: Served, body: dict[str, Any], reasons: int
) -> None:
    ENGINE.wait()
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    short, long = asked_both_ways(served_lite, content, reasons)
    assert short.status_code == long.status_code
    assert told(short) == told(long)
    assert [*short.headers] == [*long.headers]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"lead": "sent", "attributes": {"employees": 5, "employees": 6}}', 400),
        ('{"lead": "sent", "attributes" : {"employees" :5, "employees":6}}', 400),
        ('{"lead": "a", "lead": "L-0001"}', 400),
        ('{"lead": "sent", "attributes": {"city": "a:b", "city": "c"}}', 400),
        (r'{"lead": "sent", "attributes": {"city": "\u003a", "city": "c"}}', 400),
        ('{"lead": "sent", "attributes": {"growth": NaN}}', 400),
        ('{"lead": "sent", "attributes": {"growth": 1e999}}', 400),
        ('{"lead": "sent", "attributes": {"growth": 1000000000000000000000}}', 400),
        ('{"lead": "sent", "attributes": {"city": "\\ud800"}}', 422),
        ('{"lead": "sent", "attributes": {"city": "\x01"}}', 400),
        ('\ufeff{"lead": "L-0001"}', 200),
        ('{"lead": "L-0001"', 400),
        ("[]", 422),
        ("", 400),
    ],
)
def test_what_is_no_plain_json_is_answered_by_the_strict_reader(
    served_lite: Served, body: str, status: int
) -> None:
    short, long = asked_both_ways(served_lite, body.encode())
    assert (short.status_code, long.status_code) == (status, status)
    assert told(short) == told(long)


@pytest.mark.usefixtures("keys_stay_known")
def test_plain_requests_do_go_the_short_way_and_others_do_not(
    served_lite: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    served_lite.post("/v1/scores", json={"lead": "L-0001"})  # the key is known from here on
    plain = [
        {"lead": "L-0001"},
        {"lead": "sent", "attributes": {"employees": 12, "city": "Zürich", "newsletter": True}},
        {"lead": "sent", "kind": "client"},
        {"lead": "sent", "attributes": {"channel": "Select", "age": 30}},
    ]
    others = [
        {"lead": "L-0001", "as_of": "2026-04-01T00:00:00Z"},
        {"lead": "sent", "attributes": {"founded": "2001-05-01"}},
        {"lead": "sent", "attributes": {"industry": "Mining"}},
    ]
    with counting(monkeypatch) as read:
        for body in (*plain, *others):
            served_lite.post("/v1/scores", json=body)
        served_lite.post("/v1/scores", json=plain[1], headers={"Idempotency-Key": "k"})
        served_lite.call("POST", "/v1/scores", "rep", json=plain[1])
        served_lite.call("POST", "/v1/scores", "anonymous", json=plain[1])
    assert [json.loads(body) for body in read] == plain


@pytest.mark.parametrize("durability", ["durable", "queued"])
def test_who_objects_is_not_scored_whatever_brings_the_facts(
    serve: Serve, company_store: Store, durability: str
) -> None:
    served = serve(company_store, ledger_durability=durability)
    body = {"lead": "L-0005", "attributes": {"employees": 12}}
    assert served.post("/v1/scores", json=body).status_code == 200
    with served.store.write() as connection:
        set_do_not_score(connection, "L-0005", True)
    short, long = asked_both_ways(served, json.dumps(body).encode())
    assert (short.status_code, long.status_code) == (409, 409)
    assert told(short) == told(long)


def test_both_ways_leave_the_same_in_the_ledger(served_lite: Served) -> None:
    ENGINE.wait()
    body = {"lead": "sent", "attributes": {"employees": 12, "city": "Bonn", "growth": 1e-7}}
    kept = []
    for answer in asked_both_ways(served_lite, json.dumps(body).encode()):
        with served_lite.store.read() as connection:
            row = read_score(connection, answer.json()["score_id"])
        assert row is not None
        kept.append({k: v for k, v in row.items() if k not in ("id", "request_id")})
        assert row["request_id"] == answer.headers["x-request-id"]
    assert kept[0] == kept[1]
    assert kept[0]["channel"] == "payload"


def test_a_revoked_key_is_refused_on_the_short_way_too(serve: Serve, company_store: Store) -> None:
    served = serve(company_store, key_cache_seconds=0.0)
    assert served.post("/v1/scores", "crm", json={"lead": "L-0001"}).status_code == 200
    with served.store.write() as connection:
        revoke_key(connection, "crm", served.clock())
    assert served.post("/v1/scores", "crm", json={"lead": "L-0001"}).status_code == 401


def test_the_short_way_counts_in_the_callers_pace(serve: Serve, company_store: Store) -> None:
    served = serve(company_store, key_rate=0.001, key_burst=4)
    answers = [served.post("/v1/scores", "crm", json={"lead": "L-0001"}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
    left = [answer.headers["ratelimit"].split(";")[1] for answer in answers[:4]]
    assert left == ["r=3", "r=2", "r=1", "r=0"]


def test_a_body_that_comes_in_pieces_or_is_not_plain_is_read_once(served_lite: Served) -> None:
    served_lite.post("/v1/scores", json={"lead": "L-0001"})
    pieces = iter([b'{"lead": ', b'"L-0001"}'])
    assert served_lite.post("/v1/scores", content=pieces).status_code == 200
    body = {"lead": "sent", "attributes": {"founded": "2001-05-01"}}
    assert served_lite.post("/v1/scores", json=body).status_code == 200


def test_a_score_that_waits_shows_in_the_figures_and_errors_are_counted(
    served_lite: Served,
) -> None:
    for lead in ("nobody", "nobody", "L-0001"):
        served_lite.post("/v1/scores", json={"lead": lead})
    told = served_lite.get("/metrics").text
    assert 'propensity_score_refusals_total{reason="not-found"} 2.0' in told
    assert "propensity_ledger_waiting 0.0" in told
    label = 'method="POST",route="/v1/scores"'
    assert f'propensity_requests_total{{{label},status="404"}} 2.0' in told
