"""What do the wins say that have come before their horizon is over?

A level read from whole horizons lies a horizon back. Of leads that win with p, a share F(a) of the
winners has won within a days: that many should have by now, and how many have is known long before
the horizon is over. Wins alone are counted, against the wins that were due: who is not won yet is no
loss, so the speed of closing does not become the label (`training.labels`), unless it changes itself.

Rule: at an instant only what was on record before it is looked at, and what is read early has helped
to fit: such rows never judge what was read from them (`training.unseen`).

Source: Farewell (1982), a mixture of those who will and of when they do; Chapelle (2014) for wins that
are reported late. When winners win, and when that is recorded, is taken as it was in matured rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibrators import FLOOR, Calibrator, adjusted, logit, sigmoid
from training.beliefs import FIRST_SPREAD
from training.comparison import PairedDifference
from training.dataset import Dataset
from training.forward import LEAST_WINS, Forward, blocks, enough
from training.intervals import plain
from training.metrics import paired_log_loss_difference
from training.unseen import Unseen

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SPREAD = FIRST_SPREAD[0] / 2
"""How far off the level is believed to be before wins speak: one standard deviation, in log-odds.

Half of what a calibration begins with. What is read is the level of the last weeks, and is said of the
next horizon: what is of the season, or of these few wins, will not hold that long.
"""

COST_FROM = 1.0
"""Nothing is read early once that has cost more than so many standard errors, forward in time."""

LEVELS = np.linspace(-2.0, 2.0, 201)
"""Levels that are thought of, in log-odds: at most seven times fewer, or more, than is said."""

LEAST_MOVE = 0.01
"""Log-odds that nobody would see."""


@dataclass(frozen=True, slots=True)
class Level:
    """By how much to move all log-odds alike, and what that was read from.

    Attributes:
        level: log-odds to be added, the mean of what is believed.
        spread: one standard deviation of what is believed.
        leads: how many leads the rows belong to.
        won: how many of them are won so far, by weight.
        due: how many should be, by what was said.
    """

    level: float
    spread: float
    leads: int
    won: float
    due: float

    def is_beyond(self, before: float) -> bool:
        """Whether it has moved by more than it is unsure: that is worth a model of its own."""
        return abs(self.level - before) > self.spread

    def to_json(self) -> dict[str, Any]:
        """As plain content."""
        return {name: getattr(self, name) for name in self.__slots__}


NOTHING = Level(0.0, SPREAD, 0, 0.0, 0.0)
"""No lead is old enough to say anything."""


@dataclass(frozen=True, slots=True)
class Read:
    """What was read early, and what reading so has saved on the way; `saved` None: nobody knows yet."""

    level: Level
    saved: PairedDifference | None

    @property
    def is_kept(self) -> bool:
        """Whether it is to be believed: it is, unless it has cost more than may be luck."""
        saved = self.saved
        return saved is None or saved.difference <= COST_FROM * saved.standard_error

    def sentence(self) -> str:
        """For people."""
        found = self.level
        said = (
            f"Of {found.leads:,} leads that it has not learned from {found.won:,.0f} have won, where "
            f"{found.due:,.0f} were due by now"
        )
        if self.saved is None:
            return f"{said}; too few are known to say what reading that early has saved."
        gap = self.saved
        return (
            f"{said}; forward in time reading that early saved {-gap.difference:.4f} nats a lead "
            f"({-gap.upper:.4f} to {-gap.lower:.4f})."
        )

    def to_json(self) -> dict[str, Any]:
        """As plain content."""
        return {
            **self.level.to_json(),
            "kept": self.is_kept,
            "saved": None if self.saved is None else plain(self.saved),
        }


def times_of_winning(rows: Dataset, before: int, wait: int) -> Ints:
    """How long after its as-of each win was on record, ascending; of cohorts known whole `before`.

    Args:
        rows: any rows with their follow-up.
        before: an instant; what was recorded from it on is not looked at.
        wait: after how long an outcome is known, in microseconds.
    """
    told = _told(rows)
    return np.sort(told[(rows.as_of + wait <= before) & (told < before - rows.as_of)])


def _told(rows: Dataset) -> Ints:
    assert rows.follow is not None, "built by `build_dataset`"
    return rows.follow.told


def level_at(
    instant: int, said: Floats, rows: Unseen, times: Ints, spread: float = SPREAD
) -> Level:
    """The level that the wins ask for which were on record before an instant.

    Args:
        instant: what was recorded from it on is not looked at.
        said: shape (n,), what was said of the rows by who has seen none of their outcomes.
        rows: n rows with their follow-up.
        times: of winning, as `times_of_winning` gives them.
        spread: how far off the level is believed to be at first, in log-odds.
    """
    known = rows.dataset
    watched = instant - known.as_of
    share = np.searchsorted(times, watched, side="left") / max(len(times), 1)
    here = np.flatnonzero(share > 0)
    if len(here) == 0:
        return NOTHING
    won = (_told(known) < watched)[here]
    leads = len(np.unique(known.lead[here]))
    # The belief counts leads: four rows of one must not speak like four.
    weight = rows.weight[here] * (leads / rows.weight[here].sum())
    share = share[here]
    odds = logit(said[here])
    likelihood = np.array(
        [_likelihood(sigmoid(odds + level) * share, won, weight) for level in LEVELS]
    )
    belief = likelihood - 0.5 * np.square(LEVELS / spread)
    belief = np.exp(belief - belief.max())
    level = float(np.average(LEVELS, weights=belief))
    unsure = math.sqrt(float(np.average(np.square(LEVELS - level), weights=belief)))
    due = float(weight @ (said[here] * share))
    return Level(level, unsure, leads, float(weight[won].sum()), due)


def _likelihood(by_now: Floats, won: Flags, weight: Floats) -> float:
    """Of who has won so far and who has not, in logarithm; each would have with probability `by_now`."""
    p = np.clip(by_now, FLOOR, 1 - FLOOR)
    return float(weight[won] @ np.log(p[won]) + weight[~won] @ np.log1p(-p[~won]))


def read_early(
    instant: int, raw: Floats, rows: Unseen, since: int, calibrator: Calibrator, times: Ints
) -> Level:
    """The level beside a calibrator, by the rows whose outcomes it has not learned from.

    Args:
        instant: what was recorded from it on is not looked at.
        raw: shape (n,), log-odds of a booster that has learned from none of the rows.
        rows: n rows, matured or not.
        since: the calibrator has learned from rows up to this as-of.
        calibrator: what is said now, by matured outcomes alone.
        times: of winning.
    """
    new = np.flatnonzero((rows.dataset.as_of > since) & (rows.dataset.as_of < instant))
    if len(times) < LEAST_WINS or len(new) == 0:
        return NOTHING
    return level_at(instant, calibrator.apply(raw[new]), rows.take(new), times)


def saved_early(
    raw: Floats,
    rows: Unseen,
    forward: Forward,
    start: Calibrator,
    matured: Dataset,
    wait: int,
    seed: int,
) -> PairedDifference | None:
    """What reading early would have saved, forward in time; None where too few outcomes are known.

    Each cohort is said by the calibration that spoke then, with and without the level that was to be
    read beside it when the cohort began.

    Args:
        raw: shape (n,), log-odds of a booster that has learned from none of the rows.
        rows: n matured rows.
        forward: the walk through them.
        start: the calibrator that came with the booster.
        matured: all rows, those that taught the booster too: when their wins came is known.
        wait: after how long an outcome is known, in microseconds.
        seed: of the resampling.
    """
    as_of, known = rows.dataset.as_of, rows.dataset
    without, early = (np.full(len(raw), np.nan) for _ in range(2))
    for block in blocks(as_of):
        began = int(block[0])
        here = np.flatnonzero((as_of >= began) & (as_of <= block[-1]))
        calibrator, since = _spoke(forward, int(forward.step[here[0]]), start, as_of, wait)
        times = times_of_winning(matured, began, wait)
        level = read_early(began, raw, rows, since, calibrator, times)
        if level.leads:
            without[here] = calibrator.apply(raw[here])
            early[here] = adjusted(calibrator, 1.0, level.level).apply(raw[here])
    here = np.flatnonzero(np.isfinite(early))
    y, lead = known.y[here], known.lead[here]
    if not enough(y, lead):
        return None
    return paired_log_loss_difference(
        early[here], without[here], y, lead, seed=seed, weights=rows.weight[here]
    )


def _spoke(
    forward: Forward, step: int, start: Calibrator, as_of: Ints, wait: int
) -> tuple[Calibrator, int]:
    """The calibrator of a step, and the newest as-of that it has learned from."""
    never = int(np.iinfo(np.int64).min)
    if step < 0 or not forward.waited:
        return start, never
    known = as_of[as_of + wait <= forward.began[step]]
    return forward.calibrators[step], int(known.max(initial=never))
