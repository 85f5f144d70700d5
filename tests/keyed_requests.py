"""Requests under a key for tests: a service that knows two leads, and events that are sent to it."""

from __future__ import annotations

from typing import Any

from agreed import NOW, agreed
from served import Served
from sqlalchemy import func, select

from features.clock import DAY, SECOND, iso
from features.facts import LeadVersion
from features.store.engine import Store
from features.store.ingest import ingest
from features.store.tables import events
from serving.once import HEADER

LEADS = ("L-1", "L-2")


def event(n: int, lead: str = "L-1", kind: str = "visit") -> dict[str, str]:
    """An event without an id: known by what it says."""
    return {"lead": lead, "kind": kind, "occurred_at": iso(NOW - 5 * DAY + n * SECOND)}


def fill(store: Store) -> None:
    known = [LeadVersion(lead=lead, occurred_at=NOW - DAY, recorded_at=NOW - DAY) for lead in LEADS]
    with store.write() as connection:
        ingest(connection, known, agreed(), NOW)


def send(served: Served, key: str, rows: Any, path: str = "/v1/events", role: str = "crm") -> Any:
    return served.post(path, role, json=rows, headers={HEADER: key})


def stored(served: Served) -> int:
    with served.store.read() as connection:
        return connection.execute(select(func.count()).select_from(events)).scalar_one()
