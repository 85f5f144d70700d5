"""Which rows should there be, and what came of them? In plain loops, one lead and one instant at a time.

Written from what the modules promise, not from how they keep it; slow, and never to be made faster.
"""

from __future__ import annotations

from collections.abc import Sequence

from oracles.naive_features import naive_is_open, naive_opened

from features.definition import Definition
from features.facts import LeadVersion, Record
from features.store.outcomes import Deal

DAY = 86_400_000_000
HOUR = DAY // 24

Row = tuple[str, int]


def naive_cohort(records: Sequence[Record], definition: Definition, cutoff: int) -> set[Row]:
    """The (lead, as-of) rows that these facts give rise to up to a cutoff."""
    rows = set()
    for lead in {record.lead for record in records}:
        for instant in _instants(records, lead, definition, cutoff):
            if instant < cutoff and naive_is_open(records, lead, instant, definition):
                rows.add((lead, instant))
    return rows


def _instants(
    records: Sequence[Record], lead: str, definition: Definition, cutoff: int
) -> list[int]:
    versions = [r for r in records if r.lead == lead and isinstance(r, LeadVersion)]
    if not versions:
        return []
    if definition.cohorts.after_opening_hours is not None:
        age = round(definition.cohorts.after_opening_hours * HOUR)
        first = min(versions, key=lambda v: (max(v.occurred_at, v.recorded_at), v.occurred_at))
        return [max(first.occurred_at + age, first.recorded_at) + 1]
    assert definition.cohorts.every_days is not None
    opened, cadence = naive_opened(records, lead), round(definition.cohorts.every_days * DAY)
    assert opened is not None
    return [i for i in range(0, cutoff, cadence) if i > opened]


def naive_label(
    deals: Sequence[Deal], lead: str, as_of: int, definition: Definition, cutoff: int
) -> tuple[int, str]:
    """What came of a row, as known at a cutoff: 1, 0 or −1, and why."""
    mine = [deal for deal in standing(deals, cutoff) if deal.lead == lead]
    if definition.horizon_days is None:
        after = sorted((d for d in mine if d.occurred_at >= as_of), key=_closing)
        if not after:
            return -1, "not closed yet"
        return _ended(after[0].ending)
    horizon = round(definition.horizon_days * DAY)
    if as_of + horizon + round(definition.reporting_lag_days * DAY) > cutoff:
        return -1, "horizon not over"
    within = {d.ending for d in mine if as_of <= d.occurred_at < as_of + horizon}
    for ending in ("won", "lost", "off_merit"):
        if ending in within:
            return _ended(ending)
    return 0, "not won within the horizon"


def standing(deals: Sequence[Deal], cutoff: int) -> list[Deal]:
    """The last revision of each deal as recorded before a cutoff, without those that are void."""
    last: dict[tuple[str, str | None], Deal] = {}
    for deal in sorted(deals, key=lambda deal: deal.recorded_at):
        if deal.recorded_at < cutoff:
            last[deal.source, deal.external_id] = deal
    return [deal for deal in last.values() if deal.ending != "void"]


def _closing(deal: Deal) -> tuple[int, int]:
    """Deals in order of closing; of those that close at once, a win comes before a loss."""
    return deal.occurred_at, ("won", "lost", "off_merit").index(deal.ending)


def _ended(ending: str) -> tuple[int, str]:
    return {
        "won": (1, "won within the horizon"),
        "lost": (0, "lost within the horizon"),
        "off_merit": (0, "closed, but not on merit"),
    }[ending]
