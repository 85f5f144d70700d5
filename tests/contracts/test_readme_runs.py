"""Does what the README tells a newcomer to type work, in its order, on an empty machine?

All `sh` blocks are run by one shell in a directory of their own; blocks that begin with
`# not run by the tests:` are left out. `propensity serve` is started for real, on a free port, and what
follows speaks to it.
"""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from fenced import NOT_RUN, ROOT, blocks

README = ROOT / "README.md"
SERVE = "propensity serve"
ADDRESS = "http://127.0.0.1:8000"
PATIENCE_SECONDS = 400

WAIT = """
propensity serve & SERVER=$!
trap 'kill $SERVER; wait $SERVER || true' EXIT
for _ in $(seq 600); do
  curl -s -H "X-API-Key: $(cat var/my-crm.key)" '{address}/v1/queue?limit=1' > queue.json || true
  grep -q '"rank":1' queue.json && break
  kill -0 $SERVER
  sleep 0.5
done
"""
"""Start the service and wait, as the time between two terminals does, until its queue is scored."""


def script(address: str) -> str:
    """The README's commands as one script that stops at the first that fails.

    Each request's answer goes into a file of its own, `answer-N.json`; an HTTP error is a failure.
    """
    lines = ["set -euo pipefail"]
    answers = 0
    for block in blocks(README, "sh"):
        if block.text.startswith(NOT_RUN):
            continue
        lines.append(f"echo '::line {block.line}' >&2")
        for line in block.text.splitlines():
            if line.strip() == SERVE:
                lines.append(WAIT.format(address=address))
            elif line.startswith("curl "):
                answers += 1
                asked = line.replace("curl -s", "curl -s --fail-with-body", 1)
                lines.append(f"{asked.replace(ADDRESS, address)} > answer-{answers}.json")
            else:
                lines.append(line)
    return "\n".join(lines) + "\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which a newcomer has typed all that the README says."""
    home = tmp_path_factory.mktemp("newcomer")
    (home / "examples").symlink_to(ROOT / "examples")
    port = free_port()
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PROPENSITY_")}
    environment = inherited | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PROPENSITY_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-c", script(f"http://127.0.0.1:{port}")],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return home


def test_blocks_that_are_left_out_say_why_and_are_few() -> None:
    left_out = [block.text for block in blocks(README, "sh") if block.text.startswith(NOT_RUN)]
    assert len(left_out) == 2
    assert all(len(text.splitlines()[0]) > len(NOT_RUN) + 10 for text in left_out)


def test_a_newcomer_gets_a_score_with_its_reasons(followed: Path) -> None:
    answer = json.loads((followed / "answer-1.json").read_text())
    assert answer["lead"] == "L-11998"
    assert 0 < answer["probability"] < 1
    total = answer["base"] + sum(reason["log_odds"] for reason in answer["reasons"])
    assert total == pytest.approx(answer["raw"], abs=1e-9)


def test_a_newcomer_gets_the_queue_in_order(followed: Path) -> None:
    answer = json.loads((followed / "answer-2.json").read_text())
    raw = [row["raw"] for row in answer["rows"]]
    assert len(raw) == 3
    assert raw == sorted(raw, reverse=True)
    assert {row["owner"] for row in answer["rows"]} == {"anna"}


def test_a_newcomer_gets_a_scored_file_of_every_row(followed: Path) -> None:
    with (followed / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2_000
    assert not [row for row in rows if row["error"]]


def test_the_models_page_for_people_is_written(followed: Path) -> None:
    cards = list((followed / "var" / "bundles").glob("*/card.md"))
    assert len(cards) == 1
    assert "Judged forward in time" in cards[0].read_text(encoding="utf-8")
