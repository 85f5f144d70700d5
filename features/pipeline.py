"""What were a lead's features at an instant? One path for one lead, a million, training and serving.

`compute_features(facts, queries, definition)` is a pure function of what was known before each
as-of: adding any later fact changes no earlier value, bit for bit. There is no second
implementation and no mode; a request is a batch of one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from features import bant, demographics, engagement
from features.catalog import Catalog
from features.definition import Definition
from features.errors import DefinitionError, Problem
from features.facts import Facts, Ints, Queries
from features.frames import Column, FeatureFrame, concatenate
from features.plans import planned

PAIRS_AT_ONCE = 2_000_000
"""Bound on the (query, event) pairs held in memory at once; about 100 MB."""


@planned
def build_catalog(definition: Definition) -> Catalog:
    """Every feature that the definition gives rise to, in the order of the columns.

    Raises:
        DefinitionError: two facts would share a column, as the attribute `seen_days` and the date
            `seen` would.
    """
    catalog = (
        *demographics.specs(definition),
        *bant.specs(definition),
        *engagement.specs(definition),
    )
    if len({spec.name for spec in catalog}) != len(catalog):
        raise _shared(catalog)
    return catalog


def _shared(catalog: Catalog) -> DefinitionError:
    facts: dict[str, list[str]] = {}
    for spec in catalog:
        facts.setdefault(spec.name, []).append(spec.fact)
    problems = [
        Problem("definition", name, "", f"is a column of {' and of '.join(sharing)}")
        for name, sharing in facts.items()
        if len(sharing) > 1
    ]
    return DefinitionError("columns would share a name", hint="Rename one.", problems=problems)


def compute_features(facts: Facts, queries: Queries, definition: Definition) -> FeatureFrame:
    """The features of each query, in the catalogue's order.

    Args:
        facts: what is known about the leads; later facts may be among them and are not looked at.
        queries: n (lead, as_of) pairs.
        definition: what counts and how it is ranked.

    Returns:
        A frame of n rows whose columns are those of `build_catalog(definition)`.
    """
    parts = [_compute(facts, part, definition) for part in _portions(facts, queries)]
    return concatenate(parts) if len(parts) > 1 else parts[0]


def _compute(facts: Facts, queries: Queries, definition: Definition) -> FeatureFrame:
    columns: dict[str, Column] = {
        **demographics.compute(facts, queries, definition),
        **bant.compute(facts, queries, definition),
        **engagement.compute(facts, queries, definition),
    }
    ordered = {spec.name: columns.pop(spec.name) for spec in build_catalog(definition)}
    assert not columns, f"computed but not in the catalogue: {sorted(columns)}"
    lead_ids = tuple(facts.lead_ids[i] for i in queries.lead.tolist())
    return FeatureFrame(lead_ids, queries.as_of, ordered)


def _portions(facts: Facts, queries: Queries) -> Iterator[Queries]:
    """The queries in portions of at most `PAIRS_AT_ONCE` pairs with events (one query at least)."""
    if len(facts.events) == 0:
        yield queries
        return
    per_lead = np.bincount(facts.events.lead, minlength=len(facts.lead_ids))
    pairs: Ints = np.cumsum(per_lead[queries.lead])
    if len(queries) == 0 or pairs[-1] <= PAIRS_AT_ONCE:
        yield queries
        return
    portion = pairs // PAIRS_AT_ONCE
    for rows in np.split(np.arange(len(queries)), np.flatnonzero(np.diff(portion)) + 1):
        yield Queries(queries.lead[rows], queries.as_of[rows])
