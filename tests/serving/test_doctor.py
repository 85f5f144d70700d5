"""Does the doctor find what is wrong, say what to do, and leave everything as it is?"""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from models_made import forget_bytes, promote, put_bundle

from features.store.engine import Store
from models.workspace import Workspace
from serving import doctor
from serving.doctor import Finding, examine, sqlite_loses_data


@pytest.fixture
def workspace(company_store: Store, tmp_path: Path) -> Workspace:
    url = company_store.url.render_as_string(hide_password=False)
    mlflow = tmp_path / "mlflow.db"
    mlflow.touch()
    return Workspace(tmp_path, url, tmp_path / "definition.yaml", f"sqlite:///{mlflow}")


def by_part(workspace: Workspace) -> dict[str, Finding]:
    return {finding.part: finding for finding in examine(workspace)}


def test_a_whole_installation_is_well(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    found = by_part(workspace)
    assert {part: finding.state for part, finding in found.items()} == dict.fromkeys(
        ["versions", "data_directory", "sqlite", "store", "definition", "champion", "mlflow"],
        "well",
    )


def test_an_empty_place_is_broken_and_stays_empty(tmp_path: Path) -> None:
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": str(tmp_path / "var")})
    found = by_part(workspace)
    for part in ("data_directory", "store", "definition"):
        assert found[part].state == "broken"
        assert "propensity" in found[part].hint
    assert found["mlflow"].state == "warning"
    assert not (tmp_path / "var").exists()


def test_a_database_without_tables_is_broken(workspace: Workspace, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "empty.db").close()
    empty = replace(workspace, database_url=f"sqlite:///{tmp_path / 'empty.db'}")
    found = by_part(empty)
    assert found["store"].state == "broken"
    assert "db upgrade" in found["store"].hint
    assert "champion" not in found


def test_a_damaged_champion_is_broken(workspace: Workspace) -> None:
    digest = workspace.registry.champion_digest()
    path = workspace.bundles / str(digest) / "booster.txt"
    path.write_bytes(path.read_bytes()[:-1])
    found = by_part(workspace)["champion"]
    assert found.state == "warning", "the database can give it back"
    forget_bytes(workspace)
    found = by_part(workspace)["champion"]
    assert found.state == "broken"
    assert "booster.txt" in found.said


def test_no_champion_and_another_definition_are_warnings(
    workspace: Workspace, definition_text: str, migrated_sqlite: Path
) -> None:
    workspace.definition_path.write_text(definition_text.replace("at_least: 0.3", "at_least: 0.4"))
    states = [f.state for f in examine(workspace) if f.part == "champion"]
    assert states == ["well", "warning"]
    other = shutil.copy(migrated_sqlite, workspace.data_dir / "other.db")
    none = replace(workspace, database_url=f"sqlite:///{other}")
    assert by_part(none)["champion"].state == "warning"
    promote(none, put_bundle(none))
    assert [f.state for f in examine(none) if f.part == "champion"] == ["well", "warning"]


def test_a_broken_definition_lists_its_problems(workspace: Workspace) -> None:
    workspace.definition_path.write_text("name: x\nroutes: []\nhorizn_days: 3\n")
    found = by_part(workspace)["definition"]
    assert found.state == "broken"
    assert "does not hold together" in found.said


def test_a_dead_tracking_server_is_a_warning_soon(workspace: Workspace) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    dead = replace(workspace, mlflow_uri=f"http://user:secret@127.0.0.1:{port}")
    began = time.monotonic()
    found = by_part(dead)["mlflow"]
    assert found.state == "warning"
    assert "secret" not in found.said
    # A bound on hanging, not a measurement: a client of the server itself would wait for minutes.
    assert time.monotonic() - began < 60


def test_a_live_tracking_server_is_well_and_its_password_is_not_shown(
    workspace: Workspace,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        uri = f"http://user:secret@127.0.0.1:{port}"
        found = by_part(replace(workspace, mlflow_uri=uri))["mlflow"]
    assert found.state == "well"
    assert "secret" not in found.said


def test_little_room_and_no_right_to_write_are_said(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE_BYTES", 2**80)
    assert by_part(workspace)["data_directory"].state == "warning"
    data, may = workspace.data_dir, os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != data and may(path, mode))
    assert by_part(workspace)["data_directory"].state == "broken"


@pytest.mark.parametrize(
    ("version", "loses"),
    [
        # https://sqlite.org/releaselog/3_51_3.html: fixed there, and in 3.44.6 and 3.50.7.
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
        ((4, 0, 0), False),
    ],
)
def test_the_versions_of_sqlite_that_lose_data(version: tuple[int, ...], loses: bool) -> None:
    assert sqlite_loses_data(version) is loses
