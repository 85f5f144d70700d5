"""Where is the model wrong – in which months, routes and segments – beyond what luck brings?

Rule: the parts of all dimensions are one family. A part is named only when its false discovery rate
over the whole family is below `SHARE_OF_FALSE_ALARMS`; beside what was counted stands what is left of
it when the parts of a dimension borrow strength from each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammainc, gammaincc

from features.frames import Category
from models.calibrators import FLOOR, logit, sigmoid
from training.intervals import Interval, checked_weights, group_codes, plain
from training.reliability import calibration_slope_intercept, observed_over_expected

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHARE_OF_FALSE_ALARMS = 0.05
"""Of the parts that are named, the share that is right after all, on average. Of a model that is right
everywhere, one page in twenty names anything."""

LEAST_EXPECTED = 5.0
"""Independent wins, and losses, that must have been expected of a part before it is tested."""

NOT_KNOWN = "not known"


@dataclass(frozen=True)
class Part:
    """A part of the rows, such as a region or a month.

    Attributes:
        dimension, name: such as `Region` and `North`.
        rows, leads, wins: how many.
        said, happened: mean probability and win rate, by weight.
        ratio: observed over expected wins; its 95 % interval is for this part alone.
        shrunk: the same, after the parts of the dimension borrowed strength from each other.
        p: chance of being this far off, or farther, if it is right; None when it was not tested.
        q: the false discovery rate at which it would be named; None when it was not tested.
        verdict: in words; empty when it is no farther off than luck brings.
    """

    dimension: str
    name: str
    rows: int
    leads: int
    wins: int
    said: float
    happened: float
    ratio: Interval
    shrunk: float
    p: float | None
    q: float | None
    verdict: str


@dataclass(frozen=True)
class Where:
    """Every part, and the rule by which some are named.

    Attributes:
        parts: dimension by dimension, in their order.
        level: observed over expected wins of all rows together.
        against: the level all parts share: 1, or `level` where that is off itself.
        tested: how many parts had enough outcomes.
        rule: in a sentence, for people.
    """

    parts: tuple[Part, ...]
    level: Interval
    against: float
    tested: int
    rule: str

    @property
    def named(self) -> tuple[Part, ...]:
        """The parts that are off, the surest first."""
        found = [part for part in self.parts if part.q is not None and part.verdict]
        return tuple(sorted(found, key=lambda part: (part.p or 0.0, part.dimension, part.name)))

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**plain(self), "named": plain(self.named)}


def where_wrong(
    probability: ArrayLike,
    y: ArrayLike,
    lead: ArrayLike,
    dimensions: Mapping[str, Category],
    weights: ArrayLike | None = None,
) -> Where:
    """Hold what was said of each part against what happened there.

    Where the level as a whole is off (its interval leaves out 1) a part is named only if it is off from
    what was said and from that level, put right by one shift of all log-odds: a level that is off
    everywhere names no part, and one part that is far off names no others. A part's wins are compared
    with a Poisson variable that has their variance if the model is right: rows of one lead are as alike
    as all rows together show (exchangeable, Liang and Zeger 1986); and at least the variance that the
    part's own leads show. Benjamini and Hochberg (1995) over all tested parts. Borrowing strength is
    the gamma-Poisson model of Clayton and Kaldor (1987), its variance between parts by moments
    (DerSimonian and Laird 1986).

    Args:
        probability: shape (n,), in [0, 1].
        y: shape (n,), 1 = won, 0 = not won; both occur.
        lead: lead ids of shape (n,); a lead's rows are one piece of evidence.
        dimensions: name -> the part of each row.
        weights: shape (n,), or None for equal weights.

    Raises:
        OneClassError: only wins or only losses.
    """
    p, won = np.asarray(probability, np.float64), np.asarray(y, np.float64)
    mass, codes = checked_weights(weights, len(won)), group_codes(lead, len(won))
    level = observed_over_expected(p, won, groups=codes, weights=mass)
    off = not level.contains(1.0)
    shift = calibration_slope_intercept(p, won, weights=mass).intercept.estimate if off else 0.0
    rows = _Rows.of(p, sigmoid(logit(np.clip(p, FLOOR, 1 - FLOOR)) + shift), won, codes, mass)
    parts: list[Part] = []
    for dimension, column in dimensions.items():
        parts += _dimension(dimension, column, rows)
    parts = _adjusted(parts)
    tested = sum(part.p is not None for part in parts)
    against = level.estimate if off else 1.0
    return Where(tuple(parts), level, against, tested, _rule(tested, off, level))


@dataclass(frozen=True)
class _Rows:
    """What was said, the same at the right level, outcome, lead, weight; how alike a lead's rows are."""

    p: Floats
    right: Floats
    won: Floats
    lead: Ints
    mass: Floats
    alike: float

    @classmethod
    def of(cls, p: Floats, right: Floats, won: Floats, lead: Ints, mass: Floats) -> _Rows:
        off, spread = mass * (won - right), mass * np.sqrt(right * (1 - right))
        pairs = (np.bincount(lead, spread) ** 2).sum() - (spread**2).sum()
        shown = (np.bincount(lead, off) ** 2).sum() - (off**2).sum()
        alike = float(np.clip(shown / pairs, 0.0, 1.0)) if pairs > 1e-9 else 0.0
        return cls(p, right, won, lead, mass, alike)

    def take(self, rows: Ints) -> _Rows:
        return _Rows(
            self.p[rows],
            self.right[rows],
            self.won[rows],
            self.lead[rows],
            self.mass[rows],
            self.alike,
        )

    @property
    def expected(self) -> float:
        return float(self.mass @ self.right)

    @property
    def variance(self) -> float:
        """Of the wins, by weight, if the model is right."""
        spread = self.mass * np.sqrt(self.right * (1 - self.right))
        _, lead = np.unique(self.lead, return_inverse=True)
        alone, together = (spread**2).sum(), (np.bincount(lead, spread) ** 2).sum()
        return float(alone + self.alike * (together - alone))

    @property
    def shown_variance(self) -> float:
        _, lead = np.unique(self.lead, return_inverse=True)
        return float((np.bincount(lead, self.mass * (self.won - self.right)) ** 2).sum())


def _dimension(dimension: str, column: Category, rows: _Rows) -> list[Part]:
    found = [
        (name, rows.take(np.flatnonzero(column.codes == code)))
        for code, name in [*enumerate(column.levels), (-1, NOT_KNOWN)]
        if (column.codes == code).any()
    ]
    if len(found) < 2:
        return []
    return _borrowing([(_part(dimension, name, here), here) for name, here in found])


def _part(dimension: str, name: str, here: _Rows) -> Part:
    ratio = observed_over_expected(here.p, here.won, groups=here.lead, weights=here.mass)
    return Part(
        dimension,
        name,
        rows=len(here.won),
        leads=len(np.unique(here.lead)),
        wins=int(here.won.sum()),
        said=float(np.average(here.p, weights=here.mass)),
        happened=float(np.average(here.won, weights=here.mass)),
        ratio=ratio,
        shrunk=ratio.estimate,
        p=_chance(here),
        q=None,
        verdict="",
    )


def _chance(here: _Rows) -> float | None:
    """The two-sided chance of such a number of wins if the part is right; None: too few to say.

    Right is what was said as well as the level that all rows had: the larger of both chances, so that
    a part is off only if it is off from both (Berger 1982).
    """
    wins, losses = here.expected, float(here.mass @ (1 - here.right))
    if min(wins, losses) ** 2 < LEAST_EXPECTED * here.variance:
        return None
    return max(_far_off(here), _far_off(replace(here, right=here.p)))


def _far_off(here: _Rows) -> float:
    """The two-sided chance of such a number of wins if `right` is."""
    wins, expected = float(here.mass @ here.won), here.expected
    unit = max(here.variance, here.shown_variance) / expected
    counted, mean = wins / unit, expected / unit
    at_least = float(gammainc(counted, mean)) if counted > 0 else 1.0
    at_most = float(gammaincc(counted + 1.0, mean))
    return min(1.0, 2 * min(at_least, at_most))


def _borrowing(found: list[tuple[Part, _Rows]]) -> list[Part]:
    """The parts with their shrunk ratios."""
    wins = np.array([float(here.mass @ here.won) for _, here in found])
    expected = np.array([here.expected for _, here in found])
    variance = np.array([here.variance for _, here in found])
    between = variance_between(wins / expected, variance / expected**2)
    unit = variance / expected
    prior = math.inf if between == 0 else 1.0 / between
    shrunk = np.ones(len(found))
    if math.isfinite(prior):
        shrunk = (wins / unit + prior) / (expected / unit + prior)
    return [
        replace(part, shrunk=float(ratio * here.expected / (here.mass @ here.p)))
        for (part, here), ratio in zip(found, shrunk, strict=True)
    ]


def variance_between(ratios: Floats, variances: Floats) -> float:
    """How much true ratios differ beyond the noise of each: their variance, at least 0.

    Source: DerSimonian and Laird (1986), the method of moments.

    Args:
        ratios: shape (k,), k at least 2.
        variances: of each ratio, shape (k,), above 0.
    """
    weight = 1.0 / variances
    mean = weight @ ratios / weight.sum()
    excess = weight @ (ratios - mean) ** 2 - (len(ratios) - 1)
    room = weight.sum() - (weight**2).sum() / weight.sum()
    return max(0.0, float(excess / room)) if room > 0 else 0.0


def _adjusted(parts: list[Part]) -> list[Part]:
    tested = [i for i, part in enumerate(parts) if part.p is not None]
    q = false_discovery_rates([parts[i].p or 0.0 for i in tested])
    rates = dict(zip(tested, q, strict=True))
    return [_judged(part, rates.get(i)) for i, part in enumerate(parts)]


def _judged(part: Part, q: float | None) -> Part:
    if q is None:
        return replace(part, verdict="too few outcomes")
    if q > SHARE_OF_FALSE_ALARMS:
        return replace(part, q=q)
    more = part.happened / part.said > 1 if part.said > 0 else True
    return replace(part, q=q, verdict="more bought than it said" if more else "fewer bought")


def false_discovery_rates(chances: list[float]) -> list[float]:
    """The rate at which each would be named, in the order given.

    Source: Benjamini and Hochberg (1995), as adjusted values.
    """
    order = np.argsort(chances, kind="stable")
    rates = np.array(chances, np.float64)[order] * len(order) / np.arange(1, len(order) + 1)
    found = np.empty(len(order))
    found[order] = np.minimum(np.minimum.accumulate(rates[::-1])[::-1], 1.0)
    return [float(rate) for rate in found]


def _rule(tested: int, off: bool, level: Interval) -> str:
    first = (
        f"The level as a whole is off: {level.estimate:.2f} times as many won as it said. "
        "A part is named when it is off from what was said, and from that level too. "
        if off
        else ""
    )
    share = f"{100 * SHARE_OF_FALSE_ALARMS:.0f} %"
    return (
        f"{first}{tested} parts were tested together (Benjamini and Hochberg): of those that are named, "
        f"{share} are named by luck, on average; of a model that is right everywhere, {share} of such "
        "pages name anything. Each interval holds on its own."
    )
