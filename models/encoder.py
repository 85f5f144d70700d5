"""Which columns does a model read, in which order and coding? By name, and nothing by position."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import BundleError, InputError
from features.frames import Category, FeatureFrame

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EncodedColumn:
    """One column of the matrix; `levels` None for a number, the coding for a category.

    Labels in `merged` share one code after the levels': known, but not told apart here.
    """

    name: str
    levels: tuple[str, ...] | None = None
    merged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Encoder:
    """The columns that a model reads, in its order."""

    columns: tuple[EncodedColumn, ...]

    @property
    def names(self) -> list[str]:
        """The columns' names in order."""
        return [column.name for column in self.columns]

    @property
    def categorical(self) -> list[int]:
        """Positions of the categories."""
        return [i for i, column in enumerate(self.columns) if column.levels is not None]

    @classmethod
    def fit(
        cls,
        frame: FeatureFrame,
        names: Sequence[str],
        least: int = 1,
        merged: Mapping[str, Collection[str]] | None = None,
        keep: Collection[str] = (),
    ) -> Encoder:
        """An encoder for these columns of a frame.

        Args:
            frame: the rows a model learns from.
            names: which columns, in order.
            least: levels with fewer rows are left out, and read as *not known*.
            merged: category -> labels that are not to be told apart.
            keep: categories of which no level is left out.
        """
        columns = []
        for name in names:
            column = frame.columns[name]
            if isinstance(column, Category):
                alike = tuple(sorted((merged or {}).get(name, ())))
                frequent = _frequent(column, 1 if name in keep else least)
                levels = tuple(level for level in frequent if level not in alike)
                columns.append(EncodedColumn(name, levels, alike))
            else:
                columns.append(EncodedColumn(name))
        return cls(tuple(columns))

    def matrix(self, frame: FeatureFrame) -> Floats:
        """The frame as float64 of shape (n, columns): codes for categories, NaN for *not known*.

        Raises:
            InputError: the frame lacks a column or has it in another kind.
        """
        matrix = np.empty((len(frame), len(self.columns)))
        for i, column in enumerate(self.columns):
            matrix[:, i] = self._encoded(column, frame)
        return matrix

    def unseen(self, frame: FeatureFrame) -> list[list[str]]:
        """For each row, the categories whose label the model has not learned."""
        found: list[list[str]] = [[] for _ in range(len(frame))]
        for column in self.columns:
            values = frame.columns[column.name]
            if column.levels is not None and isinstance(values, Category):
                new = (values.codes >= 0) & (_codes(column, values) < 0)
                for row in np.flatnonzero(new).tolist():
                    found[row].append(column.name)
        return found

    def _encoded(self, column: EncodedColumn, frame: FeatureFrame) -> Floats:
        values = frame.columns.get(column.name)
        if values is None or isinstance(values, Category) != (column.levels is not None):
            raise InputError(
                f"the model reads a column {column.name} that these features do not have",
                hint="Score with the lead definition that the model was trained with.",
            )
        if not isinstance(values, Category) or column.levels is None:
            assert not isinstance(values, Category)
            return values
        codes = _codes(column, values)
        return np.where(codes < 0, np.nan, codes.astype(np.float64))

    def to_json(self) -> list[dict[str, Any]]:
        """As plain data."""
        return [
            {
                "name": column.name,
                "levels": None if column.levels is None else list(column.levels),
                "merged": list(column.merged),
            }
            for column in self.columns
        ]

    @classmethod
    def from_json(cls, content: Any) -> Encoder:
        """From what `to_json` gave.

        Raises:
            BundleError: it is something else.
        """
        try:
            columns = tuple(
                EncodedColumn(
                    str(item["name"]),
                    None if item["levels"] is None else _words(item["levels"]),
                    _words(item["merged"]),
                )
                for item in content
            )
        except (KeyError, TypeError) as error:
            raise BundleError(f"the bundle's columns cannot be read: {error!r}") from error
        return cls(columns)


def _words(content: Any) -> tuple[str, ...]:
    if not isinstance(content, list) or not all(isinstance(word, str) for word in content):
        raise TypeError("levels are a list of words")
    return tuple(content)


def _codes(column: EncodedColumn, values: Category) -> NDArray[np.int64]:
    """The code of each label, −1 for those the column does not know."""
    levels = column.levels or ()
    return np.minimum(values.recoded((*levels, *column.merged)), len(levels))


MOST_LEVELS = 1_000
"""Levels of a category that are told apart, the most frequent ones: an id is not a category."""


def _frequent(column: Category, least: int) -> tuple[str, ...]:
    counts = np.bincount(column.codes[column.codes >= 0], minlength=len(column.levels))
    if np.count_nonzero(counts >= least) > MOST_LEVELS:
        # Of equally frequent ones the first by name: the order of the facts must not decide.
        order = sorted(range(len(counts)), key=lambda i: (-counts[i], column.levels[i]))
        counts[order[MOST_LEVELS:]] = 0
        least = max(least, 1)
    return tuple(
        level for level, n in zip(column.levels, counts.tolist(), strict=True) if n >= least
    )
