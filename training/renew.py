"""Which new calibration do the outcomes ask for: one of all alike, or one that follows the newest?

Rule: both are walked forward in time over the same rows, and the one that follows (`training.memory`)
ships only where that has saved more than one standard error of log loss: where nothing moves, all of
the past is worth as much as its newest part. Either is then judged against the champion by what it
said: the one that follows forward in time, the other out of fold (docs/decisions/0015, 0018).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibrators import Calibrator
from training.calibrate import KEPT_FROM, CalibrationFit, fit_calibrator
from training.comparison import PairedDifference
from training.forward import Forward, enough, followed, out_of_fold, said_following, said_forward
from training.memory import Followed
from training.metrics import paired_log_loss_difference
from training.unseen import Unseen
from training.verdicts import Verdict, compare

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Renewed:
    """A new calibration, what such a one would have said on the way, and what speaks for it.

    Attributes:
        calibration: what ships, if the verdict says so.
        forward: what was said on the way, by calibrations made like the one that ships.
        verdict: against the champion's calibration.
        memory: how much of the past it believes; None where it believes all of it alike.
    """

    calibration: CalibrationFit
    forward: Forward
    verdict: Verdict
    memory: dict[str, Any] | None


def renew(
    raw: Floats,
    unseen: Unseen,
    new: Rows,
    *,
    now: Calibrator,
    as_trained: Calibrator,
    wait: int,
    instant: int,
    seed: int,
    follow: bool = False,
) -> Renewed:
    """Fit both, choose between them, and compare the chosen one with what is said now.

    Args:
        raw: shape (n,), log-odds of a booster that has learned from none of the rows.
        unseen: n rows with their outcomes.
        new: which of them are new to what is said now too.
        now: the champion's calibrator.
        as_trained: the calibrator that came with the booster.
        wait: after how long an outcome is known, in microseconds; 0 where there is no horizon.
        instant: the present; outcomes that are not known by then are not followed.
        seed: which leads share a fold.
        follow: take the one that follows unless that has cost more than it may be luck; else only
            where it has saved more.
    """
    rows = unseen.dataset
    alike = fit_calibrator(
        raw, rows.y, groups=rows.lead, weights=unseen.weight, seed=seed, start=now
    )
    forward = said_forward(raw, unseen, as_trained, wait, seed)
    following = _following(raw, unseen, new, as_trained, wait, forward, seed, follow)
    if following is None:
        expected = out_of_fold(raw, rows.y, rows.lead, unseen.weight, seed, now)
        return Renewed(alike, forward, _verdict(alike, now, expected, raw, unseen, new, seed), None)
    walked, saved = following
    (found,) = followed(raw, unseen, as_trained, wait, np.array([instant]))
    calibration = _as_fit(found, alike, saved)
    judged = new[walked.step[new] >= 0]
    verdict = _verdict(calibration, now, walked.said, raw, unseen, judged, seed)
    return Renewed(calibration, walked, verdict, _memory(found, saved))


def _following(
    raw: Floats,
    unseen: Unseen,
    new: Rows,
    as_trained: Calibrator,
    wait: int,
    forward: Forward,
    seed: int,
    follow: bool,
) -> tuple[Forward, PairedDifference] | None:
    """The walk of the one that follows and what it saved; None where it is not to be had, or no gain."""
    if not (forward.waited and wait > 0 and len(forward.began)):
        return None
    rows, here = unseen.dataset, np.flatnonzero(forward.step >= 0)
    judged = new[forward.step[new] >= 0]
    if not enough(rows.y[judged], rows.lead[judged]):
        return None
    walked = said_following(raw, unseen, as_trained, wait, forward)
    saved = paired_log_loss_difference(
        walked.said[here],
        forward.said[here],
        rows.y[here],
        rows.lead[here],
        seed=seed,
        weights=unseen.weight[here],
    )
    wanted = -KEPT_FROM if follow else KEPT_FROM
    return (walked, saved) if -saved.difference > wanted * saved.standard_error else None


def _verdict(
    calibration: CalibrationFit,
    now: Calibrator,
    expected: Floats,
    raw: Floats,
    unseen: Unseen,
    here: Rows,
    seed: int,
) -> Verdict:
    """Against the champion's calibration, on rows new to both: the champion has seen the others."""
    rows, weight = unseen.dataset, unseen.weight
    verdict = compare(
        expected[here],
        now.apply(raw[here]),
        rows.y[here],
        rows.lead[here],
        seed,
        weight[here],
        same_order=True,
    )
    if calibration.calibrator == now:
        unchanged = f"undecided: there is nothing to change. {calibration.reason}"
        return Verdict("undecided", unchanged, verdict.evidence)
    return verdict


def _as_fit(found: Followed, alike: CalibrationFit, saved: PairedDifference) -> CalibrationFit:
    reason = (
        f"follows the newest outcomes: its memory is worth {found.memory:,.0f} leads of "
        f"{alike.leads:,}. Forward in time that saved {-saved.difference:.4f} nats a lead "
        f"({-saved.upper:.4f} to {-saved.lower:.4f}) over believing all outcomes alike "
        f"({alike.name})."
    )
    return replace(alike, calibrator=found.calibrator, name=found.calibrator.kind, reason=reason)


def _memory(found: Followed, saved: PairedDifference) -> dict[str, Any]:
    return {
        "leads": found.memory,
        "trust": list(found.trust),
        "slope": found.slope,
        "level": found.level,
        "saved": {
            "estimate": -saved.difference,
            "lower": -saved.upper,
            "upper": -saved.lower,
        },
    }
