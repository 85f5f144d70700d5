"""How is a deal written, so that it also closes its lead? And whatever else moves what deals close.

Writing a deal also writes the closing stage change that tells everybody else that the lead is no longer
open. The stage changes that deals make are a function of all deals of a lead: they are written anew
whenever one of them changes, a lead is worked between two of them, or leads become one. So deals may
arrive in any order. Whoever may write deals need not be able to read them.
"""

from __future__ import annotations

import re
from bisect import insort
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, select

from features.definition import Definition
from features.errors import ConflictError, Problem, shown
from features.facts import Record, StageChange
from features.quality import LONGEST_SOURCE, instant_problem, is_finite, shown_instant, text_problem
from features.store.closings import ENDINGS, Deal, closings, content_of, key_of_deal, named, rank
from features.store.consent import ERASED, erased, in_step
from features.store.ingest import (
    NO_SUCH_LEAD,
    IngestReport,
    chunks,
    ingest,
    insert_ignoring,
    lead_keys,
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
from features.store.outcomes import deals, deals_of, revisions_of
from features.store.tables import leads, stages

__all__ = ["Deal", "record_deals", "record_facts", "record_merged"]

_OURS = re.compile(r"deal:[0-9a-f]{24}")
"""External ids of the stage changes that deals make."""


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
    revisions = revisions_of(connection, {key_of_deal(deal) for deal in good})
    touched = {deal.lead for deal in good} | {d.lead for known in revisions.values() for d in known}
    moved = lead_keys(connection, touched - keys.keys())
    _lock(connection, moved.values())
    keys = keys | moved
    also = deals_of(connection, {keys[lead] for lead in touched}) - revisions.keys()
    revisions |= revisions_of(connection, also)
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
        revisions = revisions_of(connection, deals_of(connection, of.values()))
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
    also = deals_of(connection, names) - revisions.keys()
    known = {**revisions, **revisions_of(connection, also)}

    def held(deal: Deal) -> Deal:
        key = whole.get(deal.lead)
        return (
            deal if key is None else replace(deal, lead=names[merged.holder(key, deal.recorded_at)])
        )

    return whole, {key: [held(deal) for deal in told] for key, told in known.items()}


def _is_known(deal: Deal, revisions: Sequence[Deal], now: int) -> bool:
    if deal.recorded_at == now and revisions and content_of(revisions[-1]) == content_of(deal):
        return True
    return any(rank(deal) == rank(revision) for revision in revisions)


def _lock(connection: Connection, keys: Collection[int]) -> None:
    """Let one writer at a time revise the deals of these leads (SQLite has only one anyway)."""
    for chunk in chunks(sorted(keys)):
        named = select(leads.c.id).where(leads.c.id.in_(chunk)).order_by(leads.c.id)
        connection.execute(named.with_for_update(key_share=True)).all()


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
