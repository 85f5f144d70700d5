"""How fast does a score come: ours, a server that computes nothing, and peers, in one run by one client?

    python -m benchmarks.serving [--seconds S] [--only KEY] [--peers-python PYTHON …] [--json]

Each server is started here, with a model of 300 trees x 31 leaves on 75 columns, and asked in turn
with the others, a part of its seconds at a time, because a machine's speed drifts. A table goes to
stderr, the last line of stdout is one JSON object. See docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving import servers
from benchmarks.serving.company import Company, make_company
from benchmarks.serving.servers import ROWS, Asked, Server, free_port, running

CLIENTS = (1, 8, 64)
_TURNS = 3
_WARM_UP_SECONDS = 1.0
_OWN = ("floor", "ours")
"""Without these nothing is compared; a peer that does not start is left out."""


@dataclass
class Timed:
    """What was measured at one place: seconds in all, and of each answer."""

    took: float = 0.0
    each: list[float] = field(default_factory=list)
    cpu: float = 0.0

    def add(self, more: Mapping[str, Any]) -> None:
        """One turn more."""
        self.took += more["took"]
        self.each += more["each"]
        self.cpu += more["cpu"]

    def shown(self) -> dict[str, float]:
        """The figures as they are told."""
        p50, p99 = np.percentile(self.each, [50, 99]) * 1_000
        rate = len(self.each) / self.took
        return {
            "req_per_s": round(rate, 1),
            "p50_ms": round(float(p50), 3),
            "p99_ms": round(float(p99), 3),
            "cpu_ms": round(self.cpu / len(self.each) * 1_000, 3),
        }


@dataclass(frozen=True)
class Started:
    """A server that answers."""

    server: Server
    port: int
    process: int

    def asked(self, asked: Asked, clients: int, seconds: float, core: int | None) -> dict[str, Any]:
        """One turn, by a client in a process of its own."""
        before = servers.cpu_seconds(self.process)
        answer = _asked(self.port, asked, clients, seconds, core)
        return answer | {"cpu": servers.cpu_seconds(self.process) - before}

    def warm_up(self, asked: Asked, core: int | None) -> None:
        """Ask until it gets no faster: code may still be compiled, pools be filled."""
        best, patience = float("inf"), 3
        while patience:
            p50 = float(np.median(self.asked(asked, 1, _WARM_UP_SECONDS, core)["each"]))
            patience = 3 if p50 < 0.8 * best else patience - 1
            best = min(best, p50)


def measure(
    wanted: Mapping[str, Server], scratch: Path, seconds: float, only: Sequence[str]
) -> dict[str, Any]:
    """Start the servers and ask them in turn.

    Args:
        wanted: the servers, by any name.
        scratch: a directory for logs.
        seconds: for each number of clients of each key.
        only: keys; none for all.
    """
    serving, asking = _cores()
    with ExitStack() as stack:
        started = {}
        for name, server in wanted.items():
            port = free_port()
            log = scratch / f"{name}.log"
            try:
                process = stack.enter_context(running(server, port, log, serving))
            except RuntimeError as error:
                if name in _OWN:
                    raise
                print(f"without {name}: {error}", file=sys.stderr)
                continue
            started[name] = Started(server, port, process)
        found: dict[str, dict[str, Timed]] = defaultdict(lambda: defaultdict(Timed))
        places = [
            (key, one, asked)
            for one in started.values()
            for key, asked in one.server.asked.items()
            if not only or key in only
        ]
        for key, one, (single, batch) in places:
            one.warm_up(single, asking)
            one.asked(batch, 1, _WARM_UP_SECONDS, asking)
            print(f"{key} answers", file=sys.stderr)
        for clients in CLIENTS:
            for _ in range(_TURNS):
                for key, one, (single, _) in places:
                    turn = one.asked(single, clients, seconds / _TURNS, asking)
                    found[key][str(clients)].add(turn)
        for _ in range(_TURNS):
            for key, one, (_, batch) in places:
                found[key]["batch"].add(one.asked(batch, 1, seconds / _TURNS, asking))
    return {key: _shown(timed) for key, timed in found.items()}


def _shown(timed: Mapping[str, Timed]) -> dict[str, Any]:
    batch = timed["batch"]
    rows = len(batch.each) * ROWS / batch.took
    return {
        **{clients: timed[clients].shown() for clients in map(str, CLIENTS)},
        "batch_1000_rows_per_s": round(rows, 1),
    }


def _asked(
    port: int, asked: Asked, clients: int, seconds: float, core: int | None
) -> dict[str, Any]:
    requests = [base64.b64encode(request).decode() for request in asked.requests(port)]
    what = {"port": port, "seconds": seconds, "clients": clients, "requests": requests}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving.client"],
        input=json.dumps(what),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
    )
    if done.returncode:
        raise RuntimeError(f"{asked.path}: {done.stderr[-1_000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _cores() -> tuple[int | None, int | None]:
    """A core for the servers and another one for the client; None where there is but one."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


def pred_contrib_rows_per_s(company: Company, seconds: float) -> float:
    """LightGBM's own contributions, `ROWS` rows at once, one thread, in process: no server around it."""
    import lightgbm

    booster = lightgbm.Booster(model_str=company.booster)
    rows = company.matrix[:ROWS]
    booster.predict(rows[:10], pred_contrib=True, num_threads=1)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        booster.predict(rows[:100], pred_contrib=True, num_threads=1)
        done += 100
    return round(done / (time.perf_counter() - began), 1)


def main() -> None:
    """Measure and tell."""
    chosen = _arguments()
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        home = scratch / "home"
        home.mkdir()
        company = make_company(home)
        print("the model is made and promoted", file=sys.stderr)
        wanted = _wanted(company, scratch, chosen)
        found = measure(wanted, scratch, chosen.seconds, chosen.only)
        found["pred_contrib_rows_per_s"] = pred_contrib_rows_per_s(company, chosen.seconds)
    _table(found)
    if chosen.json:
        print(json.dumps(found))


def _wanted(company: Company, scratch: Path, chosen: argparse.Namespace) -> dict[str, Server]:
    pythons = [Path(python) for python in (*chosen.peers_python, sys.executable)]
    every = {
        "floor": lambda: servers.floor(company),
        "ours": lambda: servers.ours(company),
        "mlflow": lambda: servers.mlflow_serve(company, scratch),
        "bentoml": lambda: servers.bentoml(company, scratch, pythons),
        "mlserver": lambda: servers.mlserver(company, scratch, pythons),
    }
    found = {}
    for name, make in every.items():
        if chosen.only and not any(key.startswith(name) for key in chosen.only):
            continue
        server = make()
        if server is None:
            print(f"without {name}: it is not installed", file=sys.stderr)
        else:
            found[name] = server
    return found


def _table(found: Mapping[str, Any]) -> None:
    print(
        f"{'':28}{'clients':>8}{'req/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU ms':>9}",
        file=sys.stderr,
    )
    for key, figures in found.items():
        if not isinstance(figures, Mapping):
            print(f"{key:28}{figures:>18}", file=sys.stderr)
            continue
        for clients in map(str, CLIENTS):
            one = figures[clients]
            told = f"{one['req_per_s']:>10}{one['p50_ms']:>9}{one['p99_ms']:>9}{one['cpu_ms']:>9}"
            print(f"{key:28}{clients:>8}{told}", file=sys.stderr)
        print(f"{key:28}{'batch':>8}{figures['batch_1000_rows_per_s']:>10} rows/s", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.serving", description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="for each figure")
    parser.add_argument("--only", action="append", default=[], help="a key; may be repeated")
    parser.add_argument(
        "--peers-python",
        action="append",
        default=[],
        help="of an environment with BentoML or MLServer; may be repeated, the first counts",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
