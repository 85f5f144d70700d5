"""Who is measured? How each server is started, what it is asked, and which settings are its best.

Ours runs as a user runs it: `propensity serve`, authentication on, the ledger on and durable. Peers get
the rows encoded already and answer with a probability alone. One worker each, one thread a prediction.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.company import Company, as_json, payload

ROWS = 1_000
"""Rows of one batch."""

_QUIET = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "BENTOML_DO_NOT_TRACK": "True",
}


@dataclass(frozen=True)
class Asked:
    """One thing a server is asked: an address and what is sent there, in turn."""

    path: str
    bodies: list[bytes]
    headers: Mapping[str, str] = field(default_factory=dict)

    def requests(self, port: int) -> list[bytes]:
        """As they go over the wire."""
        more = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{more}"
        head += "Content-Type: application/json\r\n"
        return [f"{head}Content-Length: {len(b)}\r\n\r\n".encode() + b for b in self.bodies]


@dataclass(frozen=True)
class Server:
    """One server.

    Attributes:
        command: starts it, given its port.
        asked: key of the figures -> a single request, and one of `ROWS` rows.
        environment: what it needs beside ours.
        cwd: where it is started.
    """

    command: Callable[[int], list[str]]
    asked: Mapping[str, tuple[Asked, Asked]]
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None


def floor(company: Company) -> Server:
    """FastAPI and pydantic, uvicorn with uvloop and httptools, and nothing computed."""
    single = Asked("/v1/scores", [as_json(payload(company, i)) for i in range(200)])
    batch = Asked("/v1/scores/batch", [_leads(company)])
    uvicorn = [sys.executable, "-m", "uvicorn", "benchmarks.serving.noop_app:app"]
    how = ["--loop", "uvloop", "--http", "httptools", "--workers", "1", "--no-access-log"]
    return Server(
        lambda port: [*uvicorn, *how, "--log-level", "warning", "--port", str(port)],
        {"floor_noop_fastapi": (single, batch)},
    )


def ours(company: Company) -> Server:
    """`propensity serve`, asked for no reasons and for the usual ones."""
    key = {"Authorization": f"Bearer {company.key}"}
    bodies = [as_json(payload(company, i)) for i in range(len(company.attributes))]
    stored = [as_json({"lead": company.stored_lead(i)}) for i in range(len(company.attributes))]

    def of(query: str, single: list[bytes]) -> tuple[Asked, Asked]:
        batch = Asked(f"/v1/scores/batch{query}", [_leads(company)], key)
        return Asked(f"/v1/scores{query}", single, key), batch

    return Server(
        lambda port: [sys.executable, "-m", "propensity", "serve", "--port", str(port)],
        {
            "ours_score": of("?reasons=0", bodies),
            "ours_score_reasons": of("", bodies),
            "ours_stored_score_reasons": of("", stored),
        },
        {"PROPENSITY_DATA_DIR": str(company.home), "PROPENSITY_KEY_RATE": "0"},
    )


def mlflow_serve(company: Company, scratch: Path) -> Server | None:
    """`mlflow models serve` with a signature; None where MLflow is not installed."""
    try:
        import lightgbm
        import mlflow
        import pandas as pd
    except ImportError:
        return None
    path = scratch / "mlflow_model"
    rows = pd.DataFrame(_filled(company), columns=company.names)
    booster = lightgbm.Booster(model_str=company.booster)
    signature = mlflow.models.infer_signature(rows[:5], booster.predict(rows[:5].to_numpy()))
    mlflow.lightgbm.save_model(booster, str(path), signature=signature)

    def asked(rows: list[list[float]]) -> bytes:
        return as_json({"dataframe_split": {"columns": company.names, "data": rows}})

    values = _filled(company).tolist()
    single = Asked("/invocations", [asked([row]) for row in values[:200]])
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(path)]
    return Server(
        lambda port: [*command, "--env-manager", "local", "--workers", "1", "--port", str(port)],
        {"mlflow_serve": (single, Asked("/invocations", [asked(values[:ROWS])]))},
        {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )


def bentoml(company: Company, scratch: Path, pythons: Sequence[Path]) -> Server | None:
    """BentoML's own server; None where it is not installed."""
    program = _program("bentoml", pythons)
    if program is None:
        return None
    booster = _written(company, scratch)
    place = scratch / "bento"
    place.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).parent / "peers" / "bento_service.py", place)
    values = _filled(company).tolist()
    single = Asked("/predict", [as_json({"rows": [row]}) for row in values[:200]])
    return Server(
        lambda port: [str(program), "serve", "bento_service:Scorer", "--port", str(port)],
        {"bentoml": (single, Asked("/predict", [as_json({"rows": values[:ROWS]})]))},
        {"BENCHMARK_BOOSTER": str(booster), "PATH": f"{program.parent}:{os.environ['PATH']}"},
        place,
    )


def mlserver(company: Company, scratch: Path, pythons: Sequence[Path]) -> Server | None:
    """MLServer with its LightGBM runtime, in one process; None where it is not installed."""
    program = _program("mlserver", pythons)
    if program is None:
        return None
    booster = _written(company, scratch)
    place = scratch / "mlserver"
    place.mkdir(exist_ok=True)
    model = {
        "name": "leads",
        "implementation": "mlserver_lightgbm.LightGBMModel",
        "parameters": {"uri": str(booster)},
    }
    (place / "model-settings.json").write_text(json.dumps(model))

    def asked(rows: list[list[float]]) -> bytes:
        flat = [value for row in rows for value in row]
        shape = [len(rows), len(company.names)]
        tensor = {"name": "rows", "datatype": "FP64", "shape": shape, "data": flat}
        return as_json({"inputs": [tensor]})

    def started(port: int) -> list[str]:
        how = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
        quiet = {"parallel_workers": 0, "debug": False, "host": "127.0.0.1"}
        (place / "settings.json").write_text(json.dumps(how | quiet))
        return [str(program), "start", str(place)]

    path = "/v2/models/leads/infer"
    values = _filled(company).tolist()
    single = Asked(path, [asked([row]) for row in values[:200]])
    return Server(started, {"mlserver": (single, Asked(path, [asked(values[:ROWS])]))})


def _program(name: str, pythons: Sequence[Path]) -> Path | None:
    """A program of the first environment that has it."""
    places = (python.parent / name for python in pythons)
    return next((place for place in places if place.exists()), None)


@contextmanager
def running(server: Server, port: int, log: Path, core: int | None) -> Iterator[int]:
    """The process of a server that answers; stopped at the end with all that it has started."""
    environment = {**os.environ, **_QUIET, **server.environment}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            server.command(port),
            stdout=sink,
            stderr=sink,
            env=environment,
            cwd=server.cwd,
            start_new_session=True,
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        )
        try:
            _wait(process, port, log)
            yield process.pid
        finally:
            _stop(process)


def cpu_seconds(root: int) -> float:
    """What a process and all below it have used of the processors; 0 where that cannot be known."""
    parent, used = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(stat.parent.name)
        parent[pid], used[pid] = int(fields[1]), int(fields[11]) + int(fields[12])
    below = {root}
    # A child may have a lower number than its parent, so once is not enough.
    while more := {pid for pid, above in parent.items() if above in below} - below:
        below |= more
    return sum(used.get(pid, 0) for pid in below) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port with two free ones above it, as far as one can know."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], port: int, log: Path, seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-2_000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the session that was started for this server, and nothing else."""
    for signal in (15, 9):
        try:
            os.killpg(process.pid, signal)
            process.wait(15)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        else:
            return


def _leads(company: Company) -> bytes:
    n = len(company.attributes)
    leads: list[dict[str, Any]] = [
        payload(company, i % n) | {"lead": f"B-{i}"} for i in range(ROWS)
    ]
    return as_json({"leads": leads})


def _filled(company: Company) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Rows without gaps: most peers' JSON has no word for *not known*."""
    return np.nan_to_num(company.matrix)


def _written(company: Company, scratch: Path) -> Path:
    path = scratch / "booster.txt"
    path.write_text(company.booster, encoding="utf-8")
    return path
