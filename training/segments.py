"""By which parts are rows taken apart? By time, by route, and by the segments agreed on.

Parts of scores that were given are read from the ledger, as their inputs were then.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.catalog import column_kinds
from features.clock import iso
from features.definition import Definition
from features.facts import Ints
from features.frames import Category, FeatureFrame
from features.store.engine import Connection
from features.store.logged import inputs_of
from models.propensity import PropensityModel

FEW_LEVELS = 12
"""A category of more levels makes no segments: each would hold too little."""

MOST_DIMENSIONS = 6
"""Where no segments are agreed on, so many categories stand in for them."""


def dimensions_of(
    frame: FeatureFrame, probability: NDArray[np.float64], model: PropensityModel
) -> dict[str, Category]:
    """By what rows are taken apart: time, route, and the segments agreed on.

    Where no segments are agreed on, the categories of few levels that move scores most.
    """
    definition = model.definition
    found = {} if definition.time == "none" else {_time_name(definition): _times(frame, definition)}
    positions = {route.name: i for i, route in enumerate(definition.routes)}
    routes = np.array([positions[definition.route_for(p).name] for p in probability.tolist()])
    words = tuple(route.label or route.name for route in definition.routes)
    found["Route"] = Category(routes.astype(np.int64), words)
    return {**found, **segments_of(frame, model)}


def scored_frame(
    connection: Connection, model: PropensityModel, ids: Ints, as_of: Ints
) -> FeatureFrame:
    """The categories among the inputs of scores, as they were when they were given.

    Args:
        connection: an open connection.
        model: its catalog says which columns are categories.
        ids: of the scores in the ledger, shape (n,).
        as_of: of the same scores.
    """
    inputs = inputs_of(connection, ids.tolist())
    kinds = {name: kind for name, kind in column_kinds(model.catalog).items() if kind == "category"}
    return FeatureFrame.of_rows(inputs, kinds, as_of=as_of)


def segments_of(frame: FeatureFrame, model: PropensityModel) -> dict[str, Category]:
    """The segments agreed on, by label; without any the categories that move scores most."""
    labels = {spec.name: spec.label for spec in model.catalog}
    found = {}
    for name in _segments(frame, model):
        column = frame.columns[name]
        assert isinstance(column, Category), "segments are categories"
        found[labels.get(name, name)] = _sorted(column)
    return found


def _time_name(definition: Definition) -> str:
    return "Month" if definition.time == "dated" else "Stretch"


def _times(frame: FeatureFrame, definition: Definition) -> Category:
    if definition.time == "dated":
        return Category.of([iso(instant)[:7] for instant in frame.as_of.tolist()])
    place = np.argsort(np.argsort(frame.as_of, kind="stable"), kind="stable")
    tenth = place * 10 // max(len(frame), 1)
    return Category.of([f"tenth {part + 1:02d}" for part in tenth.tolist()])


def _segments(frame: FeatureFrame, model: PropensityModel) -> list[str]:
    agreed = [f"attr_{name}" for name in model.definition.segments]
    if agreed:
        return [name for name in agreed if name in frame.columns]
    size = model.about["learner"].get("importance", {})
    few = [
        name
        for name, column in frame.columns.items()
        if name.startswith(("attr_", "lead_"))
        and isinstance(column, Category)
        and 2 <= len(np.unique(column.codes)) <= FEW_LEVELS
    ]
    return sorted(few, key=lambda name: (-size.get(name, 0.0), name))[:MOST_DIMENSIONS]


def _sorted(column: Category) -> Category:
    """The same with its levels in alphabetical order: how leads were loaded must not show."""
    levels = sorted(column.levels)
    return Category(column.recoded(levels), tuple(levels))
