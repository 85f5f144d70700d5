"""What do the terms of an additive part say about a row? Compiled code over `models.term_tables`.

Rule: the bits of `Tables.read`, whose operations these are, one value at a time.
"""

from __future__ import annotations

from typing import Any

from numpy import uint64

from models.forest_compiling import Floats, Matrix, compiled, inlined
from models.term_tables import Heights, Tables

_1 = uint64(1)


@inlined
def _step(knots: Matrix, column: Any, value: float) -> Any:
    """The last knot of a column that is not above a value, which the first one is not."""
    low, beyond = uint64(0), uint64(knots.shape[1])
    while beyond - low > _1:
        middle = (low + beyond) >> _1
        if knots[column, middle] <= value:
            low = middle
        else:
            beyond = middle
    return low


@inlined
def _height(heights: Heights, column: Any, step: Any, beyond: float) -> float:
    said: float = heights.at[column, step]
    return said if beyond == 0.0 else heights.slope[column, step] * beyond + said


@compiled
def write_terms(matrix: Matrix, tables: Tables, shares: Matrix, variance: Floats) -> None:
    """Write what each column of a matrix, shape (n, columns), adds, and the sum of its variances.

    Args:
        matrix: encoded rows; NaN is *not known*.
        tables: of as many columns.
        shares: shape (n, columns), to be written.
        variance: shape (n,), to be written; one column added after the other.
    """
    for row in range(uint64(len(matrix))):
        variance[row] = 0.0
        for column in range(uint64(len(tables.knots))):
            value = matrix[row, column]
            if value != value:
                shares[row, column] = tables.shares.missing[column]
                variance[row] += tables.variances.missing[column]
                continue
            value = min(max(value, tables.first[column]), tables.last[column])
            step = _step(tables.knots, column, value)
            beyond = value - tables.knots[column, step]
            shares[row, column] = _height(tables.shares, column, step, beyond)
            variance[row] += _height(tables.variances, column, step, beyond)
