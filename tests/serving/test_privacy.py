"""Does a working day leave the name of nobody where operators look: in logs, errors and figures?"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import structlog
from agreed import NOW
from served import PASSWORD, Clock, Serve, Served, TestClient, make_keys
from workers import working

from features.clock import DAY, iso
from features.store.access import set_user
from features.store.engine import Store
from models.workspace import Workspace
from serving import app, errors, intake, logs, middleware, state
from serving.security import SESSION_COOKIE

PLANTED = {
    "lead": "lead-erika-4711",
    "name": "Erika Mustermann",
    "owner": "Ottokar Oberverkäufer",
    "person": "ottokar.o",
    "email": "erika@mustermann.example",
    "city": "Hintertupfingen",
    "key": "pk_" + "a1" * 20,
    "password": "geheime losung 7",
    "id": "fact-4711-xyz",
    "reason": "Streit um Rabatt",
}
THEN = iso(NOW - DAY)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the service writes to stderr, at its most talkative, from structlog and everybody else."""
    said = io.StringIO()
    before, root, handlers = (
        structlog.get_config(),
        logging.getLogger(),
        logging.getLogger().handlers,
    )
    level = root.level
    monkeypatch.setattr("sys.stderr", said)
    # The one who calls is not the service.
    monkeypatch.setattr(logging.getLogger("httpx"), "disabled", True)
    logs.configure("DEBUG")
    for module in (app, errors, intake, middleware, state):
        # One that has spoken before, in another test, keeps to where it spoke.
        monkeypatch.setattr(module, "log", structlog.get_logger())
    yield said
    structlog.configure(**before)
    root.handlers = handlers
    root.setLevel(level)


def day(served: Served) -> Iterator[Any]:
    """Everything one can do with a lead, well and badly, by machine and by person."""
    lead = PLANTED["lead"]
    described = {
        "owner": PLANTED["owner"],
        "name": PLANTED["name"],
        "attributes": {"city": PLANTED["city"]},
        "external_id": PLANTED["id"],
        "occurred_at": THEN,
    }
    yield served.put(f"/v1/leads/{lead}", json=described)
    yield served.put(f"/v1/leads/{lead}", json={**described, PLANTED["email"]: PLANTED["email"]})
    yield served.put(f"/v1/leads/{lead}", json={**described, "kind": PLANTED["email"]})
    fact = {"lead": lead, "occurred_at": THEN, "external_id": PLANTED["id"]}
    for path, row in (
        ("events", {"kind": "visit"}),
        ("events", {"kind": PLANTED["email"]}),
        ("answers", {"question": "pain", "answer": PLANTED["email"]}),
        ("stages", {"stage": PLANTED["email"]}),
        ("deals", {"ending": "lost", "reason": PLANTED["reason"]}),
    ):
        yield served.post(f"/v1/{path}", json=[{**fact, **row}, {**fact, "lead": PLANTED["email"]}])
    yield served.post("/v1/scores", json={"lead": lead})
    yield served.post("/v1/scores", json={"lead": PLANTED["email"]})
    yield served.post("/v1/scores", json={"lead": PLANTED["name"], "attributes": {"city": 7}})
    yield served.post("/v1/scores/batch", json={"leads": [{"lead": PLANTED["email"]}, lead]})
    yield served.post("/v1/scores", content=f'{{"lead": "{PLANTED["name"]}", }}'.encode())
    for _ in range(2):  # the second time the key is known, and it is answered from its connection
        sent_along = {"lead": PLANTED["id"], "attributes": {"city": PLANTED["city"]}}
        yield served.post("/v1/scores", json=sent_along)
    for path in ("", "/score", "/scores", "/questions", "/changes", "/nothing"):
        yield served.get(f"/v1/leads/{lead}{path}", "rep")
        yield served.get(f"/v1/leads/{lead}{path}")
    yield served.get(f"/v1/queue?q={PLANTED['name']}&owner={PLANTED['owner']}&limit=ten")
    yield served.get(f"/{PLANTED['email']}?name={PLANTED['name']}")
    yield served.get("/v1/model", "wrong key")
    yield from _visit(served)


def _visit(served: Served) -> Iterator[Any]:
    """A person who signs in, wrongly and well, looks about, and goes."""
    form = {"name": PLANTED["person"], "then": f"/leads/{PLANTED['lead']}"}
    for password in ("wrong " + PASSWORD, PLANTED["password"]):
        page = served.client.get("/sign-in")
        token = page.text.split('name="csrf" value="')[1].split('"')[0]
        sent = {**form, "password": password, "csrf": token}
        yield served.client.post("/sign-in", data=sent, follow_redirects=False)
    assert SESSION_COOKIE in served.client.cookies
    html = {"accept": "text/html"}
    for path in ("/queue", f"/queue?q={PLANTED['name']}", f"/leads/{PLANTED['lead']}", "/leads/x"):
        yield served.client.get(path, headers=html)
    yield served.client.post("/sign-out", data={"csrf": PLANTED["email"]})


def test_no_log_error_or_figure_names_anybody(
    serve: Serve, company_store: Store, logged: io.StringIO
) -> None:
    served = serve(company_store)
    served.keys["wrong key"] = PLANTED["key"]
    with served.store.write() as connection:
        set_user(connection, PLANTED["person"], "rep", PLANTED["password"], PLANTED["owner"], NOW)
    statuses, told = set(), []
    for answer in day(served):
        statuses.add(answer.status_code)
        is_problem = answer.headers.get("content-type") == "application/problem+json"
        told += [answer.text] if is_problem else []
    assert {200, 303, 400, 401, 403, 404, 409, 422} - {409} <= statuses
    assert 500 not in statuses
    assert len(told) > 15
    seen = {
        "logs": logged.getvalue(),
        "errors": "\n".join(told),
        "figures": served.get("/metrics").text,
    }
    assert seen["logs"].count('"event":"request"') > 30
    for where, text in seen.items():
        assert named_in(text, is_told_the_sender=where == "errors") == []


def named_in(text: str, *, is_told_the_sender: bool = False) -> list[str]:
    """What of the planted is there, as it is or escaped."""
    found = []
    for what, value in PLANTED.items():
        # Whose field has a strange name is told that name: without it nobody would find it.
        if is_told_the_sender and what == "email":
            text = text.replace(f'"field":"{value}"', "")
        if value in text or value.encode("unicode_escape").decode() in text:
            found.append(what)
    return found


@pytest.mark.slow
def test_nor_does_the_log_of_a_real_process_also_when_its_database_goes(
    company_store: Store, tmp_path: Path
) -> None:
    """By its own connections, with all that goes on beside the requests."""
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": str(tmp_path)})
    keys = make_keys(workspace.store) | {"wrong key": PLANTED["key"]}
    with workspace.store.write() as connection:
        set_user(connection, PLANTED["person"], "rep", PLANTED["password"], PLANTED["owner"], NOW)
    talkative = {"PROPENSITY_LOG_LEVEL": "DEBUG", "PROPENSITY_SECURE_COOKIES": "false"}
    database = tmp_path / "propensity.db"
    with working(workspace, keys["admin"], talkative) as worker:
        served = Served(cast("TestClient", worker.client), workspace, Clock(), keys)
        for answer in day(served):
            assert answer.status_code != 500
        database.rename(tmp_path / "aside")
        refused = {
            served.post("/v1/scores", json={"lead": PLANTED["lead"]}).status_code,
            served.put(f"/v1/leads/{PLANTED['lead']}", json={"name": PLANTED["name"]}).status_code,
        }
        worker.until(lambda w: "is gone" in w.log.read_text())
        (tmp_path / "aside").rename(database)
    assert refused == {503}
    said = worker.log.read_text()
    assert said.count('"event":"request"') > 30
    assert named_in(said) == []
    workspace.store.close()


def test_what_fails_unforeseen_is_logged_without_the_values_at_hand(
    serve: Serve, company_store: Store, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        secret = PLANTED["name"]
        raise RuntimeError(f"it broke at line {len(secret)}")

    served = serve(company_store)
    monkeypatch.setattr("serving.rounds.computed", fail)
    answer = served.post("/v1/scores", json={"lead": PLANTED["lead"]})
    assert answer.status_code == 500
    assert "it broke" in logged.getvalue()
    for value in (PLANTED["name"], PLANTED["lead"]):
        assert value not in logged.getvalue()
        assert value not in answer.text
    assert "it broke" not in answer.text
