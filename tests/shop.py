"""A shop whose jobs are killed: a small installation, and the process in whose children they run."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from once_asked import claimed

from features.clock import DAY
from features.store.idempotency import Answer
from features.store.promotions import list_bundles
from models.bundle import read_bundle
from models.workspace import Workspace

ROOT = Path(__file__).parent.parent
OPENED, NOW = 18_000 * DAY, 18_900 * DAY
DEFINITION = """
name: shop
horizon_days: 30
cohorts: {every_days: 30}
attributes:
  - {name: size, type: number}
  - {name: colour, type: category}
sources:
  - file: leads.csv
    lead: lead
    opened_at: opened
    attributes: {size: size, colour: colour}
  - file: deals.csv
    lead: lead
    outcome: {column: outcome, won: [won], lost: [lost], at: closed, id: deal}
"""


class Zygote:
    """The process whose children do the jobs."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "faults" / "zygote.py")],
            cwd=ROOT,
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, job: str, home: Path, **order: Any) -> dict[str, Any]:
        return self.at_once([{"job": job, "home": str(home), **order}])[0]

    def at_once(self, orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        # A port of this machine on which nobody listens: MLflow is down in these tests.
        common = {"mlflow": "http://127.0.0.1:9", "now": NOW}
        print(json.dumps([common | order for order in orders]), file=self.process.stdin, flush=True)
        return list(json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        self.process.communicate(timeout=30)


def write_files(home: Path) -> None:
    """A shop of 700 leads in 900 days, of whom the larger buy, and its definition."""
    rng = np.random.default_rng(2)
    leads, deals = ["lead,opened,size,colour"], ["deal,lead,closed,outcome"]
    for i in range(700):
        opened = OPENED + int(rng.integers(0, 880)) * DAY
        size = rng.normal()
        leads.append(f"L{i},{_day(opened)},{size:.3f},{'rgb'[i % 3]}")
        closed = opened + int(rng.integers(20, 100)) * DAY
        if closed < NOW:
            won = rng.random() < 1 / (1 + np.exp(-1.5 * size))
            deals.append(f"D{i},L{i},{_day(closed)},{'won' if won else 'lost'}")
    (home / "leads.csv").write_text("\n".join(leads))
    (home / "deals.csv").write_text("\n".join(deals))
    (home / "definition.yaml").write_text(DEFINITION)


def _day(instant: int) -> str:
    return str(np.datetime64(instant // DAY, "D"))


@dataclass(frozen=True)
class Shop:
    """An installation with a champion and a challenger."""

    home: Path
    champion: str
    challenger: str


def champion_of(home: Path) -> str:
    """The champion, after looking at everything that could have been left half done."""
    with sqlite3.connect(home / "propensity.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": str(home)})
    registry = workspace.registry
    with workspace.store.read() as connection:
        known = [bundle.digest for bundle in list_bundles(connection)]
    for digest in known:
        read_bundle(workspace.bundles, digest)
        assert registry.find(digest) == digest
    served = [p.name for p in workspace.bundles.iterdir() if not p.name.startswith(".new-")]
    for digest in served:
        read_bundle(workspace.bundles, digest)
    found = registry.champion()
    workspace.store.close()
    return found.digest


def counts(home: Path) -> dict[str, int]:
    with sqlite3.connect(home / "propensity.db") as database:
        return {
            table: database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in ("leads", "lead_versions", "stages", "deals", "bundles", "decisions")
        }


def look_at_what_was_acknowledged(home: Path, job: str) -> None:
    """Every write that was acknowledged is there, and no batch is half there."""
    path = home / "acknowledged"
    noted = path.read_text().splitlines() if path.exists() else []
    # A line that was being written when its writer died was not yet read by anybody.
    with sqlite3.connect(home / "propensity.db") as database:
        if job == "score":
            assert set(noted) <= {str(row[0]) for row in database.execute("SELECT id FROM scores")}
        elif job in BATCHES:
            there = _batches(database, "SELECT external_id FROM leads", BATCHES[job])
            assert {line.split()[0] for line in noted} <= there
        if job == "close":
            for table in ("deals", "stages"):  # a deal is never there without its closing
                of = f"SELECT leads.external_id FROM leads JOIN {table} ON {table}.lead = leads.id"
                assert _batches(database, of, "C") == there
        if job == "tell once":
            kept = "SELECT COUNT(*) FROM idempotency_keys WHERE answer IS NOT NULL"
            assert database.execute(kept).fetchone() == (len(there),)
    if job == "tell once":
        _look_at_answers(home, noted)


BATCHES = {"tell": "N", "close": "C", "tell once": "K"}
"""What the leads of a job's batches are called: this letter, the batch, and their number in it."""


def _batches(database: sqlite3.Connection, query: str, letter: str) -> set[str]:
    """The batches that are there, each as a whole."""
    names = [name for (name,) in database.execute(query) if name[0] == letter]
    found = Counter(name.partition("-")[0].removeprefix(letter) for name in names)
    assert set(found.values()) <= {20}, "no batch is half there"
    return set(found)


def _look_at_answers(home: Path, noted: list[str]) -> None:
    """Who asks again is told what was answered before, however often."""
    told = dict(line.split() for line in noted)
    assert len(told) == len(set(noted)), "two answers to one request"
    store = Workspace.of({"PROPENSITY_DATA_DIR": str(home)}).store
    for batch, body in told.items():
        answer = claimed(store, int(batch), NOW)
        assert isinstance(answer, Answer), answer
        assert answer.body == body
    store.close()
