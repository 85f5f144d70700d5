"""A restore is killed with SIGKILL: is nothing half there, and does what it leaves not stay?"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from agreed import DEFINITION_TEXT
from models_made import fill
from shop import NOW, Zygote

from features.definition import Definition
from features.store.backup import back_up
from features.store.engine import Store
from features.store.erasure import erase
from features.store.remembered import remember
from models.workspace import Workspace
from serving.doctor import Finding, examine

PERSON = "L-0003"


@pytest.fixture
def home(sqlite_store: Store, definition: Definition, tmp_path: Path) -> Path:
    """An empty data directory; beside it a backup that is older than an erasure, which is remembered."""
    fill(sqlite_store, definition)
    agreed = tmp_path / "agreed.yaml"
    agreed.write_text(DEFINITION_TEXT, encoding="utf-8")
    back_up(sqlite_store, agreed, tmp_path / "safe" / "copy")
    with sqlite_store.write() as connection:
        erase(connection, PERSON, by="tests", now=NOW)
    remember(sqlite_store, tmp_path / "safe")
    (tmp_path / "new").mkdir()
    return tmp_path / "new"


def told(home: Path) -> list[Finding]:
    """What the doctor says of it."""
    found = examine(Workspace.of({"PROPENSITY_DATA_DIR": str(home)}))
    return [one for one in found if one.part == "restore"]


def late(*step: object) -> object:
    return pytest.param(*step, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("call", "when", "nth"),
    [
        ("features.store.remembered.forget_again", "after", 1),
        ("features.store.backup._flush", "after", 2),
        late("features.store.backup._flush", "before", 1),
        late("features.store.remembered.forget_again", "before", 1),
        late("features.store.remembered.compact", "before", 1),
        late("features.store.remembered.compact", "after", 1),
        late("os.fsync", "before", 2),
        late("shutil.copyfile", "before", 1),
        late("shutil.copyfile", "after", 1),
    ],
)
def test_what_it_leaves_is_told_and_goes_with_the_next_one(
    zygote: Zygote, home: Path, call: str, when: str, nth: int
) -> None:
    killed = zygote("restore", home, call=call, when=when, nth=nth)
    assert killed["exit"] == -9, killed
    assert not (home / "propensity.db").exists()
    (home / ".propensity.db.part-journal").write_bytes(b"of SQLite, where it was killed in a write")
    (found,) = told(home)
    assert found.state == "warning"
    assert str(home / ".propensity.db.part") in found.said
    again = zygote("restore", home)
    assert (again["exit"], again["said"]) == (0, "1"), again
    assert told(home) == []
    assert not list(home.glob(".*"))
    with closing(sqlite3.connect(home / "propensity.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        names = {name for (name,) in database.execute("SELECT external_id FROM leads")}
    assert names
    assert PERSON not in names


def test_killed_after_its_last_step_it_is_done(zygote: Zygote, home: Path) -> None:
    killed = zygote("restore", home, call="features.store.backup._remove", when="after", nth=2)
    assert killed["exit"] == -9, killed
    assert told(home) == []
    with closing(sqlite3.connect(home / "propensity.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
