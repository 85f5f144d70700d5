"""Which leads are open at an instant? One rule, for training cohorts and for the reps' queue alike.

A lead is open when we know of it and the last stage change we know of has not closed it. Deals are
not consulted: whoever writes one also writes the stage change that closes the lead. A closing at
exactly 00:00 UTC is a date without a time of day: it closes the end of its day, so a stage that the
lead passed through that same day does not reopen it; only `reopened` does.
"""

from __future__ import annotations

import numpy as np

from features.clock import DAY, Mask
from features.definition import Definition
from features.facts import Facts, Ints, Queries
from features.plans import planned
from features.windows import Seen, count, last, see


def is_open(facts: Facts, queries: Queries, definition: Definition) -> Mask:
    """Whether each query's lead is open at its as-of, shape (n,)."""
    known = count(see(facts.versions, queries)) > 0
    return known & ~closes(stage_at(facts, queries, definition), definition)


def closes(stage: Ints, definition: Definition) -> Mask:
    """Whether a lead in each of these stages is closed, shape (n,); −1, no stage, is not."""
    closed: Mask = _closings(definition)[stage]
    return closed


def stage_at(facts: Facts, queries: Queries, definition: Definition) -> Ints:
    """Each query's stage as a position in `definition.all_stages`, shape (n,); −1: none yet."""
    if len(facts.stages) == 0:
        return np.full(len(queries), -1, dtype=np.int64)
    seen = see(facts.stages, queries)
    change = last(_without_same_day(seen, definition))
    return np.where(change >= 0, facts.stages.code[change], -1)


@planned
def _closings(definition: Definition) -> Mask:
    """Which stages close a lead, by their codes; the last, for −1, does not."""
    return np.array([stage.closed for stage in definition.all_stages] + [False])


def _without_same_day(seen: Seen, definition: Definition) -> Seen:
    """The stage changes without those of a day on which, by its date, the lead was closed."""
    closing = _closings(definition)[seen.code]
    at = seen.happenings.occurred_at[seen.fact]
    dated = closing & (at % DAY == 0)
    if not dated.any():
        return seen
    names = [stage.name for stage in definition.all_stages]
    working = ~closing & (seen.code != names.index("reopened"))
    # A day of a query as one number, exact: queries times days fit an int64 many times over.
    day = at // DAY
    first, span = int(day.min()), int(day.max() - day.min()) + 1
    cell = seen.query * span + day - first
    return seen.where(~(working & np.isin(cell, cell[dated])))


def opened_at(facts: Facts) -> Ints:
    """When each lead became known: its first version's time, shape (leads,).

    Leads without any version get the latest instant there is, so that no as-of lies behind it.
    """
    first = np.full(len(facts.lead_ids), np.iinfo(np.int64).max)
    np.minimum.at(first, facts.versions.lead, facts.versions.occurred_at)
    return first
