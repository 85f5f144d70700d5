"""Are two tables of features the same to the last bit? What a column holds, in a form that compares."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from features.frames import Category, Column, FeatureFrame

Bits = int | str | None


def column_bits(column: Column) -> list[Bits]:
    """Each cell: a number as its 64 bits, a label as itself; so −0.0 is not 0.0, and NaN is NaN."""
    if isinstance(column, Category):
        return list(column.labels())
    return [int(bits) for bits in np.ascontiguousarray(column, dtype=np.float64).view(np.int64)]


def rows(frame: FeatureFrame) -> list[dict[str, Bits]]:
    """Each row of a frame by column name; the columns' order is the mapping's."""
    columns = {name: column_bits(column) for name, column in frame.columns.items()}
    return [{name: cells[i] for name, cells in columns.items()} for i in range(len(frame))]


def row_bits(row: Mapping[str, float | str | None]) -> dict[str, Bits]:
    """A row of plain numbers and labels in the same form."""
    return {
        name: value if isinstance(value, str | None) else column_bits(np.array([value]))[0]
        for name, value in row.items()
    }
