"""Have the probabilities stopped coming true? An alarm that may be looked at every week.

Rule: outcomes enter in the order in which their scores were *shown*, a week at a time and only when the
whole week has matured; wins close sooner than losses, and fed in order of closing they would look like
good times. What is bet is fixed beforehand, so nothing is tuned on what it is tested with. The state is
a function of the scores and their outcomes alone: it is replayed from the ledger, never stored.

The bets are likelihood ratios against *each score's chance is what was said*; restarted in every week
and added up they are an e-detector (Shin, Ramdas and Rinaldo 2024, in the form of Shiryaev and Roberts).
Less the number of weeks it is a supermartingale, so the chance that a truthful model raises the alarm
within T weeks is at most T over the threshold, however often anybody looks (docs/decisions/0029).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from models.log_odds import FLOOR, logit, softplus
from training.intervals import checked_outcomes, checked_probability

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TWO_YEARS = 104
"""The weeks for which the share of false alarms is promised."""

FALSE_ALARMS = 0.02
"""At most this share of truthful models raises the alarm of all scores within two years."""

FALSE_SEGMENT_ALARMS = 0.01
"""The same for the alarms of all segments together."""

THRESHOLD = TWO_YEARS / FALSE_ALARMS
"""The e-value that raises the alarm of all scores: 5,200."""


@dataclass(frozen=True, slots=True)
class Bet:
    """A way to be wrong: the true log-odds are `centre + slope · (said − centre) + level`.

    Attributes:
        level: what is added to all log-odds; below 0: too much was promised.
        slope: below 1: the scores are further apart than the truth is.
        weight: its share of the stake.
        words: what is wrong, if this is what is wrong.
    """

    level: float
    slope: float
    weight: float
    words: str


TOO_HIGH, TOO_LOW = "too high", "too low"
TOO_SURE, TOO_TIMID = "too far apart", "too close together"

BETS = (
    *(
        Bet(sign * level, 1.0, 0.1, TOO_LOW if sign > 0 else TOO_HIGH)
        for level in (0.2, 0.4, 0.8)
        for sign in (-1, 1)
    ),
    *(
        Bet(0.0, slope, 0.1, TOO_SURE if slope < 1 else TOO_TIMID)
        for slope in (0.5, 0.75, 4 / 3, 2.0)
    ),
)
"""Level both ways and slope both ways, each in steps of about two; what lies between is found by its
neighbours."""


@dataclass(frozen=True)
class EDetector:
    """An e-detector that the weeks were fed to: what they said, one after another.

    Attributes:
        weeks: numbers of the weeks that had scores, growing, shape (T,).
        outcomes: how many outcomes each brought, shape (T,).
        log_e: natural logarithm of the e-value after each, shape (T,).
        threshold: the e-value that raises the alarm.
        wrong: the words of the bet that has won most by the end; empty before any outcome.
    """

    weeks: Ints
    outcomes: Ints
    log_e: Floats
    threshold: float
    wrong: str

    @property
    def raised_in(self) -> int | None:
        """The first week that reached the threshold; an alarm stays raised. None: not raised."""
        reached = np.flatnonzero(self.log_e >= np.log(self.threshold))
        return int(self.weeks[reached[0]]) if len(reached) else None

    @property
    def e_value(self) -> float:
        """Where it stands now; 0 before any outcome."""
        return float(np.exp(min(self.log_e[-1], 690.0))) if len(self.log_e) else 0.0

    @property
    def highest(self) -> float:
        """The highest it ever was; 0 before any outcome."""
        return float(np.exp(min(self.log_e.max(), 690.0))) if len(self.log_e) else 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "weeks": self.weeks.tolist(),
            "outcomes": self.outcomes.tolist(),
            "log_e": self.log_e.tolist(),
            "threshold": self.threshold,
            "wrong": self.wrong,
        }


def e_detector(
    probability: ArrayLike,
    y: ArrayLike,
    week: ArrayLike,
    *,
    threshold: float = THRESHOLD,
    bets: Sequence[Bet] = BETS,
) -> EDetector:
    """Feed the outcomes of matured weeks in scoring order.

    Each lead must be there once at a time: two scores whose horizons overlap share an outcome, and the
    second would be counted as news (`training.loop.logged.one_at_a_time`).

    Args:
        probability: shape (n,), as it was shown, in [0, 1]; read as at least 1e-4 away from both ends.
        y: shape (n,), 1 won, 0 not won.
        week: shape (n,), the number of the week in which each was shown; only weeks that have matured as
            a whole. In any order.
        threshold: the e-value that raises the alarm; weeks over threshold bounds the false alarms.
        bets: fixed before any outcome was seen.

    Returns:
        The state after each week; none without rows.
    """
    number = np.asarray(week, dtype=np.int64)
    if not len(number):
        empty = np.zeros(0, dtype=np.int64)
        return EDetector(empty, empty, np.zeros(0), threshold, "")
    won = checked_outcomes(y)
    odds = logit(np.clip(checked_probability(probability, len(won)), FLOOR, 1 - FLOOR))
    weeks, code = np.unique(number, return_inverse=True)
    gains = weekly_gains(odds, won, code, bets)
    log_stake = np.log([bet.weight for bet in bets])
    log_stake -= logsumexp(log_stake)
    state, log_e = np.full(len(bets), -np.inf), np.empty(len(weeks))
    for number_of, gain in enumerate(gains):
        # Every week a new stake joins what the weeks before have left.
        state = np.logaddexp(0.0, state) + gain
        log_e[number_of] = logsumexp(log_stake + state)
    best = bets[int(np.argmax(log_stake + state))]
    return EDetector(weeks, np.bincount(code), log_e, threshold, best.words)


def weekly_gains(odds: Floats, won: Floats, code: Ints, bets: Sequence[Bet]) -> Floats:
    """What each week multiplies each bet by, as logarithms, shape (weeks, bets).

    The centre of the slope bets is the mean of what was said in the weeks before, and not that of this
    week: what is said on its last day may have been moved by what came of its first. In the first week
    they bet nothing.

    Args:
        odds: what was said, in log-odds, shape (n,).
        won: 1 or 0, shape (n,).
        code: position of the row's week, shape (n,), each of 0..T-1 there.
        bets: G of them.
    """
    total, counts = np.cumsum(np.bincount(code, weights=odds)), np.cumsum(np.bincount(code))
    earlier = np.concatenate([[np.nan], total[:-1] / counts[:-1]])[code]
    centre = np.where(code > 0, earlier, odds)
    gains = [np.bincount(code, weights=_log_ratio(odds, bet, centre, won)) for bet in bets]
    return np.column_stack(gains)


def _log_ratio(odds: Floats, bet: Bet, centre: Floats, won: Floats) -> Floats:
    """Log-likelihood of the outcomes by the bet less that by what was said, shape (n,)."""
    told = centre + bet.slope * (odds - centre) + bet.level
    gain: Floats = won * (told - odds) - softplus(told) + softplus(odds)
    return gain


def segment_threshold(segments: int) -> float:
    """The e-value that raises the alarm of one of so many segments, at least one."""
    return TWO_YEARS * segments / FALSE_SEGMENT_ALARMS
