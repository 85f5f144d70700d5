"""Is there a better model by now? A challenger is trained, and promoted, dropped, or left as a shadow.

An undecided challenger goes on as a shadow: the step that renews the queue scores it beside the
champion, and the outcomes of its scores decide. A training that was killed after its bundle was known
is not done again; the bundle it left is decided about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from features.clock import days
from features.store.promotions import (
    BundleRecord,
    DecisionRecord,
    list_bundles,
    list_decisions,
    settled,
)
from features.store.shadows import undecided
from models.workspace import Workspace
from training.config import TrainConfig
from training.intervals import normal_quantile
from training.loop.challengers import REBUILT, challenger_verdict
from training.promote import put_in_force
from training.run import Watching, train
from training.verdicts import Verdict, stands_at

LEFT_OVER_DAYS = 1.0
"""A bundle younger than this about which nothing was decided was left by a training that was killed."""

AGAIN = 0.99
"""What a promotion at a second look needs: at 95 % ten looks at equals would promote one in ten.
For the same reason it is what a successor must be worse by to be kept from succeeding."""

Warn = Callable[[str], None]


@dataclass(frozen=True)
class Decided:
    """What was decided about a challenger."""

    digest: str
    verdict: Verdict


def retrain(
    workspace: Workspace,
    *,
    now: int,
    by: str,
    seed: int = 0,
    config: TrainConfig | None = None,
    warn: Warn = lambda _: None,
) -> Decided:
    """Train a challenger on all matured outcomes, and decide about it.

    Args:
        workspace: the installation.
        now: the present instant.
        by: who asks.
        seed: of everything that is drawn.
        config: the choices of the training; its seed is the one given here.
        warn: told when MLflow could not be reached.

    Raises:
        NotEnoughEvidenceError: too few outcomes, or too short a history.
        LeakageError: a column knows the outcome.
    """
    left = _left_over(workspace, now)
    if left is None:
        chosen = replace(config or TrainConfig(), seed=seed)
        left = train(workspace, chosen, now=now, watching=Watching(warn=warn)).digest
    return decide(workspace, left, now=now, by=by, seed=seed, warn=warn)


def decide(
    workspace: Workspace, digest: str, *, now: int, by: str, seed: int, warn: Warn
) -> Decided:
    """Decide about a challenger by the evidence there is, and carry it out.

    Raises:
        BundleError: the model failed its trial; the champion is untouched.
        ConflictError: another model was promoted in the meantime.
    """
    present = workspace.registry.champion_digest()
    verdict = challenger_verdict(workspace, digest, present, now=now, seed=seed)
    if present is not None:
        verdict = succession(verdict)
    return Decided(
        *put_in_force(workspace, digest, verdict, present, now=now, by=by, on_warning=warn)
    )


def succession(verdict: Verdict) -> Verdict:
    """Let a challenger succeed a champion when it is no worse: it has learned from more outcomes.

    What it has over the champion is only part of what it will have once it is fitted on all rows: that
    it must be better beyond noise would be asked of the wrong model (docs/decisions/0037). One that is
    worse at 99 %, or spoils something (`training.guards`), or has too few outcomes to be compared, does
    not.
    """
    found = verdict.evidence
    if verdict.decision == "promote" or "difference" not in found or found.get("objections"):
        return verdict
    if found["difference"] > normal_quantile(AGAIN) * found["standard_error"]:
        return verdict
    compared = verdict.reason.removeprefix("undecided: ")
    reason = f"not surely worse, and it has learned from more: {compared}"
    return Verdict("promote", reason, found)


def reconsider(
    workspace: Workspace, *, now: int, by: str, seed: int, growth: float, warn: Warn
) -> list[Decided]:
    """Decide again about shadows whose evidence has grown by `growth`; ends with a promotion.

    Looking again at the same evidence would only be another chance for luck: below the growth nothing
    is recorded, whatever the figures say.
    """
    with workspace.store.read() as connection:
        shadows = undecided(connection)
        last = {decision.bundle: decision for decision in list_decisions(connection)}
    found: list[Decided] = []
    for digest in shadows:
        present = workspace.registry.champion_digest()
        verdict = challenger_verdict(workspace, digest, present, now=now, seed=seed)
        before = _leads_before(last[digest], verdict)
        if verdict.evidence.get("leads", 0) < (1 + growth) * max(before, 1):
            continue
        verdict = _looked_again(verdict)
        done = put_in_force(workspace, digest, verdict, present, now=now, by=by, on_warning=warn)
        found.append(Decided(*done))
        if verdict.decision == "promote":
            break
    return found


def _looked_again(verdict: Verdict) -> Verdict:
    if verdict.decision != "promote" or stands_at(verdict, AGAIN):
        return verdict
    reason = f"undecided: at a second look {AGAIN:.0%} is asked; {verdict.reason}"
    return Verdict("undecided", reason, verdict.evidence)


def _leads_before(last: DecisionRecord, verdict: Verdict) -> int:
    """How many leads the last decision rested on; 0 where evidence of another kind speaks now."""
    kind = last.evidence.get("rows_from", REBUILT)
    return int(last.evidence.get("leads", 0)) if verdict.evidence.get("rows_from") == kind else 0


def newest_trained(workspace: Workspace) -> BundleRecord | None:
    """The newest bundle that came out of a training; None before the first."""
    with workspace.store.read() as connection:
        trained = [bundle for bundle in list_bundles(connection) if bundle.origin == "train"]
    return trained[0] if trained else None


def _left_over(workspace: Workspace, now: int) -> str | None:
    newest = newest_trained(workspace)
    if newest is None or now - newest.created_at >= days(LEFT_OVER_DAYS):
        return None
    with workspace.store.read() as connection:
        decided = {decision.bundle for decision in list_decisions(connection)}
        decided |= settled(connection)
    return None if newest.digest in decided else newest.digest
