"""May each caller do just what the table says? Every route, every sort of caller, one status each.

The routes come from the app: a new one fails here until somebody has thought about its row.
"""

from __future__ import annotations

from typing import Any

import pytest
from agreed import NOW
from fastapi.routing import iter_route_contexts
from served import Served, sign_in

from features.clock import DAY, HOUR
from features.store.access import remove_user
from features.store.keys import create_key
from serving.security import SESSION_COOKIE

CALLERS = (
    "nobody",
    "crm key",
    "analyst key",
    "rep key",
    "other rep's key",
    "admin key",
    "revoked key",
    "expired key",
    "analyst",
    "rep",
    "other rep",
    "admin",
    "expired session",
    "idle session",
    "removed person",
)
"""Keys, and people who are signed in. The lead asked about is the rep's, not the other rep's."""

TABLE = """
POST /v1/scores                       401   200 200 403 403 200 401 401   200 403 403 200 401 401 401
POST /v1/scores/batch                 401   200 200 403 403 200 401 401   200 403 403 200 401 401 401
GET /v1/leads/{lead}                  401   200 200 200 404 200 401 401   200 200 404 200 401 401 401
PUT /v1/leads/{lead}                  401   200 403 403 403 200 401 401   403 403 403 200 401 401 401
PUT /v1/leads/{lead}/do-not-score     401   200 403 403 403 200 401 401   403 403 403 200 401 401 401
GET /v1/leads/{lead}/score            401   200 200 200 404 200 401 401   200 200 404 200 401 401 401
GET /v1/leads/{lead}/scores           401   200 200 200 404 200 401 401   200 200 404 200 401 401 401
GET /v1/leads/{lead}/questions        401   200 200 200 404 200 401 401   200 200 404 200 401 401 401
GET /v1/leads/{lead}/changes          401   200 200 200 404 200 401 401   200 200 404 200 401 401 401
POST /v1/answers                      401   200 403 403 403 200 401 401   403 403 403 200 401 401 401
POST /v1/events                       401   200 403 403 403 200 401 401   403 403 403 200 401 401 401
POST /v1/stages                       401   200 403 403 403 200 401 401   403 403 403 200 401 401 401
POST /v1/deals                        401   200 200 403 403 200 401 401   200 403 403 200 401 401 401
GET /v1/queue                         401   200 200 200 200 200 401 401   200 200 200 200 401 401 401
GET /v1/model                         401   200 200 200 200 200 401 401   200 200 200 200 401 401 401
GET /v1/model/card                    401   200 200 200 200 200 401 401   200 200 200 200 401 401 401
GET /v1/reports/latest                401   403 404 403 403 404 401 401   404 403 403 404 401 401 401
GET /metrics                          401   403 200 403 403 200 401 401   200 403 403 200 401 401 401
GET /health                           200   200 200 200 200 200 200 200   200 200 200 200 200 200 200
GET /health/live                      200   200 200 200 200 200 200 200   200 200 200 200 200 200 200
GET /health/ready                     200   200 200 200 200 200 200 200   200 200 200 200 200 200 200
GET /v2/health/live                   200   200 200 200 200 200 200 200   200 200 200 200 200 200 200
GET /v2/health/ready                  200   200 200 200 200 200 200 200   200 200 200 200 200 200 200
GET /openapi.json                     200   200 200 200 200 200 200 200   200 200 200 200 200 200 200
GET /static                           200   200 200 200 200 200 200 200   200 200 200 200 200 200 200
GET /                                 303   303 303 303 303 303 303 303   303 303 303 303 303 303 303
GET /sign-in                          200   200 200 200 200 200 200 200   303 303 303 303 200 200 200
POST /sign-in                         403   403 403 403 403 403 403 403   403 403 403 403 403 403 403
GET /queue                            401   403 403 403 403 403 401 401   200 200 200 200 401 401 401
GET /queue/rows                       401   403 403 403 403 403 401 401   200 200 200 200 401 401 401
GET /leads/{lead:path}                401   403 403 403 403 403 401 401   200 200 404 200 401 401 401
GET /model                            401   403 403 403 403 403 401 401   200 200 200 200 401 401 401
GET /reports                          401   403 403 403 403 403 401 401   200 403 403 200 401 401 401
POST /v1/webhooks/{source}            401   401 401 401 401 401 401 401   401 401 401 401 401 401 401
DELETE /v1/leads/{lead}               401   403 403 403 403 200 401 401   403 403 403 200 401 401 401
POST /sign-out                        401   403 403 403 403 403 401 401   303 303 303 303 401 401 401
"""
"""A column for each of the callers, in their order; whoever signs out does it last."""

BODIES: dict[str, Any] = {
    "POST /v1/scores": {"lead": "L-0000"},
    "POST /v1/scores/batch": {"leads": [{"lead": "L-0000"}]},
    "PUT /v1/leads/{lead}": {"owner": "anna"},
    "PUT /v1/leads/{lead}/do-not-score": {"do_not_score": False},
    "POST /v1/answers": [
        {
            "lead": "L-0000",
            "question": "pain",
            "answer": "Severe",
            "occurred_at": "2026-04-01T00:00:00Z",
        }
    ],
    "POST /v1/events": [{"lead": "L-0000", "kind": "visit", "occurred_at": "2026-04-01T00:00:00Z"}],
    "POST /v1/stages": [
        {"lead": "L-0000", "stage": "qualified", "occurred_at": "2026-04-01T00:00:00Z"}
    ],
    "POST /v1/deals": [{"lead": "L-0009", "ending": "lost", "occurred_at": "2026-04-01T00:00:00Z"}],
}


@pytest.fixture(scope="module")
def expected() -> dict[str, list[int]]:
    rows = (line.split() for line in TABLE.strip().splitlines())
    return {f"{method} {path}": [int(s) for s in statuses] for method, path, *statuses in rows}


@pytest.fixture
def callers(served_lite: Served) -> dict[str, dict[str, str]]:
    """What each caller sends to be known."""
    found: dict[str, dict[str, str]] = {"nobody": {}}
    with served_lite.store.write() as connection:
        served_lite.keys["other rep's"] = create_key(connection, "ben", "rep", NOW)
        served_lite.keys["expired"] = create_key(connection, "past", "admin", NOW - 3 * DAY, days=2)
    for name in ("crm", "analyst", "rep", "other rep's", "admin", "revoked", "expired"):
        found[f"{name} key"] = {"X-API-Key": served_lite.keys[name]}
    people = {
        "analyst": ("ines", "analyst", None, 0),
        "rep": ("anna k", "rep", "anna", 0),
        "other rep": ("ben o", "rep", "ben", 0),
        "admin": ("root", "admin", None, 0),
        "expired session": ("late", "admin", None, 13 * HOUR),
        "idle session": ("away", "admin", None, HOUR),
        "removed person": ("gone", "admin", None, 0),
    }
    for name, (person, role, owner, ago) in people.items():
        token, csrf = sign_in(served_lite, person, role, owner, at=NOW - ago)
        found[name] = {"Cookie": f"{SESSION_COOKIE}={token}", "X-CSRF-Token": csrf}
    with served_lite.store.write() as connection:
        remove_user(connection, "gone")
    return found


def test_every_route_answers_every_caller_as_the_table_says(
    served_lite: Served, callers: dict[str, dict[str, str]], expected: dict[str, list[int]]
) -> None:
    assert set(callers) == set(CALLERS)
    assert set(expected) == routes_of(served_lite)
    found = {
        route: [status(served_lite, route, callers[caller]) for caller in CALLERS]
        for route in expected
    }
    different = [
        (route, caller, got, wanted)
        for route, statuses in expected.items()
        for caller, got, wanted in zip(CALLERS, found[route], statuses, strict=True)
        if got != wanted
    ]
    assert not different


def routes_of(served: Served) -> set[str]:
    """Every address that the app answers; files under /static are mounted and got by GET."""
    return {
        f"{method} {route.path}"
        for route in iter_route_contexts(served.client.app.routes)  # type: ignore[attr-defined]
        for method in route.methods or {"GET"}
        if method != "HEAD"
    }


def status(served: Served, route: str, caller: dict[str, str]) -> int:
    method, path = route.split(" ")
    path = path.replace("{lead:path}", "L-0000").replace("{lead}", "L-0000")
    path = "/static/app.css" if path == "/static" else path
    body = {"json": BODIES[route]} if route in BODIES else {}
    served.client.cookies.clear()
    path += "?since=2026-04-25T00:00:00Z" if path.endswith("/changes") else ""
    answer = served.client.request(method, path, headers=caller, follow_redirects=False, **body)
    found: int = answer.status_code
    return found
