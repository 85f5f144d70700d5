"""Killed half-way: the store is whole, the champion is what it was, and the next run goes through.

Each test kills a real command with SIGKILL after a share of the time that it takes undisturbed, on a
copy of one installation that has a champion already.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from stores import copy_installation

LEADS = 2_000
COMMAND = [sys.executable, "-m", "propensity"]


@dataclass(frozen=True)
class Installation:
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PROPENSITY_DATA_DIR": str(self.home),
            "PROPENSITY_DEFINITION": str(self.home / "company" / "definition.yaml"),
            "OMP_NUM_THREADS": "1",
            "PROPENSITY_LEASE_SECONDS": "5",
        }

    def run(self, *words: str) -> Any:
        """What a command says as JSON; what was killed before it may hold its lease for some seconds."""
        deadline = time.monotonic() + 60
        while (done := self._started(*words)).returncode == os.EX_TEMPFAIL:
            assert time.monotonic() < deadline, done.stderr
            time.sleep(0.5)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def _started(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *words, "--json"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def kill(self, seconds: float, *words: str) -> int:
        """Start a command, kill it after so long; its exit code (−9 when it was still running)."""
        process = subprocess.Popen(
            [*COMMAND, *words],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait()

    def champion(self) -> str:
        models = self.run("models")
        return next(model["digest"] for model in models if model["role"] == "champion")

    def counts(self) -> dict[str, int]:
        with closing(sqlite3.connect(self.home / "propensity.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert database.execute("PRAGMA foreign_key_check").fetchall() == []
            tables = ("lead_versions", "answers", "events", "stages", "deals", "bundles")
            return {
                table: database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
                for table in tables
            }


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Installation, dict[str, float]]:
    """An installation with a champion, and how long each command took to make it."""
    home = tmp_path_factory.mktemp("founded")
    made = Installation(home)
    size = ("--leads", str(LEADS), "--events", str(20 * LEADS))
    made.run("simulate", str(home / "company"), *size)
    made.run("db", "upgrade")
    took = {}
    for words in (("import",), ("train",)):
        started = time.monotonic()
        made.run(*words)
        took[words[0]] = time.monotonic() - started
    return made, took


@pytest.fixture
def copy(founded: tuple[Installation, dict[str, float]], tmp_path: Path) -> Installation:
    copy_installation(founded[0].home, tmp_path / "copy")
    return Installation(tmp_path / "copy")


def test_a_copy_to_be_killed_in_is_whole_while_others_look_at_what_is_copied(
    tmp_path: Path,
) -> None:
    """Who opens a database makes files beside it, and who closes it last takes them away."""
    home = tmp_path / "home"
    home.mkdir()
    for number in range(20):
        (home / f"{number}.csv").write_text("a,b\n")
    source = home / "propensity.db"
    with closing(sqlite3.connect(source, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE told (n)")
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            told(source)

    looking = threading.Thread(target=look)
    looking.start()
    try:
        for number in range(1, 61):
            with closing(sqlite3.connect(source, isolation_level=None)) as database:
                database.execute("INSERT INTO told VALUES (1)")
            copy_installation(home, tmp_path / f"{number}")
            assert told(tmp_path / f"{number}" / "propensity.db") == number
    finally:
        over.set()
        looking.join()


def told(source: Path) -> int:
    with closing(sqlite3.connect(source)) as database:
        return int(database.execute("SELECT count(*) FROM told").fetchone()[0])


def shares(quick: list[float], slow: list[float]) -> list[object]:
    return [*quick, *(pytest.param(share, marks=pytest.mark.slow) for share in slow)]


@pytest.mark.parametrize("share", shares([], [0.6, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9]))
def test_a_killed_import_leaves_whole_chunks_and_the_next_one_completes_it(
    share: float, founded: tuple[Installation, dict[str, float]], tmp_path: Path
) -> None:
    whole, took = founded
    shutil.copytree(whole.home / "company", tmp_path / "company")
    fresh = Installation(tmp_path)
    fresh.run("db", "upgrade")
    fresh.kill(share * took["import"], "import")
    fresh.counts()
    fresh.run("import")
    facts = {table: n for table, n in whole.counts().items() if table != "bundles"}
    assert {table: n for table, n in fresh.counts().items() if table in facts} == facts


@pytest.mark.parametrize(
    "share", shares([], [0.85, 0.5, 0.15, 0.3, 0.4, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95])
)
def test_a_killed_training_leaves_the_champion_and_the_next_one_goes_through(
    share: float, founded: tuple[Installation, dict[str, float]], copy: Installation
) -> None:
    champion, facts = copy.champion(), copy.counts()
    code = copy.kill(share * founded[1]["train"], "train", "--seed", "1", "--no-promote")
    assert copy.champion() == champion
    after = copy.counts()
    assert {**after, "bundles": 0} == {**facts, "bundles": 0}
    digests = [path.name for path in (copy.home / "bundles").iterdir() if len(path.name) == 64]
    for digest in digests:
        assert (copy.home / "bundles" / digest / "manifest.json").exists()
    assert copy.run("models")
    if code == -signal.SIGKILL:
        trained = copy.run("train", "--seed", "2", "--no-promote")
        assert (
            copy.run("promote", str(trained["digest"]), "--force", "after a kill")["decision"]
            == "promote"
        )
        assert copy.champion() == trained["digest"]


@pytest.mark.parametrize("seconds", shares([], [1.5, 0.5, 1.0, 2.0, 2.5, 3.0, 4.0, 6.0]))
def test_a_killed_promotion_is_done_or_not_and_never_half(
    seconds: float, copy: Installation
) -> None:
    before = copy.champion()
    trained = str(copy.run("train", "--seed", "3", "--no-promote")["digest"])
    copy.kill(seconds, "promote", trained, "--force", "a test")
    assert copy.champion() in (before, trained)
    copy.counts()
    again = copy.run("promote", trained, "--force", "a test")
    assert again["decision"] in ("promote", "keep")
    assert copy.champion() == trained
