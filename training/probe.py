"""Which columns of a dataset know the outcome? The leakage probe, with all that the store can tell it.

`training.leakage` looks at columns; this page calls them as the definition does and adds what only
rows and store know: how long after each row its lead closed, and which values were filled in late.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from features.definition import Definition
from features.pipeline import build_catalog
from features.store.engine import Store
from features.store.timing import filled_after_close
from training.dataset import Dataset
from training.delay import DAY, NEVER, Floats
from training.leakage import Finding, probe_leakage


def find_leakage(
    matured: Dataset,
    definition: Definition,
    *,
    late: Mapping[str, float] | None = None,
    allow: Collection[str] = (),
    seed: int = 0,
) -> tuple[Finding, ...]:
    """Look at every column of rows with known outcomes.

    Args:
        matured: rows whose outcome is known.
        definition: what the columns are made of.
        late: per attribute the share of values filled in after the close (`late_values`).
        allow: attributes or columns for which a person has overruled the probe.
        seed: which leads share a fold.

    Returns:
        Findings, at most one a column; attributes are called as in the definition.

    Raises:
        OneClassError: only wins or only losses.
    """
    called = {spec.name: _called(spec.name, spec.fact) for spec in build_catalog(definition)}
    columns = {called[name]: column for name, column in matured.frame.columns.items()}
    dated = [
        called[spec.name]
        for spec in build_catalog(definition)
        if spec.name in matured.frame.columns and not spec.fact.startswith("attribute:")
    ]
    return probe_leakage(
        columns,
        matured.y,
        groups=matured.lead,
        filled_after_close_share=late,
        ended_days=_days_to_close(matured) if definition.time == "dated" else None,
        dated=dated,
        allow=allow,
        seed=seed,
    )


def late_values(store: Store, definition: Definition, cutoff: int) -> dict[str, float]:
    """Per attribute the share of its values first filled in when the lead had closed, in [0, 1].

    Without dates nothing is known of that, and the answer is empty.
    """
    if definition.time != "dated":
        return {}
    with store.read() as connection:
        return filled_after_close(connection, definition, cutoff)


def _called(column: str, fact: str) -> str:
    """An attribute's own name; other columns keep theirs."""
    return fact.removeprefix("attribute:") if fact.startswith("attribute:") else column


def _days_to_close(rows: Dataset) -> Floats | None:
    """Days from each row to the close of its lead, NaN where it did not close; shape (n,)."""
    if rows.follow is None:
        return None
    ended = rows.follow.ended
    found: Floats = np.where(ended == NEVER, np.nan, ended / DAY)
    return found
