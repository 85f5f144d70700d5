"""Do the scores that we show still come true, and if not, what should be done?

Read from the ledger and the outcomes alone, never from training's rows: what was shown is judged.
Nothing is written here: `training.loop.reports.keep` puts what was found into the database, where the
pages read it. The same ledger, outcomes and instant give the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from features.clock import iso
from features.store.outcomes import newest_deal
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.intervals import Interval, plain
from training.loop.alarms import Watch, watch
from training.loop.judgement import (
    SURE,
    Action,
    Market,
    Order,
    Verdict,
    decide,
    level_of,
    order_of,
    rate_of,
)
from training.loop.line import Line, line_of_champion
from training.loop.logged import WEEK, Logged, one_at_a_time, read_logged, whole_weeks
from training.unseen import as_trained, calibrated_through, wait_of

__all__ = ["Action", "Alarm", "Monitoring", "Verdict", "monitor"]

RECENT = 26 * WEEK
"""Order and market are asked of the matured scores of so long; fewer outcomes say too little."""

LONGEST = 4 * RECENT
"""Older matured scores than this are not read: two years."""


@dataclass(frozen=True)
class Alarm:
    """The alarm of the champion's probabilities.

    Attributes:
        is_raised: whether it ever reached the threshold; it stays raised until the calibration changes.
        since: the end of the week whose outcomes raised it, an instant; None while it is not.
        e_value: where it stands; 0 before any outcome.
        threshold: what raises it.
        bundle: digest of the champion it speaks of; empty without one.
    """

    is_raised: bool
    since: int | None
    e_value: float
    threshold: float
    bundle: str

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "is_raised": self.is_raised,
            "since": None if self.since is None else iso(self.since),
            "e_value": self.e_value,
            "threshold": self.threshold,
            "bundle": self.bundle,
        }


@dataclass(frozen=True)
class Monitoring:
    """What the ledger and the outcomes say at an instant.

    Attributes:
        now: the instant.
        through: nothing recorded at or after this instant was looked at: just after the newest deal.
        verdict: what to do.
        alarm: whether the probabilities have stopped coming true.
        report: everything for people, as JSON values.
    """

    now: int
    through: int | None
    verdict: Verdict
    alarm: Alarm
    report: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain data; figures that are not finite are null."""
        return {
            "now": iso(self.now),
            "through": None if self.through is None else iso(self.through),
            "verdict": plain_json(self.verdict.to_json()),
            "alarm": self.alarm.to_json(),
            **self.report,
        }


def plain_json(content: Any) -> Any:
    """Mappings and lists of plain values; what is not finite becomes None."""
    if isinstance(content, dict):
        return {str(key): plain_json(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain_json(value) for value in content]
    return plain(content)


def monitor(workspace: Workspace, *, now: int, seed: int = 0) -> Monitoring:
    """Compare the scores that were shown with what came of them, and say what to do.

    Args:
        workspace: the installation; it is only read.
        now: the present instant; deals recorded later are not known, scores given later not shown.
        seed: of what is drawn.

    Raises:
        BundleError: the champion's bundle is missing or altered.
    """
    with workspace.store.read() as connection:
        line, newest = line_of_champion(connection), newest_deal(connection)
    if line is None:
        return _nothing_yet(now, "No model is promoted yet: `propensity train` makes one.")
    model = workspace.registry.read(line.champion)
    if newest is None:
        return _nothing_yet(now, "No deal has been recorded yet.", line.champion)
    if model.definition.horizon_days is None:
        why = "The promise has no horizon, so no week of scores ever matures as a whole."
        return _nothing_yet(now, why, line.champion)
    cutoff, wait = min(now, newest + 1), wait_of(model)
    rows = read_logged(
        workspace.store,
        model.definition,
        line.bundles,
        since=max(line.since, cutoff - wait - LONGEST),
        cutoff=cutoff,
        before=now,
    )
    return _judged(model, line, rows, now, cutoff, wait)


def _nothing_yet(now: int, why: str, champion: str = "") -> Monitoring:
    nothing = watch([], [], [])
    alarm = Alarm(False, None, 0.0, nothing.threshold, champion)
    return Monitoring(now, None, Verdict("wait", why), alarm)


def _judged(
    model: PropensityModel, line: Line, rows: Logged, now: int, cutoff: int, wait: int
) -> Monitoring:
    said = model.calibrator.apply(rows.raw)
    own = rows.as_of > calibrated_through(model)
    counts = own & whole_weeks(rows, wait, cutoff)
    watched = np.flatnonzero(counts)[one_at_a_time(rows.take(counts), wait)]
    state = watch(said[watched], rows.y[watched], rows.week[watched])
    mine = np.flatnonzero(own & (rows.y >= 0))
    level = level_of(said[mine], rows.y[mine], rows.lead[mine])
    newest = np.flatnonzero((rows.y >= 0) & (rows.as_of >= cutoff - wait - RECENT))
    verdict = decide(state, level, _order(model, rows.take(newest)), _market(rows, newest))
    return Monitoring(now, cutoff, verdict, _alarm(state, line.champion, wait))


def _alarm(state: Watch, champion: str, wait: int) -> Alarm:
    week = state.raised_in
    since = None if week is None else (week + 1) * WEEK + wait
    return Alarm(since is not None, since, state.e_value, state.threshold, champion)


def _order(model: PropensityModel, newest: Logged) -> Order | None:
    judged = model.about.get("judged_when_trained", model.about["judged"])["figures"]
    promised = None if judged is None else Interval(**judged["auc"])
    meant = as_trained(model).apply(newest.raw)
    return order_of(newest.raw, meant, newest.y, newest.lead, promised)


def _market(rows: Logged, newest: np.ndarray[Any, Any]) -> Market | None:
    """The newer half of the recent scores' time beside everything matured before it."""
    known = np.flatnonzero(rows.y >= 0)
    if not len(newest):
        return None
    cut = int(rows.as_of[newest].max()) - RECENT // 2
    now, before = known[rows.as_of[known] >= cut], known[rows.as_of[known] < cut]
    if not len(before):
        return None
    return Market(
        rate_of(rows.y[now], rows.lead[now], SURE), rate_of(rows.y[before], rows.lead[before], SURE)
    )
