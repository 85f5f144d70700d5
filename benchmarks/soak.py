"""Does it hold for long? Two real workers under mixed load, with swaps, kills and faults all the while.

    python -m benchmarks.soak [--minutes 10] [--clients 8] [--database URL] [--json]

A company is simulated, imported and trained on; then clients score, score in batches, send events, read
pages of the queue and take the whole of it away. Meanwhile models are swapped, one worker is killed and
started again, the database is locked, and a model on disk is damaged. Every answer 200 is an
acknowledgement: at the end the database is asked for each of them. The last line of stdout is one JSON
object; memory is that of the worker that is never killed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.soaked import Worker, company, worker_of
from features.definition import Definition
from features.store.ledger import scores
from features.store.promotions import DecisionRecord
from features.store.tables import events, leads
from models.workspace import Workspace


@dataclass
class Tally:
    """What was answered and what was not, told by all clients."""

    acknowledged_scores: list[int] = field(default_factory=list)
    acknowledged_events: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Client(threading.Thread):
    """Does one kind of thing again and again, at one worker or the other."""

    def __init__(
        self,
        kind: str,
        number: int,
        ask: Callable[[httpx.Client, random.Random, Tally], httpx.Response],
        workers: list[Worker],
        key: str,
        tally: Tally,
        over: threading.Event,
    ) -> None:
        super().__init__(daemon=True)
        self._kind, self._ask, self._tally, self._over = kind, ask, tally, over
        self._draw = random.Random(number)
        self._clients = [
            httpx.Client(base_url=w.url, timeout=60.0, headers={"Authorization": f"Bearer {key}"})
            for w in workers
        ]

    def run(self) -> None:
        """Ask until it is over."""
        for client in itertools.cycle(self._clients):
            if self._over.is_set():
                return
            try:
                answer = self._ask(client, self._draw, self._tally)
                outcome = None if answer.is_success else str(answer.status_code)
            except httpx.TransportError as error:
                outcome = type(error).__name__
                self._over.wait(0.2)
            with self._tally.lock:
                self._tally.requests[self._kind] += 1
                if outcome is not None:
                    self._tally.errors[f"{self._kind} {outcome}"] += 1


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


def trouble(
    workspace: Workspace, digests: list[str], mortal: Worker, tally: Tally, over: threading.Event
) -> None:
    """Swap, kill, lock and damage, one after the other, until it is over."""
    deeds: list[tuple[str, Callable[[], None]]] = [
        ("swap", lambda: _swap(workspace, digests)),
        ("kill", lambda: _restart(mortal)),
        ("damage", lambda: _damage(workspace, digests)),
        ("swap", lambda: _swap(workspace, digests)),
        ("lock", lambda: _lock(workspace, over)),
    ]
    for name, deed in itertools.cycle(deeds):
        if over.wait(6.0):
            return
        deed()
        with tally.lock:
            tally.done[name] += 1


def _swap(workspace: Workspace, digests: list[str]) -> None:
    present = workspace.registry.champion_digest()
    (other,) = [digest for digest in digests if digest != present]
    now = time.time_ns() // 1_000
    said = {"decided_by": "soak", "reason": "a swap", "evidence": {}}
    workspace.registry.decide(
        DecisionRecord(decided_at=now, decision="promote", bundle=other, against=present, **said)
    )


def _restart(worker: Worker) -> None:
    worker.kill()
    worker.start()


def _damage(workspace: Workspace, digests: list[str]) -> None:
    """Flip a byte of the model that does not score now: the next swap has to fetch it anew."""
    present = workspace.registry.champion_digest()
    (other,) = [digest for digest in digests if digest != present]
    path = workspace.bundles / other / "learner.json"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _lock(workspace: Workspace, over: threading.Event) -> None:
    """Hold the database for three seconds, as somebody's import might."""
    with workspace.store.write() as connection:
        if not workspace.store.is_sqlite:
            connection.exec_driver_sql("LOCK TABLE scores, events IN ACCESS EXCLUSIVE MODE")
        over.wait(3.0)


def soak(
    workspace: Workspace, digests: list[str], key: str, minutes: float, clients: int
) -> dict[str, Any]:
    """Run it; gives the figures."""
    steady, mortal = worker_of(workspace), worker_of(workspace)
    tally, over = Tally(), threading.Event()
    memory: list[tuple[float, float]] = []
    try:
        steady.start()
        mortal.start()
        with workspace.store.read() as connection:
            chosen = leads.select().with_only_columns(leads.c.external_id).limit(1_500)
            names = [str(name) for name in connection.execute(chosen).scalars()]
        kinds = asks(names, workspace.definition())
        shares = ["score"] * max(clients - 4, 1) + ["batch", "ingest", "page", "export"]
        threads: list[threading.Thread] = [
            Client(kind, i, kinds[kind], [steady, mortal], key, tally, over)
            for i, kind in enumerate(shares)
        ]
        threads.append(
            threading.Thread(
                target=trouble, args=(workspace, digests, mortal, tally, over), daemon=True
            )
        )
        started = time.monotonic()
        for thread in threads:
            thread.start()
        while time.monotonic() - started < 60 * minutes:
            time.sleep(1.0)
            memory.append((time.monotonic() - started, steady.resident_mb()))
        over.set()
        for thread in threads:
            thread.join(120)
        assert steady.process is not None
        has_lived = steady.process.poll() is None
    finally:
        steady.kill()
        mortal.kill()
    return figures(workspace, tally, memory, has_lived)


def figures(
    workspace: Workspace, tally: Tally, memory: list[tuple[float, float]], has_lived: bool
) -> dict[str, Any]:
    """What is told at the end; the first tenth of the time is left out of the slope of memory."""
    with workspace.store.read() as connection:
        ledger = set(connection.execute(scores.select().with_only_columns(scores.c.id)).scalars())
        told = events.select().with_only_columns(events.c.external_id)
        there = set(connection.execute(told.where(events.c.source == "soak")).scalars())
    at, resident = np.array(memory).T
    warm = at >= at[-1] / 10
    slope = float(np.polyfit(at[warm] / 60, resident[warm], 1)[0])
    return {
        "minutes": round(float(at[-1]) / 60, 2),
        "requests": dict(tally.requests),
        "done": dict(tally.done),
        "acknowledged": {
            "scores": len(tally.acknowledged_scores),
            "events": len(tally.acknowledged_events),
        },
        "acknowledged_writes_lost": len(set(tally.acknowledged_scores) - ledger)
        + len(set(tally.acknowledged_events) - there),
        "errors": dict(tally.errors),
        "score_ms": {
            "p50": round(1e3 * float(np.quantile(tally.seconds, 0.5)), 1),
            "p99": round(1e3 * float(np.quantile(tally.seconds, 0.99)), 1),
        },
        "rss_mb": {
            "first": round(float(resident[warm][0]), 1),
            "last": round(float(resident[-1]), 1),
            "slope_per_minute": round(slope, 3),
            "by_minute": [
                round(float(resident[at // 60 == minute].mean()), 1)
                for minute in range(int(at[-1] // 60) + 1)
            ],
        },
        "steady_worker_lived": has_lived,
        "database_is_sound": _is_sound(workspace),
    }


def _is_sound(workspace: Workspace) -> bool:
    if not workspace.store.is_sqlite:
        return True
    with closing(sqlite3.connect(workspace.store.url.database or "")) as database:
        return bool(database.execute("PRAGMA integrity_check").fetchone() == ("ok",))


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
    print(json.dumps(found, indent=None if given.json else 2))


if __name__ == "__main__":
    main()
