"""Do the scores that we show still come true, and if not, what should be done?

Read from the ledger and the outcomes alone, never from training's rows: what was shown is judged.
Nothing is written here: `training.loop.reports` makes the whole report and puts it into the database,
where the pages read it. The same ledger, outcomes and instant give the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import iso
from features.store.outcomes import newest_deal
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.intervals import Interval, plain
from training.loop.alarms import THRESHOLD, EDetector, e_detector
from training.loop.judgement import (
    SURE,
    Action,
    Advice,
    Market,
    Order,
    advise,
    level_of,
    order_of,
    rate_of,
)
from training.loop.line import Line, line_of_champion
from training.loop.logged import WEEK, Logged, one_at_a_time, read_logged, whole_weeks
from training.unseen import as_trained, calibrated_at, calibrated_through, wait_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

__all__ = [
    "Action",
    "Advice",
    "Alarm",
    "Ground",
    "Groundless",
    "Monitoring",
    "ground_of",
    "judged",
    "monitor",
]

RECENT = 26 * WEEK
"""Order and market are asked of the matured scores of so long; fewer outcomes say too little."""

LONGEST = 4 * RECENT
"""Older matured scores than this are not read: two years."""


@dataclass(frozen=True)
class Alarm:
    """The alarm of the champion's probabilities.

    Attributes:
        is_raised: whether it ever reached the threshold; it stays raised until the calibration changes.
        since: when the week that raised it had matured, an instant; None while it is not.
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
    verdict: Advice
    alarm: Alarm
    report: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain data; figures that are not finite are null."""
        return {
            "now": iso(self.now),
            "through": None if self.through is None else iso(self.through),
            "verdict": plain_json(self.verdict.to_json()),
            "alarm": self.alarm.to_json(),
            **plain_json(self.report),
        }


def plain_json(content: Any) -> Any:
    """Mappings and lists of plain values; what is not finite becomes None."""
    if isinstance(content, dict):
        return {str(key): plain_json(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [plain_json(value) for value in content]
    return plain(content)


@dataclass(frozen=True)
class Ground:
    """What a verdict is built on.

    Attributes:
        model: the champion.
        line: its booster with all of its calibrations.
        rows: of each lead and week the score the line showed first, matured or not.
        now: the instant that is asked about.
        cutoff: nothing recorded at or after it is known.
        wait: after how long an outcome is known, in microseconds.
    """

    model: PropensityModel
    line: Line
    rows: Logged
    now: int
    cutoff: int
    wait: int

    @cached_property
    def said(self) -> Floats:
        """What the champion says of each row's raw score, shape (n,)."""
        return self.model.calibrator.apply(self.rows.raw)

    @cached_property
    def own(self) -> Mask:
        """Which rows have an outcome that the champion's calibration cannot know, shape (n,).

        Rows after the newest it has learned from, of leads that had no row until then, or from the
        instant on at which it was made: else the deal may be that of an earlier row.
        """
        rows, through = self.rows, calibrated_through(self.model)
        strangers = rows.known_since >= through
        later = rows.as_of >= calibrated_at(self.model)
        return np.asarray((rows.as_of > through) & (strangers | later))

    @cached_property
    def watched(self) -> Ints:
        """The rows that the alarm counts: whole matured weeks, each lead once at a time."""
        counts = np.flatnonzero(self.own & whole_weeks(self.rows, self.wait, self.cutoff))
        return counts[one_at_a_time(self.rows.take(counts), self.wait)]

    @cached_property
    def detector(self) -> EDetector:
        """The alarm of all scores."""
        here = self.watched
        return e_detector(self.said[here], self.rows.y[here], self.rows.week[here])

    @cached_property
    def recent(self) -> Ints:
        """The matured rows of the newest half year that has matured."""
        newest = self.cutoff - self.wait - RECENT
        return np.flatnonzero((self.rows.y >= 0) & (self.rows.as_of >= newest))


@dataclass(frozen=True, slots=True)
class Groundless:
    """There is nothing to build a verdict on: why, in a sentence, and the champion, if there is one."""

    why: str
    champion: str = ""


def monitor(workspace: Workspace, *, now: int) -> Monitoring:
    """Compare the scores that were shown with what came of them, and say what to do.

    Args:
        workspace: the installation; it is only read.
        now: the present instant; deals recorded later are not known, scores given later not shown.

    Raises:
        BundleError: the champion's bundle is missing or altered.
    """
    return judged(ground_of(workspace, now), now)


def ground_of(workspace: Workspace, now: int) -> Ground | Groundless:
    """What a verdict can be built on at an instant; else why there is nothing."""
    with workspace.store.read() as connection:
        line, newest = line_of_champion(connection), newest_deal(connection)
    if line is None:
        return Groundless("No model is promoted yet: `propensity train` makes one.")
    if newest is None:
        why = "No deal has been recorded yet: `propensity import` brings them in."
        return Groundless(why, line.champion)
    model = workspace.registry.read(line.champion)
    if model.definition.horizon_days is None:
        why = "The promise has no horizon, so no week of scores ever matures as a whole."
        return Groundless(why, line.champion)
    cutoff, wait = min(now, newest + 1), wait_of(model)
    rows = read_logged(
        workspace.store,
        model.definition,
        line.bundles,
        since=max(line.since, read_since(cutoff, wait)),
        cutoff=cutoff,
        before=now,
    )
    return Ground(model, line, rows, now, cutoff, wait)


def read_since(cutoff: int, wait: int) -> int:
    """From when on scores are read: always a whole week, whatever the hour of the look."""
    return (cutoff - wait - LONGEST) // WEEK * WEEK


def judged(ground: Ground | Groundless, now: int) -> Monitoring:
    """The verdict and the alarm that a ground gives; without one the verdict is to wait."""
    if isinstance(ground, Groundless):
        alarm = Alarm(False, None, 0.0, THRESHOLD, ground.champion)
        return Monitoring(now, None, Advice("wait", ground.why), alarm)
    rows, mine = ground.rows, np.flatnonzero(ground.own & (ground.rows.y >= 0))
    level = level_of(ground.said[mine], rows.y[mine], rows.lead[mine])
    order, market = _order(ground.model, rows.take(ground.recent)), _market(rows, ground.recent)
    verdict = advise(ground.detector, level, order, market)
    alarm = _alarm(ground.detector, ground.line.champion, ground.wait)
    return Monitoring(now, ground.cutoff, verdict, alarm)


def _alarm(state: EDetector, champion: str, wait: int) -> Alarm:
    week = state.raised_in
    since = None if week is None else (week + 1) * WEEK + wait
    return Alarm(since is not None, since, state.e_value, state.threshold, champion)


def _order(model: PropensityModel, newest: Logged) -> Order | None:
    trained = model.about.get("judged_when_trained", model.about["judged"])["figures"]
    promised = None if trained is None else Interval(**trained["auc"])
    meant = as_trained(model).apply(newest.raw)
    return order_of(newest.raw, meant, newest.y, newest.lead, promised)


def _market(rows: Logged, newest: Ints) -> Market | None:
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
