"""What do marketing and sales bring to their meeting? Everything the monitor knows, as one JSON object.

What was shown is judged as it was shown, whichever model showed it; verdict and alarm are about the
model that scores now. The report is kept in the database, where the pages read it: serving may not
import what looks at outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import iso
from features.frames import Category
from features.store.engine import Connection
from features.store.history import newest_facts
from features.store.logged import scored_by_week
from features.store.promotions import BundleRecord, list_bundles, list_decisions
from features.store.reports import MONITOR, Report, record_report
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.intervals import OneClassError, plain
from training.loop.alarms import e_detector, segment_threshold
from training.loop.bands import bands_of, gains_of
from training.loop.drifting import drift_of
from training.loop.estimated import estimated, prior_shift
from training.loop.logged import WEEK, Logged, read_logged
from training.loop.monitor import (
    RECENT,
    Ground,
    Groundless,
    Monitoring,
    ground_of,
    judged,
    read_since,
)
from training.loop.periods import Outcomes, by_part, by_period
from training.loop.sections import sections
from training.metrics import cumulative_gain, reliability_bins
from training.segments import dimensions_of, scored_frame
from training.unseen import as_trained, calibrated_through
from training.wrong_where import where_wrong

Ints = NDArray[np.int64]
JSON = dict[str, Any]

MOST_ROWS = 10_000
"""Scores whose inputs are read to take them apart; with more a seeded sample."""

MOST_SEGMENTS = 20
"""Parts that have an alarm of their own: those with the most scores. Their number fixes the threshold,
however many there are."""

MOST_DECISIONS = 50

LATELY = 4 * WEEK
"""Scores of so long are held against what the model learned from."""


def make_report(workspace: Workspace, *, now: int, seed: int = 0) -> Monitoring:
    """The verdict and the alarm as `monitor` gives them, with the whole report.

    Args:
        workspace: the installation; it is only read.
        now: the present instant.
        seed: of samples and intervals.

    Raises:
        BundleError: the champion's bundle is missing or altered.
    """
    ground = ground_of(workspace, now)
    found = judged(ground, now)
    if isinstance(ground, Groundless):
        return found
    with workspace.store.read() as connection:
        bundles = list_bundles(connection)
        records = _records(connection, ground, bundles)
        shown = _shown(workspace, ground, bundles)
        outcomes = _outcomes(connection, ground, shown, seed)
        lately = _lately(connection, ground, shown, seed)
    alarms = {"alarm_weeks": _weeks_of(ground), "segment_alarms": outcomes.pop("alarms")}
    return replace(found, report={**records, **alarms, **outcomes, **lately})


def keep(workspace: Workspace, found: Monitoring) -> None:
    """Put a report into the database; the same instant and model again changes nothing."""
    body = found.to_json()
    body["sections"] = sections(body)
    summary = {
        "verdict": {"action": found.verdict.action, "reason": found.verdict.reason},
        "alarm": body["alarm"],
        "observed_over_expected": body["verdict"]["evidence"].get("observed_over_expected"),
        "matured_leads": body["verdict"]["evidence"].get("leads", 0),
    }
    report = Report(
        kind=MONITOR,
        made_at=found.now,
        through=found.through,
        bundle=found.alarm.bundle,
        summary=summary,
        body=body,
    )
    with workspace.store.write() as connection:
        record_report(connection, report)


def _shown(workspace: Workspace, ground: Ground, bundles: Sequence[BundleRecord]) -> Logged:
    """What every model of this definition showed: of each lead and week the first score."""
    agreed = ground.model.definition.hash
    return read_logged(
        workspace.store,
        ground.model.definition,
        [bundle.digest for bundle in bundles if bundle.definition == agreed],
        since=read_since(ground.cutoff, ground.wait),
        cutoff=ground.cutoff,
        before=ground.now,
    )


def _records(connection: Connection, ground: Ground, bundles: Sequence[BundleRecord]) -> JSON:
    """The model, which bundle scored when, what was decided, and what the calibration says."""
    model, about = ground.model, ground.model.about
    since = read_since(ground.cutoff, ground.wait)
    made = {bundle.digest: bundle for bundle in bundles}
    decisions = list_decisions(connection)[-MOST_DECISIONS:]
    return {
        "model": {
            "digest": ground.line.champion,
            "name": about.get("name", ""),
            "horizon_days": model.definition.horizon_days,
            "trained_at": about.get("trained_at"),
            "calibration": about["calibration"].get("name"),
            "calibrated_at": about["calibration"].get("calibrated_at"),
            "promoted_at": iso(ground.line.promoted_at),
            "calibrated_through": _instant(calibrated_through(model)),
        },
        "scored": _scored(scored_by_week(connection, since, ground.now, WEEK), made),
        "calibration_map": _map(model, ground.rows),
        "decisions": [
            {
                "decided_at": iso(decision.decided_at),
                "decision": decision.decision,
                "bundle": decision.bundle,
                "against": decision.against,
                "by": decision.decided_by,
                "reason": decision.reason,
            }
            for decision in reversed(decisions)
        ],
    }


def _instant(instant: int) -> str | None:
    return iso(instant) if instant > 0 else None


def _scored(
    weeks: Sequence[tuple[str, str, int, int]], made: Mapping[str, BundleRecord]
) -> list[JSON]:
    """Each bundle's first and last week of scores, how many, and how it came about; oldest first."""
    found: dict[str, JSON] = {}
    for digest, channel, week, scores in sorted(weeks, key=lambda row: row[2]):
        origin = made[digest].origin if digest in made else "unknown"
        line = found.setdefault(
            digest,
            {"bundle": digest, "origin": origin, "from": iso(week * WEEK)[:10], "channels": {}},
        )
        line["through"] = iso((week + 1) * WEEK)[:10]
        line["channels"][channel] = line["channels"].get(channel, 0) + scores
    return list(found.values())


def _map(model: PropensityModel, rows: Logged) -> list[JSON]:
    """What raw scores mean in probability, now and as the booster was trained."""
    if not len(rows):
        return []
    grid = np.unique(np.quantile(rows.raw, np.linspace(0.0, 1.0, 21)))
    now, then = model.calibrator.apply(grid), as_trained(model).apply(grid)
    return [
        {"raw": raw, "now": p, "as_trained": q}
        for raw, p, q in zip(grid.tolist(), now.tolist(), then.tolist(), strict=True)
    ]


def _weeks_of(ground: Ground) -> JSON:
    state = ground.detector
    return {
        **state.to_json(),
        "weeks": [iso(week * WEEK)[:10] for week in state.weeks.tolist()],
    }


def _outcomes(connection: Connection, ground: Ground, shown: Logged, seed: int) -> JSON:
    """What came of what was shown in the newest half year that has matured."""
    recent = shown.take((shown.y >= 0) & (shown.as_of >= ground.cutoff - ground.wait - RECENT))
    known = shown.matured()
    everything = Outcomes(known.probability, known.y, known.lead)
    sampled = _sampled(recent, seed)
    parts = _parts(connection, ground.model, sampled)
    return {
        "counts": {
            "scores": len(recent),
            "leads": len(np.unique(recent.lead)),
            "won_leads": len(np.unique(recent.lead[recent.y == 1])),
            "from": iso(int(recent.as_of.min())) if len(recent) else None,
            "through": iso(int(recent.as_of.max())) if len(recent) else None,
            "waiting": int((shown.y < 0).sum()),
        },
        "bands": [b.to_json() for b in bands_of(recent.probability, recent.y, recent.lead)],
        "reliability": _reliability(recent),
        "gains": gains_of(recent.raw, recent.y, recent.lead),
        "gain_curve": _curve(recent),
        "where": _where(sampled, parts),
        "periods": [one.to_json() for one in by_period(everything, known.scored_at, seed)],
        "parts": {
            dimension: [one.to_json() for one in found]
            for dimension, found in by_part(
                Outcomes(sampled.probability, sampled.y, sampled.lead), _lasting(parts), seed
            ).items()
        },
        "alarms": _segment_alarms(connection, ground),
    }


def _lately(connection: Connection, ground: Ground, shown: Logged, seed: int) -> JSON:
    """What is known of the newest scores before their outcomes."""
    newest = shown.take(shown.scored_at >= ground.now - LATELY)
    first = newest.take(np.unique(newest.lead, return_index=True)[1])
    before = _rate_of_calibration(ground.model)
    shift = None
    if len(first) and before is not None:
        said = ground.model.calibrator.apply(first.raw)
        shift = prior_shift(said, before).to_json()
    facts = newest_facts(connection, ground.now)
    return {
        "estimated": estimated(shown, seed).to_json(),
        "prior_shift": shift,
        "drift": drift_of(connection, ground.model, _sampled(first, seed), shown, seed),
        "newest_facts": {name: None if at is None else iso(at) for name, at in facts.items()},
    }


def _rate_of_calibration(model: PropensityModel) -> float | None:
    """The share that won of those on whom the probabilities were calibrated, inside (0, 1)."""
    figures = model.about["judged"]["figures"]
    rate = None if figures is None else figures["base_rate"]
    return rate if rate is not None and 0 < rate < 1 else None


def _sampled(rows: Logged, seed: int) -> Logged:
    """The rows of a share of the leads, so that at most so many rows are read with their inputs."""
    if len(rows) <= MOST_ROWS:
        return rows
    leads = np.unique(rows.lead)
    share = MOST_ROWS / len(rows)
    kept = leads[np.random.default_rng(seed).random(len(leads)) < share]
    return rows.take(np.isin(rows.lead, kept))


def _parts(connection: Connection, model: PropensityModel, rows: Logged) -> dict[str, Category]:
    """By what scores are taken apart: month, route, the segments agreed on, and the sources."""
    if not len(rows):
        return {}
    frame = scored_frame(connection, model, rows.id, rows.as_of)
    found = dimensions_of(frame, rows.probability, model)
    labels = {spec.name: spec.label for spec in model.catalog}
    for attribute in model.definition.attributes:
        name = f"attr_{attribute.name}"
        column = frame.columns.get(name)
        if attribute.group == "source" and isinstance(column, Category):
            found.setdefault(labels.get(name, name), column)
    return found


def _lasting(parts: Mapping[str, Category]) -> dict[str, Category]:
    """The parts without time, which has its own table."""
    return {name: column for name, column in parts.items() if name not in ("Month", "Stretch")}


def _reliability(rows: Logged) -> list[JSON]:
    if not len(rows):
        return []
    bins = reliability_bins(rows.raw, rows.probability, rows.y, groups=rows.lead)
    return [dict(plain(one)) for one in bins]


def _curve(rows: Logged) -> JSON | None:
    try:
        curve = cumulative_gain(rows.raw, rows.y, 41)
    except (OneClassError, ValueError):
        return None
    return dict(plain(curve))


def _where(rows: Logged, parts: Mapping[str, Category]) -> JSON | None:
    if not 0 < rows.y.sum() < len(rows):
        return None
    return where_wrong(rows.probability, rows.y, rows.lead, _lasting(parts)).to_json()


def _segment_alarms(connection: Connection, ground: Ground) -> list[JSON]:
    """The alarms of the parts with the most scores; together as rarely false as promised."""
    watched = ground.watched
    rows = ground.rows.take(watched)
    if len(rows) > MOST_ROWS:
        watched = watched[newest_whole_weeks(rows.week, MOST_ROWS)]
        rows = ground.rows.take(watched)
    parts = _lasting(_parts(connection, ground.model, rows))
    threshold, found = segment_threshold(MOST_SEGMENTS), []
    for dimension, name, here in _largest(parts):
        state = e_detector(
            ground.said[watched[here]], rows.y[here], rows.week[here], threshold=threshold
        )
        week = state.raised_in
        found.append(
            {
                "dimension": dimension,
                "name": name,
                "is_raised": week is not None,
                "since": None if week is None else iso((week + 1) * WEEK + ground.wait),
                "e_value": state.e_value,
                "threshold": threshold,
                "wrong": state.wrong,
                "outcomes": len(here),
            }
        )
    return found


def newest_whole_weeks(week: Ints, most: int) -> Ints:
    """The rows of the newest weeks that hold at most so many together; at least of the newest week.

    Args:
        week: number of the week of each row, growing, shape (n,).
        most: rows.
    """
    first = np.searchsorted(week, week[-most:], side="left")
    whole = first[first >= len(week) - most]
    begin = whole[0] if len(whole) else np.searchsorted(week, week[-1], side="left")
    return np.arange(begin, len(week))


def _largest(parts: Mapping[str, Category]) -> list[tuple[str, str, Ints]]:
    """The parts with the most scores: dimension, name, rows; what came of them is not asked."""
    everything = [
        (dimension, name, np.flatnonzero(column.codes == code))
        for dimension, column in parts.items()
        for code, name in enumerate(column.levels)
    ]
    some = [part for part in everything if len(part[2])]
    return sorted(some, key=lambda part: (-len(part[2]), part[0], part[1]))[:MOST_SEGMENTS]
