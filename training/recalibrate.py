"""Does what we say still come true? A new calibration of the same booster, from newer outcomes.

The booster's bytes stay as they are. The new calibrator starts from the champion's: it is kept only
where it saves log loss on leads it was not fitted on, and goes through the same decision as any
challenger. It is fitted on all outcomes that the booster has not learned from, so none is left to judge
it; the card's figures are those of the calibrations that would have been made on the way, each judged
on later cohorts (docs/decisions/0015).
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
from models.calibrators import Calibrator
from models.card import model_card
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.about import summary, warnings_of
from training.calibrate import CalibrationFit, fit_calibrator
from training.dataset import Dataset
from training.forward import LEAST_WINS, Forward, enough, out_of_fold, said_forward
from training.golden import golden_rows
from training.intervals import plain
from training.judge import Judged, warnings_of_figures
from training.metrics import evaluate_predictions, observed_over_expected
from training.promote import carry_out
from training.run import catalogue
from training.splits import pieces
from training.unseen import (
    Unseen,
    after_boosters,
    as_trained,
    bounds_of,
    calibrated_through,
    comparable,
    horizon_of,
    matured_rows,
)
from training.verdicts import Verdict, compare

__all__ = ["LEAST_WINS", "Recalibrated", "out_of_fold", "recalibrate"]

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


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
    matured, unseen, new = _outcomes(workspace, champion)
    rows, weight = unseen.dataset, unseen.weight
    raw = champion.raw(rows.frame)
    calibration = fit_calibrator(
        raw, rows.y, groups=rows.lead, weights=weight, seed=seed, start=champion.calibrator
    )
    verdict = _verdict(champion.calibrator, calibration, raw, unseen, new, seed)
    forward = said_forward(raw, unseen, as_trained(champion), horizon_of(champion), seed)
    judged = _judged(champion, unseen, raw, forward, seed)
    about = _about(champion, matured, unseen, forward, judged, calibration, now)
    model = champion.recalibrated(calibration.calibrator, about)
    digest = write_bundle(
        model,
        workspace.bundles,
        created_at=now,
        origin="recalibrate",
        golden=golden_rows(rows.frame),
        card=model_card(model.about),
        parent=champion.digest,
    )
    workspace.registry.add(digest, summary(dict(model.about)))
    catalogue(workspace, digest, model, judged, "recalibrate", warn)
    carry_out(workspace, digest, verdict, champion.digest, now=now, by=by, on_warning=warn)
    return Recalibrated(digest, verdict, calibration)


def _outcomes(workspace: Workspace, champion: PropensityModel) -> tuple[Dataset, Unseen, Rows]:
    """All matured rows, those that the booster has not seen, and which of these are new to it all.

    Raises:
        NotEnoughEvidenceError: too few are new to decide.
    """
    if not comparable(champion):
        raise NotEnoughEvidenceError(
            "the champion knows no time: it has learned from all outcomes there were",
            hint="Recalibration needs dated outcomes that are newer than the model.",
        )
    matured = matured_rows(workspace, champion.definition)
    unseen = after_boosters(matured, champion)
    if unseen is None:
        raise NotEnoughEvidenceError(
            "no outcome has matured since the champion learned",
            hint="Recalibration needs dated outcomes that are newer than the model.",
        )
    rows = unseen.dataset
    new = np.flatnonzero(rows.as_of > calibrated_through(champion))
    if not enough(rows.y[new], rows.lead[new]):
        wins, losses = (len(np.unique(rows.lead[new][rows.y[new] == won])) for won in (1, 0))
        raise NotEnoughEvidenceError(
            f"{wins} won and {losses} not won leads have matured that the champion has not learned "
            f"from; {LEAST_WINS} of each are needed",
            hint=f"Wait for {LEAST_WINS - min(wins, losses)} more; the champion stays as it is.",
        )
    return matured, unseen, new


def _verdict(
    now: Calibrator,
    calibration: CalibrationFit,
    raw: Floats,
    unseen: Unseen,
    new: Rows,
    seed: int,
) -> Verdict:
    """New calibration against the champion's, on rows new to both: the champion has seen the others."""
    rows, weight = unseen.dataset, unseen.weight
    expected = out_of_fold(raw, rows.y, rows.lead, weight, seed, now)
    verdict = compare(
        expected[new],
        now.apply(raw[new]),
        rows.y[new],
        rows.lead[new],
        seed,
        weight[new],
        same_order=True,
    )
    if calibration.calibrator == now:
        unchanged = f"undecided: there is nothing to change. {calibration.reason}"
        return Verdict("undecided", unchanged, verdict.evidence)
    return verdict


def _judged(
    champion: PropensityModel, unseen: Unseen, raw: Floats, forward: Forward, seed: int
) -> Judged:
    """Figures forward in time, of the calibrations made on the way; none where none could be made."""
    here, bounds = np.flatnonzero(forward.step >= 0), bounds_of(champion)
    rows, said = unseen.take(here), forward.said[here]
    known = rows.dataset
    if len(np.unique(known.y)) < 2:
        return Judged(_NOT_YET, bounds, None, raw[here], said, known.y, (_NOT_YET,))
    figures = evaluate_predictions(
        raw[here], said, known.y, known.lead, weights=rows.weight, seed=seed
    )
    warnings = warnings_of_figures(figures) + ([] if forward.waited else [_AT_ONCE])
    return Judged(_how(forward), bounds, figures, raw[here], said, known.y, tuple(warnings))


_NOT_YET = (
    f"The calibration has not been judged forward in time: there are no {LEAST_WINS} won and "
    f"{LEAST_WINS} other leads to fit an earlier one to, with later outcomes to judge it."
)
_AT_ONCE = (
    "The calibration's own figures leave out what moves while outcomes are waited for, because too few "
    "outcomes are as much older than others. How good it was as trained has it in."
)


def _how(forward: Forward) -> str:
    fitted = (
        "whose outcomes were known at the row's instant"
        if forward.waited
        else "fitted on earlier cohorts of other leads, without waiting until all outcomes were known"
    )
    return (
        f"Judged forward in time as a recalibrated model: every row from {iso(int(forward.began[0]))} "
        f"on is said by the newest of {len(forward.began)} calibrations of this booster {fitted}. The "
        f"calibration that ships is the next of them; it is fitted on all of these outcomes, so nothing "
        f"is left to judge it:"
    )


def _cohorts(unseen: Unseen, forward: Forward) -> list[dict[str, Any]]:
    """Observed over expected between one calibration and the next, beside the calibration as trained."""
    found = []
    for step, began in enumerate(forward.began.tolist()):
        here = np.flatnonzero(forward.step == step)
        rows, weight = unseen.dataset.take(here), unseen.weight[here]
        ratios = {
            name: plain(
                observed_over_expected(said[here], rows.y, groups=rows.lead, weights=weight)
            )
            for name, said in (("recalibrated", forward.said), ("as_trained", forward.as_trained))
        }
        counts = {"rows": len(rows), "won": int(rows.y.sum())}
        found.append({"from": iso(began), **counts, **ratios})
    return found


def _about(
    champion: PropensityModel,
    matured: Dataset,
    unseen: Unseen,
    forward: Forward,
    judged: Judged,
    calibration: CalibrationFit,
    now: int,
) -> dict[str, Any]:
    """What is said of the champion, but for its calibration and the figures, which are new."""
    as_of = unseen.dataset.as_of
    before = champion.about
    return {
        **before,
        "judged": {**judged.to_json(), "cohorts": _cohorts(unseen, forward)},
        "judged_when_trained": before.get("judged_when_trained", before["judged"]),
        "learned_from": {
            "booster": _learned_from(matured, champion),
            "calibration": _counts(unseen.dataset),
        },
        "calibration": {
            "name": calibration.name,
            "reason": calibration.reason,
            "wins": calibration.wins,
            "calibrated_at": iso(now),
            "from": iso(int(as_of.min())),
            "through": iso(int(as_of.max())),
            "through_instant": int(as_of.max()),
            "as_trained": as_trained(champion).to_json(),
        },
        "warnings": warnings_of(champion.definition, judged),
    }


def _learned_from(matured: Dataset, champion: PropensityModel) -> dict[str, Any]:
    """What the booster, and the calibrator that came with it, were fitted, stopped and chosen on."""
    bounds = bounds_of(champion)
    if bounds is None:
        return _counts(matured.take(np.zeros(0, dtype=np.int64)))
    fit, chosen, _ = pieces(matured, bounds)
    return _counts(matured.take(np.sort(np.concatenate([fit.rows, chosen.rows]))))


def _counts(rows: Dataset) -> dict[str, Any]:
    """How many rows, leads and won rows, and from when through when."""
    dated = len(rows) > 0
    return {
        "rows": len(rows),
        "leads": len(np.unique(rows.lead)),
        "wins": int(rows.y.sum()),
        "from": iso(int(rows.as_of.min())) if dated else None,
        "through": iso(int(rows.as_of.max())) if dated else None,
    }
