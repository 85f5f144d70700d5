"""Which deals closed, and how? The only module that knows a deal exists.

Feature, model and scoring code may not import it: an import contract fails the build, so an outcome
cannot leak into a score. Writing a deal also writes the closing stage change that tells everybody
else that the lead is no longer open. Deals are append-only: the same external id with other content
is a revision, and the last one recorded counts, in whatever order they arrive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    select,
)

from features.clock import Instants, iso
from features.definition import Definition
from features.errors import Problem, shown
from features.facts import StageChange
from features.quality import text_problem
from features.store.ingest import IngestReport, content_key, ingest, lead_keys, new_rows
from features.store.tables import BigId, Instant, metadata

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
    UniqueConstraint("source", "external_id", "content", name="uq_deals_key"),
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

    Returns:
        What was added and what was there already, and the problems by position in `given`; a deal
        with a problem is left out, the others are written.
    """
    keys = lead_keys(connection, {deal.lead for deal in given})
    problems = {
        i: found for i, deal in enumerate(given) if (found := _problems(deal, i, keys, now))
    }
    good = [deal for i, deal in enumerate(given) if i not in problems]
    rows = [_row(deal, keys) for deal in good]
    fresh = new_rows(connection, deals, rows, ("source", "external_id", "content"))
    if fresh:
        connection.execute(deals.insert(), fresh)
    ingest(connection, [_closing(deal) for deal in good], definition, now)
    return IngestReport(added=len(fresh), unchanged=len(rows) - len(fresh), problems=problems)


def load_outcomes(connection: Connection, lead_ids: Sequence[str], before: int) -> Deals:
    """The last revision of each deal of these leads as recorded before `before`; void ones are gone.

    Args:
        connection: an open connection.
        lead_ids: external ids; the result's `lead` is a position in this sequence.
        before: the cutoff instant; a deal recorded at or after it is not known yet.
    """
    keys = lead_keys(connection, set(lead_ids))
    position = {keys[lead]: i for i, lead in enumerate(lead_ids) if lead in keys}
    found: dict[tuple[str, str], tuple[int, str, tuple[int, int, int, int, float]]] = {}
    low, high = min(position, default=0), max(position, default=-1)
    query = select(deals).where(deals.c.lead.between(low, high), deals.c.recorded_at < before)
    for row in connection.execute(query):
        if row.lead not in position:
            continue
        key = (row.source, row.external_id)
        rank = (row.recorded_at, row.content)
        if key not in found or rank > found[key][:2]:
            amount = float("nan") if row.amount is None else row.amount
            cells = (
                position[row.lead],
                row.occurred_at,
                row.recorded_at,
                ENDINGS.index(row.ending),
                amount,
            )
            found[key] = (*rank, cells)
    kept = [cells for _, _, cells in found.values() if cells[3] != ENDINGS.index("void")]
    return _columns(sorted(kept))


def _columns(rows: list[tuple[int, int, int, int, float]]) -> Deals:
    lead, occurred, recorded, ending, amount = zip(*rows, strict=True) if rows else ((),) * 5
    return Deals(
        np.array(lead, dtype=np.int64),
        np.array(occurred, dtype=np.int64),
        np.array(recorded, dtype=np.int64),
        np.array(ending, dtype=np.int64),
        np.array(amount, dtype=np.float64),
    )


def _key(deal: Deal) -> str:
    return deal.external_id or f"{deal.lead}@{iso(deal.occurred_at)}"


def _row(deal: Deal, keys: Mapping[str, int]) -> dict[str, object]:
    return {
        "lead": keys[deal.lead],
        "occurred_at": deal.occurred_at,
        "recorded_at": deal.recorded_at,
        "ending": deal.ending,
        "amount": deal.amount,
        "reason": deal.reason,
        "source": deal.source,
        "external_id": _key(deal),
        "content": content_key(deal.lead, deal.ending, deal.occurred_at, deal.amount, deal.reason),
    }


def _closing(deal: Deal) -> StageChange:
    stage = _STAGE[deal.ending]
    return StageChange(
        lead=deal.lead,
        stage=stage,
        occurred_at=deal.occurred_at,
        recorded_at=deal.recorded_at,
        source=deal.source,
        external_id=f"deal:{_key(deal)}:{stage}:{deal.occurred_at}",
    )


def _problems(deal: Deal, i: int, keys: Mapping[str, int], now: int) -> list[Problem]:
    where = f"deal {i + 1}"
    found = []
    if deal.lead not in keys:
        found.append(Problem(where, "lead", shown(deal.lead), "no such lead; send the lead first"))
    if deal.ending not in ENDINGS:
        found.append(
            Problem(where, "ending", shown(deal.ending), f"must be one of {list(ENDINGS)}")
        )
    if deal.occurred_at >= now or deal.recorded_at > now:
        found.append(Problem(where, "occurred_at", iso(deal.occurred_at), "lies in the future"))
    if deal.amount is not None and not np.isfinite(deal.amount):
        found.append(Problem(where, "amount", shown(deal.amount), "must be a finite number"))
    for field, text in (("reason", deal.reason), ("external_id", deal.external_id)):
        if text is not None and (wrong := text_problem(text)):
            found.append(Problem(where, field, shown(text), wrong))
    return found
