"""Which deals closed, and how? The only module that knows a deal exists.

Feature, model and scoring code may not import it: an import contract fails the build, so an outcome
cannot leak into a score. Writing a deal also writes the closing stage change that tells everybody
else that the lead is no longer open. Deals are append-only: the same external id with other content
is a revision, and the last one recorded counts, in whatever order they arrive.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
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
from features.facts import StageChange
from features.quality import LONGEST_SOURCE, instant_problem, is_finite, shown_instant, text_problem
from features.store.ingest import (
    IngestReport,
    chunks,
    content_key,
    ingest,
    insert_ignoring,
    lead_keys,
    of_leads,
)
from features.store.tables import BigId, Instant, leads, metadata

Ending = Literal["won", "lost", "off_merit", "void"]
ENDINGS: tuple[Ending, ...] = ("won", "lost", "off_merit", "void")
"""How a deal can end; `off_merit` is junk, duplicate, test or unreachable, `void` annuls the deal."""

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
    keys = lead_keys(connection, {deal.lead for deal in given})
    problems = {
        i: found for i, deal in enumerate(given) if (found := _problems(deal, i, keys, now))
    }
    good = [_named(deal) for i, deal in enumerate(given) if i not in problems]
    _lock(connection, {keys[deal.lead] for deal in good})
    revisions = _revisions(connection, {_key(deal) for deal in good})
    fresh = []
    for deal in sorted(good, key=_rank):
        known = revisions.setdefault(_key(deal), [])
        if not _is_known(deal, known, now):
            insort(known, deal, key=_rank)
            fresh.append(_row(deal, keys))
    insert_ignoring(connection, deals, fresh)
    changes = [change for known in revisions.values() for change in _closings(known)]
    report = ingest(connection, changes, definition, now)
    if report.problems:
        raise ConflictError(
            "a stage change that a deal of these writes is there already with other content",
            hint="External ids that begin with `deal:` are ours; send the stage under another one.",
        )
    return IngestReport(added=len(fresh), unchanged=len(good) - len(fresh), problems=problems)


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


def newest_deal(connection: Connection) -> int | None:
    """When the last deal was recorded; None when there are none."""
    newest = connection.execute(select(func.max(deals.c.recorded_at))).scalar()
    return None if newest is None else int(newest)


def _columns(rows: list[tuple[int, int, int, int, float]]) -> Deals:
    lead, occurred, recorded, ending, amount = zip(*rows, strict=True) if rows else ((),) * 5
    return Deals(
        np.array(lead, dtype=np.int64),
        np.array(occurred, dtype=np.int64),
        np.array(recorded, dtype=np.int64),
        np.array(ending, dtype=np.int64),
        np.array(amount, dtype=np.float64),
    )


def _named(deal: Deal) -> Deal:
    """The deal with an external id: without one of its own, a lead has one deal at a time."""
    return replace(
        deal, external_id=deal.external_id or f"#{content_key(deal.lead, deal.occurred_at)}"
    )


def _key(deal: Deal) -> tuple[str, str]:
    assert deal.external_id is not None, "see _named"
    return deal.source, deal.external_id


def _content(deal: Deal) -> str:
    amount = None if deal.amount is None else float(deal.amount)
    return content_key(deal.lead, deal.ending, deal.occurred_at, amount, deal.reason)


def _rank(deal: Deal) -> tuple[int, str]:
    """Revisions of a deal follow one another by this, in whatever order they arrive."""
    return deal.recorded_at, _content(deal)


def _is_known(deal: Deal, revisions: Sequence[Deal], now: int) -> bool:
    if deal.recorded_at == now and revisions and _content(revisions[-1]) == _content(deal):
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
            deal = Deal(
                lead=row.of,
                ending=row.ending,
                occurred_at=row.occurred_at,
                recorded_at=row.recorded_at,
                amount=row.amount,
                reason=row.reason,
                source=row.source,
                external_id=row.external_id,
            )
            found.setdefault(_key(deal), []).append(deal)
    return {key: sorted(revisions, key=_rank) for key, revisions in found.items()}


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
        "content": _content(deal),
    }


def _closings(revisions: Sequence[Deal]) -> Iterator[StageChange]:
    """The stage changes that a deal's revisions make, as each follows the one before.

    A deal closes its lead when it happened. Annulling it, and closing it again after that, only take
    effect when they are recorded: what they undo happened later than they say.
    """
    before = "void"
    for deal in revisions:
        undoes = "void" in (before, deal.ending) and deal is not revisions[0]
        if deal.ending != "void" or before != "void":
            at = max(deal.occurred_at, deal.recorded_at) if undoes else deal.occurred_at
            yield _stage_change(deal, at)
        before = deal.ending


def _stage_change(deal: Deal, at: int) -> StageChange:
    stage = _STAGE[deal.ending]
    return StageChange(
        lead=deal.lead,
        stage=stage,
        occurred_at=at,
        recorded_at=deal.recorded_at,
        source=deal.source,
        external_id=f"deal:{content_key(deal.external_id, deal.lead, stage, at, deal.recorded_at)}",
    )


def _problems(deal: Deal, i: int, keys: Mapping[str, int], now: int) -> list[Problem]:
    where = f"deal {i + 1}"
    wrong = {
        "lead": None if deal.lead in keys else "no such lead; send the lead first",
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
