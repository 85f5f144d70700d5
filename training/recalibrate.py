"""Does what we say still come true? A new calibration of the same booster, from newer outcomes.

The booster's bytes stay as they are. The new calibrator is judged out of fold, lead by lead, against
what the champion would have said, and goes through the same decision as any challenger.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import iso
from features.errors import NotEnoughEvidenceError
from models.bundle import write_bundle
from models.card import model_card
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.calibrate import CalibrationFit, fit_calibrator
from training.dataset import Dataset
from training.judge import Judged, warnings_of_figures
from training.metrics import evaluate_predictions
from training.promote import (
    Unseen,
    Verdict,
    calibrated_through,
    carry_out,
    compare,
    rows_after_boosters,
)
from training.run import GOLDEN_ROWS, catalogue, summary
from training.splits import Bounds

Floats = NDArray[np.float64]

LEAST_WINS = 30
"""Won leads (and leads not won) below which a recalibration is refused: it would fit noise."""

_FOLDS = 10


@dataclass(frozen=True)
class Recalibrated:
    """A new bundle around the same booster, and what was decided about it."""

    digest: str
    verdict: Verdict
    calibration: CalibrationFit


def recalibrate(
    workspace: Workspace,
    *,
    now: int,
    by: str,
    seed: int = 0,
    warn: Callable[[str], None] = lambda _: None,
) -> Recalibrated:
    """Recalibrate the champion on the outcomes it has not learned from, and decide about it.

    Args:
        workspace: the installation.
        now: the present instant.
        by: who asks.
        seed: which leads share a fold.
        warn: told when MLflow could not be reached.

    Raises:
        NoModelError: there is no champion.
        NotEnoughEvidenceError: too few matured outcomes that the champion has not learned from.
    """
    champion = workspace.registry.champion()
    unseen, new = _enough(rows_after_boosters(workspace, champion), calibrated_through(champion))
    rows, weight = unseen.dataset, unseen.weight
    raw = champion.raw(rows.frame)
    calibration = fit_calibrator(raw, rows.y, groups=rows.lead, weights=weight, seed=seed)
    expected = out_of_fold(raw, rows.y, rows.lead, weight, seed)
    said = champion.calibrator.apply(raw)
    # Only what is new to both decides: the champion has been fitted to the older rows.
    verdict = compare(expected[new], said[new], rows.y[new], rows.lead[new], seed, weight[new])
    judged = _judged(champion, unseen, raw, expected, seed)
    about = _about(champion, rows, judged, calibration, now)
    model = champion.recalibrated(calibration.calibrator, about)
    digest = write_bundle(
        model,
        workspace.bundles,
        created_at=now,
        origin="recalibrate",
        golden=rows.frame.take(np.arange(min(GOLDEN_ROWS, len(rows)))),
        card=model_card(model.about),
        parent=champion.digest,
    )
    workspace.registry.add(digest, summary(dict(model.about)))
    catalogue(workspace, digest, model, judged, "recalibrate", warn)
    carry_out(workspace, digest, verdict, champion.digest, now=now, by=by, on_warning=warn)
    return Recalibrated(digest, verdict, calibration)


def out_of_fold(
    raw: Floats, y: NDArray[np.int64], lead: NDArray[np.int64], weight: Floats, seed: int
) -> Floats:
    """What calibrators fitted on other leads say of each row, shape (n,)."""
    leads, row = np.unique(lead, return_inverse=True)
    fold = (np.random.default_rng(seed).permutation(len(leads)) % _FOLDS)[row.reshape(-1)]
    said = np.empty(len(raw))
    for held in range(_FOLDS):
        here, others = fold == held, fold != held
        fit = fit_calibrator(
            raw[others], y[others], groups=lead[others], weights=weight[others], seed=seed
        )
        said[here] = fit.calibrator.apply(raw[here])
    return said


def _enough(unseen: Unseen | None, since: int) -> tuple[Unseen, NDArray[np.int64]]:
    """The rows, and the positions of those newer than `since`, if they are enough to decide."""
    if unseen is None:
        raise NotEnoughEvidenceError(
            "the champion knows no time, or no outcome has matured since it learned",
            hint="Recalibration needs dated outcomes that are newer than the model.",
        )
    rows = unseen.dataset
    new = np.flatnonzero(rows.as_of > since)
    wins = len(np.unique(rows.lead[new][rows.y[new] == 1]))
    losses = len(np.unique(rows.lead[new][rows.y[new] == 0]))
    if min(wins, losses) < LEAST_WINS:
        raise NotEnoughEvidenceError(
            f"{wins} won and {losses} not won leads have matured that the champion has not learned "
            f"from; {LEAST_WINS} of each are needed",
            hint=f"Wait for {LEAST_WINS - min(wins, losses)} more; the champion stays as it is.",
        )
    return unseen, new


def _about(
    champion: PropensityModel,
    rows: Dataset,
    judged: Judged,
    calibration: CalibrationFit,
    now: int,
) -> dict[str, Any]:
    return {
        **champion.about,
        "judged": judged.to_json(),
        "calibration": {
            "name": calibration.name,
            "reason": calibration.reason,
            "wins": calibration.wins,
            "calibrated_at": iso(now),
            "from": iso(int(rows.as_of.min())),
            "through": iso(int(rows.as_of.max())),
            "through_instant": int(rows.as_of.max()),
        },
        "warnings": list(judged.warnings),
    }


def _judged(
    champion: PropensityModel, unseen: Unseen, raw: Floats, expected: Floats, seed: int
) -> Judged:
    rows = unseen.dataset
    figures = evaluate_predictions(
        raw, expected, rows.y, rows.lead, weights=unseen.weight, seed=seed
    )
    # The figures of other leads' calibrators: what the new one says of rows it has not seen.
    how = "Judged out of fold, on outcomes that the booster has not learned from:"
    bounds = Bounds(**champion.about["judged"]["bounds"])
    return Judged(how, bounds, figures, raw, expected, rows.y, tuple(warnings_of_figures(figures)))
