"""Where does a lead stand at an instant? Its stage, whether it is open, and when it was last heard of.

What the queue shows beside a score; by the same facts and the same rule of visibility as the score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.definition import Definition
from features.facts import Facts, Ints, Queries
from features.lifecycle import closes, stage_at
from features.windows import Seen, count, last, see

_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Standing:
    """One lead at one instant.

    Attributes:
        is_known: whether anything was known of the lead at all.
        is_open: whether it could still be won or lost.
        stage: its stage; None: none yet.
        last_touch: its last event, answer or change of stage; None: none yet.
        facts: how many events and answers were known.
    """

    is_known: bool
    is_open: bool
    stage: str | None
    last_touch: int | None
    facts: int


def standings(facts: Facts, queries: Queries, definition: Definition) -> list[Standing]:
    """Where each query's lead stands at its as-of."""
    stages = definition.all_stages
    events, answers = see(facts.events, queries), see(facts.answers, queries)
    known = count(see(facts.versions, queries)) > 0
    stage = stage_at(facts, queries, definition)
    columns = (
        known,
        known & ~closes(stage, definition),
        stage,
        np.maximum.reduce([*map(_newest, (events, answers, see(facts.stages, queries)))]),
        count(events) + count(answers),
    )
    return [
        Standing(
            is_known=known,
            is_open=open_,
            stage=stages[stage].name if stage >= 0 else None,
            last_touch=touch if touch != _NEVER else None,
            facts=n,
        )
        for known, open_, stage, touch, n in zip(*(c.tolist() for c in columns), strict=True)
    ]


def _newest(seen: Seen) -> Ints:
    """When the last known fact of each query happened, shape (n,)."""
    if len(seen.happenings) == 0:
        return np.full(seen.n, _NEVER, dtype=np.int64)
    fact = last(seen)
    return np.where(fact >= 0, seen.happenings.occurred_at[fact], _NEVER)
