"""What does the learner say? Log-odds: a weighted sum of an additive part and boosted trees.

    raw = shift + weight · linear + (1 − weight) · trees

Both parts read the same matrix, and contributions add, so a lead's reasons are exact whatever the
weight. `spread` says how far another sample of leads would have moved the sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import BundleError
from models.linear import Linear
from models.trees import Trees

Floats = NDArray[np.float64]


_Read = tuple[Floats, Floats]

_LEAST_VARIANCE = 1e-6
"""Nobody knows log-odds better than that; it keeps the number of leads like this finite."""


@dataclass(frozen=True)
class Rates:
    """How the trees read a category of many levels: as one number per level, in log-odds.

    Attributes:
        values: of each level's code, shape (levels,).
        missing: of a label that is not known.
    """

    values: tuple[float, ...]
    missing: float

    def of(self, codes: Floats) -> Floats:
        """The number of each code, shape (n,); NaN is *not known*."""
        unknown, last = np.isnan(codes), len(self.values)
        return self._table[np.where(unknown, last, np.minimum(codes, last)).astype(np.int64)]

    @cached_property
    def _table(self) -> Floats:
        return np.append(self.values, self.missing)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"values": list(self.values), "missing": self.missing}


def by_rates(matrix: Floats, names: Sequence[str], rates: Mapping[str, Rates]) -> Floats:
    """A matrix of named columns as trees read it: shape (n, columns)."""
    if not rates:
        return matrix
    matrix = matrix.copy()
    for i, name in enumerate(names):
        if name in rates:
            matrix[:, i] = rates[name].of(matrix[:, i])
    return matrix


@dataclass(frozen=True, slots=True)
class Spread:
    """How uncertain raw is: variance = `constant` + `factor` · the sum of the terms' variances.

    Attributes:
        constant: the same for all, in squared log-odds.
        factor: of the variances that the linear part's terms have.
        reach: standard deviations to either side that hold nine of ten such differences.
        leads: how many were learned from; None where nothing was.
    """

    constant: float
    factor: float
    reach: float
    leads: int | None = None

    def to_json(self) -> dict[str, float | None]:
        """As plain data."""
        return {
            "constant": self.constant,
            "factor": self.factor,
            "reach": self.reach,
            "leads": self.leads,
        }


@dataclass(frozen=True)
class Blend:
    """A learner of log-odds.

    Attributes:
        linear: the additive part; None in bundles of format 1.
        trees: the boosted part; None before there is enough to learn from.
        weight: of the linear part, in [0, 1].
        shift: log-odds added to all.
        rates: column -> how the trees read it, for categories of many levels.
        spread: None where it was not measured.
    """

    linear: Linear | None
    trees: Trees | None
    weight: float
    shift: float = 0.0
    rates: Mapping[str, Rates] = field(default_factory=dict)
    spread: Spread | None = None

    @classmethod
    def of_trees(cls, trees: Trees) -> Blend:
        """Trees alone."""
        return cls(None, trees, 0.0)

    @cached_property
    def columns(self) -> list[str]:
        """The names of the columns, in the order in which they must come."""
        if self.linear is not None:
            return [term.column for term in self.linear.terms]
        return self.trees.columns if self.trees is not None else []

    def raw(self, matrix: Floats) -> Floats:
        """Log-odds of shape (n,) for a matrix of shape (n, columns)."""
        return self._summed(*self._parts(matrix, self._read(matrix)))

    def judged(self, matrix: Floats) -> tuple[Floats, Floats | None]:
        """Log-odds and their mean squared error, both of shape (n,), each part asked once.

        The error is in squared log-odds, and None where it was not measured. To what another sample of
        leads would change comes what the two parts disagree about, at least one of which is wrong:
        w (1 − w) (linear − trees)², the ambiguity of Krogh and Vedelsby (1995).
        """
        return self._judged(matrix, self._read(matrix))

    def told(self, matrix: Floats) -> tuple[Floats, Floats | None, Floats, float]:
        """`judged` and `contributions` together, each part read once."""
        read = self._read(matrix)
        if self.trees is None or self.weight >= 1 or not len(matrix):
            return *self._judged(matrix, read), *self._contributions(matrix, read)
        trees, boosted = self.trees.told(by_rates(matrix, self.columns, self.rates))
        judged = self._in_all(self._additive(read), trees, read)
        return *judged, *self._shared(matrix, read, boosted)

    def _read(self, matrix: Floats) -> _Read | None:
        """What the additive part's columns add, shape (n, columns), and its variance, shape (n,)."""
        return None if self.linear is None else self.linear.read(matrix)

    def _judged(self, matrix: Floats, read: _Read | None) -> tuple[Floats, Floats | None]:
        return self._in_all(*self._parts(matrix, read), read)

    def _in_all(
        self, linear: Floats | None, trees: Floats | None, read: _Read | None
    ) -> tuple[Floats, Floats | None]:
        """`judged`, given what each part says."""
        raw = self._summed(linear, trees)
        if self.spread is None or read is None:
            return raw, None
        variance = self.spread.constant + self.spread.factor * read[1]
        if linear is not None and trees is not None:
            variance += self.weight * (1 - self.weight) * (linear - trees) ** 2
        return raw, np.maximum(variance, _LEAST_VARIANCE)

    def _parts(self, matrix: Floats, read: _Read | None) -> tuple[Floats | None, Floats | None]:
        """What each part that has a weight says, of shape (n,)."""
        trees = None
        if self.trees is not None and self.weight < 1:
            trees = self.trees.raw(by_rates(matrix, self.columns, self.rates))
        return self._additive(read), trees

    def _additive(self, read: _Read | None) -> Floats | None:
        """What the additive part says, shape (n,); None where it has no weight."""
        if self.linear is None or read is None or self.weight <= 0:
            return None
        return self.linear.summed(read[0])

    def _summed(self, linear: Floats | None, trees: Floats | None) -> Floats:
        raw: Floats = np.asarray(self.shift, dtype=np.float64)
        if linear is not None:
            raw = raw + self.weight * linear
        if trees is not None:
            raw = raw + (1 - self.weight) * trees
        return raw

    def contributions(self, matrix: Floats) -> tuple[Floats, float]:
        """What each column adds, shape (n, columns), and the base they add to; exact.

        A curve's or a level's value for the linear part, Shapley values for the trees: both are what
        the column adds to the mean, so their weighted sum is too.
        """
        return self._contributions(matrix, self._read(matrix))

    def _contributions(self, matrix: Floats, read: _Read | None) -> tuple[Floats, float]:
        boosted = None
        if self.trees is not None and self.weight < 1 and len(matrix):
            boosted = self.trees.contributions(by_rates(matrix, self.columns, self.rates))
        return self._shared(matrix, read, boosted)

    def _shared(
        self, matrix: Floats, read: _Read | None, boosted: Floats | None
    ) -> tuple[Floats, float]:
        """`contributions`, given those of each part."""
        shares, base = np.zeros(matrix.shape), self.shift
        if self.linear is not None and read is not None and self.weight > 0:
            shares += self.weight * read[0]
            base += self.weight * self.linear.intercept
        if boosted is not None:
            shares += (1 - self.weight) * boosted[:, :-1]
            base += (1 - self.weight) * float(boosted[0, -1])
        return shares, base

    def to_json(self) -> dict[str, Any]:
        """All but the trees, as plain data."""
        return {
            "linear": None if self.linear is None else self.linear.to_json(),
            "weight": self.weight,
            "shift": self.shift,
            "rates": {name: rates.to_json() for name, rates in sorted(self.rates.items())},
            "spread": None if self.spread is None else self.spread.to_json(),
        }

    @classmethod
    def from_json(cls, content: Any, booster: str) -> Blend:
        """From what `to_json` gave and the booster's text.

        Raises:
            BundleError: it is something else, or does not hold together.
        """
        try:
            linear = None if content["linear"] is None else Linear.from_json(content["linear"])
            spread = None if content["spread"] is None else _spread(content["spread"])
            rates = {str(name): _rates(one) for name, one in content["rates"].items()}
            weight, shift = float(content["weight"]), float(content["shift"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BundleError(f"the bundle's learner cannot be read: {error!r}") from error
        trees = Trees(booster) if booster else None
        if not (0.0 <= weight <= 1.0 and np.isfinite(shift)):
            raise BundleError(f"the bundle's learner has weight {weight} and shift {shift}")
        if (weight > 0 and linear is None) or (weight < 1 and trees is None):
            raise BundleError("the bundle's learner lacks a part that has a weight")
        blend = cls(linear, trees, weight, shift, rates, spread)
        if trees is not None and trees.columns != blend.columns:
            raise BundleError("the two parts of the bundle's learner read different columns")
        return blend


def _spread(content: Any) -> Spread:
    if unknown := set(content) - {"constant", "factor", "reach", "leads"}:
        raise ValueError(f"a spread has no {min(unknown)}")
    leads = content.get("leads")
    numbers = [float(content[name]) for name in ("constant", "factor", "reach")]
    spread = Spread(numbers[0], numbers[1], numbers[2], None if leads is None else int(leads))
    if leads is not None and spread.leads is not None and spread.leads < 1:
        raise ValueError(f"{spread} has learned from nobody")
    if not np.isfinite(numbers).all() or min(numbers) < 0:
        raise ValueError(f"{spread} is no spread")
    return spread


def _rates(content: Any) -> Rates:
    rates = Rates(tuple(map(float, content["values"])), float(content["missing"]))
    if not np.isfinite((*rates.values, rates.missing)).all():
        raise ValueError("a rate is not finite")
    return rates
