"""What would another order have brought? From what was shown, with the probability that it was.

A list that is partly drawn by lot is an experiment that runs by itself: each lead was among the first
with a known probability, and what became of it is known. Weighting by one over that probability tells
what any other rule would have brought, without trying it (IPS); dividing by the weights instead of
their number steadies it (SNIPS); taking a model's guess and correcting it by the weighted error of the
guess steadies it more, and is right when either the guess or the probability is (doubly robust).

A lead that could not be first, or could only be first, tells nothing of the other case: `Value.reached`
says of how much of the policy's choices there is any evidence.

Sources: Horvitz and Thompson (1952); Swaminathan and Joachims (2015) for SNIPS; Dudík, Langford and Li
(2011) for doubly robust; Kish (1965) for the effective number of rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from training.intervals import (
    Codes,
    Floats,
    Interval,
    checked_floats,
    checked_probability,
    clustered_error,
    group_codes,
)

Method = Literal["ips", "snips", "doubly robust"]


@dataclass(frozen=True, slots=True)
class Log:
    """What was shown, n rows.

    Attributes:
        first: shape (n,), whether the lead was among the first places.
        chance: shape (n,), in [0, 1], the probability of that, as it was logged.
        reward: shape (n,), what came of it: 1 for a win, or an amount.
        lead: shape (n,), numbers of leads; rows of one lead are one piece of evidence.
    """

    first: NDArray[np.bool_]
    chance: Floats
    reward: Floats
    lead: Codes

    @classmethod
    def of(
        cls,
        first: ArrayLike,
        chance: ArrayLike,
        reward: ArrayLike,
        lead: ArrayLike | None = None,
    ) -> Log:
        """A log, checked.

        Raises:
            ValueError: another shape, or something happened that had no chance.
        """
        where = np.asarray(first, dtype=np.bool_)
        n = len(where)
        probability = checked_probability(chance, n)
        if np.any(np.where(where, probability, 1 - probability) <= 0):
            raise ValueError("A lead stood where it could not stand: its logged chance was 0.")
        codes = group_codes(lead, n)
        return cls(where, probability, checked_floats("reward", reward, n), codes)

    def weights(self, target: ArrayLike) -> Floats:
        """How much more often the target policy would have done what was done, shape (n,).

        Args:
            target: shape (n,), probability with which the policy puts each lead among the first.
        """
        wanted = checked_probability(target, len(self.first))
        done = np.where(self.first, wanted, 1 - wanted)
        logged: Floats = done / np.where(self.first, self.chance, 1 - self.chance)
        return logged


@dataclass(frozen=True, slots=True)
class Value:
    """What a policy is worth a lead.

    Attributes:
        interval: the estimate with its interval.
        method: how it was estimated.
        effective: how many rows of equal weight say as much.
        reached: mean weight of the policy's choices; 1 where every one of them had a chance. Below
            0.9 or so the estimate is about something else than the policy.
    """

    interval: Interval
    method: Method
    effective: float
    reached: float


def ips(log: Log, target: ArrayLike) -> Value:
    """The mean reward under a policy: unbiased where all of its choices had a chance, and unsteady."""
    weight = log.weights(target)
    estimate = float(np.mean(weight * log.reward))
    error = clustered_error((weight * log.reward - estimate) / len(weight), log.lead)
    return _value(estimate, error, weight, "ips")


def snips(log: Log, target: ArrayLike) -> Value:
    """The weighted mean of the rewards: biased a little where rows are few, and much steadier."""
    weight = log.weights(target)
    total = float(weight.sum())
    if total == 0:
        return _value(math.nan, math.inf, weight, "snips")
    estimate = float(weight @ log.reward / total)
    error = clustered_error(weight * (log.reward - estimate) / total, log.lead)
    return _value(estimate, error, weight, "snips")


def doubly_robust(log: Log, target: ArrayLike, if_first: ArrayLike, if_not: ArrayLike) -> Value:
    """A model's guess, corrected by its weighted errors.

    Args:
        log: what was shown.
        target: shape (n,), see `Log.weights`.
        if_first: shape (n,), the reward guessed of each lead among the first places.
        if_not: shape (n,), the same elsewhere.
    """
    n = len(log.first)
    wanted, weight = checked_probability(target, n), log.weights(target)
    guess = np.column_stack(
        [checked_floats("if_not", if_not, n), checked_floats("if_first", if_first, n)]
    )
    expected = (1 - wanted) * guess[:, 0] + wanted * guess[:, 1]
    taken = guess[np.arange(n), log.first.astype(np.int64)]
    rows = expected + weight * (log.reward - taken)
    estimate = float(rows.mean())
    error = clustered_error((rows - estimate) / n, log.lead)
    return _value(estimate, error, weight, "doubly robust")


@dataclass(frozen=True, slots=True)
class BandLevel:
    """What was said of a band of leads and what is true of it, were each of them among the first.

    Attributes:
        lower, upper: the band's probabilities, `[lower, upper)`.
        leads: how many rows lie in it; `first` of them stood among the first places.
        said: the mean probability told.
        observed: the win rate if they were worked, by weight, with its interval.
    """

    lower: float
    upper: float
    leads: int
    first: int
    said: float
    observed: Interval

    @property
    def ratio(self) -> float:
        """Said over observed; not a number where nothing was observed."""
        rate = self.observed.estimate
        return self.said / rate if rate > 0 else math.nan


def calibration_if_first(
    log: Log, probability: ArrayLike, edges: Sequence[float]
) -> list[BandLevel]:
    """Are bands true of leads that are worked? Also the low ones, of which hardly any ever are.

    Args:
        log: what was shown; rewards are 1 and 0.
        probability: shape (n,), what was told.
        edges: of the bands, growing, from 0 to 1.
    """
    told = checked_probability(probability, len(log.first))
    band = band_of(told, edges)
    found = []
    for i, (lower, upper) in enumerate(pairwise(edges)):
        rows = np.flatnonzero(band == i)
        if len(rows) == 0:
            continue
        part = Log(log.first[rows], log.chance[rows], log.reward[rows], _renumbered(log.lead[rows]))
        level = snips(part, np.ones(len(rows))).interval
        said = float(told[rows].mean())
        found.append(BandLevel(lower, upper, len(rows), int(part.first.sum()), said, level))
    return found


def band_of(probability: Floats, edges: Sequence[float]) -> Codes:
    """The band of each probability, shape (n,): from one edge to below the next, the last up to 1."""
    found = np.searchsorted(edges, probability, side="right") - 1
    return np.asarray(np.clip(found, 0, len(edges) - 2), dtype=np.int64)


def _value(estimate: float, error: float, weight: Floats, method: Method) -> Value:
    total = float(weight.sum())
    scaled = weight / weight.max() if total > 0 else weight
    effective = float(scaled.sum()) ** 2 / float(scaled @ scaled) if total > 0 else 0.0
    interval = Interval.around(estimate, error)
    return Value(interval, method, effective, total / len(weight))


def _renumbered(codes: Codes) -> Codes:
    return np.asarray(np.unique(codes, return_inverse=True)[1], dtype=np.int64)
