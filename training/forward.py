"""What would newer calibrations have said of rows they have not seen – later rows, or other leads?

Rule: `said_forward` speaks of a row with a calibrator fitted on earlier rows: figures of it are forward
in time. `out_of_fold` is of the same months, and its figures read about 1.0 times as many as said
whatever comes next: they compare two models, but nobody is shown them as a promise
(docs/decisions/0015).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.calibrators import Calibrator
from training.calibrate import fit_calibrator
from training.memory import Followed, follow_through
from training.unseen import Unseen

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_WINS = 30
"""Won leads (and leads not won) below which there is no recalibration: it would fit noise."""

MOST_STEPS = 20
"""At most so many calibrations on the way; cohorts between two are said by the earlier one."""

_FOLDS, _FEW_FOLDS = 10, 5


@dataclass(frozen=True)
class Forward:
    """Probabilities said on the way through time.

    Attributes:
        said: shape (n,), by the newest calibration.
        as_trained: shape (n,), by the calibrator that came with the booster.
        step: shape (n,), which calibration said it, from 0; −1 where the booster's own still did.
        began: shape (steps,), the instant from which each calibration spoke.
        waited: whether each calibration knew only what was known by then. If not, it was fitted on
            all earlier cohorts of other leads, some of whose outcomes were still to come.
    """

    said: Floats
    as_trained: Floats
    step: Ints
    began: Ints
    waited: bool


def said_forward(raw: Floats, rows: Unseen, start: Calibrator, horizon: int, seed: int) -> Forward:
    """Walk through the cohorts, oldest first, recalibrating on the outcomes known by then.

    Where the rows span too little for any outcome to be known before a later row, it does not wait for
    outcomes: each calibration is fitted on all earlier cohorts. A lead then never speaks of itself.

    Args:
        raw: shape (n,), log-odds of a booster that has learned from none of the rows.
        rows: n rows with their outcomes.
        start: the calibrator that came with the booster.
        horizon: after how long an outcome is known, in microseconds.
        seed: which leads share a fold.
    """
    waited = _walk(raw, rows, start, horizon, seed)
    here = waited.step >= 0
    if enough(rows.dataset.y[here], rows.dataset.lead[here]):
        return waited
    at_once = _walk(raw, rows, start, None, seed)
    return at_once if len(at_once.began) > len(waited.began) else waited


def said_following(
    raw: Floats, rows: Unseen, start: Calibrator, wait: int, walked: Forward
) -> Forward:
    """The same walk with calibrations that choose how much of the past they believe.

    Args:
        raw: shape (n,), log-odds of a booster that has learned from none of the rows.
        rows: n rows with their outcomes.
        start: the calibrator that came with the booster.
        wait: after how long an outcome is known, in microseconds.
        walked: what `said_forward` found; it must have waited.
    """
    said = walked.said.copy()
    path = followed(raw, rows, start, wait, walked.began)
    for step, calibration in enumerate(path):
        here = walked.step == step
        said[here] = calibration.calibrator.apply(raw[here])
    return replace(walked, said=said)


def followed(
    raw: Floats, rows: Unseen, start: Calibrator, wait: int, instants: Ints
) -> tuple[Followed, ...]:
    """What to say from each of these instants on, in ascending order; see `training.memory`."""
    known = rows.dataset
    known_at = known.as_of + wait
    looks = np.unique(np.concatenate([known_at[known_at <= instants[-1]], instants]))
    # The memory counts leads: twelve rows of one must not speak like twelve.
    as_leads = len(np.unique(known.lead)) / rows.weight.sum()
    path = follow_through(
        raw, known.y, known.as_of, known_at, looks, weights=rows.weight * as_leads, start=start
    )
    return tuple(path[place] for place in np.searchsorted(looks, instants))


def _walk(raw: Floats, rows: Unseen, start: Calibrator, horizon: int | None, seed: int) -> Forward:
    as_of, trained = rows.dataset.as_of, start.apply(raw)
    folds = _folds(rows.dataset.lead, 1 if horizon is not None else _FEW_FOLDS, seed)
    said, step = trained.copy(), np.full(len(raw), -1)
    began: list[int] = []
    instants = np.unique(as_of)
    for block in np.array_split(instants, min(len(instants), MOST_STEPS)):
        known = (as_of < block[0]) & (as_of + (horizon or 0) <= block[0])
        if not enough(rows.dataset.y[known], rows.dataset.lead[known]):
            continue
        here = (as_of >= block[0]) & (as_of <= block[-1])
        for fold in np.unique(folds[here]):
            others = known if horizon is not None else known & (folds != fold)
            asked = here & (folds == fold)
            said[asked] = _fitted(raw, rows, others, start, seed).apply(raw[asked])
        step[here] = len(began)
        began.append(int(block[0]))
    return Forward(said, trained, step, np.array(began, dtype=np.int64), horizon is not None)


def out_of_fold(
    raw: Floats,
    y: Ints,
    lead: Ints,
    weight: Floats,
    seed: int,
    start: Calibrator | None = None,
) -> Floats:
    """What calibrators fitted on other leads say of each row, shape (n,)."""
    fold = _folds(lead, _FOLDS, seed)
    said = np.empty(len(raw))
    for held in np.unique(fold):
        here, others = fold == held, fold != held
        fit = fit_calibrator(
            raw[others],
            y[others],
            groups=lead[others],
            weights=weight[others],
            seed=seed,
            start=start,
        )
        said[here] = fit.calibrator.apply(raw[here])
    return said


def _fitted(
    raw: Floats, rows: Unseen, those: NDArray[np.bool_], start: Calibrator, seed: int
) -> Calibrator:
    known = rows.dataset
    return fit_calibrator(
        raw[those],
        known.y[those],
        groups=known.lead[those],
        weights=rows.weight[those],
        seed=seed,
        start=start,
    ).calibrator


def _folds(lead: Ints, folds: int, seed: int) -> Ints:
    """The fold of each row, shape (n,): whole leads, dealt out in a seeded order."""
    leads, row = np.unique(lead, return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(len(leads)) % folds
    return np.asarray(dealt[row.reshape(-1)], dtype=np.int64)


def enough(y: NDArray[np.int64], lead: NDArray[np.int64]) -> bool:
    """Whether there are outcomes enough to fit a calibration to."""
    return min(len(np.unique(lead[y == won])) for won in (0, 1)) >= LEAST_WINS
