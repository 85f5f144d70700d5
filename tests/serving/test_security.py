"""Does the table decide who may do what: every route, every role, nobody else?"""

from __future__ import annotations

import time
from typing import Any

import pytest
from agreed import NOW
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from models_made import fill, workspace_of
from served import Clock, Serve, Served, TestClient, calm, sign_in

from features.clock import HOUR, MINUTE
from features.definition import Definition
from features.store.access import ROLES, remove_user
from features.store.engine import Store
from features.store.history import profiles
from features.store.keys import list_keys, revoke_key
from serving.app import create_app
from serving.security import ACCESS, PUBLIC, SESSION_COOKIE, SIGNED, require_sight, sees_owner

CALLERS = ("anonymous", "revoked", "unknown", *ROLES)
MACHINE_ROUTES = sorted(
    route for route in ACCESS if " /v1/" in route or route.endswith((" /metrics", "/openapi.json"))
)


def routes_of(app: FastAPI) -> set[str]:
    """Every address that the app answers, as the table names them."""
    found = set()
    for route in iter_route_contexts(app.routes):
        # Files under /static are mounted: anybody may fetch them, by GET alone.
        for method in sorted(route.methods or {"GET"}):
            if method != "HEAD":
                found.add(f"{method} {route.path}")
    return found


def test_every_route_has_a_row_and_every_row_a_route(sqlite_store: Store, tmp_path: Any) -> None:
    app = create_app(calm(), workspace_of(sqlite_store, tmp_path), Clock())
    assert routes_of(app) == set(ACCESS)


def test_a_route_without_a_row_lets_nobody_in(sqlite_store: Store, tmp_path: Any) -> None:
    app = create_app(calm(), workspace_of(sqlite_store, tmp_path), Clock())

    @app.get("/v1/forgotten")
    def forgotten() -> str:
        raise AssertionError("let in")

    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/v1/forgotten").status_code == 403


@pytest.fixture(scope="module")
def asked() -> dict[str, dict[str, Any]]:
    """A request that would do for each route, were the caller let in."""
    return {
        "POST /v1/scores": {"json": {"lead": "L-0000"}},
        "POST /v1/scores/batch": {"json": {"leads": [{"lead": "L-0000"}]}},
        "PUT /v1/leads/{lead}": {"json": {"owner": "anna"}},
        "PUT /v1/leads/{lead}/do-not-score": {"json": {"do_not_score": False}},
        **{f"POST /v1/{sort}": {"json": []} for sort in ("answers", "events", "stages", "deals")},
    }


def test_each_route_lets_in_just_the_roles_of_its_row(
    served_lite: Served, asked: dict[str, dict[str, Any]]
) -> None:
    served_lite.keys["unknown"] = "pk_" + "0" * 40
    wrong = []
    for route in MACHINE_ROUTES:
        method, path = route.split(" ")
        allowed = ACCESS[route]
        for caller in CALLERS:
            # L-0000 is anna's, and so is the rep's key.
            answer = served_lite.call(
                method, path.replace("{lead}", "L-0000"), caller, **asked.get(route, {})
            )
            known = caller in ROLES
            if route in SIGNED:  # no key is a signature
                fits = answer.status_code == 401
            elif allowed is PUBLIC or (known and caller in allowed):
                fits = answer.status_code not in (401, 403)
            else:
                fits = answer.status_code == (403 if known else 401)
            if not fits:
                wrong.append((route, caller, answer.status_code))
    assert not wrong


def test_a_key_opens_no_page_and_a_page_asks_who_is_there(served_lite: Served) -> None:
    pages = [route for route in ACCESS if route not in MACHINE_ROUTES and ACCESS[route] != PUBLIC]
    assert pages
    for route in pages:
        method, path = route.split(" ")
        address = path.replace("{lead:path}", "L-0000")
        answer = served_lite.call(method, address, "crm")
        assert answer.status_code == 403, route
        answer = served_lite.call(method, address, "anonymous", follow_redirects=False)
        assert answer.status_code == 401, route


@pytest.mark.parametrize(
    "header",
    [
        {"Authorization": "Bearer {key}"},
        {"Authorization": "bearer  {key}"},
        {"X-API-Key": "{key}"},
        {"Authorization": "Basic Zm9v", "X-API-Key": "{key}"},
    ],
)
def test_a_key_may_come_in_either_header(served_lite: Served, header: dict[str, str]) -> None:
    key = served_lite.keys["crm"]
    headers = {name: value.format(key=key) for name, value in header.items()}
    assert served_lite.client.get("/v1/model", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Basic Zm9v", "pk_", "Bearer \xff\xfe", "Bearer a b"]
)
def test_nonsense_instead_of_a_key_lets_nobody_in(served_lite: Served, value: str) -> None:
    headers = {"Authorization": value.encode("latin-1")}
    answer = served_lite.client.get("/v1/model", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_key_is_refused_at_the_latest_after_its_cache(
    serve: Serve, store: Store, definition: Definition
) -> None:
    fill(store, definition)
    served = serve(store, key_cache_seconds=0.0)
    assert served.get("/v1/model", "crm").status_code == 200
    with served.store.write() as connection:
        revoke_key(connection, "crm", NOW)
    assert served.get("/v1/model", "crm").status_code == 401


def test_a_rep_sees_the_own_leads_and_no_sign_of_others(served: Served) -> None:
    with served.store.read() as connection:
        owner = {
            lead: profile.owner
            for lead, profile in profiles(connection, ["L-0000", "L-0001", "L-0002"]).items()
        }
    assert owner == {"L-0000": "anna", "L-0001": "ben", "L-0002": None}
    for path in ("", "/score", "/scores"):
        assert served.get(f"/v1/leads/L-0000{path}", "rep").status_code == 200
        others = served.get(f"/v1/leads/L-0001{path}", "rep")
        nobody = served.get(f"/v1/leads/L-0002{path}", "rep")
        assert others.status_code == nobody.status_code == 404
    for i in range(6):
        served.get(f"/v1/leads/L-000{i}/score")
    for query in ("", "?owner=ben", "?owner=anna"):
        rows = served.get(f"/v1/queue{query}", "rep").json()["rows"]
        assert {row["owner"] for row in rows} == {"anna"}
    rows = served.get("/v1/queue", "analyst").json()["rows"]
    assert {row["owner"] for row in rows} == {"anna", "ben", None}


def test_a_session_reads_the_api_as_its_person(served_lite: Served) -> None:
    token, _ = sign_in(served_lite, "anna k", "rep", "anna")
    cookies = {"Cookie": f"{SESSION_COOKIE}={token}"}
    assert served_lite.client.get("/v1/leads/L-0000/score", headers=cookies).status_code == 200
    assert served_lite.client.get("/v1/leads/L-0001/score", headers=cookies).status_code == 404
    assert served_lite.client.get("/metrics", headers=cookies).status_code == 403
    served_lite.clock.now += 13 * HOUR
    assert served_lite.client.get("/v1/leads/L-0000/score", headers=cookies).status_code == 401


def test_what_a_session_changes_needs_its_token_and_its_own_site(served_lite: Served) -> None:
    token, csrf = sign_in(served_lite, "boss", "admin")
    cookie = {"Cookie": f"{SESSION_COOKIE}={token}"}

    def put(**headers: str | bytes) -> int:
        given = {**cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        body = {"do_not_score": False}
        path = "/v1/leads/L-0000/do-not-score"
        status: int = served_lite.client.put(path, json=body, headers=given).status_code
        return status

    assert put() == 403
    assert put(x_csrf_token="") == 403
    assert put(x_csrf_token=csrf[:-1] + "~") == 403
    assert put(x_csrf_token="ß".encode("latin-1")) == 403
    assert put(x_csrf_token=csrf, sec_fetch_site="cross-site") == 403
    assert put(x_csrf_token=csrf, sec_fetch_site="same-site") == 403
    assert put(x_csrf_token=csrf) == 200
    assert put(x_csrf_token=csrf, sec_fetch_site="same-origin") == 200


def test_a_form_of_another_site_cannot_pass_for_json(served_lite: Served) -> None:
    token, csrf = sign_in(served_lite, "boss", "admin")
    answer = served_lite.client.post(
        "/v1/events", data={"csrf": csrf}, headers={"Cookie": f"{SESSION_COOKIE}={token}"}
    )
    assert answer.status_code == 403


def test_who_is_not_let_in_has_no_body_read(served_lite: Served) -> None:
    for content in (b"{", b"\xff", b"[" * 100_000):
        assert served_lite.post("/v1/scores", "anonymous", content=content).status_code == 401
        assert served_lite.post("/v1/scores", "rep", content=content).status_code == 403


def test_a_rep_without_an_owner_owns_under_the_own_name() -> None:
    from features.errors import NotFoundError
    from features.store.access import Caller

    rep = Caller("anna", "rep")
    assert sees_owner(rep) == "anna"
    assert sees_owner(Caller("x", "rep", "ben")) == "ben"
    assert sees_owner(Caller("x", "analyst", "ben")) is None
    require_sight(rep, "anna")
    for owner in ("ben", None, ""):
        with pytest.raises(NotFoundError):
            require_sight(rep, owner)


def test_a_key_that_is_revoked_is_refused_on_every_server_after_a_second(
    serve: Serve, store: Store, definition: Definition
) -> None:
    fill(store, definition)
    one = serve(store)
    app = create_app(calm(), workspace_of(Store(_url(store)), one.workspace.data_dir), Clock())
    with TestClient(app, raise_server_exceptions=False) as client:
        other = Served(client, one.workspace, one.clock, one.keys)
        servers = (one, other)
        assert [each.get("/v1/model", "crm").status_code for each in servers] == [200, 200]
        with one.store.write() as connection:
            revoke_key(connection, "crm", NOW)
        time.sleep(1.0)
        assert [each.get("/v1/model", "crm").status_code for each in servers] == [401, 401]


def test_a_person_who_is_removed_is_out_on_every_server_at_once(
    serve: Serve, company_store: Store
) -> None:
    one = serve(company_store)
    token, _ = sign_in(one, "ines", "analyst")
    cookie = {"Cookie": f"{SESSION_COOKIE}={token}"}
    app = create_app(
        calm(), workspace_of(Store(_url(company_store)), one.workspace.data_dir), Clock()
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        clients = (one.client, client)
        assert [c.get("/v1/model", headers=cookie).status_code for c in clients] == [200, 200]
        with one.store.write() as connection:
            remove_user(connection, "ines")
        assert [c.get("/v1/model", headers=cookie).status_code for c in clients] == [401, 401]


def _url(store: Store) -> str:
    return store.url.render_as_string(hide_password=False)


def test_when_a_key_was_last_used_is_written_down_and_who_was_refused_used_nothing(
    served: Served,
) -> None:
    served.clock.now = NOW + HOUR
    for role in ("crm", "crm", "analyst", "revoked"):
        served.get("/v1/model", role)
    served.service.keys.note_uses()
    served.clock.now = NOW + 2 * HOUR
    served.get("/v1/model", "crm")
    served.service.keys.note_uses()
    served.service.keys.note_uses()
    with served.store.read() as connection:
        used = {key.role: key.used_at for key in list_keys(connection) if key.name != "old"}
    assert used == {"crm": NOW + 2 * HOUR, "analyst": NOW + HOUR, "rep": None, "admin": None}


def test_a_session_in_use_stays_and_one_that_idles_ends(served: Served) -> None:
    token, _ = sign_in(served, "ines", "analyst")
    cookie = {"Cookie": f"{SESSION_COOKIE}={token}"}
    for minutes, status in ((30, 200), (80, 200), (139, 200), (200, 401), (199, 401)):
        served.clock.now = NOW + minutes * MINUTE
        assert served.client.get("/v1/model", headers=cookie).status_code == status, minutes


def test_anothers_lead_and_one_that_is_not_there_get_the_same_answer(served_lite: Served) -> None:
    for path in ("", "/score", "/scores", "/questions", "/changes?since=2026-04-25T00:00:00Z"):
        answers = [
            served_lite.get(
                f"/v1/leads/{lead}{path}", "rep", headers={"X-Request-Id": "one-and-the-same"}
            )
            for lead in ("L-0001", "L-0002", "L-9999")
        ]
        assert {answer.status_code for answer in answers} == {404}
        assert len({answer.content for answer in answers}) == 1
        told = [{k: v for k, v in answer.headers.items() if k != "ratelimit"} for answer in answers]
        assert told[0] == told[1] == told[2]


def test_browsers_are_told_to_insist_on_https_where_it_is_spoken(
    serve: Serve, company_store: Store
) -> None:
    served = serve(company_store, hsts_seconds=31_536_000, secure_cookies=True)
    for path in ("/health", "/sign-in", "/nothing", "/v1/model", "/static/app.css"):
        answer = served.client.get(path)
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
    (cookie,) = served.client.get("/sign-in").headers.get_list("set-cookie")
    assert {"Secure", "HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))


def test_a_service_that_has_names_answers_to_no_other(serve: Serve, company_store: Store) -> None:
    served = serve(company_store, hosts="leads.example, localhost")
    for host, status in (
        ("leads.example", 200),
        ("LEADS.example:8443", 200),
        ("localhost:8000", 200),
        ("evil.example", 421),
        ("leads.example.evil.example", 421),
        ("leads.example:x", 421),
        ("", 421),
    ):
        answer = served.client.get("/openapi.json", headers={"host": host})
        assert answer.status_code == status, host
    # A probe knows an address, not a name.
    assert served.client.get("/health", headers={"host": "10.0.0.7:8000"}).status_code == 200


def test_no_answer_is_made_from_the_name_that_was_asked_for(served_lite: Served) -> None:
    odd = {"host": "evil.example", "x-forwarded-host": "evil.example"}
    for path in ("/", "/queue", "/sign-in", "/sign-in?then=//evil.example", "/openapi.json", "/x"):
        answer = served_lite.client.get(
            path, headers={**odd, "accept": "text/html"}, follow_redirects=False
        )
        assert "evil.example" not in answer.text, path
        assert "evil.example" not in str(answer.headers.get("location", "")).split("?")[0], path
