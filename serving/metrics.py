"""How is the service doing? Counters and times for Prometheus, in a registry of this service's own.

No label names a lead, a person or a key: labels are routes, statuses, roles and the like, so that
their number is bounded and nothing personal leaves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from features.clock import SECOND
from features.store.reports import Report
from features.store.turns import Turn
from serving.scoring import LeadScore, Result
from serving.state import LiveState

_MOST_LABELS = 1_024
"""Figures whose labels are remembered; all others are looked up."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the database keeps of what goes on elsewhere.

    Attributes:
        at: when it was read.
        caught_up: how many outcomes only a comparison found, ever, and when the last one ran.
        report: the newest of the monitor.
        turns: the last turn of each step.
    """

    at: int
    caught_up: tuple[int, int | None]
    report: Report | None
    turns: Mapping[str, Turn]


class Metrics:
    """The figures of one running service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        times = partial(Histogram, registry=self.registry)
        self.requests = counter(
            "propensity_requests_total", "Requests answered.", ("method", "route", "status")
        )
        self.seconds = times(
            "propensity_request_seconds",
            "Time to the end of the answer.",
            ("method", "route"),
            buckets=_SECONDS,
        )
        self.scores = counter("propensity_scores_total", "Scores given.", ("channel", "route"))
        self.refusals = counter(
            "propensity_score_refusals_total", "Leads that could not be scored.", ("reason",)
        )
        self.caveats = counter(
            "propensity_score_warnings_total", "Warnings given with scores.", ("code",)
        )
        self.facts = counter("propensity_facts_total", "Facts received.", ("sort", "fate"))
        self._model = gauge(
            "propensity_model_info", "1 for the model that scores.", ("model", "calibration")
        )
        self._source = gauge(
            "propensity_model_source",
            "1 for where the model's bytes were found: disk, database or definition (agreed).",
            ("source",),
        )
        self._checked = gauge(
            "propensity_champion_checked_timestamp_seconds",
            "When the database last said which model is the champion.",
        )
        self._created = gauge(
            "propensity_model_created_timestamp_seconds", "When the model that scores was made."
        )
        self._trouble = gauge(
            "propensity_trouble",
            "1 while the promoted model or the edited definition cannot be used.",
            ("of",),
        )
        self.replayed = counter(
            "propensity_requests_replayed_total",
            "Requests answered by what was answered before under their key.",
        )
        self._kept_at = gauge(
            "propensity_kept_figures_read_timestamp_seconds",
            "When the database last told this process outcomes found, reports, steps and backups.",
        )
        self._caught_up = gauge(
            "propensity_outcomes_found_by_reconciliation_total",
            "Outcomes that were missed and found by `propensity reconcile`, ever.",
        )
        self._reconciled = gauge(
            "propensity_reconciled_timestamp_seconds",
            "When outcomes were last compared with an export; 0: never.",
        )
        self._reported = gauge(
            "propensity_report_timestamp_seconds",
            "When the newest report of the monitor was made; 0: never.",
        )
        self._turn_ended = gauge(
            "propensity_step_finished_timestamp_seconds",
            "When the last turn of a step of the loop ended, however it ended.",
            ("step",),
        )
        self._turn_failed = gauge(
            "propensity_step_failed",
            "1 while the last turn of a step is one that failed.",
            ("step",),
        )
        self._backed_up = gauge(
            "propensity_backup_timestamp_seconds",
            "When the worker last made sure of a copy of today; 0: not known to have.",
        )
        self._alarm = gauge(
            "propensity_calibration_alarm",
            "1 while the alarm of the probabilities is raised, by the newest report.",
        )
        self._e_value = gauge(
            "propensity_calibration_alarm_e_value",
            "Where the alarm of the probabilities stands, by the newest report.",
        )
        self._level = gauge(
            "propensity_observed_over_expected",
            "Wins that came for each win that was promised, by the newest report; NaN: not known.",
        )
        self.refreshed = gauge(
            "propensity_queue_refreshed_timestamp_seconds",
            "When the queue was last scored as a whole by this process.",
        )
        self.ledger_waiting = gauge(
            "propensity_ledger_waiting",
            "Scores that wait to be written into the ledger, those being written among them.",
        )
        self.shown_dropped = gauge(
            "propensity_shown_dropped_total",
            "Showings that were never written down, because the database took no writes for too long.",
        )
        # To find the figure of some labels costs as much as to count: it is found once.
        self._request = lru_cache(_MOST_LABELS)(self.requests.labels)
        self._second = lru_cache(_MOST_LABELS)(self.seconds.labels)
        self._score = lru_cache(_MOST_LABELS)(self.scores.labels)
        self._caveat = lru_cache(_MOST_LABELS)(self.caveats.labels)

    def expect(self, routes: Iterable[str]) -> None:
        """Have figures of what has not come yet: an alarm on a figure that is not there never rings."""
        for route in routes:
            self._score("api", route)
            self._score("batch", route)
        self._caveat("unseen_category")

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._request(method, route, status).inc()
        self._second(method, route).observe(seconds)

    def count_scores(self, results: Sequence[Result], channel: str) -> None:
        """Count what was answered."""
        for result in results:
            if isinstance(result, LeadScore):
                self._score(channel, result.route).inc()
                for caveat in result.caveats:
                    self._caveat(caveat.code).inc()
            else:
                self.refusals.labels(result.code).inc()

    def count_facts(self, sort: str, added: int, unchanged: int, rejected: int) -> None:
        """Count what became of facts that were sent."""
        for fate, n in (("added", added), ("unchanged", unchanged), ("rejected", rejected)):
            self.facts.labels(sort, fate).inc(n)

    def note_kept(self, kept: Kept) -> None:
        """Note what the database keeps; until the next time it is told as it was then."""
        self._kept_at.set(kept.at / SECOND)
        found, ran_at = kept.caught_up
        self._caught_up.set(found)
        self._reconciled.set((ran_at or 0) / SECOND)
        self._note_report(kept.report)
        self._note_turns(kept.turns)

    def _note_report(self, report: Report | None) -> None:
        """What the newest report of the monitor said."""
        if report is None:
            self._level.set(math.nan)
            return
        alarm = report.summary.get("alarm") or {}
        ratio = (report.summary.get("observed_over_expected") or {}).get("estimate")
        self._reported.set(report.made_at / SECOND)
        self._alarm.set(bool(alarm.get("is_raised")))
        self._e_value.set(alarm.get("e_value") or 0.0)
        self._level.set(math.nan if ratio is None else ratio)

    def _note_turns(self, turns: Mapping[str, Turn]) -> None:
        """What came of the last turn of each step; one under way leaves what was known."""
        for step, turn in turns.items():
            if turn.finished_at is not None:
                self._turn_ended.labels(step).set(turn.finished_at / SECOND)
                self._turn_failed.labels(step).set(turn.outcome == "failed")
        # Of PostgreSQL the worker makes no copy: its turn names no place.
        backup = turns.get("backup")
        if backup is not None and backup.finished_at is not None and "place" in backup.said:
            self._backed_up.set(backup.finished_at / SECOND)

    def exposition(self, state: LiveState, accept: str = "") -> tuple[bytes, str]:
        """Everything, and its media type: OpenMetrics for whoever accepts it, else Prometheus' own."""
        self._model.clear()
        self._source.clear()
        self._checked.set((state.checked_at or 0) / SECOND)
        if state.champion is not None:
            model = state.champion.model
            self._model.labels(model.digest, model.calibrator.kind).set(1)
            self._source.labels(state.champion.source).set(1)
            self._created.set(state.champion.created_at / SECOND)
        self._trouble.labels("model").set(state.model_trouble is not None)
        self._trouble.labels("definition").set(state.definition_trouble is not None)
        encoder, media_type = choose_encoder(accept)
        return encoder(self.registry), media_type
