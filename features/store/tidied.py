"""Which losses were somebody's tidying up? Many closes at one moment, with one reason, far above usual.

When a pipeline is cleaned, hundreds of leads are closed as lost within a minute. That says nothing of
the leads: such a close is off merit, like a duplicate. What is usual is the median number of losses a
minute of the same source, over the minutes in which any were closed; a source that knows dates only
closes a day's worth at every midnight, and is not taken for a tidy one. A function of the deals known
at the instant, whatever their order.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, func, select

from features.clock import MINUTE

FEWEST = 20
"""Fewer closes than this are never taken for a tidying up."""

TIMES_USUAL = 10
"""As many times what is usual for the source are."""


def tidied_up(
    connection: Connection, deals: Table, is_revised: ColumnElement[bool], before: int
) -> Callable[[Row[Any]], bool]:
    """Tells of a deal whether it was closed in a tidying up.

    Args:
        connection: an open connection.
        deals: the table of deals.
        is_revised: whether a row of it was revised later.
        before: nothing recorded at or after this instant is looked at.
    """
    minute = deals.c.occurred_at // MINUTE
    query = select(deals.c.source, deals.c.reason, minute.label("minute"), func.count().label("n"))
    lost = query.where(deals.c.recorded_at < before, deals.c.ending == "lost", ~is_revised)
    groups = connection.execute(lost.group_by(deals.c.source, deals.c.reason, minute)).all()
    by_source: dict[str, list[int]] = {}
    for group in groups:
        by_source.setdefault(group.source, []).append(int(group.n))
    least = {source: max(FEWEST, TIMES_USUAL * median(n)) for source, n in by_source.items()}
    found = {(g.source, g.reason, int(g.minute)) for g in groups if g.n >= least[g.source]}

    def is_tidied(row: Row[Any]) -> bool:
        if row.ending != "lost" or not found:
            return False
        return (row.source, row.reason, row.occurred_at // MINUTE) in found

    return is_tidied
