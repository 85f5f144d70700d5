"""Which scores were shown since when, lead by lead? The ledger, for whoever compares it with outcomes.

Scores come in the order in which they were given (`scored_at`, then id), in portions of leads: memory
holds a portion and what the caller keeps. Left out are scores of leads that are not stored or object, of
facts that only a request knew (`payload`), of challengers that score unseen (`shadow`), and of instants
more than a day before they were given: nobody was promised anything by those.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, case, func, select

from features.clock import DAY
from features.store.ingest import chunks
from features.store.ledger import scores
from features.store.tables import lead_versions, leads

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

PORTION = 10_000
"""Leads read at once."""

NEVER = int(np.iinfo(np.int64).max)

NOT_SHOWN = ("payload", "shadow")
"""Channels of scores that were no promise to anybody about a lead as it was."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Scores of some leads, n of them, in the order lead, `scored_at`, id.

    `lead` and `bundle`, `route` are positions in `lead_ids`, `bundles` and `routes`. `known_since` is
    the instant after which each of `lead_ids` was known: no row of it is older.
    """

    lead_ids: tuple[str, ...]
    known_since: Ints
    bundles: tuple[str, ...]
    routes: tuple[str, ...]
    id: Ints
    lead: Ints
    as_of: Ints
    scored_at: Ints
    bundle: Ints
    route: Ints
    raw: Floats
    probability: Floats


def iter_shown(
    connection: Connection,
    bundles: Collection[str],
    since: int,
    before: int,
    *,
    portion: int = PORTION,
) -> Iterator[Shown]:
    """The scores that these bundles gave from `since` on and before `before`, in portions of leads.

    Args:
        connection: an open connection.
        bundles: digests.
        since: scores given earlier are left out.
        before: scores given at or after it are left out.
        portion: leads read at once.
    """
    wanted = _shown(bundles, since, before)
    low = -1
    while True:
        query = select(leads.c.id, leads.c.external_id).where(leads.c.id > low)
        query = query.where(~leads.c.do_not_score).order_by(leads.c.id).limit(portion)
        known = {int(row.id): str(row.external_id) for row in connection.execute(query)}
        if not known:
            return
        highest = max(known)
        found = _portion(connection, wanted, (low + 1, highest), known)
        if found is not None:
            yield found
        low = highest


def scored_by_week(
    connection: Connection, since: int, before: int, week: int
) -> list[tuple[str, str, int, int]]:
    """Bundle, channel, week number and how many scores it gave, payloads and shadows too.

    Args:
        connection: an open connection.
        since: scores given earlier are left out.
        before: scores given at or after it are left out.
        week: length of a week in microseconds.
    """
    # `//` of SQLAlchemy is whole-number division on both databases; instants are not negative.
    number = (scores.c.scored_at // week).label("week")
    query = select(scores.c.bundle, scores.c.channel, number, func.count().label("n"))
    query = query.where(scores.c.scored_at >= since, scores.c.scored_at < before)
    rows = connection.execute(query.group_by(scores.c.bundle, scores.c.channel, number))
    return sorted((row.bundle, row.channel, int(row.week), int(row.n)) for row in rows)


def inputs_of(connection: Connection, ids: Sequence[int]) -> list[dict[str, Any]]:
    """The rows that these scores were computed from, in the order given; empty where one is gone."""
    found: dict[int, dict[str, Any]] = {}
    query = select(scores.c.id, scores.c.inputs)
    for chunk in chunks(list(ids)):
        for row in connection.execute(query.where(scores.c.id.in_(chunk))):
            found[int(row.id)] = json.loads(row.inputs)
    return [found.get(int(one), {}) for one in ids]


def _shown(bundles: Collection[str], since: int, before: int) -> list[ColumnElement[bool]]:
    return [
        scores.c.bundle.in_(sorted(bundles)),
        scores.c.scored_at >= since,
        scores.c.scored_at < before,
        scores.c.as_of >= scores.c.scored_at - DAY,
        scores.c.channel.not_in(NOT_SHOWN),
    ]


def _portion(
    connection: Connection,
    wanted: Sequence[ColumnElement[bool]],
    between: tuple[int, int],
    known: Mapping[int, str],
) -> Shown | None:
    """The scores of the leads that are known, with keys between these; None where they have none."""
    columns = ("id", "lead", "as_of", "scored_at", "bundle", "route", "raw", "probability")
    query = select(*(scores.c[name] for name in columns)).where(*wanted)
    query = query.where(scores.c.lead.between(*between))
    query = query.order_by(scores.c.lead, scores.c.scored_at, scores.c.id)
    rows = [tuple(row) for row in connection.execute(query) if row.lead in known]
    if not rows:
        return None
    ids, lead, as_of, scored_at, bundle, route, raw, probability = zip(*rows, strict=True)
    keys, lead_code = np.unique(np.array(lead, dtype=np.int64), return_inverse=True)
    bundles, bundle_code = np.unique(bundle, return_inverse=True)
    routes, route_code = np.unique(route, return_inverse=True)
    since = _known_since(connection, between)
    return Shown(
        lead_ids=tuple(known[key] for key in keys.tolist()),
        known_since=np.array([since.get(key, NEVER) for key in keys.tolist()], dtype=np.int64),
        bundles=tuple(map(str, bundles)),
        routes=tuple(map(str, routes)),
        id=np.array(ids, dtype=np.int64),
        lead=lead_code,
        as_of=np.array(as_of, dtype=np.int64),
        scored_at=np.array(scored_at, dtype=np.int64),
        bundle=bundle_code,
        route=route_code,
        raw=np.array(raw),
        probability=np.array(probability),
    )


def _known_since(connection: Connection, between: tuple[int, int]) -> dict[int, int]:
    """The instant after which each of these leads was known, by our keys; as in `features.clock`."""
    occurred, recorded = lead_versions.c.occurred_at, lead_versions.c.recorded_at
    first = func.min(case((occurred > recorded, occurred), else_=recorded))
    query = select(lead_versions.c.lead, first.label("since"))
    query = query.where(lead_versions.c.lead.between(*between)).group_by(lead_versions.c.lead)
    return {int(row.lead): int(row.since) for row in connection.execute(query)}
