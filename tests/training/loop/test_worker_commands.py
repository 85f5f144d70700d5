"""Do the commands of the worker run what is due, stop when told, and say who is at it? As processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agreed import DEFINITION_TEXT
from workers import environment_of

from features.store.engine import Store
from features.store.leases import holding
from features.store.turns import last_turns
from models.workspace import Workspace

SCHEDULE = "- {step: prune, every: 1 day}\n"


@pytest.fixture
def workspace(sqlite_store: Store, tmp_path: Path) -> Workspace:
    """An installation without leads: its steps have nothing to do, and do it."""
    (tmp_path / "definition.yaml").write_text(DEFINITION_TEXT, encoding="utf-8")
    (tmp_path / "schedule.yaml").write_text(SCHEDULE, encoding="utf-8")
    return Workspace.of({"PROPENSITY_DATA_DIR": str(tmp_path)})


def schedule_of(workspace: Workspace) -> tuple[str, str]:
    return "--schedule", str(workspace.data_dir / "schedule.yaml")


def started(workspace: Workspace, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "propensity", *words],
        env=environment_of(workspace),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(workspace: Workspace, *words: str) -> tuple[int, list[Any], str]:
    process = started(workspace, *words)
    out, err = process.communicate(timeout=120)
    return process.returncode, [json.loads(line) for line in out.splitlines()], err


def test_a_worker_tells_a_line_of_json_a_step_and_stops_when_it_is_told_to(
    workspace: Workspace,
) -> None:
    process = started(workspace, "worker", *schedule_of(workspace), "--json")
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline()) == {
            "step": "prune",
            "outcome": "done",
            "removed": 0,
        }
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out, err) == (0, "", "")
    with workspace.store.read() as connection:
        assert last_turns(connection)["prune"].outcome == "done"
    code, lines, _ = ended(workspace, "worker", *schedule_of(workspace), "--once", "--json")
    assert (code, lines) == (0, []), "what was done is not due again"


def test_a_step_that_somebody_is_at_exits_with_75_and_says_who(workspace: Workspace) -> None:
    with holding(workspace.store, "prune", "host-2/4"):
        code, (said,), err = ended(workspace, "run", "prune", "--json")
        worker_code, (line,), _ = ended(
            workspace, "worker", *schedule_of(workspace), "--once", "--json"
        )
    assert code == 75
    assert "prune: host-2/4 is at it, since 20" in said["message"]
    assert "host-2/4" in err
    assert (worker_code, line["outcome"]) == (0, "busy")
    assert "host-2/4 is at it" in line["reason"]
    assert ended(workspace, "run", "prune", "--json")[0] == 0


@pytest.mark.slow
def test_steps_are_listed_with_what_came_of_them(workspace: Workspace) -> None:
    code, (failed,), _ = ended(workspace, "run", "score", "--json")
    assert (code, failed["outcome"], failed["error"]) == (1, "failed", "no-model")
    code, (steps,), _ = ended(workspace, "steps", *schedule_of(workspace), "--json")
    told = {one["step"]: one for one in steps}
    assert {"score", "loop", "monitor", "recalibrate", "retrain", "backup", "prune"} <= set(told)
    assert told["score"]["last"]["said"]["reason"].startswith("there is no model to score with")
    assert told["prune"]["due"] is not None
    assert told["retrain"]["due"] is None
    assert ended(workspace, "run", "lopo", "--json")[0] == 1
