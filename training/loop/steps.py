"""Which steps are there, and what does each do? All that a schedule can name but the queue's scores.

Each is safe to repeat and to kill, and is done under a lease. Steps that make or choose models share
one: two of them never meet, whoever asked. The queue's step is the service's own work
(`serving.queue_step`); the command line puts it beside these.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from features.clock import DAY, to_datetime
from features.errors import ConflictError, SourceError
from features.store.backup import KEPT_DAILY, back_up, drop_old
from features.store.prune import prunable
from features.store.prune import prune as remove
from features.store.pull.config import read_sources
from features.store.pull.each import pull_each
from features.store.remembered import remember
from models.recompute import audit_scores
from models.workspace import Workspace
from training.config import TrainConfig
from training.loop.act import Loop
from training.loop.monitor import monitor
from training.loop.reports import keep, make_report
from training.loop.retrain import retrain
from training.loop.roll_back import report
from training.loop.worker import Said, Step
from training.recalibrate import recalibrate
from training.verdicts import Verdict

MODELS = "models"
"""The lease of every step that makes a model or chooses one."""

KEEP_DAYS = 400.0
"""Younger scores are not pruned: a year and the wait for its outcomes can be looked back on."""

AUDITED = 1_000
"""Scores computed anew each night: a fault in one of 300 is seen the same night, 96 times of 100."""


@dataclass(frozen=True)
class Crew:
    """Who runs steps of which installation.

    Attributes:
        workspace: the installation.
        by: who decides, as it is recorded.
        seed: of everything that is drawn.
        warn: told when MLflow could not be reached.
        config: the choices of its trainings.
    """

    workspace: Workspace
    by: str
    seed: int = 0
    warn: Callable[[str], None] = lambda _: None
    config: TrainConfig | None = None

    def steps(self, others: Mapping[str, Step] | None = None) -> dict[str, Step]:
        """All steps by name; `others` are those of other rooms, such as the queue's."""
        mine = (
            Step(
                "monitor", "monitor", "report on the scores as shown; change nothing", self._monitor
            ),
            Step("loop", MODELS, "look, and do what the evidence says", self._loop),
            Step("recalibrate", MODELS, "a new calibration, if outcomes say so", self._recalibrate),
            Step("retrain", MODELS, "a challenger, and a decision about it", self._retrain),
            Step(
                "outcomes", "outcomes", "fetch what closed since, from all sources", self._outcomes
            ),
            Step("audit", "audit", f"compute {AUDITED:,} logged scores anew", self._audit),
            Step("prune", "prune", f"remove renewals older than {KEEP_DAYS:g} days", self._prune),
            Step("backup", "backup", f"a copy a day; the last {KEPT_DAILY} stay", self._backup),
        )
        return {**(others or {}), **{step.name: step for step in mine}}

    def loop(self) -> Loop:
        """The loop with the real monitor."""
        return Loop(
            self.workspace,
            self._watch,
            self.by,
            seed=self.seed,
            config=self.config,
            warn=self.warn,
        )

    def _watch(self, now: int) -> Any:
        return monitor(self.workspace, now=now)

    def _monitor(self, now: int, _stop: Callable[[], bool]) -> Said:
        seen = make_report(self.workspace, now=now, seed=self.seed)
        keep(self.workspace, seen)
        return {"advised": seen.verdict.action, "reason": seen.verdict.reason}

    def _loop(self, now: int, _stop: Callable[[], bool]) -> Said:
        return self.loop().look(now).to_json()

    def _recalibrate(self, now: int, _stop: Callable[[], bool]) -> Said:
        done = recalibrate(self.workspace, now=now, by=self.by, seed=self.seed, warn=self.warn)
        return self._decided(done.digest, done.verdict)

    def _retrain(self, now: int, _stop: Callable[[], bool]) -> Said:
        done = retrain(
            self.workspace,
            now=now,
            by=self.by,
            seed=self.seed,
            config=self.config,
            warn=self.warn,
        )
        return self._decided(done.digest, done.verdict)

    def _decided(self, digest: str, verdict: Verdict) -> Said:
        """What was decided about a model, told to MLflow as what the loop decides is."""
        decision, reason = verdict.decision, verdict.reason
        report(self.workspace, digest, decision, reason, verdict.evidence, self.warn)
        return {"model": digest, "decision": decision, "reason": reason}

    def _outcomes(self, now: int, _stop: Callable[[], bool]) -> Said:
        """All sources of the installation; those that can be read are, whatever the others do."""
        place = self.workspace.sources_path
        if not place.exists():
            return {"skipped": f"there is no {place.name}; docs/sources.md shows one"}
        done = pull_each(
            self.workspace.store,
            read_sources(place).values(),
            os.environ,
            definition=self.workspace.definition(),
            now=now,
            holder=f"{self.by} {now}",
            lease_seconds=self.workspace.lease_seconds,
        )
        if done.failed:
            raise SourceError("; ".join(done.failed.values()))
        kept = ("source", "added", "waiting", "rejected")
        return {"pulled": [{key: one.to_json()[key] for key in kept} for one in done.pulled]}

    def _audit(self, now: int, _stop: Callable[[], bool]) -> Said:
        """Another sample each night; a score that comes out otherwise is a failure of the step."""
        found = audit_scores(self.workspace, now=now, n=AUDITED, seed=now // DAY)
        if not found.is_clean:
            raise ConflictError(
                f"of {found.sampled:,} scores {len(found.mismatched)} come out otherwise than they "
                f"were given; of all {found.scores:,} are {found.missing} "
                f"missing and {found.extra} not ours",
                hint="`propensity audit scores` names them, `propensity audit replay` explains one.",
            )
        kept = ("sampled", "rows_changed", "unreplayable")
        return {key: found.to_json()[key] for key in kept}

    def _prune(self, now: int, _stop: Callable[[], bool]) -> Said:
        condition = prunable(self.workspace.definition(), now, KEEP_DAYS)
        return {"removed": remove(self.workspace.store, condition)}

    def _backup(self, now: int, _stop: Callable[[], bool]) -> Said:
        """One a day (UTC); a copy that was killed is begun anew."""
        home = self.workspace.backups
        if not self.workspace.store.is_sqlite:
            remember(self.workspace.store, home)
            return {
                "skipped": "PostgreSQL is backed up by its own programs, see docs/operations.md"
            }
        place = home / f"{to_datetime(now):%Y-%m-%d}"
        unfinished = home / f".{place.name}"
        if place.exists():
            return {"place": str(place), "skipped": "there is one of today"}
        shutil.rmtree(unfinished, ignore_errors=True)
        size = back_up(self.workspace.store, self.workspace.definition_path, unfinished)
        try:
            unfinished.rename(place)
        except OSError as error:
            raise ConflictError(f"{place} cannot be made: {error.strerror}") from error
        removed = drop_old(home)
        remember(self.workspace.store, home)
        return {"place": str(place), "bytes": size, "removed": removed}
