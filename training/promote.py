"""May this model score? Champion and challenger on the same matured leads, paired.

Promote when the challenger's log loss is lower beyond noise, keep when it is higher beyond noise,
otherwise undecided – with the number of outcomes that would decide. Only rows that neither has
learned from are used. The decision is recorded in our database; MLflow's aliases mirror it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from features.clock import iso
from features.definition import Definition
from features.errors import NotFoundError
from features.store.promotions import DecisionRecord
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.config import TrainConfig
from training.dataset import Dataset, build_dataset, known_outcomes, newest_cutoff
from training.metrics import outcomes_needed, paired_log_loss_difference
from training.splits import Bounds, pieces

Floats = NDArray[np.float64]

LEAST_WINS = 20
"""Fewer won leads than this decide nothing."""


@dataclass(frozen=True)
class Verdict:
    """A decision about a challenger, with its evidence for people and as JSON."""

    decision: Literal["promote", "keep", "undecided"]
    reason: str
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unseen:
    """Matured rows that a model has not learned from, and how many rows each stands for."""

    dataset: Dataset
    weight: Floats

    def __len__(self) -> int:
        return len(self.dataset)

    def take(self, rows: NDArray[np.int64]) -> Unseen:
        """Only these rows."""
        return Unseen(self.dataset.take(rows), self.weight[rows])


def compare(
    challenger: Floats,
    champion: Floats,
    y: NDArray[np.int64],
    lead: NDArray[np.int64],
    seed: int,
    weight: Floats | None = None,
) -> Verdict:
    """Decide between two models by what they said about the same matured rows.

    Args:
        challenger: its probabilities, shape (n,).
        champion: its probabilities for the same rows.
        y: what happened, 1 or 0.
        lead: a number per lead; rows of one lead are one piece of evidence.
        seed: of the resampling when there are few leads.
        weight: how many rows each stands for; None: itself alone.
    """
    wins = len(np.unique(lead[y == 1]))
    if min(wins, len(np.unique(lead[y == 0]))) < LEAST_WINS:
        missing = max(LEAST_WINS - wins, 1)
        reason = (
            f"undecided: {wins} won leads neither model has learned from; {missing} more are needed"
        )
        return Verdict("undecided", reason, {"wins": wins, "more_wins_needed": missing})
    difference = paired_log_loss_difference(
        challenger, champion, y, lead, seed=seed, weights=weight
    )
    figures = {**asdict(difference), "rows": len(y), "wins": wins}
    figures["observed"] = float(np.average(y, weights=weight))
    figures["expected_challenger"] = float(np.average(challenger, weights=weight))
    figures["expected_champion"] = float(np.average(champion, weights=weight))
    said = (
        f"log loss {difference.difference:+.4f} ({difference.lower:+.4f} to {difference.upper:+.4f}) "
        f"on {difference.leads:,} leads"
    )
    if difference.upper < 0:
        return Verdict("promote", f"better: {said}", figures)
    if difference.lower > 0:
        return Verdict("keep", f"worse: {said}", figures)
    more = outcomes_needed(difference)
    figures["more_leads_needed"] = more
    wanted = (
        "no number of outcomes would decide"
        if more is None
        else f"about {more:,} more would decide"
    )
    return Verdict("undecided", f"no difference beyond noise: {said}; {wanted}", figures)


def promote(
    workspace: Workspace,
    name: str,
    *,
    now: int,
    by: str,
    force: str | None = None,
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
    carry_out(workspace, digest, verdict, present, now=now, by=by, on_warning=on_warning)
    return verdict


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
    workspace: Workspace, *, now: int, by: str, reason: str, on_warning: Callable[[str], None]
) -> str:
    """Make the previous champion score again; returns its digest.

    Raises:
        NotFoundError: there is no earlier champion.
        BundleError: its bundle is missing or altered; the champion is untouched.
    """
    registry = workspace.registry
    digest = registry.previous()
    registry.decide(
        DecisionRecord(
            decided_at=now,
            decision="roll_back",
            bundle=digest,
            against=registry.champion_digest(),
            decided_by=by,
            reason=reason,
            evidence={},
        )
    )
    mirror(workspace, on_warning)
    return digest


def mirror(workspace: Workspace, on_warning: Callable[[str], None]) -> None:
    """Bring MLflow's aliases in line with our decisions; a warning when it cannot be reached."""
    from training.tracking import TrackingError, mirror_aliases

    champion = workspace.registry.champion_digest()
    if champion is None:
        return
    try:
        previous = workspace.registry.find("previous")
    except NotFoundError:
        previous = None
    try:
        mirror_aliases(workspace.mlflow_uri, champion, previous)
    except TrackingError as error:
        on_warning(f"MLflow's aliases were not moved ({error}); the decision itself is recorded")


def paired_verdict(workspace: Workspace, digest: str, present: str | None, seed: int) -> Verdict:
    """What the evidence says about a model against another, or against none."""
    if present is None:
        return Verdict("promote", "the first model: there is no champion to compare with", {})
    challenger, champion = workspace.registry.load(digest), workspace.registry.load(present)
    unseen = unseen_rows(workspace, challenger, champion)
    if unseen is None:
        return Verdict("undecided", f"undecided: {_why_nothing_compares(challenger, champion)}", {})
    rows = unseen.dataset
    verdict = compare(
        challenger.score(rows.frame).probability,
        champion.score(rows.frame).probability,
        rows.y,
        rows.lead,
        seed,
        unseen.weight,
    )
    evidence = {**verdict.evidence, "from": iso(int(rows.as_of.min()))}
    return Verdict(verdict.decision, verdict.reason, evidence)


def _why_nothing_compares(challenger: PropensityModel, champion: PropensityModel) -> str:
    if challenger.definition.hash != champion.definition.hash:
        return (
            "the two were learned with different lead definitions and share no rows to be compared "
            "on; a person has to decide, with --force and the reason"
        )
    if None in (challenger.about["judged"]["bounds"], champion.about["judged"]["bounds"]):
        return (
            "without dates each has learned from all rows, so none is left to compare them on; a "
            "person has to decide, with --force and the reason"
        )
    return "there are no matured rows that neither model has learned from"


def unseen_rows(workspace: Workspace, *models: PropensityModel) -> Unseen | None:
    """The matured rows that none of these models has learned from; None when there are none.

    Neither its booster nor its calibrator: rows that a calibration was fitted on are seen too.
    """
    rows = rows_after_boosters(workspace, *models)
    if rows is None:
        return None
    since = max(calibrated_through(model) for model in models)
    newer = np.flatnonzero(rows.dataset.as_of > since)
    return rows.take(newer) if len(newer) else None


def rows_after_boosters(workspace: Workspace, *models: PropensityModel) -> Unseen | None:
    """The matured rows that no booster of these models has learned from; None when there are none.

    Models without time, or with another lead definition than the first, share no such rows.
    """
    definition = models[0].definition
    limits = [model.about["judged"]["bounds"] for model in models]
    if None in limits or len({model.definition.hash for model in models}) != 1:
        return None
    dataset = matured_rows(workspace, definition)
    bounds = [Bounds(**limit) for limit in limits]
    weight = _standing_for(dataset, bounds)
    rows = np.flatnonzero(weight > 0)
    return Unseen(dataset.take(rows), weight[rows]) if len(rows) else None


def _standing_for(dataset: Dataset, bounds: list[Bounds]) -> Floats:
    """One over each row's chance to judge all these models, shape (n,); 0 where it does not.

    With one seed a lead that judges the model which is harder to judge judges the others too, so the
    chances are nested; with several they are independent.
    """
    by_seed: dict[int, Floats] = {}
    for bound in bounds:
        judge, one = pieces(dataset, bound)[2], np.zeros(len(dataset))
        one[judge.rows] = judge.weight
        other = by_seed.get(bound.seed, one)
        by_seed[bound.seed] = np.where((one > 0) & (other > 0), np.maximum(one, other), 0.0)
    return np.asarray(np.prod(list(by_seed.values()), axis=0), dtype=np.float64)


def calibrated_through(model: PropensityModel) -> int:
    """The last as-of that a *re*calibration of the model has learned from; far back without one."""
    return int(model.about["calibration"].get("through_instant", np.iinfo(np.int64).min))


def matured_rows(workspace: Workspace, definition: Definition) -> Dataset:
    """All rows whose outcome is known by the newest deal there is.

    Raises:
        NotEnoughEvidenceError: there are no deals, or no row has matured.
    """
    cutoff = newest_cutoff(workspace.store)
    config = TrainConfig()
    dataset = build_dataset(
        workspace.store, definition, cutoff, most_leads=config.most_leads, seed=config.seed
    )
    return known_outcomes(dataset)
