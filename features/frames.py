"""What does a table of features look like? Typed columns by name, and nothing a model may not see.

A number column is float64 with NaN for *not known*; a category column is codes into levels with −1
for *not known*. Two frames are equal when their decoded values are: levels may be listed in another
order, because they depend on which leads happened to be loaded together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.clock import Instants

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Category:
    """A column of labels: int64 `codes` of shape (n,) into `levels`, −1 where there is none."""

    codes: Ints
    levels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def of(cls, labels: Sequence[str | None], levels: Sequence[str] | None = None) -> Category:
        """From labels; `levels` fixes the coding, and labels outside it become −1."""
        if levels is None:
            levels = sorted({label for label in labels if label is not None})
        code = {level: i for i, level in enumerate(levels)}
        codes = np.fromiter(
            (code.get(label, -1) if label is not None else -1 for label in labels),
            dtype=np.int64,
            count=len(labels),
        )
        return cls(codes, tuple(levels))

    def take(self, rows: Ints) -> Category:
        """The rows at these positions; a position of −1 gives *not known*."""
        if len(self.codes) == 0:
            return Category(np.full(len(rows), -1, dtype=np.int64), self.levels)
        return Category(np.where(rows >= 0, self.codes[rows], -1), self.levels)

    def labels(self) -> list[str | None]:
        """The labels, None where there is none."""
        levels = self.levels
        return [levels[code] if code >= 0 else None for code in self.codes.tolist()]

    def recoded(self, levels: Sequence[str]) -> Ints:
        """Codes of shape (n,) into other levels; labels that are not among them become −1."""
        position = {level: i for i, level in enumerate(levels)}
        table = np.array([position.get(level, -1) for level in self.levels] + [-1], dtype=np.int64)
        return table[self.codes]


Column = Floats | Category


class Columns(Mapping[str, Column]):
    """Columns of the same n rows, in two arrays, so that taking rows costs the same for one and for all.

    Args:
        numbers: names of the number columns; `floats` has shape (numbers, n).
        categories: names of the category columns; `codes` has shape (categories, n), into `levels`.
    """

    __slots__ = ("by_name", "categories", "codes", "floats", "levels", "numbers")

    def __init__(
        self,
        numbers: Sequence[str],
        floats: Floats,
        categories: Sequence[str],
        codes: Ints,
        levels: Sequence[tuple[str, ...]],
    ) -> None:
        self.numbers, self.floats = numbers, floats
        self.categories, self.codes, self.levels = categories, codes, levels
        self.by_name: dict[str, Column] = dict(zip(numbers, floats, strict=True))
        self.by_name.update(zip(categories, map(Category, codes, levels), strict=True))

    def __getitem__(self, name: str) -> Column:
        return self.by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)

    @classmethod
    def of_cells(
        cls,
        numbers: Sequence[str],
        cells: Sequence[float | None],
        labels: Mapping[str, Sequence[str | None]],
        n: int,
    ) -> Columns:
        """From the n cells of each number, column by column, and the n labels of each category.

        None is *not known*; levels are in order.
        """
        levels = [
            tuple(sorted({label for label in column if label is not None}))
            for column in labels.values()
        ]
        codes = []
        for column, known in zip(labels.values(), levels, strict=True):
            code: dict[str | None, int] = {level: i for i, level in enumerate(known)}
            codes.append([code.get(label, -1) for label in column])
        return cls(
            numbers,
            np.array(cells, dtype=np.float64).reshape(len(numbers), n),
            tuple(labels),
            np.array(codes, dtype=np.int64).reshape(len(labels), n),
            levels,
        )

    def take(self, rows: Ints) -> Columns:
        """The rows at these positions; a position of −1 gives *not known*."""
        if self.floats.shape[1] == 0 and self.codes.shape[1] == 0:
            floats = np.full((len(self.numbers), len(rows)), np.nan)
            codes = np.full((len(self.categories), len(rows)), -1, dtype=np.int64)
        else:
            floats = np.where(rows >= 0, self.floats[:, rows], np.nan)
            codes = np.where(rows >= 0, self.codes[:, rows], -1)
        return Columns(self.numbers, floats, self.categories, codes, self.levels)


def take(column: Column, rows: Ints) -> Column:
    """The rows of a column at these positions; −1 gives *not known*."""
    if isinstance(column, Category):
        return column.take(rows)
    if len(column) == 0:
        return np.full(len(rows), np.nan)
    return np.where(rows >= 0, column[rows], np.nan)


@dataclass(frozen=True, slots=True)
class FeatureFrame:
    """Features of n (lead, as_of) rows: `columns` by name in the catalogue's order."""

    lead_ids: tuple[str, ...]
    as_of: Instants
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.as_of)

    def take(self, rows: Ints) -> FeatureFrame:
        """The rows at these positions."""
        return FeatureFrame(
            tuple(self.lead_ids[i] for i in rows.tolist()),
            self.as_of[rows],
            {name: take(column, rows) for name, column in self.columns.items()},
        )

    def row(self, i: int) -> dict[str, str | float | None]:
        """One row by name, as JSON can hold it: None where a value is not known."""
        return {name: _cell(column, i) for name, column in self.columns.items()}

    def rows(self) -> list[dict[str, str | float | None]]:
        """Every `row`."""
        if not self.columns:
            return [{} for _ in range(len(self))]
        names = tuple(self.columns)
        cells = zip(*map(_cells, self.columns.values()), strict=True)
        return [dict(zip(names, row, strict=True)) for row in cells]

    @classmethod
    def of_rows(
        cls,
        rows: Sequence[Mapping[str, str | float | None]],
        kinds: Mapping[str, str],
        lead_ids: Sequence[str] | None = None,
        as_of: Instants | None = None,
    ) -> FeatureFrame:
        """The frame whose `row` gives these rows.

        Args:
            rows: one mapping a row; a name that is absent is *not known*.
            kinds: column name -> `number` or `category`, in the catalogue's order.
            lead_ids: the leads, or empty names.
            as_of: the instants, or zeros.
        """
        columns: dict[str, Column] = {
            name: _column([row.get(name) for row in rows], kind) for name, kind in kinds.items()
        }
        return cls(
            tuple(lead_ids) if lead_ids is not None else ("",) * len(rows),
            as_of if as_of is not None else np.zeros(len(rows), dtype=np.int64),
            columns,
        )


def concatenate(frames: Sequence[FeatureFrame]) -> FeatureFrame:
    """Frames with the same columns, one below the other."""
    first = frames[0]
    columns = {name: _stack([f.columns[name] for f in frames]) for name in first.columns}
    return FeatureFrame(
        tuple(lead for frame in frames for lead in frame.lead_ids),
        np.concatenate([frame.as_of for frame in frames]),
        columns,
    )


def _stack(columns: Sequence[Column]) -> Column:
    categories = [column for column in columns if isinstance(column, Category)]
    if not categories:
        return np.concatenate([column for column in columns if not isinstance(column, Category)])
    levels = tuple(sorted({level for column in categories for level in column.levels}))
    return Category(np.concatenate([column.recoded(levels) for column in categories]), levels)


def _cell(column: Column, i: int) -> str | float | None:
    if isinstance(column, Category):
        code = int(column.codes[i])
        return column.levels[code] if code >= 0 else None
    value = float(column[i])
    return None if np.isnan(value) else value


def _cells(column: Column) -> list[str | None] | list[float | None]:
    if isinstance(column, Category):
        return column.labels()
    return [None if value != value else value for value in column.tolist()]


def _column(cells: Sequence[str | float | None], kind: str) -> Column:
    if kind == "category":
        return Category.of([None if cell is None else str(cell) for cell in cells])
    return np.array([np.nan if cell is None else float(cell) for cell in cells], dtype=np.float64)
