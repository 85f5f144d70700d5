"""Do the leads that are scored now look like those the model learned from? Column by column.

A distance alone says nothing: with few rows every column seems to have moved, with many every one has.
So each stands beside what it would be without any change at as many leads, and a column is named only
beyond that, for all columns at once. Drift asks for a look, never for a model: what comes of the leads
decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from features.catalog import FeatureSpec
from features.frames import Category, Column, FeatureFrame
from training.intervals import normal_quantile, plain

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 10
"""Numbers are compared in so many parts of the reference, each with as many rows."""

LEAST_EXPECTED = 5
"""Cells with fewer rows in the reference are put together, so that the distance's law is known."""

FALSE_NAMES = 0.01
"""The chance that any column is named when none has moved."""

LEAST_WEEKS = 8
"""Weeks of scores before which there is no usual number of them."""


@dataclass(frozen=True)
class Moved:
    """A column now and when the model learned.

    Attributes:
        name: of the column.
        label: as people call it.
        distance: population stability index; 0: the same shares.
        without_change: what it stays below without any change, for all columns at once.
        missing_then: share of rows without a value, when the model learned.
        missing_now: the same now.
        unseen: share of rows now whose label the model has not learned; None for numbers.
        matters: mean absolute contribution to the score, in log-odds; 0 where not known.
    """

    name: str
    label: str
    distance: float
    without_change: float
    missing_then: float
    missing_now: float
    unseen: float | None
    matters: float

    @property
    def is_beyond_noise(self) -> bool:
        """Whether it has moved more than luck explains."""
        return self.distance > self.without_change

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**plain(self), "is_beyond_noise": self.is_beyond_noise}


def moved(
    then: FeatureFrame,
    now: FeatureFrame,
    specs: Sequence[FeatureSpec],
    matters: Mapping[str, float],
    unseen: Mapping[str, float],
) -> list[Moved]:
    """Each column of the model: those beyond noise first, then by how much they matter.

    Args:
        then: rows of when the model learned, one a lead.
        now: rows that were scored lately, one a lead.
        specs: the columns the model reads.
        matters: column -> mean absolute contribution.
        unseen: category -> share of rows now whose label was not learned.
    """
    found = []
    for spec in specs:
        one, other = cells(then.columns[spec.name], now.columns[spec.name])
        distance, allowed = stability(one, other, FALSE_NAMES / len(specs))
        found.append(
            Moved(
                spec.name,
                spec.label,
                distance,
                allowed,
                _missing(then.columns[spec.name]),
                _missing(now.columns[spec.name]),
                unseen.get(spec.name, 0.0) if spec.kind == "category" else None,
                matters.get(spec.name, 0.0),
            )
        )
    return sorted(found, key=lambda m: (not m.is_beyond_noise, -m.matters, -m.distance, m.name))


def cells(then: Column, now: Column) -> tuple[Ints, Ints]:
    """How many rows of each are in each cell; cells of few reference rows put together.

    Numbers fall into tenths of the reference, categories into its levels; what is missing is a cell of
    its own, and labels that the reference does not have are another.
    """
    if isinstance(then, Category) and isinstance(now, Category):
        levels = then.levels
        before, after = then.codes, now.recoded(levels)
        known = np.array([label is not None for label in now.labels()], dtype=np.bool_)
        after = np.where((after < 0) & known, len(levels), after)
        width = len(levels) + 1
    else:
        assert not isinstance(then, Category)
        assert not isinstance(now, Category)
        edges = (
            np.unique(np.nanquantile(then, np.arange(1, BINS) / BINS)) if _some(then) else then[:0]
        )
        before, after = _binned(then, edges), _binned(now, edges)
        width = len(edges) + 1
    one, other = (np.bincount(code + 1, minlength=width + 1) for code in (before, after))
    return _together(one, other)


def stability(then: Ints, now: Ints, chance: float) -> tuple[float, float]:
    """The population stability index, and what it exceeds with this chance if nothing has moved.

    Source: Yurdakul (2018): without change it is (1/n + 1/m) times a chi-squared variable with one
    degree of freedom less than there are cells.

    Args:
        then: rows by cell, shape (cells,).
        now: the same of the other, shape (cells,).
        chance: of exceeding it.
    """
    if len(then) < 2 or not then.sum() or not now.sum():
        return 0.0, 0.0
    # Half a row in each cell: an empty one must not make the distance infinite.
    one, other = (then + 0.5) / (then + 0.5).sum(), (now + 0.5) / (now + 0.5).sum()
    distance = float(((other - one) * np.log(other / one)).sum())
    scale = 1.0 / float(then.sum()) + 1.0 / float(now.sum())
    return distance, scale * float(chi2.isf(chance, len(then) - 1))


def _binned(values: Floats, edges: Floats) -> Ints:
    return np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="right"))


def _together(one: Ints, other: Ints) -> tuple[Ints, Ints]:
    """Cells of few expected rows as one cell; empty ones of both are none."""
    few = one < LEAST_EXPECTED
    rest = int(one[few].sum()), int(other[few].sum())
    left = [(int(a), int(b)) for a, b in zip(one[~few], other[~few], strict=True)]
    cells_of = [*left, rest] if any(rest) else left
    first, second = zip(*cells_of, strict=True) if cells_of else ((), ())
    return np.array(first, dtype=np.int64), np.array(second, dtype=np.int64)


def _some(values: Floats) -> bool:
    return bool(np.isfinite(values).any())


def _missing(column: Column) -> float:
    lacking = column.codes < 0 if isinstance(column, Category) else np.isnan(column)
    return float(lacking.mean()) if len(lacking) else 0.0


@dataclass(frozen=True)
class Volume:
    """How many scores count in a week, and how many usually do.

    Attributes:
        week: the day on which it began.
        scores: how many.
        low: the least that is usual, by the weeks before; None while those are too few.
        high: the most.
    """

    week: str
    scores: int
    low: float | None
    high: float | None

    @property
    def is_unusual(self) -> bool:
        """Whether it lies outside of what is usual."""
        if self.low is None or self.high is None:
            return False
        return not self.low <= self.scores <= self.high

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**plain(self), "is_unusual": self.is_unusual}


def volumes(names: Sequence[str], counts: Sequence[int], level: float = 0.99) -> list[Volume]:
    """Each week beside the range that the half year before it lets expect.

    A prediction interval of a normal variable on the logarithms of the counts, at least as wide as
    chance alone (Poisson) makes it.

    Args:
        names: of the weeks, oldest first.
        counts: scores of each.
        level: how often a usual week lies in its range.
    """
    found = []
    for i, (name, count) in enumerate(zip(names, counts, strict=True)):
        before = np.log(np.maximum(counts[max(0, i - 26) : i], 0.5))
        if len(before) < LEAST_WEEKS:
            found.append(Volume(name, count, None, None))
            continue
        middle = float(before.mean())
        spread = max(float(before.std(ddof=1)), float(np.exp(-middle / 2)))
        reach = normal_quantile(level) * spread * float(np.sqrt(1 + 1 / len(before)))
        found.append(
            Volume(name, count, float(np.exp(middle - reach)), float(np.exp(middle + reach)))
        )
    return found
