"""Real service processes for tests: started, asked, killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from models.workspace import Workspace

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Worker:
    """One process that serves, and a client that holds a key."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path

    def score(self, lead: str, as_of: str | None = None) -> dict[str, Any]:
        """The answer to one question, which must be a score."""
        answer = self.client.post("/v1/scores", json={"lead": lead, "as_of": as_of})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def until(self, holds: Callable[[Worker], bool], seconds: float = 60.0) -> None:
        """Ask again and again until something holds."""
        deadline = time.monotonic() + seconds
        while not holds(self):
            assert time.monotonic() < deadline, self.log.read_text()[-2_000:]
            time.sleep(0.05)

    def kill(self) -> None:
        """End it without a word."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def free_port() -> int:
    """A port that nobody uses at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def environment_of(workspace: Workspace) -> dict[str, str]:
    """What a process of this installation finds in its environment."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "PROPENSITY_DATA_DIR": str(workspace.data_dir),
        "PROPENSITY_DATABASE": workspace.database_url,
        "PROPENSITY_DEFINITION": str(workspace.definition_path),
        "PROPENSITY_MLFLOW": "http://127.0.0.1:9",
    }


@contextmanager
def working(
    workspace: Workspace, key: str, settings: Mapping[str, str] | None = None
) -> Iterator[Worker]:
    """A process that serves an installation, until it is no longer needed."""
    port = free_port()
    log = workspace.data_dir / f"worker-{port}.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "propensity", "serve", "--port", str(port)],
            env={**environment_of(workspace), **(settings or {})},
            stdout=sink,
            stderr=sink,
        )
    url, headers = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=30.0) as client:
        worker = Worker(process, client, log)
        try:
            worker.until(_is_up)
            yield worker
        finally:
            process.kill()
            process.wait()


def _is_up(worker: Worker) -> bool:
    assert worker.process.poll() is None, worker.log.read_text()
    try:
        return worker.client.get("/v2/health/ready").is_success
    except httpx.TransportError:
        return False
