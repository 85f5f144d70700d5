"""What must a model that is better on the whole not spoil? The order, the level, and any segment.

A lower log loss can hide each of the three: a better level pays for a worse order, one large segment for
a small one that collapsed. Rule: an objection needs evidence beyond noise, as a promotion does; what is
too little to judge objects to nothing, and is counted.

Leads are ordered by what a booster says and told what its calibration makes of it. Where two boosters
are compared by calibrations made for the comparison, those must not be asked about either: fitted to
the same months their level is right by construction, and one a fold disorders leads of two folds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.frames import Category
from training.discrimination import auc_difference
from training.intervals import Interval
from training.metrics import observed_over_expected, paired_log_loss_difference

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SURE = 0.95
"""Confidence of each question; that about segments is shared among all of them (Bonferroni)."""

LEAST = 20
"""A segment with fewer won or fewer lost leads than this is not judged."""


@dataclass(frozen=True, slots=True)
class AsShown:
    """What leads would be ordered by and told, all of shape (n,).

    Attributes:
        raw_challenger, raw_champion: log-odds, what orders.
        challenger, champion: probabilities, each by the model's own calibration.
        new: rows that neither calibration has learned from; only these tell of the level.
    """

    raw_challenger: Floats
    raw_champion: Floats
    challenger: Floats
    champion: Floats
    new: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models on the same matured rows, all of shape (n,).

    Attributes:
        challenger, champion: the probabilities that are compared, inside (0, 1).
        y: what happened, 1 or 0; both occur.
        lead: a number per lead; rows of one lead are one piece of evidence.
        weight: how many rows each stands for; None: itself alone.
        segments: label -> the segment of each row.
        seed: of the resampling where there are few leads.
        shown: what leads would be ordered by and told; None: by these probabilities, and these.
    """

    challenger: Floats
    champion: Floats
    y: Ints
    lead: Ints
    weight: Floats | None = None
    segments: Mapping[str, Category] = field(default_factory=dict)
    seed: int = 0
    shown: AsShown | None = None

    def take(self, rows: Ints) -> Pair:
        """What is compared of some of the rows, without segments."""
        weight = None if self.weight is None else self.weight[rows]
        said = (self.challenger[rows], self.champion[rows])
        return Pair(*said, self.y[rows], self.lead[rows], weight, seed=self.seed)

    @property
    def told(self) -> Pair:
        """What leads would be told, of the rows that are new to both calibrations."""
        if self.shown is None:
            return self
        told = replace(self, challenger=self.shown.challenger, champion=self.shown.champion)
        return told.take(np.flatnonzero(self.shown.new))

    @property
    def is_enough(self) -> bool:
        """Whether there are wins and losses to judge by."""
        return min(len(np.unique(self.lead[self.y == won])) for won in (0, 1)) >= LEAST


@dataclass(frozen=True, slots=True)
class Objections:
    """Why a model should not be promoted, in words, and the figures as JSON values."""

    words: tuple[str, ...]
    figures: Mapping[str, Any]


def objections(pair: Pair) -> Objections:
    """What a challenger would spoil, each beyond noise."""
    order, words = _order(pair)
    level, off = _level(pair)
    judged, collapsed = _segments(pair)
    figures = {
        **_flat("auc_difference", order),
        **({} if level is None else _flat("observed_over_expected", level)),
        "level_judged": level is not None,
        "segments_judged": judged,
        "segments_worse": ", ".join(name for name, _ in collapsed),
    }
    return Objections((*words, *off, *(said for _, said in collapsed)), figures)


def _flat(name: str, found: Interval) -> dict[str, float]:
    return {name: found.estimate, f"{name}_lower": found.lower, f"{name}_upper": found.upper}


def _order(pair: Pair) -> tuple[Interval, list[str]]:
    shown = pair.shown
    ordered = (
        (pair.challenger, pair.champion)
        if shown is None
        else (shown.raw_challenger, shown.raw_champion)
    )
    found = auc_difference(*ordered, pair.y, groups=pair.lead, weights=pair.weight, level=SURE)
    if found.upper >= 0:
        return found, []
    return found, [f"its order is worse: AUC {found.estimate:+.3f} (at most {found.upper:+.3f})"]


def _level(pair: Pair) -> tuple[Interval | None, list[str]]:
    """Whether the challenger is off beyond noise, and further than the champion; None: too few rows."""
    told = pair.told
    if not told.is_enough:
        return None, []
    new, old = (
        observed_over_expected(said, told.y, groups=told.lead, weights=told.weight, level=SURE)
        for said in (told.challenger, told.champion)
    )
    if new.contains(1.0) or abs(math.log(new.estimate)) <= abs(math.log(old.estimate)):
        return new, []
    words = f"its level is off: {new.estimate:.2f} times as many were won as it says"
    return new, [f"{words} ({new.lower:.2f} to {new.upper:.2f}; the champion {old.estimate:.2f})"]


def _segments(pair: Pair) -> tuple[int, list[tuple[str, str]]]:
    """How many segments were judged, and those in which the challenger is worse, with words."""
    parts = [(name, part) for name, part in _parts(pair) if part.is_enough]
    sure = 1 - (1 - SURE) / max(len(parts), 1)
    worse = []
    for name, part in parts:
        found = paired_log_loss_difference(
            part.challenger,
            part.champion,
            part.y,
            part.lead,
            seed=part.seed,
            weights=part.weight,
            level=sure,
        )
        if found.lower > 0:
            words = f"it is worse where {name}: log loss {found.difference:+.4f}"
            worse.append((name, f"{words} (at least {found.lower:+.4f})"))
    return len(parts), worse


def _parts(pair: Pair) -> Iterator[tuple[str, Pair]]:
    for label, column in pair.segments.items():
        for code, level in enumerate(column.levels):
            rows = np.flatnonzero(column.codes == code)
            if 0 < len(rows) < len(pair.y):
                yield f"{label} is {level}", pair.take(rows)
