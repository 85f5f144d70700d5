"""May this model score? Champion and challenger on the same matured leads, paired.

Promote when the challenger's log loss is lower beyond noise, keep when it is higher beyond noise,
otherwise undecided – with the number of outcomes that would decide. Only rows that neither booster has
learned from are used, each said by calibrations that had not seen it. A first model has to be better
than none. The decision is recorded in our database; MLflow's aliases mirror it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import iso
from features.errors import NotFoundError
from features.store.promotions import DecisionRecord
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.dataset import Dataset
from training.forward import out_of_fold
from training.guards import AsShown
from training.refit import refit
from training.run import Watching
from training.segments import segments_of
from training.splits import pieces
from training.unseen import (
    Unseen,
    after_boosters,
    as_trained,
    bounds_of,
    calibrated_through,
    comparable,
    is_agreed,
    learned_nothing,
    matured_rows,
    newer,
    raw_unseen,
    unseen_rows,
)
from training.verdicts import LEAST_WINS, Verdict, compare, first_by_its_figures, first_verdict

__all__ = [
    "LEAST_WINS",
    "Verdict",
    "carry_out",
    "compare",
    "mirror",
    "paired_verdict",
    "promote",
    "put_in_force",
    "roll_back",
    "unseen_rows",
]

Floats = NDArray[np.float64]

RawOf = Callable[[PropensityModel, Dataset], Floats]
"""What a model's booster would have said of rows, had it not learned from them."""


def promote(
    workspace: Workspace,
    name: str,
    *,
    now: int,
    by: str,
    force: str | None = None,
    refitted: bool = False,
    seed: int = 0,
    on_warning: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Decide about a model and carry the decision out.

    Args:
        workspace: the installation.
        name: which model: `newest` or the first digits of its digest.
        now: the present instant.
        by: who asks.
        force: a reason to promote whatever the evidence says; it is recorded.
        refitted: fit what is promoted once more, on all outcomes, before it comes into force.
        seed: of the resampling.
        on_warning: told when MLflow could not be brought in line.

    Raises:
        BundleError: the model failed its trial; the champion is untouched.
    """
    registry = workspace.registry
    digest, present = registry.find(name), registry.champion_digest()
    if digest == present:
        return Verdict("keep", "it is the champion already", {})
    verdict = paired_verdict(workspace, digest, present, seed)
    if force is not None and verdict.decision != "promote":
        verdict = Verdict("promote", f"forced: {force} ({verdict.reason})", verdict.evidence)
    put = put_in_force if refitted else carry_out
    put(workspace, digest, verdict, present, now=now, by=by, on_warning=on_warning)
    return verdict


def put_in_force(
    workspace: Workspace,
    digest: str,
    verdict: Verdict,
    against: str | None,
    *,
    now: int,
    by: str,
    on_warning: Callable[[str], None] = lambda _: None,
) -> tuple[str, Verdict]:
    """Carry a decision out, having fitted what it promotes once more, on all outcomes.

    Returns:
        The digest that was decided about in the end, and the decision as it was recorded.

    Raises:
        BundleError: the model failed its trial; the champion is untouched.
        ConflictError: `against` is no longer the champion; nothing was decided.
    """
    if verdict.decision == "promote":
        again = refit(workspace, digest, now=now, watching=Watching(warn=on_warning))
        if again is not None:
            reason = f"{verdict.reason}; fitted once more on all outcomes"
            verdict = Verdict("promote", reason, {**verdict.evidence, "judged": digest})
            digest = again
    carry_out(workspace, digest, verdict, against, now=now, by=by, on_warning=on_warning)
    return digest, verdict


def carry_out(
    workspace: Workspace,
    digest: str,
    verdict: Verdict,
    against: str | None,
    *,
    now: int,
    by: str,
    on_warning: Callable[[str], None] = lambda _: None,
) -> None:
    """Record a decision and, when it promotes, mirror it to MLflow.

    Raises:
        BundleError: the model failed its trial; the champion is untouched.
        ConflictError: `against` is no longer the champion; nothing was decided.
    """
    workspace.registry.decide(
        DecisionRecord(
            decided_at=now,
            decision=verdict.decision,
            bundle=digest,
            against=against,
            decided_by=by,
            reason=verdict.reason,
            evidence=verdict.evidence,
        )
    )
    if verdict.decision == "promote":
        mirror(workspace, on_warning)


def roll_back(
    workspace: Workspace,
    *,
    now: int,
    by: str,
    reason: str,
    on_warning: Callable[[str], None],
    bad: str | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> str:
    """Make the previous champion score again; returns the digest of the champion there is then.

    Args:
        workspace: the installation.
        now: the present instant.
        by: who asks.
        reason: why; it is recorded.
        on_warning: told when MLflow could not be brought in line.
        bad: the model to be rid of; when it is champion no more, nothing is done: safe to repeat.
        evidence: what speaks for it; it is recorded.

    Raises:
        NotFoundError: there is no earlier champion, or no such model.
        BundleError: its bundle is missing or altered; the champion is untouched.
        ConflictError: another model was promoted in the meantime; nothing was decided.
    """
    registry = workspace.registry
    unwanted = None if bad is None else registry.find(bad)
    if unwanted is not None and unwanted != (champion := registry.champion_digest()):
        return champion or ""
    present, digest = registry.step_back()
    registry.decide(
        DecisionRecord(
            decided_at=now,
            decision="roll_back",
            bundle=digest,
            against=present,
            decided_by=by,
            reason=reason,
            evidence=dict(evidence or {}),
        )
    )
    mirror(workspace, on_warning)
    return digest


def mirror(workspace: Workspace, on_warning: Callable[[str], None]) -> None:
    """Bring MLflow's aliases in line with our decisions; a warning when it cannot be reached."""
    from training.tracking import TrackingError, mirror_aliases

    champion = workspace.registry.champion_digest()
    if champion is None or not workspace.is_catalogued:
        return
    try:
        previous = workspace.registry.find("previous")
    except NotFoundError:
        previous = None
    try:
        mirror_aliases(workspace.mlflow_uri, champion, previous)
    except TrackingError as error:
        on_warning(f"MLflow's aliases were not moved ({error}); the decision itself is recorded")


def paired_verdict(
    workspace: Workspace,
    digest: str,
    present: str | None,
    seed: int,
    since: int | None = None,
    *,
    recalibrated: bool = False,
) -> Verdict:
    """What the evidence says about a model against another, or against none.

    Args:
        workspace: the installation.
        digest: of the model.
        present: of the other; None: there is none.
        seed: of the resampling.
        since: only rows from this instant on count; None: all that neither has learned from.
        recalibrated: what is promoted is calibrated anew: ask of the boosters, each calibrated on
            other leads of the rows, whatever they say with their own calibrations.
    """
    challenger = workspace.registry.load(digest)
    if present is None:
        return _first(workspace, challenger, seed)
    champion = workspace.registry.load(present)
    if not comparable(challenger, champion):
        return Verdict("undecided", f"undecided: {_why_not(challenger, champion)}", {})
    matured = matured_rows(workspace, champion.definition)
    rows = _since(after_boosters(matured, challenger, champion), since)
    if rows is None:
        return _nothing_new()

    def raw_of(model: PropensityModel, of: Dataset) -> Floats:
        return raw_unseen(workspace, model, of, matured)

    frame = rows.dataset.frame
    if np.array_equal(challenger.raw(frame), champion.raw(frame)):
        left = newer(rows, challenger, champion)
        if left is None:
            return _nothing_new()
        return _as_they_are(left, raw_of, challenger, champion, seed, True)
    seen = max(map(calibrated_through, (challenger, champion)))
    if seen < int(rows.dataset.as_of.min()) and not recalibrated:
        return _as_they_are(rows, raw_of, challenger, champion, seed, False)
    return _as_recalibrated(rows, raw_of, challenger, champion, seed, recalibrated)


def _since(rows: Unseen | None, since: int | None) -> Unseen | None:
    """Those of the rows from an instant on; None without any."""
    if rows is None or since is None:
        return rows
    left = np.flatnonzero(rows.dataset.as_of >= since)
    return rows.take(left) if len(left) else None


def _nothing_new() -> Verdict:
    reason = "there are no matured rows that neither model has learned from"
    return Verdict("undecided", f"undecided: {reason}", {})


def _as_they_are(
    unseen: Unseen,
    raw_of: RawOf,
    challenger: PropensityModel,
    champion: PropensityModel,
    seed: int,
    same_order: bool,
) -> Verdict:
    """Both as they would score, on rows that neither booster nor calibrator has seen."""
    shown = _as_shown(unseen, raw_of, challenger, champion)
    return _compared(unseen, (shown.challenger, shown.champion), shown, champion, seed, same_order)


def _as_recalibrated(
    unseen: Unseen,
    raw_of: RawOf,
    challenger: PropensityModel,
    champion: PropensityModel,
    seed: int,
    anew: bool,
) -> Verdict:
    """Both boosters with calibrators fitted to other leads of the same rows (docs/decisions/0016).

    What leads would be ordered by, and told, is asked of the models as they are (docs/decisions/0030);
    but not what they would be told where the calibration is about to be made anew, on these rows.
    """
    rows, shown = unseen.dataset, _as_shown(unseen, raw_of, challenger, champion)
    one, other = (
        out_of_fold(raw, rows.y, rows.lead, unseen.weight, seed, as_trained(model))
        for raw, model in ((shown.raw_challenger, challenger), (shown.raw_champion, champion))
    )
    if anew:
        everywhere = np.ones(len(rows), dtype=np.bool_)
        shown = replace(shown, challenger=one, champion=other, new=everywhere)
    verdict = _compared(unseen, (one, other), shown, champion, seed, False)
    reason = f"{verdict.reason}; both recalibrated on other leads of the same time"
    if verdict.decision == "promote":
        reason += ". Recalibrate it next: what it says has not followed these outcomes yet"
    return Verdict(verdict.decision, reason, {**verdict.evidence, "calibrations": "out of fold"})


def _as_shown(
    unseen: Unseen, raw_of: RawOf, challenger: PropensityModel, champion: PropensityModel
) -> AsShown:
    one, other = (raw_of(model, unseen.dataset) for model in (challenger, champion))
    through = max(map(calibrated_through, (challenger, champion)))
    new = np.asarray(unseen.dataset.as_of > through)
    told = (challenger.calibrator.apply(one), champion.calibrator.apply(other))
    return AsShown(one, other, *told, new)


def _compared(
    rows: Unseen,
    said: tuple[Floats, Floats],
    shown: AsShown,
    champion: PropensityModel,
    seed: int,
    same_order: bool,
) -> Verdict:
    known = rows.dataset
    verdict = compare(
        said[0],
        said[1],
        known.y,
        known.lead,
        seed,
        rows.weight,
        same_order=same_order,
        segments=segments_of(known.frame, champion),
        shown=shown,
    )
    evidence = {**verdict.evidence, "from": iso(int(known.as_of.min()))}
    return Verdict(verdict.decision, verdict.reason, evidence)


def _first(workspace: Workspace, model: PropensityModel, seed: int) -> Verdict:
    """Whether a first model is better than none (docs/decisions/0017)."""
    if is_agreed(model) or learned_nothing(model):
        reason = "the first model: agreed on and not learned, so there is nothing to prove yet"
        return Verdict("promote", reason, {})
    bounds = bounds_of(model)
    if bounds is None:
        return first_by_its_figures(model.about["judged"]["figures"])
    matured = matured_rows(workspace, model.definition)
    rows = after_boosters(matured, model)
    unseen = None if rows is None else newer(rows, model)
    if unseen is None:
        return first_by_its_figures(model.about["judged"]["figures"])
    scores, known = model.score(unseen.dataset.frame), unseen.dataset
    learned = np.concatenate([piece.rows for piece in pieces(matured, bounds)[:2]])
    return first_verdict(
        scores.raw,
        scores.probability,
        known.y,
        known.lead,
        float(matured.y[learned].mean()),
        seed,
        unseen.weight,
    )


def _why_not(challenger: PropensityModel, champion: PropensityModel) -> str:
    if challenger.definition.hash != champion.definition.hash:
        return (
            "the two were learned with different lead definitions and share no rows to be compared "
            "on; a person has to decide, with --force and the reason"
        )
    return (
        "without dates each has learned from all rows, so none is left to compare them on; a "
        "person has to decide, with --force and the reason"
    )
