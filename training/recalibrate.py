"""Does what we say still come true? A new calibration of the same booster, from newer outcomes.

The booster's bytes stay as they are. The new calibrator (`training.renew`) starts from the champion's
or follows the newest outcomes, is kept only where it saves log loss on outcomes it was not fitted on,
and goes through the same decision as any challenger. It is fitted on all outcomes that the booster has
not learned from, so none is left to judge it; the card's figures are those of the calibrations that
would have been made on the way, each judged on later cohorts (docs/decisions/0015).
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
from training.about import summary, warnings_of
from training.calibrate import CalibrationFit
from training.dataset import Dataset
from training.evidence import NOT_YET, Evidence, evidence_on_the_way
from training.forward import LEAST_WINS, Forward, enough
from training.golden import golden_rows
from training.intervals import plain
from training.judge import Judged, warnings_of_figures
from training.metrics import evaluate_predictions, observed_over_expected
from training.promote import carry_out
from training.renew import Renewed, renew
from training.run import catalogue
from training.splits import pieces
from training.unseen import (
    Unseen,
    after_boosters,
    as_trained,
    bounds_of,
    calibrated_through,
    comparable,
    matured_rows,
    raw_unseen,
    wait_of,
)
from training.verdicts import Verdict

__all__ = ["LEAST_WINS", "Recalibrated", "recalibrate"]

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
    follow: bool = False,
    warn: Callable[[str], None] = lambda _: None,
) -> Recalibrated:
    """Recalibrate the champion on the outcomes it has not learned from, and decide about it.

    Args:
        workspace: the installation.
        now: the present instant.
        by: who asks.
        seed: which leads share a fold.
        follow: let the calibration follow the newest outcomes unless following has cost anything, and
            promote it also where these alone do not decide (`follow_verdict`).
        warn: told when MLflow could not be reached.

    Raises:
        NoModelError: there is no champion.
        NotEnoughEvidenceError: too few matured outcomes that the champion has not learned from.
    """
    champion = workspace.registry.champion()
    matured, unseen, new = _outcomes(workspace, champion)
    rows = unseen.dataset
    raw = raw_unseen(workspace, champion, rows, matured)
    renewed = renew(
        raw,
        unseen,
        new,
        now=champion.calibrator,
        as_trained=as_trained(champion),
        wait=wait_of(champion),
        instant=now,
        seed=seed,
        follow=follow,
    )
    evidence = evidence_on_the_way(unseen, raw, renewed.forward)
    judged = _judged(champion, evidence, renewed.forward, seed)
    about = _about(champion, matured, unseen, renewed, judged, now)
    model = champion.recalibrated(renewed.calibration.calibrator, about)
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
    catalogue(workspace, digest, model, judged, "recalibrate", warn, _shown(evidence, judged))
    verdict = follow_verdict(renewed) if follow else renewed.verdict
    carry_out(workspace, digest, verdict, champion.digest, now=now, by=by, on_warning=warn)
    return Recalibrated(digest, verdict, renewed.calibration)


def follow_verdict(renewed: Renewed) -> Verdict:
    """Promote what follows, unless the newest outcomes find nothing wrong with what is said now.

    What follows was said, step by step, before each outcome was known, and has not cost log loss over
    all outcomes since the booster was trained (`training.renew`): that is evidence on the way of
    following, and each of its steps need not be proved anew. Nor does it count against the next step
    that the last ones were late for a jump, while the champion's own level is wrong beyond noise
    (docs/decisions/0033).
    """
    verdict, memory = renewed.verdict, renewed.memory
    if memory is None or verdict.decision == "promote" or "more_wins_needed" in verdict.evidence:
        return verdict
    found = verdict.evidence
    is_right = "level_lower" not in found or found["level_lower"] <= 1.0 <= found["level_upper"]
    if verdict.decision == "keep" and is_right:
        return verdict
    reason = f"{renewed.calibration.reason} On the newest outcomes alone: {verdict.reason}"
    return Verdict("promote", reason, {**verdict.evidence, "saved_by_following": memory["saved"]})


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


def _judged(champion: PropensityModel, evidence: Evidence, forward: Forward, seed: int) -> Judged:
    """Figures forward in time, of the calibrations made on the way; none where none could be made."""
    bounds, said = bounds_of(champion), evidence.probability
    known = evidence.rows
    if len(np.unique(known.y)) < 2:
        return Judged(NOT_YET, bounds, None, evidence.raw, said, known.y, (NOT_YET,))
    figures = evaluate_predictions(
        evidence.raw, said, known.y, known.lead, weights=evidence.weight, seed=seed
    )
    warnings = warnings_of_figures(figures) + ([] if forward.waited else [_AT_ONCE])
    return Judged(evidence.how, bounds, figures, evidence.raw, said, known.y, tuple(warnings))


_AT_ONCE = (
    "Its figures since the recalibration do not show how far the win rate moves while outcomes are "
    "awaited: too few outcomes are old enough for that. Its figures as trained do."
)


def _shown(evidence: Evidence, judged: Judged) -> Evidence | None:
    """Rows for the page of pictures; none where there are no figures of them."""
    return evidence if judged.figures is not None else None


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
    renewed: Renewed,
    judged: Judged,
    now: int,
) -> dict[str, Any]:
    """What is said of the champion, but for its calibration and the figures, which are new."""
    as_of, calibration = unseen.dataset.as_of, renewed.calibration
    before = champion.about
    return {
        **before,
        "judged": {**judged.to_json(), "cohorts": _cohorts(unseen, renewed.forward)},
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
            "memory": renewed.memory,
        },
        "warnings": warnings_of(champion.definition, judged),
    }


def _learned_from(matured: Dataset, champion: PropensityModel) -> dict[str, Any]:
    """What the booster, and the calibrator that came with it, were fitted, stopped and chosen on."""
    if (again := champion.about.get("refit")) is not None:
        return _counts(matured.take(np.flatnonzero(matured.as_of <= again["through_instant"])))
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
