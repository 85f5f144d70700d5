"""Which old scores may go? Renewals of the queue that prove nothing any more; the rest only when asked.

Rule: evidence stays. A score is kept while it is a lead's current one, while its outcome is still out
(`as_of` + horizon + reporting lag), and, of the queue's renewals and of each shadow's, one a lead and
cohort period, because reports compare what was said with what became true. One that somebody was shown
in a list stays too. What was answered to somebody – API, batch, file – stays for ever unless that is
asked for too.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from features.clock import days
from features.definition import Definition
from features.store.engine import Store
from features.store.exposure import shown
from features.store.ledger import SHADOW, current, scores

_CHUNK = 2_000
"""Scores removed in one transaction: a writer waits for a fraction of a second."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """What pruning would do: of `scores` in the ledger, `removed` go."""

    scores: int
    removed: int


def prunable(
    definition: Definition, now: int, older_than_days: float, *, answered: bool = False
) -> ColumnElement[bool]:
    """The condition under which a score may go.

    Args:
        definition: says when an outcome is known, and how far apart cohorts are.
        now: the present instant.
        older_than_days: younger scores stay, whatever they are.
        answered: whether scores that somebody was given may go too, all but each lead's current one.
    """
    known = and_(
        scores.c.scored_at < now - days(older_than_days),
        scores.c.as_of < now - definition.outcome_wait,
        ~exists().where(current.c.score == scores.c.id),
        ~exists().where(shown.c.score == scores.c.id),
    )
    if definition.horizon_days is None:
        known &= ~exists().where(current.c.lead == scores.c.lead, current.c.is_open == 1)
    unseen = scores.c.channel.in_(("queue", SHADOW))
    superseded = and_(unseen, _later_in_its_period(definition))
    return known & (or_(superseded, ~unseen) if answered else superseded)


def count_prunable(connection: Connection, condition: ColumnElement[bool]) -> Pruning:
    """How many scores there are, and how many of them may go; nothing is changed."""
    query = select(func.count(), func.count().filter(condition)).select_from(scores)
    total, going = connection.execute(query).one()
    return Pruning(int(total), int(going))


def prune(store: Store, condition: ColumnElement[bool]) -> int:
    """Remove the scores for which `condition` holds, a part at a time; how many went."""
    removed = 0
    while True:
        with store.write() as connection:
            chosen = select(scores.c.id).where(condition).order_by(scores.c.id).limit(_CHUNK)
            ids = [row.id for row in connection.execute(chosen)]
            connection.execute(scores.delete().where(scores.c.id.in_(ids)))
        removed += len(ids)
        if len(ids) < _CHUNK:
            return removed


def _later_in_its_period(definition: Definition) -> ColumnElement[bool]:
    """Whether the queue holds a newer score of the same lead in the same cohort period."""
    period = days(definition.cohorts.every_days or 1.0)
    newer = scores.alias()
    return exists().where(
        newer.c.lead == scores.c.lead,
        newer.c.channel == scores.c.channel,
        or_(scores.c.channel != SHADOW, newer.c.bundle == scores.c.bundle),
        newer.c.as_of // period == scores.c.as_of // period,
        or_(
            newer.c.as_of > scores.c.as_of,
            and_(newer.c.as_of == scores.c.as_of, newer.c.id > scores.c.id),
        ),
    )
