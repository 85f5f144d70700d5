"""Which tables hold the facts? One row a fact, append-only; no deal is defined here.

Instants are integers (microseconds since the epoch, UTC), so that SQLite and PostgreSQL order and
compare them alike. Every fact is unique by (source, external_id): sending it twice changes nothing.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData()

BigId = BigInteger().with_variant(Integer, "sqlite")
Instant = BigInteger()

leads = Table(
    "leads",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("external_id", String(300), nullable=False, unique=True),
    Column("do_not_score", Boolean, nullable=False, server_default=false()),
)


def _fact_table(name: str, *columns: Column[object]) -> Table:
    return Table(
        name,
        metadata,
        Column("id", BigId, primary_key=True),
        Column("lead", BigId, ForeignKey("leads.id"), nullable=False),
        Column("occurred_at", Instant, nullable=False),
        Column("recorded_at", Instant, nullable=False),
        *columns,
        Column("source", String(64), nullable=False),
        Column("external_id", String(300), nullable=False),
        Column("content", String(32), nullable=False),
        UniqueConstraint("source", "external_id", name=f"uq_{name}_key"),
        Index(f"ix_{name}_lead", "lead", "occurred_at"),
        Index(f"ix_{name}_recorded", "recorded_at"),
    )


lead_versions = _fact_table(
    "lead_versions",
    Column("kind", String(16), nullable=False),
    Column("owner", String(300), index=True),
    Column("name", String(300)),
    Column("attributes", Text, nullable=False),
)
answers = _fact_table(
    "answers",
    Column("question", String(64), nullable=False),
    Column("answer", String(300), nullable=False),
)
events = _fact_table(
    "events",
    Column("kind", String(64), nullable=False),
    Column("channel", String(64)),
)
stages = _fact_table("stages", Column("stage", String(64), nullable=False))
