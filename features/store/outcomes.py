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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    Column,
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
from features.store.consent import ERASED, erased, in_step
from features.store.ingest import (
    NO_SUCH_LEAD,
    IngestReport,
    chunks,
    content_key,
    ingest,
    insert_ignoring,
    lead_keys,
    of_leads,
)
from features.store.tables import BigId, Instant, leads, metadata, stages

Ending = Literal["won", "lost", "off_merit", "void"]
ENDINGS: tuple[Ending, ...] = ("won", "lost", "off_merit", "void")
"""How a deal can end; `off_merit` is junk, duplicate, test or unreachable, `void` annuls the deal."""

_OURS = re.compile(r"deal:[0-9a-f]{24}")
"""External ids of the stage changes that deals make."""

_LONG_AGO = -(2**63)

_STAGE = {"won": "won", "lost": "lost", "off_merit": "lost", "void": "reopened"}

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """A deal that closed at `occurred_at`; `amount` in the company's currency."""

    lead: str
    ending: Ending
    occurred_at: int
    recorded_at: int
    amount: float | None = None
    reason: str | None = None
    source: str = "api"
    external_id: str | None = None


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
    revisions = _revisions(connection, {_key(deal) for deal in good})
    touched = {deal.lead for deal in good} | {d.lead for known in revisions.values() for d in known}
    moved = lead_keys(connection, touched - keys.keys())
    _lock(connection, moved.values())
    keys = keys | moved
    also = _deals_of(connection, {keys[lead] for lead in touched}) - revisions.keys()
    revisions |= _revisions(connection, also)
    fresh = []
    for deal in sorted(good, key=_rank):
        known = revisions.setdefault(_key(deal), [])
        if not _is_known(deal, known, now):
            insort(known, deal, key=_rank)
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
    if closed:
        _lock(connection, closed.values())
        revisions = _revisions(connection, _deals_of(connection, closed.values()))
        _write_courses(connection, closed, revisions, definition, now)


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
    worked = _worked(connection, of.values(), definition)
    closings = _closings(revisions.values(), worked)
    changes = [change for lead in sorted(of) for change in closings(lead)]
    _forget_others(connection, changes, of.values())
    if ingest(connection, changes, definition, now).problems:
        raise ConflictError(
            "a stage change that a deal of these writes is there already with other content",
            hint="External ids that begin with `deal:` are ours; send the stage under another one.",
        )


def load_outcomes(connection: Connection, lead_ids: Sequence[str], before: int) -> Deals:
    """The last revision of each deal of these leads as recorded before `before`; void ones are gone.

    Args:
        connection: an open connection.
        lead_ids: external ids, each once; the result's `lead` is a position in this sequence.
        before: the cutoff instant; a deal recorded at or after it is not known yet.
    """
    keys = lead_keys(connection, lead_ids)
    position = {keys[lead]: i for i, lead in enumerate(lead_ids) if lead in keys}
    later = deals.alias()
    revised = exists().where(
        later.c.source == deals.c.source,
        later.c.external_id == deals.c.external_id,
        later.c.recorded_at < before,
        tuple_(later.c.recorded_at, later.c.content) > tuple_(deals.c.recorded_at, deals.c.content),
    )
    query = select(deals).where(deals.c.recorded_at < before, deals.c.ending != "void", ~revised)
    rows = [
        (
            position[row.lead],
            row.occurred_at,
            row.recorded_at,
            ENDINGS.index(row.ending),
            float("nan") if row.amount is None else row.amount,
        )
        for condition in of_leads(deals, position)
        for row in connection.execute(query.where(condition).order_by(deals.c.content))
        if row.lead in position
    ]
    return _columns(sorted(rows, key=lambda row: row[:4]))


def last_revisions(connection: Connection, source: str) -> dict[tuple[str, str], Deal]:
    """The deals of a source as last said, by source and external id; void ones too."""
    query = select(deals, leads.c.external_id.label("of")).join(leads)
    rows = connection.execute(query.where(deals.c.source == source))
    return {_key(deal): deal for deal in sorted(map(_deal, rows), key=_rank)}


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


def named(deal: Deal) -> Deal:
    """The deal with an external id: without one of its own, a lead has one deal at a time."""
    return replace(
        deal, external_id=deal.external_id or f"#{content_key(deal.lead, deal.occurred_at)}"
    )


def _key(deal: Deal) -> tuple[str, str]:
    assert deal.external_id is not None, "see named"
    return deal.source, deal.external_id


def content_of(deal: Deal) -> str:
    """A digest of all that a deal says; equal for two that say the same."""
    amount = None if deal.amount is None else float(deal.amount)
    return content_key(deal.lead, deal.ending, deal.occurred_at, amount, deal.reason)


def _rank(deal: Deal) -> tuple[int, str]:
    """Revisions of a deal follow one another by this, in whatever order they arrive."""
    return deal.recorded_at, content_of(deal)


def _is_known(deal: Deal, revisions: Sequence[Deal], now: int) -> bool:
    if deal.recorded_at == now and revisions and content_of(revisions[-1]) == content_of(deal):
        return True
    return any(_rank(deal) == _rank(revision) for revision in revisions)


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
            found.setdefault(_key(deal), []).append(deal)
    return {key: sorted(revisions, key=_rank) for key, revisions in found.items()}


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


def _closings(
    revisions: Iterable[Sequence[Deal]], worked: Mapping[str, Sequence[tuple[int, int]]]
) -> Callable[[str], Iterator[StageChange]]:
    """For a lead, the stage changes that all revisions of its deals make."""
    by_lead: dict[str, list[Deal]] = {}
    for known in revisions:
        for lead in {deal.lead for deal in known}:
            by_lead.setdefault(lead, []).extend(known)

    def of(lead: str) -> Iterator[StageChange]:
        return _course(lead, by_lead.get(lead, ()), worked.get(lead, ()))

    return of


def _course(
    lead: str, revisions: Sequence[Deal], worked: Sequence[tuple[int, int]]
) -> Iterator[StageChange]:
    """How a lead closes and reopens as revisions of its deals are recorded.

    A deal closes its lead when it happened. Annulling it, or moving it to another lead, takes effect
    when it is recorded, and so does what is closed under an earlier date after that. It reopens the
    lead unless another deal of it stands and the lead was not worked between that deal and this one.
    """
    standing: dict[tuple[str, str], tuple[int, str]] = {}
    closed = reopened = _LONG_AGO
    for deal in sorted(revisions, key=_rank):
        key, stood = _key(deal), standing.pop(_key(deal), None)
        if deal.lead == lead and deal.ending != "void":
            at = deal.occurred_at
            if at <= reopened:
                at = max(deal.recorded_at, reopened + 1)
            closing = (at, _STAGE[deal.ending])
            standing[key] = closing
            if closing != stood:
                yield _stage_change(lead, deal, closing[1], at)
            closed = max(closed, at)
        elif stood is not None:
            before = max((at for at, _ in standing.values()), default=None)
            if before is None or _was_worked(worked, before, stood[0], deal.recorded_at):
                reopened = max(closed, deal.recorded_at)
                yield _stage_change(lead, deal, _STAGE["void"], reopened)


def _was_worked(worked: Sequence[tuple[int, int]], after: int, until: int, known: int) -> bool:
    """Whether a lead entered a stage after one close and until another, as far as is known by then."""
    return any(after < at <= until and recorded <= known for at, recorded in worked)


def _stage_change(lead: str, deal: Deal, stage: str, at: int) -> StageChange:
    return StageChange(
        lead=lead,
        stage=stage,
        occurred_at=at,
        recorded_at=deal.recorded_at,
        source=deal.source,
        external_id=f"deal:{content_key(deal.external_id, lead, stage, at, deal.recorded_at)}",
    )


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
