"""Does it hold for long? Two real workers under mixed load, with swaps, kills and faults all the while.

    python -m benchmarks.soak [--minutes 10] [--clients 8] [--database URL] [--json]

A company is simulated, imported and trained on; then clients score, score in batches, send events, read
pages of the queue and take the whole of it away. Meanwhile models are swapped, one worker is killed and
started again, a model on disk is damaged, the database is locked, and the command promotes a model
while MLflow hangs (soak_troubles.py). At the end the database is asked for everything that was
acknowledged. What is printed is one JSON object; where a promise (soak_tally.py) was broken, the exit
code is 1. Memory is that of the worker that is never killed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.soak_tally import Tally, broken, figures
from benchmarks.soak_troubles import Trouble, hanging
from benchmarks.soaked import Worker, company, worker_of
from features.definition import Definition
from features.store.tables import leads
from models.workspace import Workspace


class Client(threading.Thread):
    """Does one kind of thing again and again, at one worker or the other."""

    def __init__(
        self,
        kind: str,
        number: int,
        ask: Callable[[httpx.Client, random.Random, Tally], httpx.Response],
        workers: Mapping[str, Worker],
        key: str,
        tally: Tally,
        over: threading.Event,
    ) -> None:
        super().__init__(daemon=True)
        self._kind, self._ask, self._tally, self._over = kind, ask, tally, over
        self._draw = random.Random(number)
        headers = {"Authorization": f"Bearer {key}"}
        self._clients = [
            (name, httpx.Client(base_url=worker.url, timeout=60.0, headers=headers))
            for name, worker in workers.items()
        ]

    def run(self) -> None:
        """Ask until it is over."""
        for worker, client in itertools.cycle(self._clients):
            if self._over.is_set():
                return
            try:
                answer = self._ask(client, self._draw, self._tally)
                outcome = None if answer.is_success else str(answer.status_code)
            except httpx.TransportError as error:
                outcome = type(error).__name__
                self._over.wait(0.2)
            self._tally.note(worker, self._kind, outcome)


def asks(names: list[str], definition: Definition) -> dict[str, Callable[..., httpx.Response]]:
    """What clients do, by name."""
    kinds = [kind.name for kind in definition.engagement.kinds]
    numbers = itertools.count()

    def score(client: httpx.Client, draw: random.Random, tally: Tally) -> httpx.Response:
        started = time.perf_counter()
        answer = client.post("/v1/scores", json={"lead": draw.choice(names)})
        with tally.lock:
            if answer.is_success:
                tally.seconds.append(time.perf_counter() - started)
                tally.acknowledged_scores.append(answer.json()["score_id"])
        return answer

    def batch(client: httpx.Client, draw: random.Random, tally: Tally) -> httpx.Response:
        rows = [{"lead": lead} for lead in draw.sample(names, 50)]
        answer = client.post("/v1/scores/batch", json={"leads": rows})
        if answer.is_success:
            given = [row["score"] for row in answer.json()["results"] if row.get("score")]
            with tally.lock:
                tally.acknowledged_scores += [one["score_id"] for one in given]
        return answer

    def ingest(client: httpx.Client, draw: random.Random, tally: Tally) -> httpx.Response:
        ids = [f"soak-{next(numbers)}" for _ in range(20)]
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
        rows = [
            {"lead": draw.choice(names), "kind": draw.choice(kinds), "occurred_at": at}
            | {"source": "soak", "external_id": one}
            for one in ids
        ]
        answer = client.post("/v1/events", json=rows, headers={"Idempotency-Key": ids[0]})
        if answer.is_success:
            assert answer.json()["rejected"] == [], answer.text[:500]
            with tally.lock:
                tally.acknowledged_events += ids
        return answer

    def page(client: httpx.Client, draw: random.Random, _: Tally) -> httpx.Response:
        return client.get("/v1/queue", params={"limit": 50, "offset": 50 * draw.randrange(5)})

    def export(client: httpx.Client, _draw: random.Random, _: Tally) -> httpx.Response:
        time.sleep(1.0)
        return client.get("/v1/queue", params={"limit": 1_000})

    return {"score": score, "batch": batch, "ingest": ingest, "page": page, "export": export}


def soak(
    workspace: Workspace, digests: list[str], key: str, minutes: float, clients: int
) -> dict[str, Any]:
    """Run it for so long, and until each trouble was made once; gives the figures."""
    tally, over = Tally(), threading.Event()
    with hanging() as mlflow, running(workspace, mlflow.url) as (steady, mortal):
        kinds = asks(_names(workspace), workspace.definition())
        shares = ["score"] * max(clients - 4, 1) + ["batch", "ingest", "page", "export"]
        workers = {"steady": steady, "mortal": mortal}
        trouble = Trouble(workspace, digests, mortal, tally, over)
        threads: list[threading.Thread] = [trouble]
        threads += [
            Client(kind, i, kinds[kind], workers, key, tally, over) for i, kind in enumerate(shares)
        ]
        for thread in threads:
            thread.start()
        memory = _watched(steady, lambda at: at > 60 * minutes and trouble.went_round.is_set())
        over.set()
        for thread in threads:
            thread.join(120)
        has_lived, asked = steady.is_alive, mlflow.connections()
    return figures(workspace.store, tally, memory, has_lived=has_lived, asked_mlflow=asked)


@contextmanager
def running(workspace: Workspace, mlflow: str) -> Iterator[tuple[Worker, Worker]]:
    """Two workers that are ready, killed at the end."""
    workers = worker_of(workspace, mlflow), worker_of(workspace, mlflow)
    try:
        for worker in workers:
            worker.start()
        yield workers
    finally:
        for worker in workers:
            worker.kill()


def _names(workspace: Workspace) -> list[str]:
    with workspace.store.read() as connection:
        chosen = leads.select().with_only_columns(leads.c.external_id).limit(1_500)
        return [str(name) for name in connection.execute(chosen).scalars()]


def _watched(worker: Worker, is_over: Callable[[float], bool]) -> list[tuple[float, float]]:
    """A worker's memory, second by second, until it is over or the worker has ended."""
    started, memory = time.monotonic(), [(0.0, worker.resident_mb())]
    while worker.is_alive and not is_over(memory[-1][0]):
        time.sleep(1.0)
        memory.append((time.monotonic() - started, worker.resident_mb()))
    return memory


def conclude(found: dict[str, Any], as_json: bool) -> int:
    """Print the figures and what was broken; the exit code, 1 where anything was."""
    promises = broken(found)
    print(json.dumps({**found, "broken": promises}, indent=None if as_json else 2))
    for sentence in promises:
        print(f"broken: {sentence}", file=sys.stderr)
    return 1 if promises else 0


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=8, help="four of them do not score singly")
    parser.add_argument("--database", help="a PostgreSQL URL; by default SQLite")
    parser.add_argument("--json", action="store_true", help="one line instead of many")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as home,
        company(Path(home), given.database) as (workspace, digests, key),
    ):
        found = soak(workspace, digests, key, given.minutes, given.clients)
    sys.exit(conclude(found, given.json))


if __name__ == "__main__":
    main()
