"""How does a raw score (log-odds) become the probability that is shown to people?

Rule: a calibrator never reverses two leads, never says 0 % or 100 %, and gives a lead the same bits
alone as in a batch of a million. Calibrators only *apply*; they are fitted in `training.calibrate`.
Queues are ordered by the raw score, because calibration makes ties.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

FLOOR = 1e-4
"""No probability below this or above one minus this is ever shown."""

_LARGEST_KNOT = 1e6

Floats = NDArray[np.float64]


class CalibratorError(ValueError):
    """A calibrator, or the JSON it should be read from, is not one we can trust."""


def sigmoid(log_odds: ArrayLike) -> Floats:
    """Turn log-odds into probabilities without overflow.

    Args:
        log_odds: shape (n,), any float including infinities.

    Returns:
        shape (n,), in [0, 1].
    """
    odds = np.exp(-np.abs(np.asarray(log_odds, dtype=np.float64)))
    return np.where(np.signbit(log_odds), odds, 1.0) / (1.0 + odds)


def logit(probability: ArrayLike) -> Floats:
    """Turn probabilities into log-odds; the inverse of `sigmoid`.

    Args:
        probability: shape (n,), in [0, 1]; 0 and 1 give minus and plus infinity.

    Returns:
        shape (n,), log-odds.
    """
    share = np.asarray(probability, dtype=np.float64)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(share) - np.log1p(-share), dtype=np.float64)


def softplus(log_odds: ArrayLike) -> Floats:
    """Compute ln(1 + exp(x)) without overflow; shape (n,) in, shape (n,) out, >= 0."""
    return np.logaddexp(0.0, np.asarray(log_odds, dtype=np.float64))


def _inside(probability: Floats) -> Floats:
    return np.clip(probability, FLOOR, 1.0 - FLOOR)


def _readable(raw: ArrayLike) -> Floats:
    # Contiguous: a strided view may go another way through numpy's exp and differ in one bit.
    scores = np.ascontiguousarray(raw, dtype=np.float64)
    if scores.ndim != 1:
        raise CalibratorError(f"Raw scores must have shape (n,), got {scores.shape}.")
    if np.isnan(scores).any():
        row = int(np.flatnonzero(np.isnan(scores))[0])
        raise CalibratorError(f"Raw score {row} is not a number; the model that made it is broken.")
    return scores


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CalibratorError(f"{name} must be a finite number, got {value!r}.")
    return float(value)


def _require_finite(**numbers: float) -> None:
    for name, value in numbers.items():
        _number(name, value)


def _require_not_negative(**numbers: float) -> None:
    _require_finite(**numbers)
    for name, value in numbers.items():
        if value < 0:
            raise CalibratorError(
                f"{name} must be at least 0 or leads change places, got {value!r}."
            )


@dataclass(frozen=True)
class _Plain:
    """What the calibrators share: a name, and their numbers as plain JSON."""

    kind: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object that `calibrator_from_json` reads back bit for bit."""
        numbers = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"kind": self.kind} | {
            name: list(map(float, value)) if isinstance(value, tuple) else float(value)
            for name, value in numbers.items()
        }


@dataclass(frozen=True)
class Identity(_Plain):
    """Trust the model: probability = sigmoid(raw).

    >>> Identity().apply([0.0]).tolist()
    [0.5]
    """

    kind: ClassVar[str] = "identity"

    def apply(self, raw: ArrayLike) -> Floats:
        """Map raw scores, shape (n,), log-odds, to probabilities, shape (n,), inside (0, 1)."""
        return _inside(sigmoid(_readable(raw)))


@dataclass(frozen=True)
class Offset(_Plain):
    """The order and spread are right, the level is not: probability = sigmoid(raw + shift).

    Attributes:
        shift: log-odds added to every lead.
    """

    shift: float
    kind: ClassVar[str] = "offset"

    def __post_init__(self) -> None:
        _require_finite(shift=self.shift)

    def apply(self, raw: ArrayLike) -> Floats:
        """Map raw scores, shape (n,), log-odds, to probabilities, shape (n,), inside (0, 1)."""
        return _inside(sigmoid(_readable(raw) + self.shift))


@dataclass(frozen=True)
class Platt(_Plain):
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
        _require_not_negative(slope=self.slope)
        _require_finite(intercept=self.intercept)

    def apply(self, raw: ArrayLike) -> Floats:
        """Map raw scores, shape (n,), log-odds, to probabilities, shape (n,), inside (0, 1)."""
        scores = _readable(raw)
        # 0 · infinity is not a number; a flat calibrator answers the same for every lead.
        tilted = np.zeros_like(scores) if self.slope == 0 else self.slope * scores
        return _inside(sigmoid(tilted + self.intercept))


@dataclass(frozen=True)
class Beta(_Plain):
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
        _require_not_negative(a=self.a, b=self.b)
        _require_finite(c=self.c)

    def apply(self, raw: ArrayLike) -> Floats:
        """Map raw scores, shape (n,), log-odds, to probabilities, shape (n,), inside (0, 1)."""
        scores = _readable(raw)
        low = np.zeros_like(scores) if self.a == 0 else -self.a * softplus(-scores)
        high = np.zeros_like(scores) if self.b == 0 else self.b * softplus(scores)
        return _inside(sigmoid(low + high + self.c))


@dataclass(frozen=True)
class Isotonic(_Plain):
    """No formula fits: straight lines between knots, flat outside them.

    Attributes:
        knots_raw: at least one raw score, strictly increasing, log-odds.
        knots_probability: as many probabilities, never decreasing, in [0, 1].
    """

    knots_raw: tuple[float, ...]
    knots_probability: tuple[float, ...]
    kind: ClassVar[str] = "isotonic"

    def __post_init__(self) -> None:
        if not self.knots_raw or len(self.knots_raw) != len(self.knots_probability):
            raise CalibratorError(
                "An isotonic calibrator needs as many raw knots as probabilities, at least one; "
                f"got {len(self.knots_raw)} and {len(self.knots_probability)}."
            )
        for place, pair in enumerate(zip(self.knots_raw, self.knots_probability, strict=True)):
            _number(f"knots_raw[{place}]", pair[0])
            _number(f"knots_probability[{place}]", pair[1])
        self._require_order()

    def _require_order(self) -> None:
        if np.any(self._raw[1:] <= self._raw[:-1]):
            raise CalibratorError("knots_raw must be strictly increasing.")
        # Wider spans overflow on the way to a line between two knots.
        if np.abs(self._raw).max() > _LARGEST_KNOT:
            raise CalibratorError(f"knots_raw are log-odds and lie within ±{_LARGEST_KNOT:g}.")
        if np.any(np.diff(self._probability) < 0):
            raise CalibratorError("knots_probability must never decrease or leads change places.")
        if self._probability[0] < 0 or self._probability[-1] > 1:
            raise CalibratorError("knots_probability must lie in [0, 1].")

    @cached_property
    def _raw(self) -> Floats:
        return np.array(self.knots_raw, dtype=np.float64)

    @cached_property
    def _probability(self) -> Floats:
        return np.array(self.knots_probability, dtype=np.float64)

    def apply(self, raw: ArrayLike) -> Floats:
        """Map raw scores, shape (n,), log-odds, to probabilities, shape (n,), inside (0, 1)."""
        # Not numpy.interp: its rounding may pass the next knot by a bit and reverse two leads.
        scores = np.clip(_readable(raw), self._raw[0], self._raw[-1])
        right = np.clip(np.searchsorted(self._raw, scores, side="right"), 1, None)
        right = np.minimum(right, len(self._raw) - 1)
        left = np.maximum(right - 1, 0)
        width = np.where(right > left, self._raw[right] - self._raw[left], 1.0)
        rise = self._probability[right] - self._probability[left]
        line = self._probability[left] + (scores - self._raw[left]) / width * rise
        return _inside(np.minimum(line, self._probability[right]))


Calibrator = Identity | Offset | Platt | Beta | Isotonic
KINDS: Mapping[str, type[Calibrator]] = {
    kind.kind: kind for kind in (Identity, Offset, Platt, Beta, Isotonic)
}


def _numbers(name: str, value: object) -> float | tuple[float, ...]:
    if not name.startswith("knots_"):
        return _number(name, value)
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise CalibratorError(f"{name} must be a list of numbers, got {type(value).__name__}.")
    return tuple(_number(f"{name}[{place}]", item) for place, item in enumerate(value))


def calibrator_from_json(obj: object) -> Calibrator:
    """Read a calibrator back from its JSON object, bit for bit.

    Args:
        obj: what `to_json` gave, for example `{"kind": "platt", "slope": 0.8, "intercept": 0.1}`.

    Returns:
        The calibrator.

    Raises:
        CalibratorError: the kind is unknown, a field is missing or not known, a number is not
            finite, or the numbers would reverse leads.
    """
    if not isinstance(obj, Mapping):
        raise CalibratorError(f"A calibrator is a JSON object, got {type(obj).__name__}.")
    name = obj.get("kind")
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise CalibratorError(f"Unknown calibrator kind {name!r}; known are {', '.join(KINDS)}.")
    wanted, given = {field.name for field in fields(kind)}, set(obj) - {"kind"}
    if wanted != given:
        raise CalibratorError(
            f"A {kind.kind} calibrator has the fields {sorted(wanted)}; missing "
            f"{sorted(wanted - given)}, not known {sorted(map(str, given - wanted))}."
        )
    numbers: dict[str, Any] = {field: _numbers(field, obj[field]) for field in wanted}
    return kind(**numbers)
