"""How does a raw score (log-odds) become the probability that is shown to people?

Rule: a calibrator never reverses two leads, never says 0 % or 100 %, and gives a lead the same bits
alone as in a batch of a million. Calibrators only *apply*; they are fitted in `training.calibrate`.
Queues are ordered by the raw score, because calibration makes ties.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from models.log_odds import (
    FLOOR,
    CalibratorError,
    Floats,
    Plain,
    inside,
    logit,
    number,
    readable,
    require_finite,
    require_not_negative,
    sigmoid,
    softplus,
)
from models.step_tables import Isotonic, VennAbers

__all__ = [
    "FLOOR",
    "KINDS",
    "Adjusted",
    "Beta",
    "Calibrator",
    "CalibratorError",
    "Floats",
    "Identity",
    "Isotonic",
    "Offset",
    "Platt",
    "VennAbers",
    "adjusted",
    "calibrator_from_json",
    "logit",
    "sigmoid",
    "softplus",
]


@dataclass(frozen=True)
class Identity(Plain):
    """Trust the model: probability = sigmoid(raw).

    >>> Identity().apply([0.0]).tolist()
    [0.5]
    """

    kind: ClassVar[str] = "identity"

    def apply(self, raw: ArrayLike) -> Floats:
        """Map raw scores, shape (n,), log-odds, to probabilities, shape (n,), inside (0, 1)."""
        return inside(sigmoid(readable(raw)))


@dataclass(frozen=True)
class Offset(Plain):
    """The order and spread are right, the level is not: probability = sigmoid(raw + shift).

    Attributes:
        shift: log-odds added to every lead.
    """

    shift: float
    kind: ClassVar[str] = "offset"

    def __post_init__(self) -> None:
        require_finite(shift=self.shift)

    def apply(self, raw: ArrayLike) -> Floats:
        """Map raw scores, shape (n,), log-odds, to probabilities, shape (n,), inside (0, 1)."""
        return inside(sigmoid(readable(raw) + self.shift))


@dataclass(frozen=True)
class Platt(Plain):
    """The model is too sure or too timid: probability = sigmoid(slope · raw + intercept).

    Source: Platt (1999), Probabilistic outputs for support vector machines.

    Attributes:
        slope: at least 0; below 1 where the model was too sure.
        intercept: log-odds.
    """

    slope: float
    intercept: float
    kind: ClassVar[str] = "platt"

    def __post_init__(self) -> None:
        require_not_negative(slope=self.slope)
        require_finite(intercept=self.intercept)

    def apply(self, raw: ArrayLike) -> Floats:
        """Map raw scores, shape (n,), log-odds, to probabilities, shape (n,), inside (0, 1)."""
        scores = readable(raw)
        # 0 · infinity is not a number; a flat calibrator answers the same for every lead.
        tilted = np.zeros_like(scores) if self.slope == 0 else self.slope * scores
        return inside(sigmoid(tilted + self.intercept))


@dataclass(frozen=True)
class Beta(Plain):
    """The two ends are wrong differently: log-odds = a · ln q − b · ln(1 − q) + c.

    Here q = sigmoid(raw); a = b = 1 and c = 0 change nothing.
    Source: Kull, Silva Filho and Flach (2017), Beta calibration.

    Attributes:
        a: at least 0; bends the low end.
        b: at least 0; bends the high end.
        c: log-odds.
    """

    a: float
    b: float
    c: float
    kind: ClassVar[str] = "beta"

    def __post_init__(self) -> None:
        require_not_negative(a=self.a, b=self.b)
        require_finite(c=self.c)

    def apply(self, raw: ArrayLike) -> Floats:
        """Map raw scores, shape (n,), log-odds, to probabilities, shape (n,), inside (0, 1)."""
        scores = readable(raw)
        low = np.zeros_like(scores) if self.a == 0 else -self.a * softplus(-scores)
        high = np.zeros_like(scores) if self.b == 0 else self.b * softplus(scores)
        return inside(sigmoid(low + high + self.c))


@dataclass(frozen=True)
class Adjusted(Plain):
    """A table whose level or spread has moved: log-odds = slope · logit(table) + intercept.

    Formulas take such a move into their own numbers; see `adjusted`.

    Attributes:
        base: the table, which still says where the curve bends.
        slope: at least 0.
        intercept: log-odds.
    """

    base: Isotonic | VennAbers
    slope: float
    intercept: float
    kind: ClassVar[str] = "adjusted"

    def __post_init__(self) -> None:
        if not isinstance(self.base, Isotonic | VennAbers):
            raise CalibratorError(
                f"Only an isotonic or venn_abers table can be adjusted, got {self.base!r}."
            )
        require_not_negative(slope=self.slope)
        require_finite(intercept=self.intercept)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object that `calibrator_from_json` reads back bit for bit."""
        moved = {"slope": float(self.slope), "intercept": float(self.intercept)}
        return {"kind": self.kind, "base": self.base.to_json(), **moved}

    def apply(self, raw: ArrayLike) -> Floats:
        """Map raw scores, shape (n,), log-odds, to probabilities, shape (n,), inside (0, 1)."""
        return inside(sigmoid(self.slope * logit(self.base.apply(raw)) + self.intercept))


Calibrator = Identity | Offset | Platt | Beta | Isotonic | VennAbers | Adjusted
KINDS: Mapping[str, type[Calibrator]] = {
    kind.kind: kind for kind in (Identity, Offset, Platt, Beta, Isotonic, VennAbers, Adjusted)
}


def adjusted(start: Calibrator, slope: float, intercept: float) -> Calibrator:
    """What says sigmoid(slope · logit(start) + intercept) of every lead, in the simplest kind there is.

    Only the limits may differ: they are applied once, at the end.

    Args:
        start: what is said now.
        slope: at least 0; 1 keeps the spread.
        intercept: log-odds; 0 with slope 1 gives `start` back.

    >>> adjusted(Offset(0.5), 1.0, -0.2)
    Offset(shift=0.3)
    """
    if (slope, intercept) == (1.0, 0.0):
        return start
    match start:
        case Identity() | Offset() if slope == 1.0:
            return Offset(_level(start) + intercept)
        case Identity() | Offset():
            return Platt(slope, slope * _level(start) + intercept)
        case Platt():
            return Platt(slope * start.slope, slope * start.intercept + intercept)
        case Beta():
            return Beta(slope * start.a, slope * start.b, slope * start.c + intercept)
        case Adjusted():
            return Adjusted(start.base, slope * start.slope, slope * start.intercept + intercept)
        case _:
            return Adjusted(start, slope, intercept)


def _level(start: Identity | Offset) -> float:
    return start.shift if isinstance(start, Offset) else 0.0


def _field(name: str, value: object) -> float | tuple[float, ...] | Calibrator:
    if name == "base":
        # Only a table: a base within a base could nest without end.
        return calibrator_from_json(value, {kind.kind: kind for kind in (Isotonic, VennAbers)})
    if not name.startswith("knots_"):
        return number(name, value)
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise CalibratorError(f"{name} must be a list of numbers, got {type(value).__name__}.")
    return tuple(number(f"{name}[{place}]", item) for place, item in enumerate(value))


def calibrator_from_json(obj: object, kinds: Mapping[str, type[Calibrator]] = KINDS) -> Calibrator:
    """Read a calibrator back from its JSON object, bit for bit.

    Args:
        obj: what `to_json` gave, for example `{"kind": "platt", "slope": 0.8, "intercept": 0.1}`.
        kinds: which kinds may come; by default every one there is.

    Returns:
        The calibrator.

    Raises:
        CalibratorError: the kind is unknown, a field is missing or not known, a number is not
            finite, or the numbers would reverse leads.
    """
    if not isinstance(obj, Mapping):
        raise CalibratorError(f"A calibrator is a JSON object, got {type(obj).__name__}.")
    name = obj.get("kind")
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise CalibratorError(f"Unknown calibrator kind {name!r}; known are {', '.join(kinds)}.")
    wanted, given = {field.name for field in fields(kind)}, set(obj) - {"kind"}
    if wanted != given:
        raise CalibratorError(
            f"A {kind.kind} calibrator has the fields {sorted(wanted)}; missing "
            f"{sorted(wanted - given)}, not known {sorted(map(str, given - wanted))}."
        )
    numbers: dict[str, Any] = {field: _field(field, obj[field]) for field in wanted}
    return kind(**numbers)
