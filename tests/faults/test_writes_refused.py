"""The database takes no writes: who is still answered, what is written later, and what says why not?"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest
from agreed import NOW
from models_made import fill, lead_id
from served import Serve, Served
from sqlalchemy import URL

from features.clock import DAY, iso
from features.definition import Definition
from features.store import engine
from features.store.engine import Store
from features.store.ledger import read_score

STORED: dict[str, Any] = {"lead": lead_id(1)}
SENT: dict[str, Any] = {"lead": "sent along", "attributes": {"employees": 3}}


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 200)


def kept(store: Store, score: int) -> dict[str, Any] | None:
    with store.read() as connection:
        return read_score(connection, score)


def test_queued_scores_are_answered_while_the_database_is_locked_and_written_afterwards(
    serve: Serve, company_store: Store
) -> None:
    served = serve(company_store, ledger_durability="queued")
    expected = [served.post("/v1/scores", json=body).json()["raw"] for body in (STORED, SENT)]
    while served.service.ledger.waiting:
        time.sleep(0.01)
    with closing(sqlite3.connect(served.store.url.database or "")) as other:
        other.execute("BEGIN EXCLUSIVE")
        answers = [served.post("/v1/scores", json=body) for body in (STORED, SENT) * 5]
        assert {answer.status_code for answer in answers} == {200}
        told = [answer.json() for answer in answers]
        assert [one["raw"] for one in told] == expected * 5
        assert all(kept(served.store, one["score_id"]) is None for one in told)
        assert served.service.ledger.waiting == 10
        other.rollback()
    for _ in range(600):
        if not served.service.ledger.waiting:
            break
        threading.Event().wait(0.05)
    for one in told:
        row = kept(served.store, one["score_id"])
        assert row is not None, "an answer that was queued is in the ledger once the lock is gone"
        assert (row["lead_id"], row["raw"]) == (one["lead"], one["raw"])
    assert len({one["score_id"] for one in told}) == 10


# PostgreSQL

ROLE, PASSWORD = "propensity_tests_service", "a password of tests"


def execute(url: URL, *statements: str) -> None:
    """As the databases' owner, who may write whatever the database says."""
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        for statement in ("SET default_transaction_read_only = off", *statements):
            connection.execute(statement)


@contextmanager
def read_only(served: Served, owner: URL) -> Iterator[None]:
    """Every transaction of a new session only reads, as it is where a provider finds a disk full."""
    execute(owner, f"ALTER DATABASE {owner.database} SET default_transaction_read_only = on")
    served.store.close()
    try:
        yield
    finally:
        execute(owner, f"ALTER DATABASE {owner.database} RESET default_transaction_read_only")
        served.store.close()


@contextmanager
def without_rights(_served: Served, owner: URL) -> Iterator[None]:
    """The service's role as somebody left it who took away its right to write."""
    rights = "INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
    execute(owner, f"REVOKE {rights} FROM {ROLE}")
    try:
        yield
    finally:
        execute(owner, f"GRANT {rights} TO {ROLE}")


HINTS = {read_only: "name the primary", without_rights: "Grant our role"}


@pytest.fixture
def as_role(
    serve: Serve, postgres_store: Store, definition: Definition
) -> Iterator[tuple[Served, URL]]:
    """A service that is no superuser of its database, as it should be, and who is."""
    owner = postgres_store.url
    fill(postgres_store, definition)
    execute(
        owner,
        f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {ROLE}",
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {ROLE}",
    )
    mine = owner.set(username=ROLE, password=PASSWORD)
    store = Store(mine.render_as_string(hide_password=False))
    served = serve(store)
    yield served, owner
    served.service.ledger.stop()
    served.store.close()
    execute(owner, f"DROP OWNED BY {ROLE}", f"DROP ROLE {ROLE}")


@pytest.mark.parametrize("fault", HINTS)
def test_a_postgresql_that_takes_no_writes_is_read_from_and_the_log_says_what_to_do(
    as_role: tuple[Served, URL], fault: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    served, owner = as_role
    row = {"lead": lead_id(1), "kind": "visit", "occurred_at": iso(NOW - DAY)}
    writes: tuple[tuple[str, str, Any], ...] = (
        ("POST", "/v1/scores", STORED),
        ("POST", "/v1/scores", SENT),
        ("PUT", "/v1/leads/N-1", {"owner": "anna"}),
        ("POST", "/v1/events", [row]),
    )
    reads = ("/v1/queue", f"/v1/leads/{lead_id(1)}/scores", "/v1/model", "/metrics")
    with fault(served, owner):
        assert served.get("/v1/queue").status_code == 200
        for method, path, body in writes:
            capsys.readouterr()
            answer = served.call(method, path, json=body)
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["type"] == "urn:propensity:problem:store"
            (said,) = [line for line in capsys.readouterr().out.splitlines() if "reason" in line]
            assert HINTS[fault] in json.loads(said)["hint"]
            assert PASSWORD not in said + answer.text
        assert [served.get(path).status_code for path in reads] == [200] * len(reads)
        assert served.get("/v2/health/ready", "anonymous").status_code == 200
    for method, path, body in writes:
        assert served.call(method, path, json=body).status_code == 200
