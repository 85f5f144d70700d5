"""Which leads are open at an instant? One rule, for training cohorts and for the reps' queue alike.

A lead is open when we know of it and the last stage change we know of has not closed it. Deals are
not consulted: whoever writes one also writes the stage change that closes the lead.
"""

from __future__ import annotations

import numpy as np

from features.clock import Mask
from features.definition import Definition
from features.facts import Facts, Ints, Queries
from features.windows import count, last, see


def is_open(facts: Facts, queries: Queries, definition: Definition) -> Mask:
    """Whether each query's lead is open at its as-of, shape (n,)."""
    known = count(see(facts.versions, queries)) > 0
    closed = np.array([stage.closed for stage in definition.all_stages] + [False])
    is_closed: Mask = closed[stage_at(facts, queries)]
    return known & ~is_closed


def stage_at(facts: Facts, queries: Queries) -> Ints:
    """Each query's stage as a position in `definition.all_stages`, shape (n,); −1: none yet."""
    seen = see(facts.stages, queries)
    change = last(seen)
    if len(facts.stages) == 0:
        return change
    return np.where(change >= 0, facts.stages.code[change], -1)


def opened_at(facts: Facts) -> Ints:
    """When each lead became known: its first version's time, shape (leads,).

    Leads without any version get the latest instant there is, so that no as-of lies behind it.
    """
    first = np.full(len(facts.lead_ids), np.iinfo(np.int64).max)
    np.minimum.at(first, facts.versions.lead, facts.versions.occurred_at)
    return first
