"""Which scores were given, by what, from what? An append-only log, and the latest score per lead.

Every score that left the service is here with the row it was computed from, so that any of them can
be recomputed and explained later. `current` is the last one per stored lead, for the queue: a
convenience that can always be rebuilt from the log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    Select,
    String,
    Table,
    Text,
    and_,
    bindparam,
    func,
    or_,
    select,
)

from features.store.consent import erased, in_step
from features.store.ingest import chunks, insert_ignoring, lead_keys
from features.store.prepared import Prepared
from features.store.score_texts import compact, inputs_text
from features.store.tables import BigId, Instant, leads, metadata

scores = Table(
    "scores",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("lead", BigId, ForeignKey("leads.id")),
    Column("lead_id", String(300), nullable=False),
    Column("as_of", Instant, nullable=False),
    Column("scored_at", Instant, nullable=False),
    Column("raw", Float(53), nullable=False),
    Column("probability", Float(53), nullable=False),
    Column("route", String(64), nullable=False),
    Column("bundle", String(64), nullable=False),
    Column("definition", String(64), nullable=False),
    Column("inputs", Text, nullable=False),
    Column("inputs_hash", String(64), nullable=False),
    Column("reasons", Text, nullable=False),
    Column("warnings", Text, nullable=False),
    Column("channel", String(32), nullable=False),
    Column("request_id", String(64)),
    Index("ix_scores_lead", "lead", "as_of"),
    Index("ix_scores_scored_at", "scored_at"),
    Index("ix_scores_lead_id", "lead_id"),
)

current = Table(
    "current_scores",
    metadata,
    Column("lead", BigId, ForeignKey("leads.id"), primary_key=True),
    Column("score", BigId, ForeignKey("scores.id"), nullable=False),
    Column("raw", Float(53), nullable=False),
    Column("probability", Float(53), nullable=False),
    Column("route", String(64), nullable=False),
    Column("last_touch", Instant),
    Column("owner", String(300)),
    Column("name", String(300)),
    Column("stage", String(64)),
    Column("kind", String(16), nullable=False),
    Column("is_open", Integer, nullable=False),
    Index("ix_current_queue", "owner", "is_open", "raw"),
    Index("ix_current_raw", "is_open", "raw"),
)


numbers = Table(
    "score_numbers",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("next", BigId, nullable=False),
)
"""SQLite: the next id of a score, in one row; PostgreSQL has a sequence for it."""


SHADOW = "shadow"
"""The channel of challengers' scores: kept as evidence, shown to nobody (`features.store.shadows`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreEntry:
    """One score as it was given.

    Attributes:
        lead: the lead's external id (its own name for an unstored lead).
        as_of: the instant it speaks for; `scored_at`: when it was computed.
        raw: log-odds before calibration; `probability`: calibrated, inside (0, 1).
        bundle, definition: digests of what computed it.
        inputs: the feature row, by column name.
        reasons: the reasons as they were shown.
        channel: where it was shown: `api`, `batch`, `queue` or `file`; `payload` when the facts came
            with the request, so that the store cannot tell it again; `SHADOW` when nobody was shown it.
    """

    lead: str
    as_of: int
    scored_at: int
    raw: float
    probability: float
    route: str
    bundle: str
    definition: str
    inputs: Mapping[str, str | float | None]
    reasons: Sequence[Mapping[str, Any]]
    warnings: Sequence[str] = ()
    channel: str = "api"
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEntry:
    """What the queue shows about a stored lead beside its score."""

    last_touch: int | None
    owner: str | None
    name: str | None
    stage: str | None
    kind: str
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePage:
    """A page of the queue: `rows` as mappings, and how many leads there are in all."""

    rows: Sequence[Mapping[str, Any]]
    total: int


def inputs_hash(inputs: Mapping[str, str | float | None]) -> str:
    """SHA-256 (hex) of a feature row; equal for equal rows, whatever the order of the names."""
    return inputs_text(inputs)[1]


def take_numbers(connection: Connection, n: int) -> list[int]:
    """So many ids of scores, never given before; those that are not used are missing later.

    On SQLite whoever takes some must hold the right to write (`Store.write`).
    """
    if connection.dialect.name == "postgresql":
        return [int(number) for (number,) in _TAKE_POSTGRESQL.run(connection, n=n)]
    ((after,),) = _TAKE_SQLITE.run(connection, n=n)
    return [*range(after - n, after)]


def record_scores(
    connection: Connection,
    entries: Sequence[ScoreEntry],
    shown: Sequence[QueueEntry | None],
    ids: Sequence[int] | None = None,
) -> list[int | None]:
    """Append scores; those with a queue entry also become their lead's current score.

    Whether a lead may be scored is asked here once more, in the transaction that writes: who objected,
    or was erased, since the score was computed is left out.

    Args:
        connection: from `Store.write`.
        entries: the scores.
        shown: for each what the queue shows beside it; None: it does not enter the queue.
        ids: taken beforehand with `take_numbers`; by default taken now.

    Returns:
        The scores' ids, in the order given; None for those that were not written.
    """
    if not entries:
        return []
    in_step(connection)
    given = take_numbers(connection, len(entries)) if ids is None else list(ids)
    named = {entry.lead for entry in entries}
    keys = lead_keys(connection, named)
    refused = _refused(connection, named, keys)
    rows = [
        _row(entry, id_, keys)
        for entry, id_ in zip(entries, given, strict=True)
        if entry.lead not in refused
    ]
    if rows:
        _INSERT.run_for_each(connection, rows)
    latest: dict[int, tuple[int, dict[str, Any]]] = {}
    for entry, queue, id_ in zip(entries, shown, given, strict=True):
        key = None if entry.lead in refused else keys.get(entry.lead)
        if queue is not None and key is not None and entry.as_of >= latest.get(key, _LONG_AGO)[0]:
            latest[key] = entry.as_of, _current(key, id_, entry, queue)
    _replace_current(connection, latest)
    return [
        None if entry.lead in refused else id_ for entry, id_ in zip(entries, given, strict=True)
    ]


def present(connection: Connection, ids: Sequence[int]) -> set[int]:
    """Those of these scores that are in the ledger."""
    found = select(scores.c.id)
    parts = (found.where(scores.c.id.in_(chunk)) for chunk in chunks(ids))
    return {int(row.id) for query in parts for row in connection.execute(query)}


def _refused(
    connection: Connection, lead_ids: AbstractSet[str], keys: Mapping[str, int]
) -> set[str]:
    """Those of the leads that object to being scored, or were erased."""
    gone = erased(connection, lead_ids - keys.keys())
    if not keys:
        return gone
    query = select(leads.c.external_id).where(leads.c.do_not_score)
    objectors = {
        row.external_id
        for chunk in chunks(sorted(keys.values()))
        for row in connection.execute(query.where(leads.c.id.in_(chunk)))
    }
    return objectors | gone


# Asked for every score, so made once.
_INSERT = Prepared(scores.insert().inline(), [column.name for column in scores.c])
_TAKE_POSTGRESQL = Prepared(
    select(func.nextval("scores_id_seq")).select_from(
        func.generate_series(1, bindparam("n", type_=Integer))
    )
)
_TAKE_SQLITE = Prepared(
    numbers.update()
    .values(next=numbers.c.next + bindparam("n", type_=Integer))
    .returning(numbers.c.next)
)
_LONG_AGO: tuple[float, None] = (float("-inf"), None)


def _replace_current(
    connection: Connection, latest: Mapping[int, tuple[int, dict[str, Any]]]
) -> None:
    """Put leads' new scores in place, unless one that speaks for a later instant got there first."""
    keys = sorted(latest)
    for start in range(0, len(keys), 5_000):
        part = keys[start : start + 5_000]
        joined = current.join(scores, scores.c.id == current.c.score)
        query = select(current.c.lead, scores.c.as_of).select_from(joined)
        there = connection.execute(query.where(current.c.lead.in_(part)))
        later = {row.lead for row in there if row.as_of > latest[row.lead][0]}
        chosen = [key for key in part if key not in later]
        connection.execute(current.delete().where(current.c.lead.in_(chosen)))
        insert_ignoring(connection, current, [latest[key][1] for key in chosen])


def close_older(connection: Connection, as_of: int) -> int:
    """Take leads out of the queue whose score speaks for an instant before `as_of`; how many.

    After all open leads were scored at `as_of`, those left behind are no longer open.
    """
    behind = select(scores.c.id).where(scores.c.id == current.c.score, scores.c.as_of < as_of)
    statement = current.update().where(current.c.is_open == 1, behind.exists())
    return int(connection.execute(statement.values(is_open=0)).rowcount)


def oldest_in_queue(connection: Connection) -> tuple[int | None, set[str]]:
    """The instant that the oldest score in the queue speaks for, and the bundles that gave them."""
    joined = current.join(scores, scores.c.id == current.c.score)
    query = select(scores.c.bundle, func.min(scores.c.as_of).label("oldest")).select_from(joined)
    rows = connection.execute(query.where(current.c.is_open == 1).group_by(scores.c.bundle)).all()
    return min((int(row.oldest) for row in rows), default=None), {row.bundle for row in rows}


def _row(entry: ScoreEntry, id_: int, keys: Mapping[str, int]) -> dict[str, Any]:
    inputs, digest = inputs_text(entry.inputs)
    return {
        "id": id_,
        "lead": keys.get(entry.lead),
        "lead_id": entry.lead,
        "as_of": entry.as_of,
        "scored_at": entry.scored_at,
        "raw": entry.raw,
        "probability": entry.probability,
        "route": entry.route,
        "bundle": entry.bundle,
        "definition": entry.definition,
        "inputs": inputs,
        "inputs_hash": digest,
        "reasons": compact(list(entry.reasons)),
        "warnings": compact(list(entry.warnings)),
        "channel": entry.channel,
        "request_id": entry.request_id,
    }


def _current(key: int, score: int, entry: ScoreEntry, queue: QueueEntry) -> dict[str, Any]:
    return {
        "lead": key,
        "score": score,
        "raw": entry.raw,
        "probability": entry.probability,
        "route": entry.route,
        "last_touch": queue.last_touch,
        "owner": queue.owner,
        "name": queue.name,
        "stage": queue.stage,
        "kind": queue.kind,
        "is_open": int(queue.is_open),
    }


def read_queue(
    connection: Connection,
    *,
    owner: str | None = None,
    route: str | None = None,
    kind: str | None = None,
    search: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> QueuePage:
    """Open leads by raw score, highest first; ties by last touch (newest first), then by lead.

    Args:
        connection: an open connection.
        owner: only this rep's leads; None for everybody's.
        route: only this route.
        kind: only `prospect` or `client`.
        search: only leads whose name or id contains this text, whatever its case.
        limit: rows on the page.
        offset: rows before it.
    """
    conditions = [current.c.is_open == 1, ~leads.c.do_not_score]
    for column, wanted in (
        (current.c.owner, owner),
        (current.c.route, route),
        (current.c.kind, kind),
    ):
        if wanted is not None:
            conditions.append(column == wanted)
    if search:
        conditions.append(
            or_(
                *(
                    match
                    for column in (current.c.name, leads.c.external_id)
                    for match in _contains(column, search)
                )
            )
        )
    joined = current.join(leads, leads.c.id == current.c.lead)
    total = connection.execute(select(func.count()).select_from(joined).where(and_(*conditions)))
    page = (
        select(leads.c.external_id.label("lead_id"), *QUEUE_COLUMNS)
        .select_from(joined.join(scores, scores.c.id == current.c.score))
        .where(and_(*conditions))
        .order_by(current.c.raw.desc(), *NEWEST_TOUCH, leads.c.external_id)
        .limit(limit)
        .offset(offset)
    )
    return QueuePage(rows=decoded(connection, page), total=int(total.scalar_one()))


# NULLs sort first on one database and last on the other, so whether there was a touch is a column.
NEWEST_TOUCH = (current.c.last_touch.is_(None), current.c.last_touch.desc())

QUEUE_COLUMNS = (
    *(current.c[name] for name in ("raw", "probability", "route", "last_touch", "owner", "name")),
    *(current.c[name] for name in ("stage", "kind", "is_open")),
    *(scores.c[name] for name in ("id", "as_of", "scored_at", "reasons", "warnings", "bundle")),
)


def queue_summary(connection: Connection, owner: str | None = None) -> dict[str, int]:
    """How many open leads are on each route, of one owner or of all."""
    joined = current.join(leads, leads.c.id == current.c.lead)
    query = select(current.c.route, func.count()).select_from(joined)
    query = query.where(current.c.is_open == 1, ~leads.c.do_not_score)
    if owner is not None:
        query = query.where(current.c.owner == owner)
    return {route: int(n) for route, n in connection.execute(query.group_by(current.c.route))}


def owners(connection: Connection) -> list[str]:
    """Everybody who owns an open lead, in order."""
    query = select(current.c.owner).where(current.c.is_open == 1, current.c.owner.is_not(None))
    return sorted({str(row.owner) for row in connection.execute(query.distinct())})


def score_history(
    connection: Connection, lead_id: str, limit: int = 200, *, stored_only: bool = False
) -> list[dict[str, Any]]:
    """A lead's scores that somebody was shown, newest first, with their inputs and reasons decoded.

    Args:
        connection: of the store.
        lead_id: whose.
        limit: how many at most.
        stored_only: leave out those of facts that only a request knew: what-ifs are not the lead's.
    """
    hidden = (SHADOW, "payload") if stored_only else (SHADOW,)
    query = select(scores).where(scores.c.lead_id == lead_id, scores.c.channel.not_in(hidden))
    query = query.order_by(scores.c.as_of.desc(), scores.c.id.desc()).limit(limit)
    return decoded(connection, query)


def read_score(connection: Connection, score: int) -> dict[str, Any] | None:
    """One score by its id, decoded; None when there is none."""
    found = decoded(connection, select(scores).where(scores.c.id == score))
    return found[0] if found else None


def newest_score(connection: Connection) -> dict[str, Any] | None:
    """The last current score and the bundle that gave it; None when nothing was scored yet."""
    query = (
        select(scores.c.scored_at, scores.c.bundle)
        .select_from(current.join(scores, scores.c.id == current.c.score))
        .order_by(scores.c.scored_at.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return dict(row._mapping) if row else None


def decoded(connection: Connection, query: Select[Any]) -> list[dict[str, Any]]:
    """The rows of a query, inputs, reasons and warnings read from their JSON."""
    found = [dict(row._mapping) for row in connection.execute(query)]
    for row in found:
        for name in ("inputs", "reasons", "warnings"):
            if name in row:
                row[name] = json.loads(row[name])
    return found


def _contains(column: Column[Any], text: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Whether a column contains a text: in any case, and as written.

    Databases lower fewer letters than Python does (SQLite only A to Z): `Ö` is found at least as `Ö`.
    """
    lowered, written = f"%{_escaped(text.lower())}%", f"%{_escaped(text)}%"
    return func.lower(column).like(lowered, escape="\\"), column.like(written, escape="\\")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
