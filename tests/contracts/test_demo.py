"""Does `propensity demo` end with a company that has a past, also after it was killed half-way?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from features.clock import DAY
from features.store.ledger import read_queue
from features.store.promotions import list_bundles, list_decisions
from features.store.reports import MONITOR, newest_report
from models.workspace import Workspace

COMMAND = (sys.executable, "-m", "propensity", "demo", "--leads", "2000", "--no-serve")


def run(home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMAND, env=environment(home), capture_output=True, text=True, check=False, timeout=900
    )


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "PROPENSITY_DATA_DIR": str(home)}


def kill_at(home: Path, words: str) -> None:
    """Start it, and kill it as soon as it has said this."""
    with subprocess.Popen(
        COMMAND, env=environment(home), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as running:
        assert running.stderr is not None
        assert any(words in line for line in running.stderr), "it never came so far"
        running.send_signal(signal.SIGKILL)


@pytest.mark.slow
def test_a_demo_that_was_killed_goes_on_and_ends_with_a_report_of_what_came(tmp_path: Path) -> None:
    for words in ("[2 of 6]", "[3 of 6]", "[4 of 6]"):
        kill_at(tmp_path, words)
    done = run(tmp_path)
    assert done.returncode == 0, done.stderr[-2_000:]
    home = tmp_path / "demo"
    workspace = Workspace.of(
        {
            "PROPENSITY_DATA_DIR": str(home),
            "PROPENSITY_DEFINITION": str(home / "company" / "definition.yaml"),
        }
    )
    with workspace.store.read() as connection:
        report = newest_report(connection, MONITOR)
        trained = [one for one in list_bundles(connection) if one.origin == "train"]
        decided = list_decisions(connection)
        queue = read_queue(connection)
    assert report is not None
    assert report.summary["matured_leads"] > 100
    (model,) = trained
    assert report.made_at - model.created_at > 150 * DAY
    assert min(one.decided_at for one in decided) == model.created_at
    assert queue.total > 100

    again = run(tmp_path)
    assert again.returncode == 0, again.stderr[-2_000:]
    assert "importing" not in again.stderr
    workspace.store.close()
