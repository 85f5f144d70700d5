"""Were deals recorded, and values written, when they should have been?

Looks at deals, so only training may ask. An outcome that is recorded later than the agreed reporting
lag turns a win into a zero; a value that is filled in because a lead closed tells how it closed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, exists, func, select

from features.clock import DAY, days
from features.definition import Definition
from features.store.history import newest_fact
from features.store.ingest import chunks
from features.store.outcomes import deals, newest_deal
from features.store.tables import lead_versions, leads, stages

SOON = days(30)
"""How long after a close a value counts as filled in because of it: later, registers are renewed."""


@dataclass(frozen=True, slots=True)
class Recording:
    """How late deals are recorded: of `deals`, `late` took longer than the agreed lag.

    `lag_99` is the lag, in microseconds, that one deal in a hundred exceeds.
    """

    deals: int
    late: int
    lag_99: int


@dataclass(frozen=True, slots=True)
class Pace:
    """When deals and facts came in last: instants, and how many deals in the 90 days before.

    `deals` counts those recorded in the 90 days that end with the newest.
    """

    newest_deal: int
    newest_fact: int
    deals: int


def recording(connection: Connection, lag: int, before: int) -> Recording:
    """How late deals were recorded first, of those recorded before an instant.

    Args:
        connection: an open connection.
        lag: the agreed reporting lag, in microseconds.
        before: the cutoff instant.
    """
    key = (deals.c.source, deals.c.external_id)
    took = (func.min(deals.c.recorded_at) - func.min(deals.c.occurred_at)).label("took")
    query = select(took).where(deals.c.recorded_at < before, deals.c.ending != "void")
    each = query.group_by(*key).subquery()
    total = int(connection.execute(select(func.count()).select_from(each)).scalar_one())
    if total == 0:
        return Recording(0, 0, 0)
    counted = select(func.count()).select_from(each).where(each.c.took > lag)
    late = int(connection.execute(counted).scalar_one())
    longest = select(each.c.took).order_by(each.c.took.desc()).offset(total // 100).limit(1)
    return Recording(total, late, max(int(connection.execute(longest).scalar_one()), 0))


def pace(connection: Connection) -> Pace | None:
    """When deals and facts came in last; None without deals."""
    newest, fact = newest_deal(connection), newest_fact(connection)
    if newest is None or fact is None:
        return None
    counted = select(func.count()).select_from(deals).where(deals.c.recorded_at > newest - days(90))
    return Pace(newest, fact, int(connection.execute(counted).scalar_one()))


def objectors(connection: Connection) -> tuple[int, int]:
    """How many leads object to being scored, and how many leads there are."""
    query = select(func.count(), func.count().filter(leads.c.do_not_score)).select_from(leads)
    every, objecting = connection.execute(query).one()
    return int(objecting), int(every)


def filled_after_close(
    connection: Connection, definition: Definition, before: int
) -> dict[str, float]:
    """For each attribute, the share of its values that were first filled in when the lead had closed.

    Looked at: leads that closed and were not worked again, and the values that they had by 30 days
    after the close; later, registers are renewed for reasons that have nothing to do with it. A close
    without a time of day lasts its day. What a lead came in with is never late.

    Args:
        connection: an open connection.
        definition: the attributes to look at, features or not.
        before: nothing recorded at or after this instant is looked at.

    Returns:
        Attribute name to share in [0, 1]; attributes without any such value are left out.
    """
    known = {attribute.name: [0, 0] for attribute in definition.attributes}
    closed = _closes(connection, before)
    for chunk in chunks(sorted(closed)):
        worked = _last_worked(connection, chunk, definition)
        for lead, history in _histories(connection, chunk, before).items():
            if worked.get(lead, closed[lead]) <= closed[lead]:
                _count(history, closed[lead], known)
    return {name: late / there for name, (there, late) in known.items() if there}


def _closes(connection: Connection, before: int) -> dict[int, int]:
    """When leads last closed, by our keys, as far as deals were recorded; void ones are no close."""
    voided = deals.alias()
    void = exists().where(
        voided.c.source == deals.c.source,
        voided.c.external_id == deals.c.external_id,
        voided.c.ending == "void",
    )
    query = select(deals.c.lead, func.max(deals.c.occurred_at)).where(
        deals.c.recorded_at < before, ~void
    )
    rows = connection.execute(query.group_by(deals.c.lead))
    return {lead: int(at) for lead, at in rows}


def _last_worked(
    connection: Connection, keys: Sequence[int], definition: Definition
) -> dict[int, int]:
    """When leads last entered a stage in which they are worked, by our keys."""
    working = [stage.name for stage in definition.all_stages if not stage.closed]
    query = select(stages.c.lead, func.max(stages.c.occurred_at)).group_by(stages.c.lead)
    query = query.where(stages.c.lead.in_(keys), stages.c.stage.in_(working))
    return {lead: int(at) for lead, at in connection.execute(query)}


def _histories(
    connection: Connection, keys: Sequence[int], before: int
) -> dict[int, list[tuple[int, Mapping[str, Any]]]]:
    """The versions of leads, first to last, by our keys: (when, attributes)."""
    columns = (lead_versions.c.lead, lead_versions.c.occurred_at, lead_versions.c.attributes)
    query = select(*columns).where(
        lead_versions.c.lead.in_(keys), lead_versions.c.recorded_at < before
    )
    found: dict[int, list[tuple[int, Mapping[str, Any]]]] = {}
    order = (lead_versions.c.occurred_at, lead_versions.c.recorded_at, lead_versions.c.content)
    for lead, at, attributes in connection.execute(query.order_by(*order)):
        found.setdefault(lead, []).append((at, json.loads(attributes)))
    return found


def _count(
    history: Sequence[tuple[int, Mapping[str, Any]]], closed: int, known: Mapping[str, list[int]]
) -> None:
    """Count a lead's values, and those of them that came when it had closed."""
    since = closed + DAY if closed % DAY == 0 else closed
    filled: dict[str, int] = {}
    for number, (at, attributes) in enumerate(history):
        for name, value in attributes.items():
            if value is not None and name in known:
                filled.setdefault(name, at if number else closed - 1)
    for name, at in filled.items():
        if at < since + SOON:
            known[name][0] += 1
            known[name][1] += at >= since
