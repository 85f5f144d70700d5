"""Was this asked before, and what was answered? Requests under a key, each carried out once.

A request is claimed before it runs, in a transaction of its own, so that all workers see it. What it
answers is kept in the transaction of what it writes: after a crash either both are there or neither. A
claim under which nothing was written is given back, and the request can be made anew.
The first answer kept as final is everybody's, also that of whoever was slower. An answer may tell of a
person, so it is known whom it is about, and erasing the person deletes it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    delete,
    select,
    update,
)

from features.clock import HOUR, SECOND
from features.errors import ConflictError
from features.store.consent import in_step, lead_hash, lead_hashes, tombstones
from features.store.ingest import insert_ignoring
from features.store.tables import Instant, metadata

KEPT = 72 * HOUR
"""How long an answer is kept: three days, so that a sender's last retry after a day still finds it."""

HELD = 120 * SECOND
"""How long a claim without an answer keeps others out: above the longest request, below a patience."""

requests = Table(
    "idempotency_keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("token", String(32), nullable=False),
    Column("held_until", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("status", Integer),
    Column("media_type", String(100)),
    Column("answer", Text),
    Column("is_final", Boolean, nullable=False),
    Index("ix_idempotency_keys_created_at", "created_at"),
)

about = Table(
    "idempotency_leads",
    metadata,
    Column("request", String(64), ForeignKey("idempotency_keys.id"), primary_key=True),
    Column("lead", String(64), primary_key=True),
    Index("ix_idempotency_leads_lead", "lead"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered: status, media type and body, to the letter."""

    status: int
    media_type: str
    body: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to carry a request out: `token` is its holder's, `fingerprint` the request's."""

    id: str
    token: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else is carrying the request out."""


@dataclass(frozen=True, slots=True)
class Reused:
    """The key was used for another request."""


def claim(
    connection: Connection,
    caller: str,
    key: str,
    fingerprint: str,
    leads: Sequence[str],
    now: int,
) -> Claim | Answer | Busy | Reused:
    """Claim a request, or learn what became of it.

    Args:
        connection: from `Store.write`; to be committed before the request is carried out.
        caller: who asks; keys of different callers have nothing to do with each other.
        key: what the caller calls the request.
        fingerprint: a digest of everything that was asked.
        leads: whom the answer may be about.
        now: the present instant.
    """
    in_step(connection)
    # Digests under a key of ours: what was asked may name a person, and so may the key.
    id_, print_ = lead_hashes(connection, [f"{caller}\n{key}", fingerprint])
    token = secrets.token_hex(16)
    row = {
        "id": id_,
        "fingerprint": print_,
        "token": token,
        "held_until": now + HELD,
        "created_at": now,
        "is_final": False,
    }
    if insert_ignoring(connection, requests, [row]):
        links = [{"request": id_, "lead": lead} for lead in _hashed(connection, leads)]
        insert_ignoring(connection, about, links)
        return Claim(id_, token, print_)
    there = select(requests).where(requests.c.id == id_).with_for_update()
    known = connection.execute(there).one_or_none()
    if known is None:  # it was given back while we waited for it, and can be claimed anew
        return Busy()
    if known.fingerprint != print_:
        return Reused()
    if known.answer is not None:
        _settle(connection, id_)
        return Answer(known.status, known.media_type, known.answer)
    # Held for far longer than anybody holds: by a clock that has been put right since. Not by little:
    # who asks at the same time may have looked at the clock later, and come first.
    if now < known.held_until <= now + 2 * HELD:
        return Busy()
    taken = {"token": token, "held_until": now + HELD}
    connection.execute(update(requests).where(requests.c.id == id_).values(taken))
    return Claim(id_, token, print_)


def keep(connection: Connection, mine: Claim, answer: Answer) -> None:
    """Keep what will be answered, in the transaction of what was written; it may still be replaced.

    Raises:
        ConflictError: the claim was lost to somebody else meanwhile; nothing may be written.
    """
    if not _put(connection, mine, answer, is_final=False):
        raise ConflictError(
            "the same request is being carried out by somebody else", hint="Send it again."
        )


def finish(connection: Connection, mine: Claim, answer: Answer) -> Answer:
    """Keep what is answered for good.

    Returns:
        What is to be answered: this, or what another who asked the same was told meanwhile.
    """
    if _put(connection, mine, answer, is_final=True):
        return answer
    return _kept_for(connection, mine) or answer


def release(connection: Connection, mine: Claim) -> Answer | None:
    """Give a claim back, unless something was written under it.

    Returns:
        What was kept with what was written, by whoever had the claim; None: it can be made anew.
    """
    in_step(connection)  # an erasure takes what is locked here in another order
    named = select(requests.c.id).where(requests.c.id == mine.id)
    connection.execute(named.with_for_update()).first()  # nobody takes it over meanwhile
    if (kept := _kept_for(connection, mine)) is not None:
        _settle(connection, mine.id)
        return kept
    held = named.where(requests.c.token == mine.token)
    _forget(connection, list(connection.execute(held).scalars()))
    return None


def _kept_for(connection: Connection, mine: Claim) -> Answer | None:
    """What was kept for this request; after a claim was given back, its key may name another one."""
    query = select(requests.c.status, requests.c.media_type, requests.c.answer)
    same = (requests.c.id == mine.id, requests.c.fingerprint == mine.fingerprint)
    row = connection.execute(query.where(*same, requests.c.answer.is_not(None))).first()
    return None if row is None else Answer(row.status, row.media_type, row.answer)


def forget_lead(connection: Connection, lead_id: str) -> int:
    """Delete every answer that may be about a lead; how many."""
    query = select(about.c.request).where(about.c.lead == lead_hash(connection, lead_id))
    found = [row.request for row in connection.execute(query)]
    _forget(connection, found)
    return len(found)


def forget_buried(connection: Connection) -> None:
    """Delete every answer that may be about a lead that was erased."""
    query = select(about.c.request).join(tombstones, tombstones.c.hash == about.c.lead)
    _forget(connection, list(connection.execute(query).scalars()))


def forget_given(connection: Connection, lead_id: str) -> int:
    """Delete the answers about a lead that were given already, not the claims under way; how many.

    What they answered is carried out anew when it is asked again, as things stand then.
    """
    query = select(about.c.request).join(requests, requests.c.id == about.c.request)
    query = query.where(
        about.c.lead == lead_hash(connection, lead_id), requests.c.answer.is_not(None)
    )
    found = [row.request for row in connection.execute(query)]
    _forget(connection, found)
    return len(found)


def prune(connection: Connection, now: int) -> int:
    """Delete a portion of what is older than `KEPT`; how many requests, 0 when none is left."""
    query = select(requests.c.id).where(requests.c.created_at < now - KEPT)
    found = [row.id for row in connection.execute(query.order_by(requests.c.id).limit(_AT_ONCE))]
    _forget(connection, found)
    return len(found)


_AT_ONCE = 5_000


def _hashed(connection: Connection, leads: Sequence[str]) -> list[str]:
    return sorted(set(lead_hashes(connection, leads))) if leads else []


def _put(connection: Connection, mine: Claim, answer: Answer, *, is_final: bool) -> bool:
    statement = update(requests).where(
        requests.c.id == mine.id, requests.c.token == mine.token, ~requests.c.is_final
    )
    values = {
        "status": answer.status,
        "media_type": answer.media_type,
        "answer": answer.body,
        "is_final": is_final,
    }
    return connection.execute(statement.values(values)).rowcount == 1


def _settle(connection: Connection, id_: str) -> None:
    connection.execute(update(requests).where(requests.c.id == id_).values(is_final=True))


def _forget(connection: Connection, ids: Sequence[str]) -> None:
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        connection.execute(delete(about).where(about.c.request.in_(part)))
        connection.execute(delete(requests).where(requests.c.id.in_(part)))
