"""How do columns become a design matrix? Ramps between knots for numbers, one column per level."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.bant import AGREED
from features.catalog import FeatureSpec
from models.encoder import Encoder
from models.linear import Linear, Term
from training.fit import Rows

Floats = NDArray[np.float64]

_QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
_FEW = 8
"""Numbers with so few different values get a knot at each."""

_AGREED_KNOTS = (-1.0, -0.5, 0.0, 0.5, 1.0)


@dataclass(frozen=True)
class Block:
    """The part of the design that belongs to one column.

    Attributes:
        column: its name.
        knots: of a number's curve, growing; None for a category.
        levels: codes of a category.
        monotone: 1, 0 or −1.
    """

    column: str
    knots: Floats | None
    levels: int
    monotone: int

    @property
    def width(self) -> int:
        """Columns of the block: ramps or levels, and one for *not known*."""
        return (self.levels if self.knots is None else len(self.knots) - 1) + 1

    def of(self, values: Floats) -> Floats:
        """The block for an encoded column of shape (n,): shape (n, width)."""
        unknown = np.isnan(values)
        block = np.zeros((len(values), self.width))
        block[unknown, -1] = 1.0
        known = np.flatnonzero(~unknown)
        if self.knots is None:
            block[known, values[known].astype(np.int64)] = 1.0
        else:
            start, step = self.knots[:-1], np.diff(self.knots)
            block[known, :-1] = np.clip((values[known, None] - start) / step, 0.0, 1.0)
        return block

    def readings(self) -> Floats:
        """The block's row for each knot or level, then for *not known*: what a term lists."""
        if self.knots is None:
            return np.eye(self.width)
        curve = np.tri(len(self.knots), self.width - 1, -1)
        return np.block(
            [[curve, np.zeros((len(curve), 1))], [np.eye(1, self.width, self.width - 1)]]
        )


@dataclass(frozen=True)
class Design:
    """How columns become a design matrix: a column of ones, then a block per column."""

    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, rows: Rows, encoder: Encoder, specs: Sequence[FeatureSpec]) -> Design:
        """The design for these rows; their quantiles become the knots."""
        blocks = []
        for i, (column, spec) in enumerate(zip(encoder.columns, specs, strict=True)):
            if column.levels is None:
                knots = np.array(_AGREED_KNOTS) if column.name == AGREED else _knots(rows, i)
                blocks.append(Block(column.name, knots, 0, spec.monotone))
            else:
                levels = len(column.levels) + bool(column.merged)
                blocks.append(Block(column.name, None, levels, 0))
        return cls(tuple(blocks))

    @property
    def width(self) -> int:
        """Columns of the design matrix."""
        return 1 + sum(block.width for block in self.blocks)

    def places(self) -> Iterator[tuple[Block, slice]]:
        """Each block and where its coefficients lie."""
        at = 1
        for block in self.blocks:
            yield block, slice(at, at + block.width)
            at += block.width

    def matrix(self, encoded: Floats) -> Floats:
        """The design matrix of shape (n, width) for an encoded matrix of shape (n, columns)."""
        matrix = np.ones((len(encoded), self.width))
        for i, (block, here) in enumerate(self.places()):
            matrix[:, here] = block.of(encoded[:, i])
        return matrix

    def spread_out(self, by_column: Floats) -> Floats:
        """A number per column, repeated for each of its coefficients, shape (width − 1,)."""
        return np.repeat(by_column, [block.width for block in self.blocks])

    @property
    def lower(self) -> Floats:
        """The least value of each coefficient: −inf but for curves that must not fall."""
        return self._bounds(1, -np.inf)

    @property
    def upper(self) -> Floats:
        """The greatest value of each coefficient: inf but for curves that must not rise."""
        return self._bounds(-1, np.inf)

    def _bounds(self, sign: int, free: float) -> Floats:
        bounds = np.full(self.width, free)
        for block, here in self.places():
            if block.monotone == sign and block.knots is not None:
                bounds[here][:-1] = 0.0
        return bounds

    def mean(self, weight: Floats, matrix: Floats) -> Floats:
        """The mean row of a design matrix, shape (width,); without rows the `centre`."""
        total = weight.sum()
        if total > 0:
            mean: Floats = weight @ matrix / total
            return mean
        return self._at_agreed_zero(np.zeros(self.width))

    def centre(self, weight: Floats, matrix: Floats) -> Floats:
        """Where the intercept is the level: the mean row, but for the agreed score, which is at 0."""
        return self._at_agreed_zero(self.mean(weight, matrix))

    def _at_agreed_zero(self, row: Floats) -> Floats:
        row = row.copy()
        for block, here in self.places():
            if block.column == AGREED and block.knots is not None:
                row[here] = block.of(np.zeros(1))[0]
        return row

    def linear(
        self, coefficients: Floats, covariance: Floats, weight: Floats, matrix: Floats
    ) -> Linear:
        """The fitted model, its terms centred over the rows of the design matrix.

        Args:
            coefficients: shape (width,).
            covariance: of the coefficients, shape (width, width).
            weight: of the rows, shape (n,).
            matrix: the design matrix as it is, shape (n, width); the coefficients belong to the same
                about its `centre`.
        """
        mean, centre = self.mean(weight, matrix), self.centre(weight, matrix)
        intercept, terms = float(coefficients[0]), []
        for block, here in self.places():
            readings = block.readings() - mean[here]
            values = readings @ coefficients[here]
            variances = np.einsum("ij,jk,ik->i", readings, covariance[here, here], readings)
            intercept += float((mean[here] - centre[here]) @ coefficients[here])
            knots = None if block.knots is None else tuple(block.knots.tolist())
            term = Term(
                block.column,
                knots,
                tuple(values[:-1].tolist()),
                float(values[-1]),
                tuple(np.maximum(variances[:-1], 0.0).tolist()),
                max(float(variances[-1]), 0.0),
            )
            terms.append(term)
        return Linear(intercept, tuple(terms))


def _knots(rows: Rows, i: int) -> Floats:
    values = rows.matrix[:, i]
    known = values[np.isfinite(values)]
    different = np.unique(known)
    if len(different) <= _FEW:
        return different if len(different) else np.zeros(1)
    knots = np.unique(np.quantile(known, _QUANTILES))
    # Where most rows share one value, quantiles collapse: those of the others still tell them apart.
    others = known[known != np.median(known)]
    return knots if len(knots) >= 4 else np.unique([*knots, *np.quantile(others, _QUANTILES)])
