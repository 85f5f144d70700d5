"""What closed at a CRM of the tests' own? A database of deals, and how `sources.yaml` asks it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

_FIELDS = "fields: {id: id, lead: lead, ending: stage, closed_at: closed}"
SOURCES = f"""
format: 1
sources:
  crm:
    kind: sql
    url_env: CRM
    query: SELECT * FROM deals
    changed: changed
    changed_as: text
    {_FIELDS}
"""
BROKEN = f"""
  broken:
    kind: sql
    url_env: NOT_SET
    query: SELECT 1
    changed: changed
    {_FIELDS}
"""


def make_crm(place: Path, told: Sequence[tuple[str, str, str]]) -> str:
    """Deals by id, lead and stage that closed on 2026-04-01 and were told a day later; the URL."""
    when = ("2026-04-01", "2026-04-02 10:00:00")
    with closing(sqlite3.connect(place / "crm.db")) as crm, crm:
        crm.execute("CREATE TABLE deals (id, lead, stage, closed, changed)")
        crm.executemany("INSERT INTO deals VALUES (?, ?, ?, ?, ?)", [(*one, *when) for one in told])
    return f"sqlite:///{place / 'crm.db'}"
