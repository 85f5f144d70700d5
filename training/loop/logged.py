"""What became of the scores that were shown? The ledger's scores with their outcomes, as promises.

A lead that is scored a hundred times a day is one promise, not a hundred. Tables and figures count, of
each lead and week, the score shown first (`read_logged`), and take a lead's weeks as one piece of
evidence. The alarm counts a lead only once at a time (`one_at_a_time`): the first score shown, then the
first shown after that one's outcome was known; scores whose horizons overlap share an outcome, and the
second would be old news. Which score counts depends on when it was shown, never on what came of it.

A score is matured when its horizon and the reporting lag are over; what closed off merit did not buy
(docs/decisions/0019). Nothing recorded at or after the cutoff is looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import DAY
from features.definition import Definition
from features.facts import Queries
from features.store.engine import Store
from features.store.logged import NEVER, Shown, iter_shown
from features.store.merges import Numbering, known_families
from features.store.outcomes import load_outcomes
from training.labels import label

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

WEEK = 7 * DAY
"""Weeks are counted from the epoch, a Thursday: what is in a week never depends on who looks when."""


@dataclass(frozen=True)
class Logged:
    """Scores that count, n of them, in the order in which they were shown.

    Attributes:
        id: of the scores in the ledger, shape (n,).
        lead: a number per lead; leads that have become one share it.
        as_of, scored_at: instants.
        known_since: the instant after which the lead was known: no row of it is older.
        raw, probability: as they were shown.
        bundle, route: positions in `bundles` and `routes`.
        y: 1 won, 0 not won, −1 not known yet.
        reason: why, as positions in `labels.REASONS`.
        bundles, routes: digests of bundles, and names of routes.
    """

    id: Ints
    lead: Ints
    as_of: Ints
    scored_at: Ints
    known_since: Ints
    raw: Floats
    probability: Floats
    bundle: Ints
    route: Ints
    y: Ints
    reason: Ints
    bundles: tuple[str, ...]
    routes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.id)

    @property
    def week(self) -> Ints:
        """The number of the week in which each was shown, shape (n,)."""
        return np.asarray(self.scored_at // WEEK, dtype=np.int64)

    def take(self, rows: NDArray[np.int64] | Mask) -> Logged:
        """Only these rows."""
        return replace(self, **{name: getattr(self, name)[rows] for name in _ARRAYS})

    def matured(self) -> Logged:
        """Only those whose outcome is known."""
        return self.take(np.flatnonzero(self.y >= 0))


_ARRAYS = tuple(field.name for field in fields(Logged) if field.name not in ("bundles", "routes"))


def read_logged(
    store: Store,
    definition: Definition,
    bundles: Collection[str],
    *,
    since: int,
    cutoff: int,
    before: int | None = None,
) -> Logged:
    """Of each lead and week the score that these bundles showed first, with what became of it.

    Args:
        store: ledger and outcomes.
        definition: whose horizon the scores promised.
        bundles: digests.
        since: scores given earlier are not read.
        cutoff: nothing recorded at or after this instant is known.
        before: scores given at or after this instant are not read; by default the cutoff.
    """
    names = sorted(bundles)
    parts: list[Logged] = []
    with store.read() as connection:
        numbering = Numbering(known_families(connection, cutoff))
        for shown in iter_shown(connection, names, since, cutoff if before is None else before):
            kept = np.flatnonzero(_first_of_week(shown))
            queries = Queries(shown.lead[kept], shown.as_of[kept])
            deals = load_outcomes(connection, shown.lead_ids, cutoff)
            labels = label(queries, deals, definition, cutoff)
            number = numbering.of(shown.lead_ids)
            parts.append(_logged(shown, kept, labels.y, labels.reason, number, names))
    return _together(parts, names)


def one_at_a_time(rows: Logged, wait: int) -> Mask:
    """Which scores count for the alarm, shape (n,): of each lead no two that wait for outcomes at once.

    Args:
        rows: in any order.
        wait: after how long an outcome is known, in microseconds (`unseen.wait_of`).
    """
    counts = np.zeros(len(rows), dtype=np.bool_)
    free: dict[int, int] = {}
    order = np.lexsort((rows.id, rows.scored_at))
    leads, instants = rows.lead.tolist(), rows.as_of.tolist()
    for row in order.tolist():
        if instants[row] >= free.get(leads[row], instants[row]):
            counts[row] = True
            free[leads[row]] = instants[row] + wait
    return counts


def whole_weeks(rows: Logged, wait: int, cutoff: int) -> Mask:
    """Which scores belong to weeks all of whose scores have matured at the cutoff, shape (n,)."""
    ends = (rows.week + 1) * WEEK
    return np.asarray((ends + wait <= cutoff) & (rows.y >= 0))


def _first_of_week(shown: Shown) -> Mask:
    """The first score of each lead and week; `shown` is in order of lead and scoring."""
    week = shown.scored_at // WEEK
    first = np.ones(len(week), dtype=np.bool_)
    first[1:] = (shown.lead[1:] != shown.lead[:-1]) | (week[1:] != week[:-1])
    return first


def _logged(
    shown: Shown, kept: Ints, y: Ints, reason: Ints, number: Ints, names: Sequence[str]
) -> Logged:
    """Scores of one portion, with the numbers of its leads."""
    place = np.array([names.index(digest) for digest in shown.bundles], dtype=np.int64)
    return Logged(
        id=shown.id[kept],
        lead=number[shown.lead[kept]],
        as_of=shown.as_of[kept],
        scored_at=shown.scored_at[kept],
        known_since=shown.known_since[shown.lead[kept]],
        raw=shown.raw[kept],
        probability=shown.probability[kept],
        bundle=place[shown.bundle[kept]],
        route=shown.route[kept],
        y=y,
        reason=reason,
        bundles=tuple(names),
        routes=shown.routes,
    )


def _together(parts: Sequence[Logged], names: Sequence[str]) -> Logged:
    """All portions in scoring order, their routes under one numbering."""
    routes = tuple(sorted({route for part in parts for route in part.routes}))
    place = {route: i for i, route in enumerate(routes)}
    recoded = [
        replace(part, route=np.array([place[r] for r in part.routes], dtype=np.int64)[part.route])
        for part in parts
    ]
    arrays: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in recoded])
        if recoded
        else np.zeros(0, dtype=np.float64 if name in ("raw", "probability") else np.int64)
        for name in _ARRAYS
    }
    everything = Logged(**arrays, bundles=tuple(names), routes=routes)
    return _as_one(everything.take(np.lexsort((everything.id, everything.scored_at))))


def _as_one(rows: Logged) -> Logged:
    """Leads that have become one count once a week, and as known since the first of them was.

    Args:
        rows: in the order in which they were shown; each lead's first of each week.
    """
    if not len(rows):
        return rows
    since = np.full(int(rows.lead.max()) + 1, NEVER)
    np.minimum.at(since, rows.lead, rows.known_since)
    # A lead and a week as one number, exact: leads times weeks fit an int64 many times over.
    both = rows.lead * (int(rows.week.max()) + 1) + rows.week
    first = np.sort(np.unique(both, return_index=True)[1])
    return replace(rows, known_since=since[rows.lead]).take(first)
