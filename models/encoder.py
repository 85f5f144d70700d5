"""Which columns does a model read, in which order and coding? By name, and nothing by position."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan
from operator import itemgetter
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
class _Plan:
    """Where each column goes, worked out once: no row asks again which columns are numbers.

    `place` says of each column where it stands among all numbers followed by all categories.
    """

    numbers: tuple[str, ...]
    number_at: NDArray[np.int64]
    categories: Mapping[str, Mapping[str, float]]
    category_at: NDArray[np.int64]
    place: NDArray[np.int64]
    numbers_of: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    labels_of: Callable[[Mapping[str, Any]], tuple[Any, ...]]


def _getter(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """What takes these cells out of a row, in their order."""
    if len(names) > 1:
        return itemgetter(*names)
    return lambda row: tuple(row[name] for name in names)


@dataclass(frozen=True)
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
        plan, n = self._plan, len(frame)
        if n == 0:
            for name in self.names:
                self._values(name, frame)
            return np.empty((0, len(self.columns)))
        matrix = np.empty((n, len(self.columns)))
        if plan.numbers:
            values = [self._numbers(name, frame) for name in plan.numbers]
            matrix[:, plan.number_at] = np.concatenate(values).reshape(-1, n).T
        if plan.categories:
            matrix[:, plan.category_at] = self._coded(frame).T
        return matrix

    def unseen(self, frame: FeatureFrame, matrix: Floats) -> list[list[str]]:
        """For each row, the categories whose label the model has not learned.

        Args:
            frame: n rows.
            matrix: what `matrix` made of them.
        """
        plan, n = self._plan, len(frame)
        names = tuple(plan.categories)
        found: list[list[str]] = [[] for _ in range(n)]
        if n == 0 or not plan.categories:
            return found
        known = self._given_codes(frame) >= 0
        rows, columns = np.nonzero(known.T & np.isnan(matrix[:, plan.category_at]))
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            found[row].append(names[column])
        return found

    def encoded(
        self, rows: Sequence[Mapping[str, str | float | None]]
    ) -> tuple[Floats, list[list[str]]]:
        """What `matrix` and `unseen` make of the frame of which these are the `rows`.

        A frame pays for each of its columns once, this for each of a row's cells: good for a few rows.

        Raises:
            KeyError: a row lacks a column.
        """
        plan = self._plan
        cells: list[list[Any]] = []
        unseen: list[list[str]] = []
        for row in rows:
            labels = plan.labels_of(row)
            codes = [
                nan if label is None else code_of.get(label, nan)
                for label, code_of in zip(labels, plan.categories.values(), strict=True)
            ]
            cells.append([*plan.numbers_of(row), *codes])
            unseen.append(
                [
                    name
                    for name, label, code in zip(plan.categories, labels, codes, strict=True)
                    if code != code and label is not None
                ]
            )
        read = np.array(cells, dtype=np.float64).reshape(len(rows), -1)  # None becomes NaN
        return np.ascontiguousarray(read[:, plan.place]), unseen

    @cached_property
    def _plan(self) -> _Plan:
        at = {column.name: i for i, column in enumerate(self.columns)}
        codes = {c.name: _code_of(c) for c in self.columns if c.levels is not None}
        numbers = [name for name in at if name not in codes]
        return _Plan(
            numbers=tuple(numbers),
            number_at=np.array([at[name] for name in numbers], dtype=np.int64),
            categories=codes,
            category_at=np.array([at[name] for name in codes], dtype=np.int64),
            place=np.argsort([at[name] for name in (*numbers, *codes)]),
            numbers_of=_getter(numbers),
            labels_of=_getter([*codes]),
        )

    def _values(self, name: str, frame: FeatureFrame) -> Floats | Category:
        values = frame.columns.get(name)
        if values is None or isinstance(values, Category) != (name in self._plan.categories):
            raise InputError(
                f"the model reads a column {name} that these features do not have",
                hint="Score with the lead definition that the model was trained with.",
            )
        return values

    def _numbers(self, name: str, frame: FeatureFrame) -> Floats:
        values = self._values(name, frame)
        assert not isinstance(values, Category)
        return values

    def _coded(self, frame: FeatureFrame) -> Floats:
        """The code of each category's label as this encoder has it, shape (categories, n)."""
        # One table for all columns: of each its levels' codes, and NaN last, where -1 lands.
        table: list[float] = []
        begin, end = [], []
        for name, code_of in self._plan.categories.items():
            column = self._values(name, frame)
            assert isinstance(column, Category)
            begin.append(len(table))
            table.extend([code_of.get(level, nan) for level in column.levels])
            end.append(len(table))
            table.append(nan)
        given = self._given_codes(frame)
        cell = np.where(given < 0, np.array(end)[:, None], given + np.array(begin)[:, None])
        coded: Floats = np.array(table)[cell]
        return coded

    def _given_codes(self, frame: FeatureFrame) -> NDArray[np.int64]:
        """The codes that the frame's own categories have, shape (categories, n)."""
        columns = [self._values(name, frame) for name in self._plan.categories]
        codes = [column.codes for column in columns if isinstance(column, Category)]
        return np.concatenate(codes).reshape(len(codes), -1)

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


def _code_of(column: EncodedColumn) -> dict[str, float]:
    """The code of each label that the column knows; the merged ones share the one after the levels'."""
    levels = column.levels or ()
    code = {level: float(i) for i, level in enumerate(levels)}
    return code | dict.fromkeys(column.merged, float(len(levels)))


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
