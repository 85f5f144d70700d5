"""About whom may we write? Erasures, objections, and the lock that keeps every writer in step with them.

Whoever writes facts or scores of leads holds the lock together with the others (`in_step`); an erasure
or an objection holds it alone (`alone`), so that nothing decided before it is written after it. What is
left of an erased lead is a tombstone: a keyed hash of its id, enough to refuse it when it comes again.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection, Sequence

from sqlalchemy import Column, Connection, String, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite

from features.store.prepared import Prepared
from features.store.tables import Instant, metadata

ERASED = "erased: this lead was erased on request, and is not taken in again"

own_secrets = Table(
    "own_secrets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("secret", String(64), nullable=False),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("erased_at", Instant, nullable=False),
)

OF_LEADS = "leads"
"""The name of the secret under which leads are hashed."""

_LOCK = 7_205_001
"""The advisory lock's number on PostgreSQL; SQLite lets one writer in at a time anyway."""

_AT_ONCE = 5_000

_ANY = Prepared(select(tombstones.c.hash).limit(1))
"""A tombstone, whichever; asked for every score."""


def in_step(connection: Connection) -> None:
    """Go on once no erasure and no objection is under way, and let none begin until we are done."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock_shared(_LOCK)))


def alone(connection: Connection) -> None:
    """Go on once nobody is writing about leads, and let nobody begin until we are done."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def bury(connection: Connection, lead_id: str, now: int) -> None:
    """Refuse this lead from now on; doing it again changes nothing."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = {"hash": lead_hash(connection, lead_id), "erased_at": now}
    connection.execute(dialect.insert(tombstones).on_conflict_do_nothing(), [row])


def erased(connection: Connection, lead_ids: Collection[str]) -> set[str]:
    """Those of these leads that were erased."""
    # Most stores have no tombstone, and then nothing needs to be hashed.
    if not lead_ids or not _ANY.run(connection):
        return set()
    ordered = sorted(lead_ids)
    by_hash = dict(zip(lead_hashes(connection, ordered), ordered, strict=True))
    hashes, found = list(by_hash), set()
    for start in range(0, len(hashes), _AT_ONCE):
        part = hashes[start : start + _AT_ONCE]
        query = select(tombstones.c.hash).where(tombstones.c.hash.in_(part))
        found |= {by_hash[row.hash] for row in connection.execute(query)}
    return found


def lead_hash(connection: Connection, lead_id: str) -> str:
    """How a lead is named where its id must not stand: 64 hex digits, HMAC-SHA256 under our own key."""
    return lead_hashes(connection, [lead_id])[0]


def make_key(connection: Connection) -> None:
    """Make the key under which leads are hashed, unless there is one.

    With the tables: made with the first erasure, it would be in no copy taken before, and a restored one
    would make another, under which nobody who was erased is known.
    """
    _secret(connection, OF_LEADS)


def lead_hashes(connection: Connection, texts: Sequence[str]) -> list[str]:
    """Keyed hashes of texts, in their order; see `lead_hash`. A missing key is made."""
    key = bytes.fromhex(_secret(connection, OF_LEADS))
    return [
        hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        for text in texts
    ]


def _secret(connection: Connection, name: str) -> str:
    query = select(own_secrets.c.secret).where(own_secrets.c.name == name)
    found = connection.execute(query).scalar()
    if found is None:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        row = {"name": name, "secret": secrets.token_hex(32)}
        # Of two who make it at once, the first one's counts for both.
        connection.execute(dialect.insert(own_secrets).on_conflict_do_nothing(), [row])
        found = connection.execute(query).scalar_one()
    return str(found)
