"""Whom shall I call next? The open leads in the order of their raw scores, and how they stay fresh.

A rep sees the own leads only, whatever is asked for. Order and ties are the ledger's: raw score, then
last touch (newest first), then the lead's id; where a share is explored or held out, a list that is not
narrowed is in the order of `serving.placing_by_lot`. A portion of the queue is scored outside any
transaction and written in one, so that nobody waits for a refresh. Of all processes of one database,
one refreshes at a time: the one that holds the lease.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from features.clock import DAY, SECOND
from features.errors import ConflictError, NoModelError
from features.store.access import Caller
from features.store.engine import Connection, Store
from features.store.history import iter_open, newest_fact, profiles
from features.store.leases import TERM_SECONDS, holding
from features.store.ledger import (
    QueuePage,
    close_older,
    oldest_in_queue,
    owners,
    queue_summary,
    read_queue,
)
from features.store.queue_order import lots, queue_rows, whole_list
from features.store.trials import Rules
from serving.placing_by_lot import placed
from serving.scoring import Occasion, Scorer, keep, score_facts
from serving.security import sees_owner
from serving.shown_log import list_name

PAGE = 50
"""Rows of a page."""

TOGETHER = 500
"""Leads scored at once when the queue is renewed, which take some ten megabytes for a moment.

A process that answers others meanwhile keeps what it once took: with all of 2,000 leads, 40 MB more.
"""

PLAIN = Rules()

LEASE = "queue refresh"
"""The lease under which the queue is scored anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """A page of the queue.

    Attributes:
        rows: the leads in order, as the ledger gives them (`lead_id`, `raw`, `probability`, …), and why
            each stands there (`place`) with the chance that it had of the first places (`chance`).
        total: how many leads there are on all pages.
        offset: how many come before this page.
        routes: how many open leads each route has, of the owner looked at.
        owners: whose leads may be chosen; empty for a rep.
        owner: whose leads these are; None: everybody's.
        name: how the list is called in the log of what was shown.
    """

    rows: Sequence[Mapping[str, Any]]
    total: int
    offset: int
    routes: Mapping[str, int]
    owners: Sequence[str]
    owner: str | None
    name: str


def queue_page(
    connection: Connection,
    caller: Caller,
    *,
    owner: str | None = None,
    route: str | None = None,
    kind: str | None = None,
    search: str | None = None,
    page: int = 1,
    per_page: int = PAGE,
    rules: Rules = PLAIN,
    now: int = 0,
) -> QueueView:
    """A page of the queue as this caller may see it; pages count from 1."""
    offset = (page - 1) * per_page
    return queue_slice(
        connection,
        caller,
        owner=owner,
        route=route,
        kind=kind,
        search=search,
        limit=per_page,
        offset=offset,
        rules=rules,
        now=now,
    )


def queue_slice(
    connection: Connection,
    caller: Caller,
    *,
    owner: str | None = None,
    route: str | None = None,
    kind: str | None = None,
    search: str | None = None,
    limit: int = PAGE,
    offset: int = 0,
    rules: Rules = PLAIN,
    now: int = 0,
) -> QueueView:
    """The rows from `offset` on; see `features.store.ledger.read_queue` for the filters.

    Args:
        connection: an open connection.
        caller: who asks.
        owner: only this owner's leads, for those who may choose.
        route: only this route's.
        kind: only prospects, or only clients.
        search: only leads whose name or id contains this.
        limit: rows at most.
        offset: rows before them.
        rules: what is explored and held out.
        now: the present instant, whose day decides which lots are drawn.
    """
    mine = sees_owner(caller)
    whose = mine if mine is not None else owner
    is_whole = not (route or kind or search)
    if is_whole and not rules.are_plain:
        found = _by_lot(connection, whose, rules, now, limit, offset)
        rows = found.rows
    else:
        found = read_queue(
            connection,
            owner=whose,
            route=route,
            kind=kind,
            search=search,
            limit=limit,
            offset=offset,
        )
        rows = _by_score(found, offset, rules, is_whole)
    return QueueView(
        rows=rows,
        name=list_name(whose, ("route", route), ("kind", kind), ("q", search)),
        total=found.total,
        offset=offset,
        routes=queue_summary(connection, whose),
        owners=[] if mine is not None else owners(connection),
        owner=whose,
    )


def _by_score(
    found: QueuePage, offset: int, rules: Rules, is_whole: bool
) -> list[Mapping[str, Any]]:
    """Rows in the order of their scores; in a whole list that was certain beforehand."""
    return [
        {**row, "place": "score", "chance": float(offset + i < rules.top) if is_whole else None}
        for i, row in enumerate(found.rows)
    ]


def _by_lot(
    connection: Connection, owner: str | None, rules: Rules, now: int, limit: int, offset: int
) -> QueuePage:
    """A part of a list in which lots were drawn."""
    name = list_name(owner)
    ordered = whole_list(connection, owner)
    order = placed(ordered, rules, name, now // DAY, lambda texts: lots(connection, texts))
    part = {one.key: one for one in order[offset : offset + limit]}
    rows = [
        {**row, "place": part[row["key"]].place, "chance": part[row["key"]].chance}
        for row in queue_rows(connection, list(part))
    ]
    return QueuePage(rows=rows, total=len(order))


def refresh_queue(
    store: Store,
    scorer: Scorer,
    now: int,
    *,
    progress: Callable[[int], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Score every open lead at `now`; leads that are no longer open leave the queue.

    Args:
        store: where facts are read and scores are written, a portion at a time.
        scorer: what scores.
        now: the present instant, and the as-of of every score.
        progress: told how many leads were scored, portion by portion.
        stop: asked after each portion whether to leave the rest for later.

    Returns:
        How many leads were scored.
    """
    occasion = Occasion(now=now, channel="queue")
    done = 0
    with store.read() as connection:
        for facts, queries in iter_open(connection, scorer.model.definition, now, portion=TOGETHER):
            scores = score_facts(scorer, facts, queries, occasion)
            known = profiles(connection, [score.lead for score in scores])
            with store.write() as writer:
                keep(writer, scores, known)
            done += len(scores)
            progress(len(scores))
            if stop():
                return done
    with store.write() as writer:
        close_older(writer, now)
    return done


class QueueRefresher:
    """Keeps the queue's scores no older than `minutes`, and of the champion.

    Args:
        store: the database.
        scorer: gives what scores now; raises `NoModelError` while nothing does.
        clock: gives the present instant.
        minutes: oldest age of a score in the queue.
        holder: how this process is called among all that share the database.
        lease_seconds: how long the others wait for it when it dies in the middle.
    """

    def __init__(
        self,
        store: Store,
        scorer: Callable[[], Scorer],
        clock: Callable[[], int],
        minutes: float,
        holder: str = "this process",
        lease_seconds: float = TERM_SECONDS,
    ) -> None:
        self._store = store
        self._scorer = scorer
        self._clock = clock
        self._interval = round(minutes * 60 * SECOND)
        self._settled: tuple[str, int] | None = None
        self._holder = holder
        self._lease_seconds = lease_seconds
        self.stopping = False

    def look(self) -> int | None:
        """Score the queue anew when it is due; the number of leads scored.

        None when it was not due, or another process is at it: then this one looks again next time.
        """
        try:
            scorer = self._scorer()
        except NoModelError:
            return None
        now, stamp = self._clock(), _stamp(scorer)
        if self._settled and self._settled[0] == stamp and now - self._settled[1] < self._interval:
            return None
        done = None
        if self._is_due(scorer, stamp, now):
            try:
                done = self._refresh(scorer, now)
            except ConflictError:
                return None
        self._settled = (stamp, now)
        return done

    def _refresh(self, scorer: Scorer, now: int) -> int:
        """Refresh under the lease.

        Raises:
            ConflictError: another process holds it, or took it because this one seemed dead.
        """
        with holding(self._store, LEASE, self._holder, seconds=self._lease_seconds) as held:
            done = refresh_queue(
                self._store, scorer, now, stop=lambda: self.stopping or held.is_lost
            )
        if held.is_lost:
            raise ConflictError("the lease of the queue was lost in the middle")
        return done

    def _is_due(self, scorer: Scorer, stamp: str, now: int) -> bool:
        """Whether the queue is old, of another model or agreement, or older than what it is about.

        Another process may have refreshed it a moment ago.
        """
        with self._store.read() as connection:
            oldest, bundles = oldest_in_queue(connection)
            newest = newest_fact(connection)
        if oldest is None or bundles != {scorer.model.digest} or now - oldest >= self._interval:
            return True
        if self._settled is None:
            return newest is not None and newest > oldest
        return self._settled[0] != stamp


def _stamp(scorer: Scorer) -> str:
    """What the queue's scores depend on beside the facts: model, and routes."""
    return f"{scorer.model.digest}/{scorer.agreed.hash}"
