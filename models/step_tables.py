"""How does a calibrator that no formula describes turn a raw score into a probability? By a table.

Rule: a table never reverses two leads, not by the last bit, whatever the rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from models.log_odds import CalibratorError, Floats, Plain, inside, number, readable

LARGEST_KNOT = 1e6
"""Wider spans of log-odds overflow on the way to a line between two knots."""


def require_knots(raw: tuple[float, ...], **tables: tuple[float, ...]) -> None:
    """Raise CalibratorError unless knots rise strictly and each table of probabilities never falls.

    Args:
        raw: the knots, log-odds.
        tables: for each `knots_<name>`, as many probabilities as knots.
    """
    for name, chances in tables.items():
        if not raw or len(raw) != len(chances):
            raise CalibratorError(
                f"A table needs as many knots_{name} as knots_raw, at least one; got "
                f"{len(chances)} and {len(raw)}."
            )
        _require_chances(f"knots_{name}", chances)
    places = np.array([number(f"knots_raw[{place}]", knot) for place, knot in enumerate(raw)])
    if np.any(places[1:] <= places[:-1]):
        raise CalibratorError("knots_raw must be strictly increasing.")
    if np.abs(places).max() > LARGEST_KNOT:
        raise CalibratorError(f"knots_raw are log-odds and lie within ±{LARGEST_KNOT:g}.")


def _require_chances(name: str, chances: tuple[float, ...]) -> None:
    shares = np.array([number(f"{name}[{place}]", chance) for place, chance in enumerate(chances)])
    if np.any(np.diff(shares) < 0):
        raise CalibratorError(f"{name} must never decrease or leads change places.")
    if shares[0] < 0 or shares[-1] > 1:
        raise CalibratorError(f"{name} must lie in [0, 1].")


@dataclass(frozen=True)
class Isotonic(Plain):
    """No formula fits: straight lines between knots, flat outside them.

    Attributes:
        knots_raw: at least one raw score, strictly increasing, log-odds.
        knots_probability: as many probabilities, never decreasing, in [0, 1].
    """

    knots_raw: tuple[float, ...]
    knots_probability: tuple[float, ...]
    kind: ClassVar[str] = "isotonic"

    def __post_init__(self) -> None:
        require_knots(self.knots_raw, probability=self.knots_probability)

    @cached_property
    def _raw(self) -> Floats:
        return np.array(self.knots_raw, dtype=np.float64)

    @cached_property
    def _probability(self) -> Floats:
        return np.array(self.knots_probability, dtype=np.float64)

    def apply(self, raw: ArrayLike) -> Floats:
        """Map raw scores, shape (n,), log-odds, to probabilities, shape (n,), inside (0, 1)."""
        # Not numpy.interp: its rounding may pass the next knot by a bit and reverse two leads.
        scores = np.clip(readable(raw), self._raw[0], self._raw[-1])
        right = np.clip(np.searchsorted(self._raw, scores, side="right"), 1, None)
        right = np.minimum(right, len(self._raw) - 1)
        left = np.maximum(right - 1, 0)
        width = np.where(right > left, self._raw[right] - self._raw[left], 1.0)
        rise = self._probability[right] - self._probability[left]
        line = self._probability[left] + (scores - self._raw[left]) / width * rise
        return inside(np.minimum(line, self._probability[right]))


@dataclass(frozen=True)
class VennAbers(Plain):
    """No formula fits, and few leads look like this one: steps that allow for the lead's own outcome.

    Had a lead with this raw score been lost, an isotonic regression of it with the calibration leads
    would say `low`; had it been won, `high`. Shown is high / (1 − low + high), which minimises the
    largest regret in log loss. `low` holds from its knot on upwards, `high` from its knot on downwards;
    below all knots `low` is 0, above all `high` is 1.

    Source: Vovk and Petej (2014), Venn–Abers predictors; Vovk, Petej and Fedorova (2015).

    Attributes:
        knots_raw: at least one raw score, strictly increasing, log-odds.
        knots_low: as many probabilities, never decreasing, in [0, 1].
        knots_high: as many probabilities, never decreasing, each at least its `knots_low`.
    """

    knots_raw: tuple[float, ...]
    knots_low: tuple[float, ...]
    knots_high: tuple[float, ...]
    kind: ClassVar[str] = "venn_abers"

    def __post_init__(self) -> None:
        require_knots(self.knots_raw, low=self.knots_low, high=self.knots_high)
        if any(low > high for low, high in zip(self.knots_low, self.knots_high, strict=True)):
            raise CalibratorError("knots_low must nowhere lie above knots_high.")

    @cached_property
    def _raw(self) -> Floats:
        return np.array(self.knots_raw, dtype=np.float64)

    @cached_property
    def _steps(self) -> Floats:
        """Probabilities below the first knot, at it, above it, at the next, …, above the last."""
        at = np.arange(2 * len(self.knots_raw) + 1)
        low = np.array((0.0, *self.knots_low))[(at + 1) // 2]
        high = np.array((*self.knots_high, 1.0))[at // 2]
        return np.asarray(np.maximum.accumulate(inside(high / (1.0 - low + high))))

    def apply(self, raw: ArrayLike) -> Floats:
        """Map raw scores, shape (n,), log-odds, to probabilities, shape (n,), inside (0, 1)."""
        scores = readable(raw)
        below, up_to = (np.searchsorted(self._raw, scores, side) for side in ("left", "right"))
        return np.asarray(self._steps[below + up_to], dtype=np.float64)
