"""Which deals closed, and how? The only module that reads outcomes.

Feature, model and scoring code may not import it: an import contract fails the build, so an outcome
cannot leak into a score. Deals are append-only (`features.store.recording` writes them): the same
external id with other content is a revision, and the last one recorded counts. What was recorded at or
after the instant that is asked about is not known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from features.store.closings import ENDINGS, Deal, Ending, content_of, key_of_deal, named, rank
from features.store.ingest import chunks, lead_keys, of_leads
from features.store.merges import Merged, known_merges
from features.store.tables import BigId, Instant, leads, metadata
from features.store.tidied import tidied_up

__all__ = [
    "ENDINGS",
    "Deal",
    "Deals",
    "Ending",
    "content_of",
    "count_deals",
    "deals",
    "deals_of",
    "last_revisions",
    "last_said",
    "load_outcomes",
    "named",
    "newest_deal",
    "revisions_of",
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


def last_revisions(connection: Connection, source: str) -> dict[tuple[str, str], Deal]:
    """The deals of a source as last said, by source and external id; void ones too."""
    query = select(deals, leads.c.external_id.label("of")).join(leads)
    rows = connection.execute(query.where(deals.c.source == source))
    return {key_of_deal(deal): deal for deal in sorted(map(_deal, rows), key=rank)}


def last_said(connection: Connection, given: Sequence[Deal]) -> dict[tuple[str, str], Deal]:
    """What is known of these deals: the last revision of each, by source and external id."""
    told = revisions_of(connection, {key_of_deal(deal) for deal in given})
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


def revisions_of(
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


def deals_of(connection: Connection, leads_of: Collection[int]) -> set[tuple[str, str]]:
    """Source and external id of every deal that ever was one of these leads, by our keys."""
    query = select(deals.c.source, deals.c.external_id)
    return {
        (row.source, row.external_id)
        for chunk in chunks(sorted(leads_of))
        for row in connection.execute(query.where(deals.c.lead.in_(chunk)))
    }


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


def _columns(rows: list[tuple[int, int, int, int, float]]) -> Deals:
    lead, occurred, recorded, ending, amount = zip(*rows, strict=True) if rows else ((),) * 5
    return Deals(
        np.array(lead, dtype=np.int64),
        np.array(occurred, dtype=np.int64),
        np.array(recorded, dtype=np.int64),
        np.array(ending, dtype=np.int64),
        np.array(amount, dtype=np.float64),
    )


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
