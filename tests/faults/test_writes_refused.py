"""The database takes no writes: who is still answered, what is written later, and what says why not?"""

from __future__ import annotations

import sqlite3
import threading
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
