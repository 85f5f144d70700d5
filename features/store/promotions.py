"""Which model scores, since when, and why? Bundles we know by digest, and the decisions about them.

This is where a promotion lives; MLflow's aliases only mirror it. Decisions are append-only: rolling
back is another decision. The bytes of bundles are here too, each file once by its SHA-256, so that every
host of this database can have every model (docs/decisions/0028).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    select,
)

from features.store.ingest import insert_ignoring
from features.store.tables import BigId, Instant, metadata

Decision = Literal["promote", "keep", "undecided", "roll_back"]

bundles = Table(
    "bundles",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("created_at", Instant, nullable=False),
    Column("origin", String(32), nullable=False),
    Column("parent", String(64)),
    Column("definition", String(64), nullable=False),
    Column("summary", Text, nullable=False),
)

bundle_files = Table(
    "bundle_files",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("decided_at", Instant, nullable=False),
    Column("decision", String(16), nullable=False),
    Column("bundle", String(64), ForeignKey("bundles.digest"), nullable=False),
    Column("against", String(64)),
    Column("decided_by", String(300), nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Index("ix_decisions_decided_at", "decided_at"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRecord:
    """A bundle as our database knows it.

    `origin` is `train`, `refit` or `recalibrate`; `summary` holds the figures a list of models shows.
    """

    digest: str
    created_at: int
    origin: str
    parent: str | None
    definition: str
    summary: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """A decision about a bundle: what, against which champion, by whom, why."""

    decided_at: int
    decision: Decision
    bundle: str
    against: str | None
    decided_by: str
    reason: str
    evidence: Mapping[str, Any]


def record_bundle(connection: Connection, bundle: BundleRecord) -> None:
    """Make a bundle known; doing it again changes nothing."""
    row = {
        "digest": bundle.digest,
        "created_at": bundle.created_at,
        "origin": bundle.origin,
        "parent": bundle.parent,
        "definition": bundle.definition,
        "summary": json.dumps(bundle.summary, allow_nan=False),
    }
    insert_ignoring(connection, bundles, [row])


def keep_files(connection: Connection, contents: Mapping[str, bytes]) -> None:
    """Keep the files of a bundle, by SHA-256 (hex); those that are there already stay as they are."""
    query = select(bundle_files.c.sha256).where(bundle_files.c.sha256.in_(list(contents)))
    there = {row.sha256 for row in connection.execute(query)}
    rows = [{"sha256": s, "content": c} for s, c in contents.items() if s not in there]
    insert_ignoring(connection, bundle_files, rows)


def kept_file(connection: Connection, sha256: str) -> bytes | None:
    """The file that was kept under this SHA-256; None when none was. Check it: disks err here too."""
    query = select(bundle_files.c.content).where(bundle_files.c.sha256 == sha256)
    row = connection.execute(query).first()
    return None if row is None else bytes(row.content)


def record_decision(connection: Connection, decision: DecisionRecord) -> None:
    """Append a decision."""
    row = {
        "decided_at": decision.decided_at,
        "decision": decision.decision,
        "bundle": decision.bundle,
        "against": decision.against,
        "decided_by": decision.decided_by,
        "reason": decision.reason,
        "evidence": json.dumps(decision.evidence, allow_nan=False),
    }
    connection.execute(decisions.insert(), [row])


def champion(connection: Connection) -> str | None:
    """The digest of the bundle that scores now; None before the first promotion."""
    line = line_of_champions(connection)
    return line[-1] if line else None


def previous_champion(connection: Connection) -> str | None:
    """The digest of the champion before this one: where a roll-back leads; None when there is none."""
    line = line_of_champions(connection)
    return line[-2] if len(line) > 1 else None


def newest(connection: Connection) -> str | None:
    """The newest bundle there is something to decide about, or that was decided about.

    What is made of another model – a refit, a recalibration – is decided about by the run that made it:
    one without a decision was left behind by a run that came to no end, and is never the newest.
    """
    decided = {decision.bundle for decision in list_decisions(connection)}
    for bundle in list_bundles(connection):
        if bundle.parent is None or bundle.digest in decided:
            return bundle.digest
    return None


def settled(connection: Connection) -> frozenset[str]:
    """The bundles about which the last word was spoken; that about a refit is about its parent, too."""
    refits = {one.digest: one.parent for one in list_bundles(connection) if one.origin == "refit"}
    told = {d.bundle for d in list_decisions(connection) if d.decision != "undecided"}
    return frozenset(told | {parent for made, parent in refits.items() if made in told and parent})


def list_bundles(connection: Connection) -> list[BundleRecord]:
    """All bundles, newest first."""
    query = select(bundles).order_by(bundles.c.created_at.desc(), bundles.c.digest)
    return [
        BundleRecord(**{**row._mapping, "summary": json.loads(row.summary)})
        for row in connection.execute(query)
    ]


def kin(connection: Connection, digest: str) -> frozenset[str]:
    """The digests of all bundles with the same booster as this one: itself and its calibrations."""
    parents = {
        bundle.digest: bundle.parent if bundle.origin == "recalibrate" else None
        for bundle in list_bundles(connection)
    }
    root = _root(digest, parents)
    return frozenset(one for one in {*parents, digest} if _root(one, parents) == root)


def _root(digest: str, parents: Mapping[str, str | None]) -> str:
    seen = {digest}
    while (parent := parents.get(digest)) is not None and parent not in seen:
        digest = parent
        seen.add(digest)
    return digest


def list_decisions(connection: Connection) -> list[DecisionRecord]:
    """All decisions, oldest first."""
    query = select(decisions).order_by(decisions.c.id)
    found = []
    for row in connection.execute(query):
        cells = {name: value for name, value in row._mapping.items() if name != "id"}
        found.append(DecisionRecord(**{**cells, "evidence": json.loads(row.evidence)}))
    return found


def line_of_champions(connection: Connection) -> list[str]:
    """The champions so far, the present one last: a promotion adds one, a roll-back takes one off."""
    line: list[str] = []
    query = select(decisions.c.decision, decisions.c.bundle)
    chosen = query.where(decisions.c.decision.in_(("promote", "roll_back"))).order_by(
        decisions.c.id
    )
    for row in connection.execute(chosen):
        if row.decision == "promote":
            line.append(row.bundle)
        elif len(line) > 1:
            line.pop()
    return line
