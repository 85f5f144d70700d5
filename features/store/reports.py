"""What did training find, for whoever shows it? Reports as they were made, newest first.

Serving may not import what looks at outcomes; it shows what is written here. A report is what was said
at a time: append-only, and made again for the same instant it stays as it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Row, String, Table, Text, UniqueConstraint, select

from features.store.ingest import insert_ignoring
from features.store.tables import BigId, Instant, metadata

MONITOR = "monitor"
"""The kind of report that the monitor makes."""

reports = Table(
    "reports",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("through", Instant),
    Column("bundle", String(64), nullable=False),
    Column("summary", Text, nullable=False),
    Column("body", Text, nullable=False),
    UniqueConstraint("kind", "made_at", "bundle", name="uq_reports_key"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report.

    Attributes:
        kind: which sort, such as `monitor`.
        made_at: the instant it speaks for.
        through: nothing recorded at or after this instant was looked at; None: no outcome was there.
        bundle: digest of the model it speaks of; empty without one.
        summary: what a list of reports, and metrics, show.
        body: everything (JSON values).
    """

    kind: str
    made_at: int
    through: int | None
    bundle: str
    summary: Mapping[str, Any]
    body: Mapping[str, Any]


def record_report(connection: Connection, report: Report) -> None:
    """Append a report; one of this kind, instant and model that is there already stays."""
    row = {
        "kind": report.kind,
        "made_at": report.made_at,
        "through": report.through,
        "bundle": report.bundle,
        "summary": json.dumps(report.summary, allow_nan=False),
        "body": json.dumps(report.body, allow_nan=False),
    }
    insert_ignoring(connection, reports, [row])


def newest_report(connection: Connection, kind: str) -> Report | None:
    """The newest report of a kind; None before the first."""
    query = select(reports).where(reports.c.kind == kind)
    row = connection.execute(query.order_by(*_NEWEST_FIRST).limit(1)).first()
    return None if row is None else _report(row, json.loads(row.body))


def newest_summary(connection: Connection, kind: str) -> Report | None:
    """The newest report of a kind without its body, which may be long; None before the first."""
    found = past_reports(connection, kind, 1)
    return found[0] if found else None


def past_reports(connection: Connection, kind: str, limit: int = 50) -> list[Report]:
    """The newest reports of a kind without their bodies, newest first."""
    columns = [column for column in reports.c if column.name != "body"]
    query = select(*columns).where(reports.c.kind == kind)
    rows = connection.execute(query.order_by(*_NEWEST_FIRST).limit(limit))
    return [_report(row, {}) for row in rows]


_NEWEST_FIRST = (reports.c.made_at.desc(), reports.c.id.desc())


def _report(row: Row[Any], body: Mapping[str, Any]) -> Report:
    return Report(
        kind=row.kind,
        made_at=int(row.made_at),
        through=None if row.through is None else int(row.through),
        bundle=row.bundle,
        summary=json.loads(row.summary),
        body=body,
    )
