"""What is soaked? A simulated company with two models, and real processes that serve it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from models.workspace import Workspace

LEADS, EVENTS = 2_000, 30_000
_CALM = {
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "PROPENSITY_LOG_LEVEL": "ERROR",
}


@dataclass
class Worker:
    """One process that serves; it may be killed and started again under the same address."""

    environment: dict[str, str]
    log: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        if not self.port:
            with socket.create_server(("127.0.0.1", 0)) as taken:
                self.port = taken.getsockname()[1]
        command = [sys.executable, "-m", "propensity", "serve", "--port", str(self.port)]
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(command, env=self.environment, stdout=sink, stderr=sink)
        while not self._is_ready():
            assert self.process.poll() is None, self.log.read_text()[-2_000:]
            time.sleep(0.1)

    def kill(self) -> None:
        """End it without a word."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_alive(self) -> bool:
        """It was started, and nobody has ended it."""
        return self.process is not None and self.process.poll() is None

    def resident_mb(self) -> float:
        """Its memory now; 0 for one that has ended."""
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v2/health/ready", timeout=5.0).is_success
        except httpx.TransportError:
            return False


def worker_of(workspace: Workspace, mlflow: str) -> Worker:
    """A process of this installation, not yet started; `mlflow` is where it would find MLflow."""
    environment = _environment_of(workspace) | {"PROPENSITY_MLFLOW": mlflow}
    return Worker(environment, workspace.data_dir / "workers.log")


def command(workspace: Workspace, *words: str, **changes: str) -> Any:
    """What a command of this installation says; `changes` are to its environment.

    Raises:
        RuntimeError: it failed.
    """
    line = [sys.executable, "-m", "propensity", *words, "--json"]
    environment = _environment_of(workspace) | changes
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: exit {done.returncode}: {done.stderr[-300:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _environment_of(workspace: Workspace) -> dict[str, str]:
    return {
        **os.environ,
        **_CALM,
        "PROPENSITY_DATA_DIR": str(workspace.data_dir),
        "PROPENSITY_DEFINITION": str(workspace.definition_path),
        "PROPENSITY_DATABASE": workspace.database_url,
        "PROPENSITY_MLFLOW": workspace.mlflow_uri,
    }


@contextmanager
def company(home: Path, database: str | None) -> Iterator[tuple[Workspace, list[str], str]]:
    """An installation with two models, and a key for it; training finds no MLflow."""
    workspace = Workspace.of(
        {
            "PROPENSITY_DATA_DIR": str(home),
            "PROPENSITY_DEFINITION": str(home / "company" / "definition.yaml"),
            "PROPENSITY_DATABASE": database or "",
            "PROPENSITY_MLFLOW": "off",
        }
    )

    def run(*words: str) -> Any:
        return command(workspace, *words)

    run("simulate", str(home / "company"), "--leads", str(LEADS), "--events", str(EVENTS))
    run("db", "upgrade")
    run("import")
    trained = [run("train", "--seed", str(seed), "--no-promote")["digest"] for seed in (0, 1)]
    run("promote", trained[0], "--force", "a soak")
    key = run("keys", "create", f"soak-{time.time_ns()}", "--role", "admin")["key"]
    try:
        yield workspace, trained, key
    finally:
        workspace.store.close()
