"""Is a durable score that was acknowledged still in the ledger when the service is killed?"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from agreed import NOW
from models_made import fill, lead_id, promote, put_bundle, workspace_of

from features.store.engine import Store
from features.store.keys import create_key
from features.store.ledger import read_score

CLIENTS = 8
ROOT = Path(__file__).parents[2]


@contextmanager
def serving(home: Path, database: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The service as a user starts it."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PROPENSITY_DATA_DIR": str(home),
        "PROPENSITY_DATABASE": database,
        "PROPENSITY_REFRESH_QUEUE": "false",
        "PROPENSITY_KEY_RATE": "0",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "propensity", "serve", "--port", str(port)]
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(600):
            assert process.poll() is None, (home / "log").read_text()[-2_000:]
            with socket.socket() as attempt:
                if attempt.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.wait(30)


class Client(threading.Thread):
    """Asks for scores until the service is gone, and remembers what it was told."""

    def __init__(self, number: int, port: int, key: str) -> None:
        super().__init__()
        self._number, self._port, self._key = number, port, key
        self.told: list[dict[str, Any]] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        headers = {"Authorization": f"Bearer {self._key}"}
        try:
            for i in range(100_000):
                body = {"lead": lead_id((self._number * 29 + i) % 200)}
                if i % 2:
                    body = {"lead": f"sent-{self._number}-{i}", "attributes": {"employees": i}}  # type: ignore[dict-item]
                connection.request("POST", "/v1/scores", json.dumps(body), headers)
                answer = connection.getresponse()
                said = json.loads(answer.read())
                if answer.status == 200:
                    self.told.append(said)
        except (OSError, http.client.HTTPException, ValueError):
            return  # the service was killed; an answer that did not arrive was not acknowledged
        finally:
            connection.close()


@pytest.mark.slow
def test_every_score_that_was_acknowledged_survives_a_kill(store: Store, tmp_path: Path) -> None:
    workspace = workspace_of(store, tmp_path)
    fill(store, workspace.definition())
    promote(workspace, put_bundle(workspace))
    with store.write() as connection:
        key = create_key(connection, "crm", "crm", NOW)
    workspace.store.close()
    database = store.url.render_as_string(hide_password=False)
    told: list[dict[str, Any]] = []
    for turn in range(3):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with serving(tmp_path, database, port) as process:
            clients = [Client(turn * CLIENTS + i, port, key) for i in range(CLIENTS)]
            for client in clients:
                client.start()
            while sum(len(client.told) for client in clients) < 50 * (turn + 1):
                assert any(client.is_alive() for client in clients)
                time.sleep(0.05)
            os.kill(process.pid, signal.SIGKILL)
            for client in clients:
                client.join(60)
        told += [score for client in clients for score in client.told]
    assert len({score["score_id"] for score in told}) == len(told) >= 300
    with store.read() as connection:
        for score in told:
            kept = read_score(connection, score["score_id"])
            assert kept is not None, f"score {score['score_id']} was acknowledged and is lost"
            assert kept["lead_id"] == score["lead"]
            assert (kept["raw"], kept["probability"]) == (score["raw"], score["probability"])
