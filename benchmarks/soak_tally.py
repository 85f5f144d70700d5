"""What was heard in a soak, and was everything kept that a service promises?

A run that broke a promise fails. Every answer of success is an acknowledgement, for which the database
is asked. Seconds are reported and never judged: on a busy machine they tell of the neighbours.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.store.engine import Store
from features.store.ledger import scores
from features.store.tables import events

MOST_MB_A_MINUTE = 1.0
"""Growth of a worker's memory, over the second half of a run, that still counts as flat."""

LEAST_MINUTES = 10.0
"""Shorter runs say nothing about memory: after five minutes a worker still fills its caches."""

MOST_REFUSED = 0.1
"""The share of requests that may be told to come again: a service that refuses all loses nothing."""


@dataclass
class Tally:
    """What was answered and what was not, told by all clients.

    Attributes:
        acknowledged_scores: ids of the scores that were given.
        acknowledged_events: the sender's ids of the events that were taken.
        seconds: how long single scores took.
        requests: how many were made, by kind.
        answered: how many succeeded, by kind.
        errors: how many did not, by `worker kind status` or `worker kind exception`.
        done: the troubles that were made, by name.
        failed: troubles that could not be made, with the reason.
    """

    acknowledged_scores: list[int] = field(default_factory=list)
    acknowledged_events: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, worker: str, kind: str, outcome: str | None) -> None:
        """Count a request; `outcome` is None for one that succeeded."""
        with self.lock:
            self.requests[kind] += 1
            if outcome is None:
                self.answered[kind] += 1
            else:
                self.errors[f"{worker} {kind} {outcome}"] += 1


def figures(
    store: Store,
    tally: Tally,
    memory: list[tuple[float, float]],
    *,
    has_lived: bool,
    asked_mlflow: int,
) -> dict[str, Any]:
    """What is told at the end.

    Args:
        store: the database, after the last worker has ended.
        tally: what the clients heard.
        memory: seconds since the start, and megabytes of the worker that is never killed.
        has_lived: that worker was there until the end.
        asked_mlflow: how many connections the workers made to MLflow.
    """
    return {
        "minutes": round(memory[-1][0] / 60, 2),
        "requests": dict(tally.requests),
        "answered": dict(tally.answered),
        "done": dict(tally.done),
        "failed": tally.failed,
        "acknowledged": {
            "scores": len(tally.acknowledged_scores),
            "events": len(tally.acknowledged_events),
        },
        "acknowledged_writes_lost": _lost(store, tally),
        "errors": dict(tally.errors),
        "score_ms": {"p50": _ms(tally.seconds, 0.5), "p99": _ms(tally.seconds, 0.99)},
        "rss_mb": _growth(*np.array(memory).T),
        "steady_worker_lived": has_lived,
        "asked_mlflow": asked_mlflow,
        "database_is_sound": _is_sound(store),
    }


def broken(found: dict[str, Any]) -> list[str]:
    """The promises that a run has broken, a sentence each; none where it held.

    Args:
        found: what `figures` says of the run.
    """
    return [sentence for holds, sentence in _promises(found) if not holds]


def _promises(found: dict[str, Any]) -> Iterator[tuple[bool, str]]:
    lost, memory = found["acknowledged_writes_lost"], found["rss_mb"]
    yield lost == 0, f"{lost} acknowledged writes are not in the database"
    yield found["database_is_sound"], "the database is damaged"
    yield found["steady_worker_lived"], "the worker that nobody killed has ended"
    odd = sorted(error for error in found["errors"] if not _is_due(error))
    yield not odd, f"answers that no fault of ours excuses: {', '.join(odd)}"
    of_all = sum(found["requests"].values())
    refused = sum(n for error, n in found["errors"].items() if error.endswith(" 503"))
    yield refused <= MOST_REFUSED * of_all, f"{refused} of {of_all} requests were refused"
    mute = sorted(set(found["requests"]) - set(found["answered"]))
    yield not mute, f"never answered with success: {', '.join(mute)}"
    yield not found["failed"], f"troubles that could not be made: {'; '.join(found['failed'])}"
    asked = found["asked_mlflow"]
    yield asked == 0, f"scoring waited for MLflow: {asked} connections"
    is_flat = (
        found["minutes"] < LEAST_MINUTES or memory["late_slope_per_minute"] <= MOST_MB_A_MINUTE
    )
    yield is_flat, f"memory grows by {memory['late_slope_per_minute']} MB a minute"


def _is_due(error: str) -> bool:
    """Whether an error is one that the troubles explain: 503, and the broken line of who was killed."""
    worker, _, outcome = error.split()
    return outcome == "503" or (worker == "mortal" and not outcome.isdigit())


def _lost(store: Store, tally: Tally) -> int:
    with store.read() as connection:
        ledger = set(connection.execute(scores.select().with_only_columns(scores.c.id)).scalars())
        told = events.select().with_only_columns(events.c.external_id)
        there = set(connection.execute(told.where(events.c.source == "soak")).scalars())
    missing = set(tally.acknowledged_scores) - ledger
    return len(missing) + len(set(tally.acknowledged_events) - there)


def _ms(seconds: list[float], share: float) -> float | None:
    return round(1e3 * float(np.quantile(seconds, share)), 1) if seconds else None


def _growth(at: NDArray[np.float64], resident: NDArray[np.float64]) -> dict[str, Any]:
    """Memory by minute, and its slope over the second half of the time."""
    late = at >= at[-1] / 2
    return {
        "first": round(float(resident[0]), 1),
        "last": round(float(resident[-1]), 1),
        "late_slope_per_minute": round(float(np.polyfit(at[late] / 60, resident[late], 1)[0]), 3),
        "by_minute": [
            round(float(resident[at // 60 == minute].mean()), 1)
            for minute in range(int(at[-1] // 60) + 1)
        ],
    }


def _is_sound(store: Store) -> bool:
    if not store.is_sqlite:
        return True
    with closing(sqlite3.connect(store.url.database or "")) as database:
        return bool(database.execute("PRAGMA integrity_check").fetchone() == ("ok",))
