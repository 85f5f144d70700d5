"""What does the additive part say? One curve or table per column, read off and summed.

A number column has a piecewise linear curve, constant beyond its first and last knot, so that a value
nobody has seen says no more than the most extreme one that was; a category has a value per level.
Every term has mean 0 over the rows it was learned from: what a column adds is its term.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import BundleError
from models.forest_engine import ENGINE, plain
from models.term_tables import Tables

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Term:
    """What one column adds, in log-odds.

    Attributes:
        column: its name.
        knots: for a number, growing values of shape (k,); None for a category.
        values: log-odds at the knots, or of the category's codes, shape (k,).
        missing: log-odds where the value is not known.
        variances: of the values, shape (k,), in squared log-odds.
        missing_variance: of `missing`.
    """

    column: str
    knots: tuple[float, ...] | None
    values: tuple[float, ...]
    missing: float
    variances: tuple[float, ...]
    missing_variance: float

    def of(self, column: Floats) -> Floats:
        """The term for each value of an encoded column, shape (n,); NaN is *not known*."""
        return self._read(column, self.values, self.missing)

    def variance(self, column: Floats) -> Floats:
        """The term's variance for each value, shape (n,)."""
        return self._read(column, self.variances, self.missing_variance)

    def _read(self, column: Floats, values: tuple[float, ...], missing: float) -> Floats:
        unknown = np.isnan(column)
        if not values:
            return np.full(len(column), missing)
        if self.knots is None:
            codes = np.where(unknown, 0, column).astype(np.int64)
            said = np.asarray(values)[np.minimum(codes, len(values) - 1)]
        else:
            said = np.interp(column, self.knots, values)
        return np.where(unknown, missing, said)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "column": self.column,
            "knots": None if self.knots is None else list(self.knots),
            "values": list(self.values),
            "missing": self.missing,
            "variances": list(self.variances),
            "missing_variance": self.missing_variance,
        }


@dataclass(frozen=True)
class Linear:
    """An additive model of log-odds: `intercept` plus one term per column of the matrix."""

    intercept: float
    terms: tuple[Term, ...]

    @cached_property
    def tables(self) -> Tables:
        """All terms side by side."""
        return Tables.of(self.terms)

    def raw(self, matrix: Floats) -> Floats:
        """Log-odds of shape (n,) for an encoded matrix of shape (n, columns)."""
        return self.summed(self.contributions(matrix))

    def summed(self, shares: Floats) -> Floats:
        """Log-odds of shape (n,), given what each column adds."""
        raw: Floats = shares.sum(axis=1) + self.intercept
        return raw

    def contributions(self, matrix: Floats) -> Floats:
        """What each column adds to `intercept`, shape (n, columns)."""
        return self.read(matrix)[0]

    def variance(self, matrix: Floats) -> Floats:
        """The sum of the terms' variances, shape (n,): large where a value was seldom seen."""
        return self.read(matrix)[1]

    def read(self, matrix: Floats) -> tuple[Floats, Floats]:
        """`contributions` and `variance` at the price of one of them.

        Raises:
            ValueError: the matrix has another number of columns; compiled code would read beyond it.
        """
        if matrix.ndim != 2 or matrix.shape[1] != len(self.terms):
            raise ValueError(f"{len(self.terms)} columns are read, the table has {matrix.shape}")
        if ENGINE.kernel is not None:
            shares, variance = np.empty(matrix.shape), np.empty(len(matrix))
            ENGINE.kernel.write_terms(plain(matrix), self.tables, shares, variance)
            return shares, variance
        shares, variances = self.tables.read(matrix)
        if not self.terms:
            return shares, np.zeros(len(matrix))
        # One column after the other, as the terms come: a sum in pairs would differ in the last bit.
        return shares, np.cumsum(variances, axis=1)[:, -1]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"intercept": self.intercept, "terms": [term.to_json() for term in self.terms]}

    @classmethod
    def from_json(cls, content: Any) -> Linear:
        """From what `to_json` gave.

        Raises:
            BundleError: it is something else, or says something that is not a finite number.
        """
        try:
            terms = tuple(_term(item) for item in content["terms"])
            intercept = float(content["intercept"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise BundleError(f"the bundle's linear part cannot be read: {error!r}") from error
        if not np.isfinite(intercept):
            raise BundleError("the intercept of the bundle's linear part is not finite")
        return cls(intercept, terms)


def _term(item: Any) -> Term:
    knots = None if item["knots"] is None else tuple(map(float, item["knots"]))
    values, variances = (tuple(map(float, item[key])) for key in ("values", "variances"))
    missing, missing_variance = float(item["missing"]), float(item["missing_variance"])
    term = Term(str(item["column"]), knots, values, missing, variances, missing_variance)
    numbers: Sequence[float] = (*values, *variances, missing, missing_variance, *(knots or ()))
    if not np.isfinite(numbers).all():
        raise ValueError(f"{term.column} has a number that is not finite")
    if len(values) != len(variances):
        raise ValueError(f"{term.column} has {len(values)} values and {len(variances)} variances")
    if knots is not None and (len(knots) != len(values) or np.any(np.diff(knots) <= 0)):
        raise ValueError(f"the curve of {term.column} does not hold together")
    return term
