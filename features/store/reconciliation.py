"""Which outcomes did we miss? An export of deals held against those in the store.

Whoever sends outcomes may fail to, so now and then all of them are asked for and compared: missing here,
said differently there, unknown to the export. What was missing is added as an import would add it; what
differs becomes a revision of now. Nothing is deleted: an export may be a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Column, Connection, Integer, String, Table, func, select

from features.clock import iso
from features.definition import Definition
from features.errors import Problem
from features.store.outcomes import Deal, content_of, last_revisions, named
from features.store.recording import record_deals
from features.store.tables import BigId, Instant, metadata

runs = Table(
    "reconciliations",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("source", String(64), nullable=False),
    Column("missing", Integer, nullable=False),
    Column("differing", Integer, nullable=False),
    Column("unknown", Integer, nullable=False),
    Column("added", Integer, nullable=False),
)

_FIELDS = ("lead", "ending", "occurred_at", "amount", "reason")


@dataclass(frozen=True, slots=True)
class Differing:
    """A deal that both know and of which they say different things."""

    here: Deal
    there: Deal

    @property
    def fields(self) -> list[str]:
        """What they differ in."""
        return [name for name in _FIELDS if getattr(self.here, name) != getattr(self.there, name)]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a comparison found.

    Attributes:
        same: how many deals both say alike.
        missing: those of the export that are not here.
        differing: those that are told differently.
        unknown: those of the same sources here that the export does not know.
        added: how many were written.
        problems: of those that could not be written, by position in missing, then differing.
    """

    same: int
    missing: Sequence[Deal]
    differing: Sequence[Differing]
    unknown: Sequence[Deal]
    added: int = 0
    problems: Sequence[Problem] = ()

    def to_json(self) -> dict[str, Any]:
        """Counts, and the deals by id; no more of a person than the id at its source."""
        return {
            "same": self.same,
            "missing": [_shown(deal) for deal in self.missing],
            "differing": [{**_shown(d.there), "in": d.fields} for d in self.differing],
            "unknown": [_shown(deal) for deal in self.unknown],
            "added": self.added,
            "problems": [problem.to_json() for problem in self.problems],
        }


def reconcile(connection: Connection, export: Sequence[Deal], source: str) -> Reconciliation:
    """Compare; nothing is written.

    Args:
        connection: an open connection.
        export: all deals of the export; of one told twice, the last recorded counts.
        source: whose deals here the export should know.
    """
    there = {key: deal for key, deal in _by_key(export).items() if deal.ending != "void"}
    here = last_revisions(connection, source)
    # A deal that was annulled here and is told again there was brought back to life.
    standing = {key: deal for key, deal in here.items() if deal.ending != "void"}
    both = [(here[key], deal) for key, deal in there.items() if key in here]
    differing = [Differing(a, b) for a, b in both if content_of(a) != content_of(b)]
    return Reconciliation(
        same=len(both) - len(differing),
        missing=[deal for key, deal in there.items() if key not in here],
        differing=differing,
        unknown=[deal for key, deal in standing.items() if key not in there],
    )


def catch_up(
    connection: Connection, found: Reconciliation, definition: Definition, now: int
) -> Reconciliation:
    """Write what was missed; a deal with a problem is left out and named."""
    revised = [replace(one.there, recorded_at=now) for one in found.differing]
    report = record_deals(connection, [*found.missing, *revised], definition, now)
    problems = [problem for i in sorted(report.problems) for problem in report.problems[i]]
    return replace(found, added=report.added, problems=problems)


def note_run(connection: Connection, source: str, found: Reconciliation, now: int) -> None:
    """Remember what a comparison found, for the figures of the service."""
    row = {
        "at": now,
        "source": source[:64],
        "missing": len(found.missing),
        "differing": len(found.differing),
        "unknown": len(found.unknown),
        "added": found.added,
    }
    connection.execute(runs.insert(), [row])


def found_so_far(connection: Connection) -> tuple[int, int | None]:
    """How many outcomes were written because a comparison found them, and when the last one ran."""
    row = connection.execute(select(func.sum(runs.c.added), func.max(runs.c.at))).one()
    return int(row[0] or 0), None if row[1] is None else int(row[1])


def _by_key(deals: Sequence[Deal]) -> dict[tuple[str, str], Deal]:
    ordered = sorted(map(named, deals), key=lambda deal: deal.recorded_at)
    return {(deal.source, str(deal.external_id)): deal for deal in ordered}


def _shown(deal: Deal) -> dict[str, str | None]:
    return {
        "source": deal.source,
        "external_id": deal.external_id,
        "lead": deal.lead,
        "ending": deal.ending,
        "occurred_at": iso(deal.occurred_at),
    }
