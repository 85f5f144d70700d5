"""What drives the scores? By fact and by column, with the curves and levels of the additive part.

Contributions add up to the raw score exactly, so a fact's share is the sum of its columns'. What drives
a score is not what causes a purchase.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.frames import FeatureFrame
from models.linear import Term
from models.propensity import PropensityModel
from training.intervals import plain

Floats = NDArray[np.float64]

MOST_CURVES = 6
MOST_ROWS = 400


@dataclass(frozen=True)
class Driver:
    """A column or a fact, and how much it moves scores.

    Attributes:
        name: the column's, or the fact's.
        label: in words.
        size: mean absolute contribution, in log-odds.
    """

    name: str
    label: str
    size: float


@dataclass(frozen=True)
class Level:
    """What the additive part says at a value: log-odds and their standard deviation."""

    at: float | str | None
    log_odds: float
    error: float


@dataclass(frozen=True)
class Shape:
    """What the additive part says of a column, as far as it weighs in the blend.

    Attributes:
        column, label: which.
        numeric: a curve between knots; else a level each.
        levels: log-odds at the knots or of the labels, times the additive part's weight.
        missing: where the value is not known.
    """

    column: str
    label: str
    numeric: bool
    levels: tuple[Level, ...]
    missing: Level


@dataclass(frozen=True)
class Drives:
    """What drives a model's scores, the largest first.

    Attributes:
        facts: by fact; columns of one fact move together.
        columns: by column.
        shapes: the additive part's curves and levels of the columns that move most.
        weight: of the additive part, in [0, 1].
    """

    facts: tuple[Driver, ...]
    columns: tuple[Driver, ...]
    shapes: tuple[Shape, ...]
    weight: float

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return dict(plain(self))


@dataclass(frozen=True)
class Swarm:
    """Contributions of some rows, for a picture.

    Attributes:
        labels: of the k columns, the largest first.
        shares: what each adds, shape (m, k), in log-odds.
        ranks: where the row's value lies among the values, in [0, 1], shape (m, k); NaN for
            categories and what is not known.
    """

    labels: tuple[str, ...]
    shares: Floats
    ranks: Floats


def drives(model: PropensityModel, importance: Mapping[str, float]) -> Drives:
    """What drives a model's scores.

    Args:
        model: the model.
        importance: column -> mean absolute contribution, as recorded when it was trained.
    """
    label = {spec.name: f"{spec.label} ({spec.name})" for spec in model.catalog}
    fact_of = {spec.name: (spec.fact, spec.label) for spec in model.catalog}
    columns = _ranked({name: (label.get(name, name), size) for name, size in importance.items()})
    facts: dict[str, tuple[str, float]] = {}
    for name, size in importance.items():
        fact, words = fact_of.get(name, (name, name))
        facts[fact] = (words, facts.get(fact, (words, 0.0))[1] + size)
    learner = model.learner
    terms = {} if learner.linear is None else {t.column: t for t in learner.linear.terms}
    weight = learner.weight if learner.linear is not None else 0.0
    telling = [d.name for d in columns if d.name in terms and d.size > 0 and weight > 0]
    shapes = [_shape(model, terms[name], label[name], weight) for name in telling[:MOST_CURVES]]
    return Drives(_ranked(facts), columns, tuple(shapes), weight)


def _ranked(sizes: Mapping[str, tuple[str, float]]) -> tuple[Driver, ...]:
    found = [Driver(name, words, size) for name, (words, size) in sizes.items()]
    return tuple(sorted(found, key=lambda driver: (-driver.size, driver.name)))


def _shape(model: PropensityModel, term: Term, label: str, weight: float) -> Shape:
    numeric = term.knots is not None
    at: tuple[float | str, ...] = term.knots or ()
    if not numeric:
        (column,) = (c for c in model.encoder.columns if c.name == term.column)
        at = tuple(column.levels or ())[: len(term.values)]
    levels = [
        Level(where, weight * value, weight * variance**0.5)
        for where, value, variance in zip(at, term.values, term.variances, strict=False)
    ]
    missing = Level(None, weight * term.missing, weight * term.missing_variance**0.5)
    return Shape(term.column, label, numeric, tuple(levels), missing)


def swarm(model: PropensityModel, frame: FeatureFrame, most: int = 12) -> Swarm | None:
    """What each column adds for some of the rows, evenly taken; None without rows.

    Args:
        model: the model.
        frame: n rows.
        most: how many columns, the largest of these rows.
    """
    if len(frame) == 0 or not model.encoder.names:
        return None
    rows = np.unique(np.linspace(0, len(frame) - 1, MOST_ROWS).astype(np.int64))
    some = frame.take(rows)
    shares, _ = model.contributions(some)
    matrix = model.encoder.matrix(some)
    largest = np.argsort(-np.abs(shares).mean(axis=0), kind="stable")[:most]
    label = {spec.name: f"{spec.label} ({spec.name})" for spec in model.catalog}
    kinds = {spec.name: spec.kind for spec in model.catalog}
    names = [model.encoder.names[i] for i in largest.tolist()]
    ranks = [
        _ranks(matrix[:, i]) if kinds[name] == "number" else np.full(len(rows), np.nan)
        for i, name in zip(largest.tolist(), names, strict=True)
    ]
    return Swarm(tuple(label[name] for name in names), shares[:, largest], np.column_stack(ranks))


def _ranks(values: Floats) -> Floats:
    """Where each value lies among those known, in [0, 1], ties in the middle; NaN: not known."""
    known = ~np.isnan(values)
    ranks = np.full(len(values), np.nan)
    if known.any():
        _, place, count = np.unique(values[known], return_inverse=True, return_counts=True)
        middle = np.cumsum(count) - count / 2
        ranks[known] = (middle / known.sum())[place]
    return ranks
