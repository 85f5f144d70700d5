"""Was the last promotion a mistake? Only where an alarm says so in time, and the one before was better.

An alarm alone proves no mistake: when the world moves, every model alarms. Rolled back is a model on
probation whose predecessor, as it would say now, is better on the same matured leads scored since the
promotion. Otherwise the level has moved for both, and recalibration is the answer, as it is where only a
calibration was promoted: a new one knows more than an old one.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.clock import days
from features.store.engine import Connection
from features.store.promotions import line_of_champions
from models.workspace import Workspace
from training.loop.line import Line, line_of_champion
from training.loop.policy import Policy
from training.loop.retrain import Warn
from training.promote import paired_verdict
from training.promote import roll_back as back
from training.unseen import wait_of
from training.verdicts import Verdict, stands_at

SURE = 0.998
"""As the monitor's own tests: it is asked at every look while the alarm stands."""


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
    with workspace.store.read() as connection:
        line, earlier = line_of_champion(connection), before_the_line(connection)
    if line is None or earlier is None or not is_on_probation(workspace, line, now, policy):
        return None
    verdict = paired_verdict(workspace, earlier, line.champion, seed, since=line.since)
    if not stands_at(verdict, SURE):
        return None
    reason = f"an alarm, and the model before is better: {verdict.reason}"
    evidence = {**verdict.evidence, "alarm": alarm}
    champion = line.champion
    while champion in line.bundles:
        # Killed in between, the next look goes on: what scores then is still of this line.
        champion = back(
            workspace,
            now=now,
            by=by,
            reason=reason,
            on_warning=warn,
            bad=champion,
            evidence=evidence,
        )
    report(workspace, champion, "roll_back", reason, evidence, warn)
    return RolledBack(line.champion, champion, verdict)


def before_the_line(connection: Connection) -> str | None:
    """The last champion with another booster than the present one; None when there was none.

    A recalibration is not rolled back but made anew: the newest outcomes know more than an old one.
    """
    line = line_of_champion(connection)
    if line is None:
        return None
    others = [digest for digest in line_of_champions(connection) if digest not in line.bundles]
    return others[-1] if others else None


def is_on_probation(workspace: Workspace, line: Line, now: int, policy: Policy) -> bool:
    """Whether the champion's booster may still be taken back."""
    wait = wait_of(workspace.registry.read(line.champion))
    return now < line.since + wait + days(policy.probation_days)


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
