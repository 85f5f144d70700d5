"""What did the model learn from, and what does it read now? The rows for `training.loop.drift`.

The reference is made again from the facts: of a sample of leads one row each, at an instant of the
agreed cadence within the time that the model learned from. Rows of now are the inputs in the ledger, as
they were when the scores were given.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalog import column_kinds
from features.clock import iso, to_instant
from features.facts import Queries
from features.frames import FeatureFrame
from features.pipeline import compute_features
from features.store.engine import Connection
from features.store.history import load_facts, some_leads
from features.store.logged import inputs_of
from models.propensity import PropensityModel
from training.cohorts import cohort_queries
from training.loop.drift import moved, volumes
from training.loop.logged import WEEK, Logged

Ints = NDArray[np.int64]

MOST_LEADS = 2_000
"""Of each side; more would only find smaller moves than anybody would act on."""

LEAST_LEADS = 50
"""With fewer on either side nothing is compared."""

LEAST_SHOWN = 12
"""So many columns are told at least, whether they moved or not."""


def drift_of(
    connection: Connection, model: PropensityModel, lately: Logged, shown: Logged, seed: int
) -> dict[str, Any]:
    """Columns that moved, unseen labels, missing values and the number of scores a week, as JSON.

    Args:
        connection: an open connection.
        model: the champion.
        lately: newest scores, one a lead.
        shown: all scores that count, for their number by week.
        seed: of the samples.
    """
    found: dict[str, Any] = {"volumes": _volumes(shown), "columns": [], "why_not": ""}
    then = learned_from(connection, model, seed)
    if then is None or len(then) < LEAST_LEADS or len(lately) < LEAST_LEADS:
        few = 0 if then is None else len(then)
        why = f"{few:,} leads of when the model learned and {len(lately):,} of now: too few to compare"
        return {**found, "why_not": why}
    rows = _some(lately, seed)
    kinds = column_kinds(model.catalog)
    now = FeatureFrame.of_rows(inputs_of(connection, rows.id.tolist()), kinds, as_of=rows.as_of)
    matters = model.about["learner"].get("importance", {})
    columns = moved(then, now, model.specs, matters, _unseen(model, now))
    beyond = sum(column.is_beyond_noise for column in columns)
    told = columns[: max(LEAST_SHOWN, beyond)]
    return {
        **found,
        "leads_then": len(then),
        "leads_now": len(now),
        "columns_in_all": len(columns),
        "columns_moved": beyond,
        "columns": [column.to_json() for column in told],
    }


def learned_from(connection: Connection, model: PropensityModel, seed: int) -> FeatureFrame | None:
    """A row of each of some leads, from the time that the model learned from; None without such time."""
    span = [model.about.get("data", {}).get(end) for end in ("from", "through")]
    if None in span:
        return None
    low, high = (to_instant(datetime.fromisoformat(str(end))) for end in span)
    names = some_leads(connection, MOST_LEADS, seed)
    facts = load_facts(connection, model.definition, names, high + 1)
    queries = cohort_queries(facts, model.definition, high + 1)
    inside = np.flatnonzero(queries.as_of >= low)
    order = np.random.default_rng(seed).permutation(inside)
    one_each = order[np.unique(queries.lead[order], return_index=True)[1]]
    chosen = Queries(queries.lead[one_each], queries.as_of[one_each])
    return compute_features(facts, chosen, model.definition)


def _some(rows: Logged, seed: int) -> Logged:
    if len(rows) <= MOST_LEADS:
        return rows
    kept = np.random.default_rng(seed).choice(len(rows), MOST_LEADS, replace=False)
    return rows.take(np.sort(kept))


def _unseen(model: PropensityModel, frame: FeatureFrame) -> dict[str, float]:
    """Category -> share of the rows whose label the model has not learned."""
    names: list[Sequence[str]] = list(model.encoder.unseen(frame, model.encoder.matrix(frame)))
    counts: dict[str, int] = {}
    for row in names:
        for name in row:
            counts[name] = counts.get(name, 0) + 1
    return {name: count / max(len(frame), 1) for name, count in counts.items()}


def _volumes(shown: Logged) -> list[dict[str, Any]]:
    """Scores that count by whole week; the last week may be unfinished and is left out."""
    if not len(shown):
        return []
    first, last = int(shown.week.min()), int(shown.week.max())
    counts = np.bincount(shown.week - first, minlength=last - first + 1)[:-1].tolist()
    names = [iso((first + i) * WEEK)[:10] for i in range(len(counts))]
    return [volume.to_json() for volume in volumes(names, counts)]
