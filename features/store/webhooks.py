"""Who may send us facts without a key? Senders by name, and the secrets that they sign with.

Standard Webhooks 1.0 (standardwebhooks.com): `v1,` and the base64 of HMAC-SHA256 over
`id.timestamp.body`. Checking a signature needs the secret itself, so secrets are stored as they are
(docs/decisions/0025): who can read them can sign. Several may be good at once, so that a sender can
change over; a signature is compared in constant time with every one of them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Column, ColumnElement, Connection, Index, String, Table, or_, select, update

from features.clock import HOUR, SECOND
from features.errors import ConflictError, InputError, NotFoundError
from features.store.tables import BigId, Instant, metadata

TOLERANCE_SECONDS = 300
"""How far a message's time may lie from ours, before and after: the convention of the standard."""

OVERLAP_HOURS = 24.0
"""How long the old secret stays good when a new one is made."""

PREFIX = "whsec_"
_BYTES = 32
_SHORTEST, _LONGEST = 24, 64
_SOURCE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_SECONDS = re.compile(r"[0-9]{1,12}")

senders = Table(
    "webhook_secrets",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("source", String(64), nullable=False),
    Column("secret", String(128), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ends_at", Instant),
    Index("ix_webhook_secrets_source", "source"),
)


@dataclass(frozen=True, slots=True)
class SecretRecord:
    """A secret as it can be shown: whose, since when, and until when it is good (None: no end)."""

    source: str
    created_at: int
    ends_at: int | None


def add_sender(connection: Connection, source: str, now: int, secret: str | None = None) -> str:
    """Let a sender in; its secret, to be shown once.

    Args:
        connection: from `Store.write`.
        source: the sender's name, also the `source` of its facts.
        now: the present instant.
        secret: one that the sender has made; by default one is made here.

    Raises:
        InputError: the name or the secret cannot be one.
        ConflictError: the sender is let in already.
    """
    if not _SOURCE.fullmatch(source):
        raise InputError(
            f"{source!r} cannot be a sender's name",
            hint="Use up to 64 of a-z, 0-9, dot, dash and underscore, such as `crm`.",
        )
    if secrets_of(connection, source, now):
        raise ConflictError(
            f"{source} is let in already",
            hint=f"`propensity webhooks rotate {source}` gives it a new secret.",
        )
    return _insert(connection, source, secret, now)


def rotate_secret(
    connection: Connection,
    source: str,
    now: int,
    *,
    overlap_hours: float = OVERLAP_HOURS,
    secret: str | None = None,
) -> str:
    """A new secret for a sender; the old ones are good for `overlap_hours` more.

    Raises:
        NotFoundError: there is no such sender.
    """
    _end(connection, source, now, now + round(overlap_hours * HOUR))
    return _insert(connection, source, secret, now)


def revoke_sender(connection: Connection, source: str, now: int) -> None:
    """Let a sender in no more: none of its secrets is good from now on.

    Raises:
        NotFoundError: there is no such sender.
    """
    _end(connection, source, now, now)


def list_secrets(connection: Connection) -> list[SecretRecord]:
    """Every secret there ever was, as far as it can be shown, oldest first."""
    query = select(senders.c.source, senders.c.created_at, senders.c.ends_at)
    rows = connection.execute(query.order_by(senders.c.id))
    return [SecretRecord(row.source, row.created_at, row.ends_at) for row in rows]


def secrets_of(connection: Connection, source: str, now: int) -> list[str]:
    """The secrets of a sender that are good now, newest first."""
    query = select(senders.c.secret).where(senders.c.source == source, _good(now))
    return [row.secret for row in connection.execute(query.order_by(senders.c.id.desc()))]


def signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    """How a message is signed with a secret: `v1,` and base64.

    Args:
        secret: `whsec_` and the base64 of the key's bytes.
        message_id: the message's id, the same on every attempt.
        timestamp: seconds since the epoch of this attempt, as sent.
        body: the bytes as sent.
    """
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode('ascii')}"


def is_signed(
    good: Sequence[str], message_id: str, timestamp: str, given: str, body: bytes, now: int
) -> bool:
    """Whether a message is signed with one of these secrets, and is of the present.

    Args:
        good: the sender's secrets.
        message_id: the header `webhook-id`.
        timestamp: the header `webhook-timestamp`.
        given: the header `webhook-signature`: one signature or several, parted by spaces.
        body: the bytes as sent.
        now: the present instant.
    """
    if not message_id.isascii() or not _SECONDS.fullmatch(timestamp):
        return False
    # As many comparisons for an unknown sender as for a known one, and no early end.
    expected = [signature(s, message_id, timestamp, body) for s in good or (_NOBODYS,)]
    parts = given.encode("utf-8", "surrogatepass").split(b" ")[:_MOST_SIGNATURES]
    matches = [hmac.compare_digest(part, one.encode()) for one in expected for part in parts]
    is_present = abs(int(timestamp) * SECOND - now) <= TOLERANCE_SECONDS * SECOND
    return bool(good) and any(matches) and is_present


_MOST_SIGNATURES = 16
_NOBODYS = PREFIX + base64.b64encode(b"\0" * _BYTES).decode("ascii")


def _good(now: int) -> ColumnElement[bool]:
    return or_(senders.c.ends_at.is_(None), senders.c.ends_at > now)


def _insert(connection: Connection, source: str, secret: str | None, now: int) -> str:
    made = secret or PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode("ascii")
    if not _SHORTEST <= len(_key(made)) <= _LONGEST:
        raise InputError(
            f"a secret has {_SHORTEST} to {_LONGEST} bytes",
            hint="Leave it out, and one is made.",
        )
    row = {"source": source, "secret": made, "created_at": now}
    connection.execute(senders.insert(), [row])
    return made


def _end(connection: Connection, source: str, now: int, at: int) -> None:
    statement = update(senders).where(senders.c.source == source, _good(now))
    later = or_(senders.c.ends_at.is_(None), senders.c.ends_at > at)
    if not secrets_of(connection, source, now):
        raise NotFoundError(f"there is no sender {source!r}", hint="`propensity webhooks list`.")
    connection.execute(statement.where(later).values(ends_at=at))


def _key(secret: str) -> bytes:
    """The bytes of a secret.

    Raises:
        InputError: it is not base64.
    """
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"a secret is {PREFIX} and base64") from error
