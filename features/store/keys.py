"""Which machines may come in? API keys: shown once, kept as hashes, revoked for good.

A key is 160 random bits, so a fast hash is enough, and it cannot be read back. A key that is revoked or
expired is refused with the next look at this table.
"""

from __future__ import annotations

import re
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Column, Connection, String, Table, select

from features.clock import DAY
from features.errors import ConflictError, NotFoundError
from features.store.access import Caller, Role, fingerprint, require_role
from features.store.tables import Instant, metadata

KEY_PATTERN: Final = re.compile(r"pk_([0-9a-f]{40})([0-9a-f]{8})?", re.ASCII)
"""How a key looks: 160 random bits and their CRC-32, by which a scanner of leaks knows one of ours.

Keys made before there was a checksum lack it, and stay good.
"""

keys = Table(
    "api_keys",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("prefix", String(16), nullable=False),
    Column("name", String(300), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("expires_at", Instant),
    Column("used_at", Instant),
)


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it can be shown: never the key itself."""

    name: str
    role: Role
    prefix: str
    created_at: int
    expires_at: int | None
    used_at: int | None
    revoked_at: int | None


def create_key(
    connection: Connection, name: str, role: Role, now: int, *, days: int | None = None
) -> str:
    """A new API key, shown once; only its hash is kept.

    Args:
        connection: a writing one.
        name: who will use it.
        role: what it may do.
        now: the present instant.
        days: after how many days it expires; None: never.

    Raises:
        ConflictError: there is a key of that name.
    """
    require_role(role)
    if connection.execute(select(keys.c.name).where(keys.c.name == name)).first():
        raise ConflictError(f"there is a key named {name!r} already", hint="Choose another name.")
    random = secrets.token_hex(20)
    key = f"pk_{random}{_checksum(random)}"
    row = {
        "hash": fingerprint(key),
        "prefix": key[:8],
        "name": name,
        "role": role,
        "created_at": now,
        "expires_at": None if days is None else now + days * DAY,
    }
    connection.execute(keys.insert(), [row])
    return key


def looks_like_key(key: str) -> bool:
    """Whether a text can be a key at all: its form, and its checksum where it has one.

    >>> looks_like_key("pk_" + "0" * 40), looks_like_key("pk_" + "0" * 48), looks_like_key("sk_1")
    (True, False, False)
    """
    found = KEY_PATTERN.fullmatch(key)
    return found is not None and found[2] in (None, _checksum(found[1]))


def _checksum(random: str) -> str:
    return f"{zlib.crc32(random.encode()):08x}"


def list_keys(connection: Connection) -> list[KeyRecord]:
    """All keys, oldest first."""
    query = select(keys).order_by(keys.c.created_at, keys.c.name)
    return [
        KeyRecord(
            name=row.name,
            role=row.role,
            prefix=row.prefix,
            created_at=row.created_at,
            expires_at=row.expires_at,
            used_at=row.used_at,
            revoked_at=row.revoked_at,
        )
        for row in connection.execute(query)
    ]


def revoke_key(connection: Connection, name: str, now: int) -> None:
    """Make a key worthless from now on.

    Raises:
        NotFoundError: there is no key of that name in use.
    """
    statement = keys.update().where(keys.c.name == name, keys.c.revoked_at.is_(None))
    if connection.execute(statement.values(revoked_at=now)).rowcount == 0:
        raise NotFoundError(
            f"there is no key named {name!r} in use", hint="`propensity keys list`."
        )


def caller_of_key(connection: Connection, key: str, now: int) -> Caller | None:
    """Whose key this is; None when it is not known, revoked or expired."""
    if not looks_like_key(key):
        return None
    query = select(keys).where(keys.c.hash == fingerprint(key), keys.c.revoked_at.is_(None))
    query = query.where(keys.c.expires_at.is_(None) | (keys.c.expires_at > now))
    row = connection.execute(query).first()
    return Caller(row.name, row.role) if row else None


def note_uses(connection: Connection, uses: Mapping[str, int]) -> None:
    """Note when keys, by their names, were last used; an older use changes nothing."""
    for name, used_at in sorted(uses.items()):
        statement = keys.update().where(keys.c.name == name)
        is_news = keys.c.used_at.is_(None) | (keys.c.used_at < used_at)
        connection.execute(statement.where(is_news).values(used_at=used_at))
