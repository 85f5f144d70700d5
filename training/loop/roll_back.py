"""Was the last promotion a mistake? Only where an alarm says so in time, and the one before was better.

An alarm alone proves no mistake: when the world moves, every model alarms. Rolled back is a model on
probation whose predecessor, as it would say now, is better on the same matured leads scored since the
promotion. Otherwise the level has moved for both, and recalibration is the answer.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.clock import days
from features.errors import NotFoundError
from features.store.promotions import DecisionRecord, list_decisions
from models.workspace import Workspace
from training.loop.policy import Policy
from training.loop.retrain import Warn
from training.promote import paired_verdict
from training.promote import roll_back as back
from training.unseen import wait_of
from training.verdicts import Verdict


@dataclass(frozen=True)
class RolledBack:
    """Which model had to go, which one scores again, and what the evidence was."""

    gone: str
    champion: str
    verdict: Verdict


def roll_back_if_worse(
    workspace: Workspace,
    alarm: dict[str, Any],
    *,
    now: int,
    by: str,
    seed: int,
    policy: Policy,
    warn: Warn,
) -> RolledBack | None:
    """Bring the previous champion back where the evidence wants it; None where it does not.

    Args:
        workspace: the installation.
        alarm: what was raised, as plain content; it is recorded with the decision.
        now: the present instant.
        by: who asks.
        seed: of the resampling.
        policy: how long a promoted model is on probation.
        warn: told when MLflow could not be reached.
    """
    promoted = on_probation(workspace, now, policy)
    if promoted is None or promoted.against is None:
        return None
    try:
        earlier = workspace.registry.previous()
    except NotFoundError:
        return None
    verdict = paired_verdict(workspace, earlier, promoted.bundle, seed, since=promoted.decided_at)
    if verdict.decision != "promote":
        return None
    reason = f"an alarm, and the model before is better: {verdict.reason}"
    evidence = {**verdict.evidence, "alarm": alarm}
    champion = back(
        workspace,
        now=now,
        by=by,
        reason=reason,
        on_warning=warn,
        bad=promoted.bundle,
        evidence=evidence,
    )
    report(workspace, champion, "roll_back", reason, evidence, warn)
    return RolledBack(promoted.bundle, champion, verdict)


def on_probation(workspace: Workspace, now: int, policy: Policy) -> DecisionRecord | None:
    """The promotion of the present champion, while it may be taken back; None afterwards."""
    champion = workspace.registry.champion()
    with workspace.store.read() as connection:
        promotions = [
            decision
            for decision in list_decisions(connection)
            if decision.decision == "promote" and decision.bundle == champion.digest
        ]
    if not promotions:
        return None
    over = promotions[-1].decided_at + wait_of(champion) + days(policy.probation_days)
    return promotions[-1] if now < over else None


def report(
    workspace: Workspace,
    digest: str,
    decision: str,
    reason: str,
    evidence: dict[str, Any],
    warn: Warn,
) -> None:
    """Mirror a decision to MLflow with what it rests on; a warning when MLflow cannot be reached."""
    if not workspace.is_catalogued:
        return
    # MLflow takes seconds to import and is only needed here.
    from training.tracking import TrackingError, log_decision

    content = {"model": digest, "decision": decision, "reason": reason, "evidence": evidence}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "decision.json"
        path.write_text(json.dumps(content, indent=2), encoding="utf-8")
        artifacts = workspace.data_dir / "mlartifacts"
        try:
            log_decision(
                workspace.mlflow_uri, artifacts, digest, decision, reason=reason, report=path
            )
        except TrackingError as error:
            warn(f"the decision is recorded, but not in MLflow ({error})")
