"""How much of the past should a calibration believe?

Rule: nothing is judged by an outcome that it has seen, and nothing is learned before `known_at`.

Five beliefs about level and slope run side by side (`training.beliefs`); they differ in how far they
expect the level to wander. At every look each is judged by the log loss of what it would have said of
the outcomes that have become known since, with the outcomes known when those leads were scored. Trust
follows by exponential weights (Vovk 1990) that never die out, so that a calm world may end (Herbster
and Warmuth 1998: fixed share).

What is said is the trusted average of the five lines, in log-odds, hence again one line: a
calibrator like any other, small enough for a bundle. Uncertainty about the level draws it towards
one half: chances average over what the level may be, and an average of rare chances is higher than
the chance at the average level.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from models.calibrators import FLOOR, Calibrator, adjusted, logit
from training.beliefs import WANDERING, Beliefs, Outcomes
from training.decomposition import log_loss_rows
from training.fitters import AS_IT_IS, said_now
from training.intervals import (
    Codes,
    Floats,
    checked_floats,
    checked_outcomes,
    checked_weights,
    plain,
)

TEMPER = 0.1
"""How much of the log loss counts as evidence (Grünwald 2012: a tempered posterior is the safe one).

Outcomes between two looks share one error of the level, so ten say about as much as one would.
"""

SHARE = 0.01
"""Trust that is dealt out evenly at every look, so that none is ever beyond recall."""


@dataclass(frozen=True)
class Followed:
    """A calibrator and how much of the past it rests on.

    Attributes:
        calibrator: what to say from now on.
        slope: of the line through what was said before, at least 0; 1 keeps the spread.
        level: log-odds added; 0 with slope 1 changes nothing.
        trust: shape (5,), adds up to 1; how far each of `WANDERING` is believed.
        memory: as many outcomes in a world that stands still would make the level as sure.
        outcomes: how many were known, by weight.
    """

    calibrator: Calibrator
    slope: float
    level: float
    trust: tuple[float, ...]
    memory: float
    outcomes: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, the calibrator in its own format."""
        return {**plain(self), "calibrator": self.calibrator.to_json()}


@dataclass(frozen=True)
class _Rows(Outcomes):
    """Outcomes, and when each lead was scored and its outcome known; all of shape (n,)."""

    scored_at: Codes
    known_at: Codes

    def take(self, here: Codes) -> _Rows:
        return _Rows(
            self.said[here],
            self.won[here],
            self.weights[here],
            self.scored_at[here],
            self.known_at[here],
        )


def _losses(lines: Floats, rows: Outcomes) -> Floats:
    """Log loss that each line would have had on these outcomes, shape (5,)."""
    p = np.clip(expit(lines[:, :1] + lines[:, 1:] * rows.said), FLOOR, 1 - FLOOR)
    return np.asarray(rows.weights @ log_loss_rows(p, rows.won).T, dtype=np.float64)


def _shared(trust: Floats, losses: Floats) -> Floats:
    odds = trust * np.exp(-TEMPER * (losses - losses.min()))
    kept = (1 - SHARE) * odds / odds.sum()
    return np.asarray(kept + SHARE / len(trust), dtype=np.float64)


def _unseen(rows: _Rows, looks: Codes, place: Codes) -> Floats:
    """How many outcomes (by weight) lay between what was known and each lead; shape (n,)."""
    order = np.argsort(rows.scored_at, kind="stable")
    before = np.empty(len(order))
    before[order] = np.cumsum(rows.weights[order]) - rows.weights[order]
    at = np.searchsorted(looks, rows.known_at, side="left")
    known = np.cumsum(np.bincount(at, weights=rows.weights, minlength=len(looks) + 1))
    # Never below 0: outcomes of leads scored later may have come sooner.
    ahead = before - np.concatenate([[0.0], known])[place]
    return np.asarray(np.maximum(ahead, 0.0), dtype=np.float64)


@dataclass(frozen=True)
class _Look:
    """What is believed at a look; `typical` and `ahead` describe the leads it has last learned of."""

    beliefs: Beliefs
    trust: Floats
    known: float = 0.0
    typical: float = 0.0
    ahead: float = 0.0

    def followed(self, start: Calibrator) -> Followed:
        """The trusted average of the lines; `start` as long as nothing is known."""
        trust = tuple(self.trust.tolist())
        if not self.known:
            return Followed(start, 1.0, 0.0, trust, 0.0, 0.0)
        lines = self.beliefs.lines(self.typical, self.ahead)
        level, slope = (float(part) for part in self.trust @ lines)
        slope = max(slope, 0.0)
        p = expit(lines @ np.array([1.0, self.typical]))
        memory = self.trust @ (1.0 / (self.beliefs.variance(self.typical) * p * (1 - p)))
        calibrator = adjusted(start, slope, level)
        return Followed(calibrator, slope, level, trust, float(memory), self.known)


def _looks(rows: _Rows, looks: Codes) -> Iterator[_Look]:
    # Place 0 is before the first look, where nothing has been learned.
    place = np.searchsorted(looks, rows.scored_at, side="right")
    learned_at = np.searchsorted(looks, rows.known_at, side="left")
    unseen = _unseen(rows, looks, place)
    here = _Look(Beliefs.before_outcomes(), np.full(len(WANDERING), 1.0 / len(WANDERING)))
    past = [here.beliefs]
    for look in range(len(looks)):
        new = np.flatnonzero((learned_at == look) & (rows.weights > 0))
        if len(new):
            here = _learned(here, past, rows.take(new), place[new], unseen[new])
        past.append(here.beliefs)
        yield here


def _learned(before: _Look, past: list[Beliefs], new: _Rows, place: Codes, unseen: Floats) -> _Look:
    """Judge each belief by what it would have said when the leads were scored, then learn."""
    losses = np.zeros(len(WANDERING))
    typical = ahead = 0.0
    for when in np.unique(place):
        at = np.flatnonzero(place == when)
        typical = float(np.average(new.said[at], weights=new.weights[at]))
        ahead = float(np.average(unseen[at], weights=new.weights[at]))
        losses += _losses(past[when].lines(typical, ahead), new.take(at))
    known = before.known + float(new.weights.sum())
    trust = _shared(before.trust, losses)
    return _Look(past[-1].after(new), trust, known, typical, ahead)


def follow_through(
    raw: ArrayLike,
    y: ArrayLike,
    scored_at: ArrayLike,
    known_at: ArrayLike,
    looks: ArrayLike,
    *,
    weights: ArrayLike | None = None,
    start: Calibrator = AS_IT_IS,
) -> tuple[Followed, ...]:
    """What would have been said after each look, each from the outcomes known by then.

    Args:
        raw: shape (n,), finite log-odds, each from a model that had not seen the outcome.
        y: shape (n,), 1 = won, 0 = not won.
        scored_at: shape (n,), integers: when each lead was scored; only their order counts.
        known_at: shape (n,), integers: the first instant at which the outcome may be used. It must
            not depend on the outcome: wins close sooner, so with the day of the deal instead of the
            end of the horizon the newest outcomes would be wins, and the level too high.
        looks: shape (m,), ascending instants at which the calibration is made anew.
        weights: shape (n,), at least 0; their sum is taken as the number of leads.
        start: what is said now, and is moved.

    Returns:
        One calibration per look. One that knows no outcome is `start`. The calibration at a look
        is the same whatever becomes known, or is scored, after it.

    Raises:
        ValueError: shapes differ, an outcome is not 0 or 1, a score is not finite, an outcome is
            known before its lead was scored, or the looks do not ascend.
    """
    rows, at = _checked(raw, y, scored_at, known_at, weights, start), np.asarray(looks)
    if at.ndim != 1 or np.any(at[1:] <= at[:-1]):
        raise ValueError("looks must be instants in ascending order, each once.")
    return tuple(look.followed(start) for look in _looks(rows, at))


def _checked(
    raw: ArrayLike,
    y: ArrayLike,
    scored_at: ArrayLike,
    known_at: ArrayLike,
    weights: ArrayLike | None,
    start: Calibrator,
) -> _Rows:
    won = checked_outcomes(y)
    scores = checked_floats("raw", raw, len(won))
    scored, known = np.asarray(scored_at), np.asarray(known_at)
    if not np.isfinite(scores).all():
        raise ValueError("Raw scores must be finite; an infinite one is a certainty nobody has.")
    if scored.shape != won.shape or known.shape != won.shape:
        raise ValueError(
            f"scored_at and known_at must have shape {won.shape} like the outcomes, got "
            f"{scored.shape} and {known.shape}."
        )
    if np.any(known < scored):
        row = int(np.flatnonzero(known < scored)[0])
        raise ValueError(
            f"Row {row} was scored at {scored[row]}, its outcome known at {known[row]}, before."
        )
    edge = float(logit([1 - FLOOR])[0])
    said = np.clip(said_now(start, scores), -edge, edge)
    return _Rows(said, won, checked_weights(weights, len(won)), scored, known)
