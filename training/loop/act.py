"""What is to be done? One look: monitor, then roll back, promote, retrain, recalibrate or nothing.

Evidence decides, not the calendar: this may run every night or every hour, and does nothing until
outcomes say something new. At most one other model comes into force in a look, with a calibration that
follows the newest outcomes, and none while the last one is fresh; only a roll-back does not wait. Every
decision is in our database before anything follows from it, and then in MLflow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from features.clock import days, iso
from features.errors import LeakageError, NotEnoughEvidenceError
from features.store.outcomes import count_deals
from features.store.promotions import list_bundles, list_decisions
from models.workspace import Workspace
from training.config import TrainConfig
from training.loop.policy import Policy
from training.loop.retrain import Decided, newest_trained, reconsider, retrain
from training.loop.roll_back import report, roll_back_if_worse
from training.recalibrate import Recalibrated, recalibrate

Warn = Callable[[str], None]


class Advice(Protocol):
    """What a monitor says is to be done, with its evidence."""

    @property
    def action(self) -> str:
        """`nothing`, `recalibrate`, `retrain`, `look_at_market` or `wait`."""

    @property
    def reason(self) -> str:
        """Why, in a sentence."""


class Alarm(Protocol):
    """Whether the scores as shown have stopped coming true, at any time it is looked at."""

    @property
    def is_raised(self) -> bool:
        """Whether it is."""


class Seen(Protocol):
    """What a look at the scores as shown finds."""

    @property
    def verdict(self) -> Advice:
        """What is to be done."""

    @property
    def alarm(self) -> Alarm:
        """The alarm of the champion."""

    def to_json(self) -> dict[str, Any]:
        """As plain content."""


Monitor = Callable[[int], Seen]
"""Looks at the scores as shown, at an instant."""


@dataclass(frozen=True)
class Look:
    """What one look did.

    Attributes:
        action: what was done: `roll_back`, `reconsider`, `retrain`, `recalibrate` or `nothing`.
        reason: why, in a sentence.
        decision: what came of it: `promote`, `keep`, `undecided`; None where nothing was decided.
        champion: the digest of what scores now.
        advised: what the monitor advised; None before the first model.
    """

    action: str
    reason: str
    decision: str | None
    champion: str | None
    advised: str | None = None
    also: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain content."""
        return {
            "action": self.action,
            "reason": self.reason,
            "decision": self.decision,
            "champion": self.champion,
            "advised": self.advised,
            **self.also,
        }


@dataclass(frozen=True)
class Loop:
    """The loop of one installation.

    Attributes:
        workspace: the installation.
        watch: the monitor.
        by: who decides, as it is recorded.
        seed: of everything that is drawn.
        policy: when to look for evidence, and how often to change.
        config: the choices of a training.
        warn: told when MLflow could not be reached.
    """

    workspace: Workspace
    watch: Monitor
    by: str
    seed: int = 0
    policy: Policy = field(default_factory=Policy)
    config: TrainConfig | None = None
    warn: Warn = lambda _: None

    def look(self, now: int) -> Look:
        """Look once, and act on what is seen.

        Args:
            now: the present instant.

        Raises:
            NotEnoughEvidenceError: there is no model yet, and too few outcomes to make one.
        """
        if self.workspace.registry.champion_digest() is None:
            return self._first(now)
        seen = self.watch(now)
        advised = seen.verdict.action
        if seen.alarm.is_raised and (gone := self._rolled_back(now, seen)) is not None:
            return gone
        if (rested := self._rests_until(now)) is not None:
            return self._nothing(f"a model came into force lately; at rest until {rested}", advised)
        try:
            return self._advanced(now, seen)
        except LeakageError:
            # Whoever mends the column has the error; until then the level goes on being followed.
            self._kept_level(now, seen)
            raise

    def _advanced(self, now: int, seen: Seen) -> Look:
        """Look for a better model, and where there is none keep the level of this one."""
        advised = seen.verdict.action
        shadow = self._reconsidered(now, advised)
        if shadow is not None and shadow.decision == "promote":
            return shadow
        if (why := self._why_retrain(now, seen)) is not None:
            return self._retrained(now, why, advised)
        return self._kept_level(now, seen) or shadow or self._nothing(seen.verdict.reason, advised)

    def _kept_level(self, now: int, seen: Seen) -> Look | None:
        """Recalibrate where that is advised, or newer outcomes have come."""
        if seen.verdict.action == "recalibrate" or self._has_fresh_outcomes(now):
            return self._recalibrated(now, seen)
        return None

    def _first(self, now: int) -> Look:
        """Make a first model, or ask again whether the one there is has become better than none."""
        newest = newest_trained(self.workspace)
        if newest is None or now - newest.created_at >= days(self.policy.retrain_days):
            return self._retrained(now, "there is no model yet", None)
        again = self._reconsidered(now, None)
        return again or self._said("nothing", "no model is better than none yet", None, None, {})

    def _rolled_back(self, now: int, seen: Seen) -> Look | None:
        found = roll_back_if_worse(
            self.workspace,
            {"raised": True, "verdict": seen.verdict.reason},
            now=now,
            by=self.by,
            seed=self.seed,
            policy=self.policy,
            warn=self.warn,
        )
        if found is None:
            return None
        return Look(
            "roll_back",
            f"an alarm, and the model before is better: {found.verdict.reason}",
            "roll_back",
            found.champion,
            seen.verdict.action,
            {"gone": found.gone},
        )

    def _reconsidered(self, now: int, advised: str | None) -> Look | None:
        found = reconsider(
            self.workspace,
            now=now,
            by=self.by,
            seed=self.seed,
            growth=self.policy.look_again,
            warn=self.warn,
        )
        if not found:
            return None
        return self._after("reconsider", found[-1], "more evidence on a challenger", now, advised)

    def _retrained(self, now: int, why: str, advised: str | None) -> Look:
        done = retrain(
            self.workspace,
            now=now,
            by=self.by,
            seed=self.seed,
            config=self.config,
            warn=self.warn,
        )
        return self._after("retrain", done, why, now, advised)

    def _after(self, action: str, done: Decided, why: str, now: int, advised: str | None) -> Look:
        """Tell MLflow, and let a model that has just come into force follow the newest outcomes."""
        verdict = done.verdict
        evidence = {**verdict.evidence, "why": why}
        report(self.workspace, done.digest, verdict.decision, verdict.reason, evidence, self.warn)
        also: dict[str, Any] = {"model": done.digest}
        if verdict.decision == "promote":
            also["recalibrated"] = self._followed(now)
        return self._said(action, f"{why}: {verdict.reason}", verdict.decision, advised, also)

    def _followed(self, now: int) -> str:
        try:
            return self._recalibrate(now).verdict.decision
        except NotEnoughEvidenceError as error:
            return f"waits: {error.message}"

    def _recalibrated(self, now: int, seen: Seen) -> Look:
        advised = seen.verdict.action
        try:
            done = self._recalibrate(now)
        except NotEnoughEvidenceError as error:
            return self._nothing(error.message, advised)
        also = {"model": done.digest, "calibration": done.calibration.name}
        return self._said("recalibrate", done.verdict.reason, done.verdict.decision, advised, also)

    def _recalibrate(self, now: int) -> Recalibrated:
        """Let the champion follow the newest outcomes, if that pays, and tell MLflow."""
        done = recalibrate(
            self.workspace, now=now, by=self.by, seed=self.seed, follow=True, warn=self.warn
        )
        said = done.verdict
        report(self.workspace, done.digest, said.decision, said.reason, said.evidence, self.warn)
        return done

    def _nothing(self, reason: str, advised: str) -> Look:
        return self._said("nothing", reason, None, advised, {})

    def _said(
        self,
        action: str,
        reason: str,
        decision: str | None,
        advised: str | None,
        also: dict[str, Any],
    ) -> Look:
        champion = self.workspace.registry.champion_digest()
        return Look(action, reason, decision, champion, advised, also)

    def _rests_until(self, now: int) -> str | None:
        """Until when nothing may be changed; None: it may."""
        with self.workspace.store.read() as connection:
            changes = [
                decision.decided_at
                for decision in list_decisions(connection)
                if decision.decision in ("promote", "roll_back")
            ]
        until = max(changes, default=now) + days(self.policy.rest_days)
        return iso(until) if changes and now < until else None

    def _why_retrain(self, now: int, seen: Seen) -> str | None:
        """Why another training may find something: the monitor says so, or there is much more."""
        newest = newest_trained(self.workspace)
        if newest is None or now - newest.created_at < days(self.policy.retrain_days):
            return None
        if seen.verdict.action == "retrain":
            return seen.verdict.reason
        grown = self._growth(newest.created_at, now)
        if grown < self.policy.more_outcomes:
            return None
        return f"{grown:.0%} more deals have closed since the newest model was trained"

    def _growth(self, since: int, now: int) -> float:
        with self.workspace.store.read() as connection:
            then, by_now = count_deals(connection, since), count_deals(connection, now)
        return (by_now - then) / max(then, 1)

    def _has_fresh_outcomes(self, now: int) -> bool:
        """Whether enough deals were recorded since a calibration was tried last."""
        with self.workspace.store.read() as connection:
            tried = max((one.created_at for one in list_bundles(connection)), default=now)
            fresh = count_deals(connection, now) - count_deals(connection, tried)
        waited = now - tried >= days(self.policy.try_days)
        return waited and fresh >= self.policy.fresh_outcomes and self._has_matured(tried, now)

    def _has_matured(self, since: int, now: int) -> bool:
        """Whether the horizon of another cohort has passed; cohorts mature as a whole."""
        definition = self.workspace.definition()
        if definition.cohorts.every_days is None:
            return True
        wait, every = definition.outcome_wait, days(definition.cohorts.every_days)
        return (now - wait) // every > (since - wait) // every
