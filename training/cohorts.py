"""Which (lead, as-of) rows exist? Leads open at each instant of the agreed cadence.

The rule is the queue's own (`features.lifecycle.is_open`), so that a model learns from just the leads
it will be asked about. Instants lie on a grid that depends on the cadence alone: whoever trains
later gets the same earlier cohorts.
"""

from __future__ import annotations

import numpy as np

from features.clock import HOUR, days, known_since
from features.definition import Definition
from features.facts import Facts, Happenings, Ints, Queries
from features.lifecycle import is_open, opened_at

MOST_INSTANTS = 1_000
"""Cadence times history: more instants than this are a mistake in the definition."""


def cohort_queries(facts: Facts, definition: Definition, cutoff: int) -> Queries:
    """The rows that these leads give rise to, up to `cutoff` (exclusive), each at an open lead."""
    if definition.cohorts.every_days is not None:
        candidates = _calendar(opened_at(facts), days(definition.cohorts.every_days), cutoff)
    else:
        assert definition.cohorts.after_opening_hours is not None
        age = round(definition.cohorts.after_opening_hours * HOUR)
        candidates = _at_age(facts.versions, age, cutoff)
    chosen = is_open(facts, candidates, definition)
    return Queries(candidates.lead[chosen], candidates.as_of[chosen])


def _calendar(opened: Ints, cadence: int, cutoff: int) -> Queries:
    """Every instant of the grid after a lead's opening, for each lead."""
    known = opened < cutoff
    if not known.any():
        return Queries.at([], 0)
    first = opened[known].min() // cadence + 1
    instants = np.arange(first, -(-cutoff // cadence)) * cadence
    instants = instants[-MOST_INSTANTS:]
    lead, which = np.nonzero(opened[:, None] < instants[None, :])
    return Queries(lead, instants[which])


def _at_age(versions: Happenings, age: int, cutoff: int) -> Queries:
    """One instant per lead: `age` after it opened, but never before its opening is known.

    It opened when the version says that was known first: a version learned of later may carry an
    earlier date, and must not move a row that was there without it.
    """
    known = known_since(versions.occurred_at, versions.recorded_at)
    order = np.lexsort((versions.occurred_at, known, versions.lead))
    first = order[np.unique(versions.lead[order], return_index=True)[1]]
    # One microsecond more, because what is recorded at the as-of itself is not known yet.
    as_of = np.maximum(versions.occurred_at[first] + age, known[first]) + 1
    reached = as_of < cutoff
    return Queries(versions.lead[first][reached], as_of[reached])
