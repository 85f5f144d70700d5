"""Which deals closed, and how? The only module that knows a deal exists.

Feature, model and scoring code may not import it: an import contract fails the build, so an outcome
cannot leak into a score. Writing a deal also writes the closing stage change that tells everybody
else that the lead is no longer open. Deals are append-only: the same external id with other content
is a revision, and the last one recorded counts, in whatever order they arrive. The stage changes that
deals make are a function of all deals of a lead: they are written anew whenever one of them changes.
"""

from __future__ import annotations

import re
from bisect import insort
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Float,
    ForeignKey,
    Index,
    Row,
    String,
    Table,
    UniqueConstraint,
    exists,
    func,
    select,
    tuple_,
)

from features.clock import Instants
from features.definition import Definition
from features.errors import ConflictError, Problem, shown
from features.facts import Record, StageChange
from features.quality import LONGEST_SOURCE, instant_problem, is_finite, shown_instant, text_problem
from features.store.closings import (
    ENDINGS,
    Deal,
    Ending,
    closings,
    content_of,
    key_of_deal,
    named,
    rank,
)
from features.store.consent import ERASED, erased, in_step
from features.store.ingest import (
    NO_SUCH_LEAD,
    IngestReport,
    chunks,
    ingest,
    insert_ignoring,
    lead_keys,
    of_leads,
)
from features.store.merges import (
    Merge,
    Merged,
    known_merges,
    named_in,
    names_of,
    one_after_the_other,
    record_merges,
)
from features.store.tables import BigId, Instant, leads, metadata, stages
from features.store.tidied import tidied_up

_OURS = re.compile(r"deal:[0-9a-f]{24}")
"""External ids of the stage changes that deals make."""

__all__ = [
    "ENDINGS",
    "Deal",
    "Deals",
    "Ending",
    "content_of",
    "deals",
    "last_revisions",
    "last_said",
    "load_outcomes",
    "named",
    "newest_deal",
    "record_deals",
    "record_facts",
    "record_merged",
    "said_alike",
]

deals = Table(
    "deals",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("lead", BigId, ForeignKey("leads.id"), nullable=False),
    Column("occurred_at", Instant, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("ending", String(16), nullable=False),
    Column("amount", Float),
    Column("reason", String(300)),
    Column("source", String(64), nullable=False),
    Column("external_id", String(300), nullable=False),
    Column("content", String(32), nullable=False),
    UniqueConstraint("source", "external_id", "recorded_at", "content", name="uq_deals_key"),
    Index("ix_deals_lead", "lead"),
    Index("ix_deals_recorded", "recorded_at"),
)


@dataclass(frozen=True, slots=True)
class Deals:
    """Closed deals as columns of shape (n,): positions of leads, close, record, ending, amount.

    `ending` holds positions in `ENDINGS`; `amount` is NaN where it was not given.
    """

    lead: NDArray[np.int64]
    occurred_at: Instants
    recorded_at: Instants
    ending: NDArray[np.int64]
    amount: NDArray[np.float64]


def record_deals(
    connection: Connection, given: Sequence[Deal], definition: Definition, now: int
) -> IngestReport:
    """Write deals and the stage changes that close their leads; doing it again changes nothing.

    A deal recorded `now` that says what its last revision says is that revision, sent again: a
    system that sends all its deals every night does not revise them.

    Returns:
        What was added and what was there already, and the problems by position in `given`; a deal
        with a problem is left out, the others are written.
    """
    in_step(connection)
    keys = lead_keys(connection, {deal.lead for deal in given})
    gone = erased(connection, {deal.lead for deal in given} - keys.keys())
    problems = {
        i: found for i, deal in enumerate(given) if (found := _problems(deal, i, keys, gone, now))
    }
    good = [named(deal) for i, deal in enumerate(given) if i not in problems]
    _lock(connection, {keys[deal.lead] for deal in good})
    revisions = _revisions(connection, {key_of_deal(deal) for deal in good})
    touched = {deal.lead for deal in good} | {d.lead for known in revisions.values() for d in known}
    moved = lead_keys(connection, touched - keys.keys())
    _lock(connection, moved.values())
    keys = keys | moved
    also = _deals_of(connection, {keys[lead] for lead in touched}) - revisions.keys()
    revisions |= _revisions(connection, also)
    fresh = []
    for deal in sorted(good, key=rank):
        known = revisions.setdefault(key_of_deal(deal), [])
        if not _is_known(deal, known, now):
            insort(known, deal, key=rank)
            fresh.append(_row(deal, keys))
    insert_ignoring(connection, deals, fresh)
    _write_courses(connection, {lead: keys[lead] for lead in touched}, revisions, definition, now)
    return IngestReport(added=len(fresh), unchanged=len(good) - len(fresh), problems=problems)


def record_facts(
    connection: Connection, records: Sequence[Record], definition: Definition, now: int
) -> IngestReport:
    """Write facts as `ingest` does, and what they change in how deals close and reopen their leads.

    Whether a lead was worked between two deals decides whether annulling the second reopens it, also
    when that it was worked is told after the deals.
    """
    report = ingest(connection, records, definition, now)
    moved = {
        record.lead
        for i, record in enumerate(records)
        if isinstance(record, StageChange) and i not in report.problems
    }
    if report.added and moved:
        _reconsider(connection, moved, definition, now)
    return report


def _reconsider(
    connection: Connection, lead_ids: Collection[str], definition: Definition, now: int
) -> None:
    """Write the stage changes that the deals of these leads make anew."""
    keys = lead_keys(connection, lead_ids)
    closed: dict[str, int] = {}
    for chunk in chunks(sorted(keys.values())):
        query = select(leads.c.external_id).join(deals).where(deals.c.lead.in_(chunk)).distinct()
        closed |= {row.external_id: keys[row.external_id] for row in connection.execute(query)}
    _write_anew(connection, closed, definition, now)


def _write_anew(
    connection: Connection, of: Mapping[str, int], definition: Definition, now: int
) -> None:
    """The same of leads that may have no deal any more, by external id our keys."""
    if of:
        _lock(connection, of.values())
        revisions = _revisions(connection, _deals_of(connection, of.values()))
        _write_courses(connection, of, revisions, definition, now)


def _write_courses(
    connection: Connection,
    of: Mapping[str, int],
    revisions: Mapping[tuple[str, str], Sequence[Deal]],
    definition: Definition,
    now: int,
) -> None:
    """Write how these leads close and reopen, and delete what was written of it and no longer holds.

    Raises:
        ConflictError: somebody else has written a stage change under an id of ours.
    """
    merged = known_merges(connection, None)
    if merged.into:
        of, revisions = _as_merged(connection, merged, of, revisions)
    worked = _worked(connection, of.values(), definition)
    course = closings(revisions.values(), worked)
    changes = [change for lead in sorted(of) for change in course(lead)]
    _forget_others(connection, changes, of.values())
    if ingest(connection, changes, definition, now).problems:
        raise ConflictError(
            "a stage change that a deal of these writes is there already with other content",
            hint="External ids that begin with `deal:` are ours; send the stage under another one.",
        )


def _as_merged(
    connection: Connection,
    merged: Merged,
    of: Mapping[str, int],
    revisions: Mapping[tuple[str, str], Sequence[Deal]],
) -> tuple[Mapping[str, int], Mapping[tuple[str, str], Sequence[Deal]]]:
    """All that are one with these leads, and their deals: each is whose it was when it was recorded."""
    names = names_of(connection, merged.family(of.values()))
    whole = {name: key for key, name in names.items()}
    _lock(connection, names.keys() - set(of.values()))
    also = _deals_of(connection, names) - revisions.keys()
    known = {**revisions, **_revisions(connection, also)}

    def held(deal: Deal) -> Deal:
        key = whole.get(deal.lead)
        return (
            deal if key is None else replace(deal, lead=names[merged.holder(key, deal.recorded_at)])
        )

    return whole, {key: [held(deal) for deal in told] for key, told in known.items()}


def record_merged(
    connection: Connection, given: Sequence[Merge], definition: Definition, now: int
) -> IngestReport:
    """Write which leads have become one, or are not, and whom their deals close from then on."""
    one_after_the_other(connection)
    before = known_merges(connection, None)
    report = record_merges(connection, given, now)
    good = [one for i, one in enumerate(given) if i not in report.problems]
    if report.added:
        named = lead_keys(connection, {name for one in good for name in named_in(one)}).values()
        # Whoever they were one with until now too: a deal may no longer close it.
        touched = names_of(connection, {*named, *before.family(named)})
        _write_anew(connection, {name: key for key, name in touched.items()}, definition, now)
    return report


def load_outcomes(connection: Connection, lead_ids: Sequence[str], before: int) -> Deals:
    """The last revision of each deal of these leads as recorded before `before`; void ones are gone.

    What a lead buys that is known to be one with another is an outcome of both, from when that is
    known; its amount stands with the survivor alone. Many losses of one instant and reason, far more
    than usual, are somebody's tidying up: they are closed off merit (`features.store.tidied`).

    Args:
        connection: an open connection.
        lead_ids: external ids, each once; the result's `lead` is a position in this sequence.
        before: the cutoff instant; a deal recorded at or after it is not known yet.
    """
    keys = lead_keys(connection, lead_ids)
    position = {keys[lead]: i for i, lead in enumerate(lead_ids) if lead in keys}
    merged = known_merges(connection, before)
    read = merged.family(position) if merged.into else position.keys()
    query = select(deals).where(deals.c.recorded_at < before, deals.c.ending != "void")
    query = query.where(~_is_revised(before)).order_by(deals.c.content)
    tidied = tidied_up(connection, deals, _is_revised(before), before)
    rows = [
        (
            position[whose],
            row.occurred_at,
            max(row.recorded_at, since),
            ENDINGS.index("off_merit" if tidied(row) else row.ending),
            amount,
        )
        for condition in of_leads(deals, read)
        for row in connection.execute(query.where(condition))
        for whose, since, amount in _whose(row, merged, position)
    ]
    return _columns(sorted(rows, key=lambda row: row[:4]))


def _is_revised(before: int) -> ColumnElement[bool]:
    """Whether a later revision of the deal was recorded before an instant."""
    later = deals.alias()
    return exists().where(
        later.c.source == deals.c.source,
        later.c.external_id == deals.c.external_id,
        later.c.recorded_at < before,
        tuple_(later.c.recorded_at, later.c.content) > tuple_(deals.c.recorded_at, deals.c.content),
    )


def _whose(
    row: Row[Any], merged: Merged, position: Mapping[int, int]
) -> Iterator[tuple[int, int, float]]:
    """Which of the leads a deal is an outcome of: our key, known since, and the amount."""
    amount = float("nan") if row.amount is None else row.amount
    if row.lead not in merged.all:
        if row.lead in position:
            yield row.lead, row.recorded_at, amount
        return
    for lead in merged.family([row.lead]) & position.keys():
        since = merged.one_since(row.lead, lead)
        assert since is not None, "a family is one"
        yield lead, since, float("nan") if lead in merged.into else amount


def last_revisions(connection: Connection, source: str) -> dict[tuple[str, str], Deal]:
    """The deals of a source as last said, by source and external id; void ones too."""
    query = select(deals, leads.c.external_id.label("of")).join(leads)
    rows = connection.execute(query.where(deals.c.source == source))
    return {key_of_deal(deal): deal for deal in sorted(map(_deal, rows), key=rank)}


def last_said(connection: Connection, given: Sequence[Deal]) -> dict[tuple[str, str], Deal]:
    """What is known of these deals: the last revision of each, by source and external id."""
    told = _revisions(connection, {key_of_deal(deal) for deal in given})
    return {key: revisions[-1] for key, revisions in told.items()}


def said_alike(deal: Deal, known: Mapping[tuple[str, str], Deal]) -> bool:
    """Whether a deal is known just as it is told now, whenever that was recorded."""
    here = known.get(key_of_deal(deal))
    return here is not None and content_of(here) == content_of(deal)


def newest_deal(connection: Connection) -> int | None:
    """When the last deal was recorded; None when there are none."""
    newest = connection.execute(select(func.max(deals.c.recorded_at))).scalar()
    return None if newest is None else int(newest)


def count_deals(connection: Connection, before: int) -> int:
    """How many deals were recorded before an instant; revisions of one count once."""
    known = select(deals.c.source, deals.c.external_id).where(deals.c.recorded_at < before)
    return int(
        connection.execute(
            select(func.count()).select_from(known.distinct().subquery())
        ).scalar_one()
    )


def _columns(rows: list[tuple[int, int, int, int, float]]) -> Deals:
    lead, occurred, recorded, ending, amount = zip(*rows, strict=True) if rows else ((),) * 5
    return Deals(
        np.array(lead, dtype=np.int64),
        np.array(occurred, dtype=np.int64),
        np.array(recorded, dtype=np.int64),
        np.array(ending, dtype=np.int64),
        np.array(amount, dtype=np.float64),
    )


def _is_known(deal: Deal, revisions: Sequence[Deal], now: int) -> bool:
    if deal.recorded_at == now and revisions and content_of(revisions[-1]) == content_of(deal):
        return True
    return any(rank(deal) == rank(revision) for revision in revisions)


def _lock(connection: Connection, keys: Collection[int]) -> None:
    """Let one writer at a time revise the deals of these leads (SQLite has only one anyway)."""
    for chunk in chunks(sorted(keys)):
        named = select(leads.c.id).where(leads.c.id.in_(chunk)).order_by(leads.c.id)
        connection.execute(named.with_for_update(key_share=True)).all()


def _revisions(
    connection: Connection, keys: Collection[tuple[str, str]]
) -> dict[tuple[str, str], list[Deal]]:
    """All revisions of these deals, by source and external id, first to last."""
    found: dict[tuple[str, str], list[Deal]] = {}
    everything = select(deals, leads.c.external_id.label("of")).join(leads)
    columns = (deals.c.source, deals.c.external_id)
    for chunk in chunks(sorted(keys)):
        for row in connection.execute(everything.where(tuple_(*columns).in_(chunk))):
            deal = _deal(row)
            found.setdefault(key_of_deal(deal), []).append(deal)
    return {key: sorted(revisions, key=rank) for key, revisions in found.items()}


def _deal(row: Row[Any]) -> Deal:
    """A revision as it was recorded; the row names its lead `of`."""
    return Deal(
        lead=row.of,
        ending=row.ending,
        occurred_at=row.occurred_at,
        recorded_at=row.recorded_at,
        amount=row.amount,
        reason=row.reason,
        source=row.source,
        external_id=row.external_id,
    )


def _row(deal: Deal, keys: Mapping[str, int]) -> dict[str, object]:
    return {
        "lead": keys[deal.lead],
        "occurred_at": deal.occurred_at,
        "recorded_at": deal.recorded_at,
        "ending": deal.ending,
        "amount": deal.amount,
        "reason": deal.reason,
        "source": deal.source,
        "external_id": deal.external_id,
        "content": content_of(deal),
    }


def _deals_of(connection: Connection, leads_of: Collection[int]) -> set[tuple[str, str]]:
    """Source and external id of every deal that ever was one of these leads, by our keys."""
    query = select(deals.c.source, deals.c.external_id)
    return {
        (row.source, row.external_id)
        for chunk in chunks(sorted(leads_of))
        for row in connection.execute(query.where(deals.c.lead.in_(chunk)))
    }


def _worked(
    connection: Connection, of: Collection[int], definition: Definition
) -> dict[str, list[tuple[int, int]]]:
    """When leads entered stages in which they are worked, by lead: (happened, recorded)."""
    working = [stage.name for stage in definition.all_stages if not stage.closed]
    query = select(leads.c.external_id, stages.c.occurred_at, stages.c.recorded_at).join(leads)
    query = query.where(stages.c.stage.in_(working), ~stages.c.external_id.like("deal:%"))
    found: dict[str, list[tuple[int, int]]] = {}
    for chunk in chunks(sorted(of)):
        for row in connection.execute(query.where(stages.c.lead.in_(chunk))):
            found.setdefault(row.external_id, []).append((row.occurred_at, row.recorded_at))
    return found


def _forget_others(
    connection: Connection, wanted: Sequence[StageChange], of: Collection[int]
) -> None:
    """Delete the stage changes that deals of these leads made before a revision arrived late."""
    keep = {(change.source, change.external_id) for change in wanted}
    query = select(stages.c.id, stages.c.source, stages.c.external_id)
    query = query.where(stages.c.external_id.like("deal:%"))
    stale = [
        row.id
        for chunk in chunks(sorted(of))
        for row in connection.execute(query.where(stages.c.lead.in_(chunk)))
        if (row.source, row.external_id) not in keep and _OURS.fullmatch(row.external_id)
    ]
    for chunk in chunks(stale):
        connection.execute(stages.delete().where(stages.c.id.in_(chunk)))


def _problems(
    deal: Deal, i: int, keys: Mapping[str, int], gone: Collection[str], now: int
) -> list[Problem]:
    where = f"deal {i + 1}"
    unknown = ERASED if deal.lead in gone else NO_SUCH_LEAD
    wrong = {
        "lead": None if deal.lead in keys else unknown,
        "ending": None if deal.ending in ENDINGS else f"must be one of {list(ENDINGS)}",
        "occurred_at": instant_problem(deal.occurred_at, now),
        "recorded_at": instant_problem(deal.recorded_at, now),
        "amount": None if is_finite(deal.amount or 0) else "must be a finite number",
        "reason": text_problem(deal.reason or ""),
        "source": text_problem(deal.source, LONGEST_SOURCE),
        "external_id": text_problem(deal.external_id or ""),
    }
    return [
        Problem(where, field, _shown(getattr(deal, field), field), message)
        for field, message in wrong.items()
        if message
    ]


def _shown(value: object, field: str) -> str:
    return (
        shown_instant(value) if isinstance(value, int) and field.endswith("_at") else shown(value)
    )
