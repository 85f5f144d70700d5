"""Which map from raw score to probability do these outcomes pay for?

Rule: do no harm. A calibrator is kept over what is said now – by the model itself, or by the champion's
calibrator that it is to replace – and over a simpler one only when it saves more than one standard error
of log loss on leads it was not fitted on. Only the offset, from `LEVEL_FROM` leads on, needs no more
than to save anything: a level that moved is what drift does first, and one number is cheap to be wrong
about (docs/decisions/0013). Who may try is decided by the number of winning (or, when fewer, losing)
leads, the ladder of `RUNGS`.

Ladder and rule come from simulation, `benchmarks/calibrators.py`; docs/decisions/0017 has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from models.calibrators import FLOOR, Calibrator, Identity, logit
from training.decomposition import log_loss_rows
from training.fitters import FITTERS, Fitter
from training.intervals import (
    Codes,
    Floats,
    Interval,
    checked_floats,
    checked_outcomes,
    checked_weights,
    clustered_error,
    group_codes,
    normal_quantile,
    plain,
)

RUNGS: tuple[tuple[int, str], ...] = (
    (0, "offset"),
    (30, "platt"),
    (90, "beta"),
    (90, "venn_abers"),
    (900, "isotonic"),
)
"""From this many winning (or losing) leads on, this calibrator may try; no change always may."""

LEVEL_FROM = 30
"""From this many winning (or losing) leads on, an offset is kept when it saves anything at all."""

KEPT_FROM = 1.0
"""A calibrator that bends is kept from so many standard errors saved on."""

_FOLDS = 10


@dataclass(frozen=True)
class Candidate:
    """One calibrator that was tried.

    Attributes:
        name: what was fitted: `offset` and `platt` move what is said now, the others are free; no change
            is `identity`, or `start` where a calibrator was there before.
        log_loss: on leads it was not fitted on, in nats.
        against: the simpler candidate it had to beat; empty for no change.
        gain: log loss saved against that one, with its interval clustered by lead.
        kept: whether more than one standard error was saved; for the offset, anything at all.
    """

    name: str
    log_loss: float
    against: str
    gain: Interval
    kept: bool


@dataclass(frozen=True)
class CalibrationFit:
    """The calibrator that was chosen and why.

    Attributes:
        calibrator: fitted on all rows.
        name: its kind.
        reason: one sentence for people.
        n: rows.
        leads: distinct leads.
        wins: leads with a won row.
        losses: leads with a row that was not won.
        table: every candidate that the number of wins allowed, simplest first.
    """

    calibrator: Calibrator
    name: str
    reason: str
    n: int
    leads: int
    wins: int
    losses: int
    table: tuple[Candidate, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, the calibrator in its own format."""
        return {**plain(self), "calibrator": self.calibrator.to_json()}


@dataclass(frozen=True)
class _Rows:
    raw: Floats
    won: Floats
    weights: Floats
    codes: Codes

    def chosen(self, here: Codes) -> _Rows:
        return _Rows(self.raw[here], self.won[here], self.weights[here], self.codes[here])


def _out_of_fold(fitter: Fitter, rows: _Rows, folds: Codes, start: Calibrator) -> Floats:
    """Log loss of each row under a calibrator that has not seen its lead; shape (n,)."""
    loss = np.empty(len(rows.won))
    for fold in range(int(folds.max()) + 1):
        seen, unseen = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        past, new = rows.chosen(seen), rows.chosen(unseen)
        calibrator = fitter(past.raw, past.won, past.weights, start)
        loss[unseen] = log_loss_rows(calibrator.apply(new.raw), new.won)
    return loss


def _folds(codes: Codes, seed: int) -> Codes:
    leads = int(codes.max()) + 1
    shuffled = np.random.default_rng(seed).permutation(leads)
    return np.asarray((shuffled % min(_FOLDS, leads))[codes], dtype=np.int64)


def _gain(before: Floats, after: Floats, rows: _Rows) -> Interval:
    saved, total = before - after, rows.weights.sum()
    mean = float(rows.weights @ saved / total)
    error = clustered_error(rows.weights * (saved - mean) / total, rows.codes)
    return Interval.around(mean, error)


def _error(gain: Interval) -> float:
    """The standard error that the interval was built from."""
    return (gain.upper - gain.estimate) / normal_quantile(gain.level)


def _mean(loss: Floats, rows: _Rows) -> float:
    return float(np.average(loss, weights=rows.weights))


def _compete(
    names: list[str], rows: _Rows, rarer: int, seed: int, start: Calibrator
) -> tuple[Candidate, ...]:
    """Climb the ladder: each candidate has to beat the best one kept so far."""
    folds = _folds(rows.codes, seed)
    best = "identity" if start == Identity() else "start"
    best_loss = log_loss_rows(start.apply(rows.raw), rows.won)
    table = [Candidate(best, _mean(best_loss, rows), "", Interval(0.0, 0.0, 0.0), True)]
    for name in names:
        loss = _out_of_fold(FITTERS[name], rows, folds, start)
        gain = _gain(best_loss, loss, rows)
        is_level = name == "offset" and rarer >= LEVEL_FROM
        kept = gain.estimate > (0.0 if is_level else KEPT_FROM * _error(gain))
        table.append(Candidate(name, _mean(loss, rows), best, gain, kept))
        if kept:
            best, best_loss = name, loss
    return tuple(table)


def _reason(table: tuple[Candidate, ...], start: Calibrator, wins: int, losses: int) -> str:
    kept = [candidate for candidate in table if candidate.kept][-1]
    evidence = f"{wins} winning and {losses} losing leads"
    before = "identity" if start == Identity() else f"{start.kind} as it was"
    if len(table) == 1:
        return f"{before}: {evidence} are too few to compare anything."
    if kept is table[0]:
        tried = ", ".join(candidate.name for candidate in table[1:])
        return f"{before}: with {evidence}, no saving beyond noise by {tried}."
    gain, against = kept.gain, before if kept.against == table[0].name else kept.against
    on_top = kept.name in ("offset", "platt") and start != Identity()
    return (
        f"{kept.name}{f' on top of {start.kind}' if on_top else ''}: with {evidence} it saves "
        f"{gain.estimate:.4f} nats a lead over {against} ({gain.lower:.4f} to {gain.upper:.4f}) on "
        f"leads it had not seen."
    )


def fit_calibrator(
    raw: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    seed: int,
    start: Calibrator | None = None,
) -> CalibrationFit:
    """Choose and fit a calibrator on matured outcomes that the model was not fitted on.

    Args:
        raw: shape (n,), finite log-odds.
        y: shape (n,), 1 = won, 0 = not won.
        groups: lead ids of shape (n,); a lead's rows stay in one fold and count as one.
        weights: shape (n,), at least 0; only their proportions count. None for equal weights.
        seed: which leads share a fold.
        start: what is said now, which has to be beaten; None: what the model says itself.

    Returns:
        The calibrator, the reason, and the table of all that were tried. With only wins or only
        losses no change: there is nothing to learn a level from.

    Raises:
        ValueError: shapes differ, a raw score is not finite, an outcome is not 0 or 1.
    """
    start = Identity() if start is None else start
    won = checked_outcomes(y)
    scores = checked_floats("raw", raw, len(won))
    if not np.isfinite(scores).all():
        raise ValueError("Raw scores must be finite; an infinite one is a certainty nobody has.")
    # Beyond the floor a score cannot be shown anyway, but would pull the line like no other.
    edge = float(logit([1 - FLOOR])[0])
    codes, mass = group_codes(groups, len(won)), checked_weights(weights, len(won))
    # Priors speak in leads: twelve rows of a lead must not drown them like twelve leads.
    mass = mass * (int(codes.max()) + 1) / mass.sum()
    rows = _Rows(np.clip(scores, -edge, edge), won, mass, codes)
    winning = len(np.unique(rows.codes[won == 1]))
    losing = len(np.unique(rows.codes[won == 0]))
    rarer = min(winning, losing)
    names = [name for fewest, name in RUNGS if rarer >= max(fewest, 1)]
    table = _compete(names, rows, rarer, seed, start)
    kept = [candidate for candidate in table if candidate.kept][-1]
    fitter = FITTERS["start" if kept is table[0] else kept.name]
    calibrator = fitter(rows.raw, won, rows.weights, start)
    return CalibrationFit(
        calibrator=calibrator,
        name=calibrator.kind,
        reason=_reason(table, start, winning, losing),
        n=len(won),
        leads=int(rows.codes.max()) + 1,
        wins=winning,
        losses=losing,
        table=table,
    )
