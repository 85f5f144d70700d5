"""Does a soak fail when a promise is broken, and a short one with all its troubles break none?"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from copy import deepcopy
from typing import Any

import pytest

from benchmarks.soak import conclude
from benchmarks.soak_tally import LEAST_MINUTES, MOST_MB_A_MINUTE, Tally, broken, figures
from features.store.engine import Store

GOOD: dict[str, Any] = {
    "minutes": 10.0,
    "requests": {"score": 100, "ingest": 20},
    "answered": {"score": 90, "ingest": 20},
    "done": {"swap": 2, "kill": 1},
    "failed": [],
    "acknowledged_writes_lost": 0,
    "errors": {"steady score 503": 5, "mortal score ConnectError": 5},
    "rss_mb": {"late_slope_per_minute": MOST_MB_A_MINUTE},
    "steady_worker_lived": True,
    "asked_mlflow": 0,
    "database_is_sound": True,
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**deepcopy(GOOD), **changes}


def test_a_run_that_kept_everything_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(GOOD, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == {**GOOD, "broken": []}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"acknowledged_writes_lost": 1}, "1 acknowledged writes"),
        ({"database_is_sound": False}, "damaged"),
        ({"steady_worker_lived": False}, "has ended"),
        ({"errors": {"steady score 500": 1}}, "steady score 500"),
        ({"errors": {"mortal score 502": 1}}, "mortal score 502"),
        ({"errors": {"mortal ingest 422": 1}}, "mortal ingest 422"),
        ({"errors": {"steady score ReadError": 1}}, "steady score ReadError"),
        ({"errors": {"steady score 503": 13}}, "13 of 120 requests"),
        ({"answered": {"score": 90}}, "never answered with success: ingest"),
        ({"failed": ["swap: no"]}, "swap: no"),
        ({"asked_mlflow": 2}, "2 connections"),
        ({"rss_mb": {"late_slope_per_minute": MOST_MB_A_MINUTE + 0.1}}, "memory grows"),
    ],
)
def test_a_promise_that_is_broken_fails_the_run_and_is_named(
    changes: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert conclude(changed(**changes), as_json=True) == 1
    (sentence,) = json.loads(capsys.readouterr().out)["broken"]
    assert says in sentence


def test_memory_is_not_judged_while_a_worker_still_fills_its_caches() -> None:
    steep = {"late_slope_per_minute": 50.0}
    assert broken(changed(rss_mb=steep, minutes=LEAST_MINUTES - 0.1)) == []
    assert len(broken(changed(rss_mb=steep, minutes=LEAST_MINUTES))) == 1


def test_what_was_acknowledged_and_is_not_in_the_database_is_lost(store: Store) -> None:
    tally = Tally(acknowledged_scores=[1, 2, 2], acknowledged_events=["soak-1"])
    tally.note("steady", "score", None)
    tally.note("steady", "score", "503")
    found = figures(
        store, tally, [(float(s), 9.0) for s in range(4)], has_lived=True, asked_mlflow=0
    )
    assert found["acknowledged_writes_lost"] == 3
    assert (tally.requests, tally.answered) == (Counter(score=2), Counter(score=1))
    assert found["errors"] == {"steady score 503": 1}


def test_memorys_slope_is_that_of_the_second_half(sqlite_store: Store) -> None:
    # Up by 60 MB in the first three minutes, then by a megabyte a minute.
    told = [(float(s), 300.0 + min(s, 180) / 3 + max(s - 180, 0) / 60) for s in range(600)]
    found = figures(sqlite_store, Tally(), told, has_lived=True, asked_mlflow=0)
    assert found["rss_mb"]["late_slope_per_minute"] == pytest.approx(1.0)
    assert len(found["rss_mb"]["by_minute"]) == 10


@pytest.mark.slow
def test_a_minute_with_every_trouble_breaks_no_promise() -> None:
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["broken"] == []
    assert found["acknowledged_writes_lost"] == 0
    assert min(found["acknowledged"].values()) > 0
    assert set(found["done"]) == {"swap", "kill", "damage", "lock", "promote"}
    assert set(found["answered"]) == {"score", "batch", "ingest", "page", "export"}
    assert found["score_ms"]["p99"] >= found["score_ms"]["p50"] > 0
    assert found["database_is_sound"]
