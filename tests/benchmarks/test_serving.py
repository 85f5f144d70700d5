"""The serving benchmark starts servers, asks them alike, and tells the figures of the goals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ASKED = ("floor_noop_fastapi", "ours_score_reasons")


@pytest.mark.slow
def test_floor_and_ours_are_asked_in_one_run() -> None:
    command = [sys.executable, "-m", "benchmarks.serving", "--seconds", "0.6", "--json"]
    command += [word for key in ASKED for word in ("--only", key)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == {*ASKED, "pred_contrib_rows_per_s"}
    for key in ASKED:
        for clients in ("1", "8", "64"):
            figures = found[key][clients]
            assert set(figures) == {"req_per_s", "p50_ms", "p99_ms", "cpu_ms"}
            assert min(figures.values()) > 0
            assert figures["p50_ms"] <= figures["p99_ms"]
        assert found[key]["batch_1000_rows_per_s"] > 0
    assert found["pred_contrib_rows_per_s"] > 0


@pytest.mark.slow
def test_a_file_is_scored_all_of_the_way_at_two_sizes() -> None:
    command = [sys.executable, "-m", "benchmarks.files", "--rows", "2000", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert [found[key]["rows"] for key in ("tenth", "all")] == [200, 2_000]
    for key in ("tenth", "all"):
        assert found[key]["rows_per_s"] > 0
        assert 0 < found[key]["ledger_kb_per_row"] < 20
