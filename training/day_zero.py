"""What can be said before there is enough to learn from? What marketing and sales have agreed.

The agreed scorecard is the additive part's prior; the few outcomes there are move it as far as they
weigh. Nothing judges such a model, and it says so: *agreed, not learned*.
"""

from __future__ import annotations

import numpy as np

from features.definition import Definition
from features.errors import NotEnoughEvidenceError
from features.facts import LeadVersion, Queries
from features.frames import FeatureFrame
from features.gather import FactsBuilder
from features.pipeline import compute_features
from training.config import TrainConfig
from training.dataset import Dataset
from training.judge import Judged
from training.splits import Bounds, Split, forward_split, grouped_splits


def nothing_known(definition: Definition, now: int) -> Dataset:
    """A dataset without rows."""
    facts = FactsBuilder(definition, []).build()
    none = np.array([], dtype=np.int64)
    return Dataset(compute_features(facts, Queries.at([], now), definition), none, none, none, now)


def unknown_lead(definition: Definition, now: int) -> FeatureFrame:
    """The row of a lead of which nothing is known but that it is there."""
    lead = LeadVersion(lead="nobody", occurred_at=now - 2, recorded_at=now - 1)
    facts = FactsBuilder.of_records(definition, [lead]).build()
    return compute_features(facts, Queries.at([0], now), definition)


def plan(matured: Dataset, definition: Definition, config: TrainConfig) -> list[Split]:
    """One split forward in time, or – where there is no time – one for each grouped fold.

    Where a win rate is agreed on, too short a history gives no split instead of an error.

    Raises:
        NotEnoughEvidenceError: the history is too short, and nothing is agreed to start from.
    """
    try:
        if len(matured) == 0:
            raise NotEnoughEvidenceError("no row has a known outcome yet")
        if definition.time == "none":
            return grouped_splits(matured, config)
        return [forward_split(matured, definition, config, immature=config.immature)]
    except NotEnoughEvidenceError:
        if definition.expected_win_rate is None:
            raise
        return []


def not_judged(matured: Dataset, definition: Definition, config: TrainConfig) -> Judged:
    """What takes the place of figures: nothing has judged, and rows that come later may."""
    wins = int((matured.y == 1).sum())
    how = (
        "Not judged: agreed, not learned. "
        f"{len(matured):,} rows with a known outcome, {wins:,} won, are too few or too short a "
        "history to hold any back."
    )
    newest = int(matured.as_of.max()) + 1 if len(matured) else 0
    gap = definition.outcome_wait
    dated = definition.time != "none" and len(matured) > 0
    bounds = Bounds(newest, newest, gap, config.seed, newest) if dated else None
    nothing = np.array([])
    return Judged(how, bounds, None, nothing, nothing, nothing.astype(np.int64), (how,))
