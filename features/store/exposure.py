"""Who was shown to whom, in which place, and was worked after that? A log beside that of the scores.

One row for each score, place, list, channel and day: who looks at a page twenty times was shown it
once. The place a lead has by lot is told from the place that it has by its score, with the probability
that it had of being among the first. That a lead was worked is derived: somebody asked it a question or
moved it to another stage.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import (
    Column,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
    case,
    func,
    select,
)

from features.clock import DAY
from features.store.consent import in_step
from features.store.ingest import chunks, insert_ignoring, lead_keys
from features.store.tables import BigId, Instant, answers, leads, metadata, stages

Place = Literal["score", "explored", "holdout"]
"""Why a lead stands where it stands: by its score, by the day's lot, or by a lot of its own."""

Channel = Literal["page", "api", "export"]

shown = Table(
    "shown",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("lead", BigId, ForeignKey("leads.id"), nullable=False),
    Column("score", BigId, nullable=False),
    Column("day", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("list", String(400), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("channel", String(16), nullable=False),
    Column("place", String(16), nullable=False),
    Column("chance", Float(53)),
    UniqueConstraint("score", "rank", "day", "list", "channel", name="uq_shown_key"),
    Index("ix_shown_lead", "lead", "at"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A lead in a list, as somebody got it.

    Attributes:
        lead: its external id; `score`: the score that was shown, by its id in the ledger.
        at: when.
        list: whose list, and how it was narrowed.
        rank: the place in it, from 1.
        channel: where it was shown.
        place: why it stood there.
        chance: the probability, before it was drawn who gets them, that it would be among the first
            places; None where the list was narrowed and nobody's lot decided.
    """

    lead: str
    score: int
    at: int
    list: str
    rank: int
    channel: Channel
    place: Place = "score"
    chance: float | None = None

    @property
    def key(self) -> tuple[int, int, int, str, str]:
        """What is noted once."""
        return self.score, self.rank, self.at // DAY, self.list, self.channel


def record_shown(connection: Connection, given: Sequence[Shown]) -> int:
    """Note what was shown; what is noted already, and leads that are gone, are left out.

    Returns:
        How many rows were added.
    """
    in_step(connection)
    keys = lead_keys(connection, {one.lead for one in given})
    rows = [
        {
            "lead": keys[one.lead],
            "score": one.score,
            "day": one.at // DAY,
            "at": one.at,
            "list": one.list[:400],
            "rank": one.rank,
            "channel": one.channel,
            "place": one.place,
            "chance": one.chance,
        }
        for one in given
        if one.lead in keys
    ]
    return insert_ignoring(connection, shown, rows)


def showings(
    connection: Connection, lead_ids: Sequence[str], since: int, before: int
) -> list[dict[str, Any]]:
    """When these leads were shown in `[since, before)`, oldest first; `lead_id` is the external id."""
    query = select(shown, leads.c.external_id.label("lead_id")).join(leads)
    query = query.where(shown.c.at >= since, shown.c.at < before)
    found = [
        dict(row._mapping)
        for chunk in chunks(sorted(lead_keys(connection, lead_ids).values()))
        for row in connection.execute(query.where(shown.c.lead.in_(chunk)))
    ]
    return sorted(found, key=lambda row: (row["at"], row["id"]))


def list_days(connection: Connection, since: int, before: int) -> list[dict[str, Any]]:
    """The lists that somebody looked at, by day, in `[since, before)`, and the chances in them.

    Every lead of a list that was not certain to be among the first had the same chance of it, which the
    log tells if it tells of one of them; who was on no page is one of them. Where it tells of none,
    nobody's place was drawn.

    Returns:
        For each list and day: `list`, `day`, `by_lot` and `holdout`, the chances of those whose score
        does not make them certain and of those held out.
    """
    held = shown.c.place == "holdout"
    uncertain = case((held | (shown.c.chance < 1), shown.c.chance), else_=0.0)
    query = select(
        shown.c.list,
        shown.c.day,
        func.max(case((held, 0.0), else_=uncertain)).label("by_lot"),
        func.max(case((held, uncertain), else_=0.0)).label("holdout"),
    )
    query = query.where(shown.c.at >= since, shown.c.at < before, shown.c.chance.is_not(None))
    rows = connection.execute(query.group_by(shown.c.list, shown.c.day))
    return [dict(row._mapping) for row in rows]


def whole_list_name(owner: str | None) -> str:
    """How a list is called that holds all open leads of an owner, or of all."""
    return "everybody" if owner is None else f"owner={owner}"


def worked_at(
    connection: Connection, lead_ids: Sequence[str], before: int, closing: Collection[str]
) -> Mapping[str, list[int]]:
    """When each of these leads was worked, as recorded before an instant, in order.

    Work is an answer to a question, and a change of stage that a person or a CRM sent; what the
    lead does by itself is not, and neither is its closing: every sale would be one that was worked for.

    Args:
        connection: an open connection.
        lead_ids: external ids.
        before: nothing recorded at or after this instant counts.
        closing: the stages in which a lead is closed.
    """
    names = {key: name for name, key in lead_keys(connection, lead_ids).items()}
    found: dict[str, list[int]] = {}
    for table in (answers, stages):
        query = select(table.c.lead, table.c.occurred_at).where(table.c.recorded_at < before)
        if table is stages:
            query = query.where(
                ~stages.c.external_id.like("deal:%"), stages.c.stage.not_in([*closing])
            )
        for chunk in chunks(sorted(names)):
            for row in connection.execute(query.where(table.c.lead.in_(chunk))):
                found.setdefault(names[row.lead], []).append(row.occurred_at)
    return {lead: sorted(times) for lead, times in found.items()}
