"""How are the terms of all columns read at once? From tables side by side, to the bits of one by one.

A row costs a handful of array operations instead of several for each of its columns, and still less in
compiled code over the same tables (`models.term_kernel`), which gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_ROWS = 1_024
"""Rows read at once: as many values are compared with each knot, and must fit the cache."""


class Line(Protocol):
    """What one column adds; see `models.linear.Term`."""

    @property
    def knots(self) -> tuple[float, ...] | None:
        """Growing values of shape (k,); None for a category."""

    @property
    def values(self) -> tuple[float, ...]:
        """Log-odds at the knots, or of the category's codes, shape (k,)."""

    @property
    def missing(self) -> float:
        """Log-odds where the value is not known."""

    @property
    def variances(self) -> tuple[float, ...]:
        """Of the values, shape (k,)."""

    @property
    def missing_variance(self) -> float:
        """Of `missing`."""


class Heights(NamedTuple):
    """What the terms say at each step, how fast it changes to the next; shape (columns, k).

    Attributes:
        missing: of what is not known, shape (columns,).
    """

    at: Floats
    slope: Floats
    missing: Floats

    @classmethod
    def of(
        cls, knots: Floats, values: Sequence[tuple[float, ...]], missing: Sequence[float]
    ) -> Heights:
        """The heights of terms, given the knots of each, shape (columns, k)."""
        at = np.zeros(knots.shape)
        for i, said in enumerate(values):
            at[i, : len(said)] = said
        slope = np.zeros(knots.shape)
        with np.errstate(all="ignore"):
            rise = np.diff(at, axis=1) / np.diff(knots, axis=1)
        inner = np.isfinite(knots[:, 1:]) & np.isfinite(knots[:, :-1])
        slope[:, :-1][inner] = rise[inner]
        return cls(at, slope, np.array(missing))

    def read(self, column: Ints, step: Ints, beyond: Floats, known: NDArray[np.bool_]) -> Floats:
        """The heights, shape (n, columns), `beyond` a step; of what is not known, one of its own."""
        said = self.at[column, step]
        line = self.slope[column, step] * beyond + said
        return np.where(known, np.where(beyond == 0.0, said, line), self.missing)


class Tables(NamedTuple):
    """The terms of c columns. Compiled code takes it as it is: a tuple of arrays.

    Attributes:
        knots: shape (c, k), infinite after a column's last; of a category its codes.
        first, last: shape (c,): between them a curve is read, beyond them it is constant.
        shares, variances: what is read.
    """

    knots: Floats
    first: Floats
    last: Floats
    shares: Heights
    variances: Heights

    @classmethod
    def of(cls, lines: Sequence[Line]) -> Tables:
        """The tables of these terms, in their order."""
        most = max((len(line.values) for line in lines), default=1)
        knots = np.full((len(lines), max(most, 1)), np.inf)
        last = np.zeros(len(lines))
        for i, line in enumerate(lines):
            steps = np.arange(len(line.values)) if line.knots is None else np.array(line.knots)
            # A term without values says of every value what it says of none.
            knots[i, : max(len(steps), 1)] = steps if len(steps) else 0.0
            last[i] = knots[i, max(len(steps), 1) - 1]
        values = [line.values or (line.missing,) for line in lines]
        spreads = [line.variances or (line.missing_variance,) for line in lines]
        curved = np.where([line.knots is None for line in lines], np.inf, knots.T).T
        return cls(
            knots=knots,
            first=np.ascontiguousarray(knots[:, 0]),
            last=last,
            shares=Heights.of(curved, values, [line.missing for line in lines]),
            variances=Heights.of(curved, spreads, [line.missing_variance for line in lines]),
        )

    def read(self, matrix: Floats) -> tuple[Floats, Floats]:
        """What each column adds and the variance of it, both of shape (n, columns).

        Args:
            matrix: encoded rows, shape (n, columns); NaN is *not known*.
        """
        if len(matrix) <= _ROWS:
            return self._read(matrix)
        parts = [self._read(matrix[i : i + _ROWS]) for i in range(0, len(matrix), _ROWS)]
        shares, variances = (np.concatenate(part) for part in zip(*parts, strict=True))
        return shares, variances

    def _read(self, matrix: Floats) -> tuple[Floats, Floats]:
        known = ~np.isnan(matrix)
        value = np.clip(np.where(known, matrix, self.first), self.first, self.last)
        step = (self.knots <= value[:, :, None]).sum(axis=2) - 1
        column = np.arange(len(self.knots))
        beyond = value - self.knots[column, step]
        return (
            self.shares.read(column, step, beyond, known),
            self.variances.read(column, step, beyond, known),
        )
