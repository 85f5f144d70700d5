"""Root, or a colleague, erases in a data directory of the service's user: does the service go on?"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from agreed import DEFINITION_TEXT, NOW, agreed
from shell import Run, said, shell
from sqlalchemy import func, select

from features.clock import DAY
from features.errors import StoreError
from features.facts import LeadVersion
from features.store.engine import Store
from features.store.erasure import forget_in_files
from features.store.ingest import ingest
from features.store.tables import leads
from features.store.tombstone_file import FILE, Tombstones, keep, read
from propensity import app

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may be somebody else")

SERVICE, COLLEAGUE, TEAM = 54_321, 54_322, 54_400
"""Users and a group of whom this machine has not heard."""


@contextmanager
def acting_as(user: int, group: int | None = None) -> Iterator[None]:
    """This process with the rights of another user of the operating system."""
    before = os.getgroups()
    os.setgroups([])
    os.setegid(user if group is None else group)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


@pytest.fixture
def home(migrated_sqlite: Path) -> Iterator[Path]:
    """The service's data directory: pytest's own lie where only root comes."""
    place = Path(tempfile.mkdtemp(prefix="propensity-users-"))
    (place / "definition.yaml").write_text(DEFINITION_TEXT, encoding="utf-8")
    database = place / "propensity.db"
    shutil.copy(migrated_sqlite, database)
    store = Store(f"sqlite:///{database}")
    with store.write() as connection:
        found = [
            LeadVersion(lead=f"A-{i}", occurred_at=NOW - DAY, recorded_at=NOW - DAY)
            for i in range(4)
        ]
        ingest(connection, found, agreed(), NOW)
    store.close()
    for path in (place, *place.iterdir()):
        os.chown(path, SERVICE, SERVICE)
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


@pytest.fixture
def run(home: Path) -> Run:
    return shell(app, home)


def seen(path: Path) -> tuple[int, int, str]:
    """Owner, group and rights."""
    there = path.stat()
    return there.st_uid, there.st_gid, stat.filemode(there.st_mode)


def test_the_service_erases_and_restores_after_root_has_erased(home: Path, run: Run) -> None:
    file = home / "backups" / FILE
    run("erase", "A-0", "--yes")
    assert seen(file.parent) == (SERVICE, SERVICE, "drwxr-xr-x")
    assert seen(file) == (SERVICE, SERVICE, "-rw-------")
    with acting_as(SERVICE):
        run("erase", "A-1", "--yes")
        run("backup", str(home / "backups" / "copy"))
        assert len(read(file).erased_at) == 2
        for path in home.glob("propensity.db*"):
            path.unlink()
        assert said(run("restore", str(home / "backups" / "copy"), "--json"))["erased_again"] == 0
    run("erase", "A-2", "--yes")
    with acting_as(SERVICE):
        assert len(read(file).erased_at) == 3


def test_of_a_team_that_shares_the_directory_each_reads_what_another_wrote(
    home: Path, run: Run
) -> None:
    for path in (home, *home.iterdir()):
        os.chown(path, SERVICE, TEAM)
        path.chmod(0o2775 if path.is_dir() else 0o664)
    for number, user in enumerate((COLLEAGUE, SERVICE, COLLEAGUE)):
        with acting_as(user, TEAM):
            run("erase", f"A-{number}", "--yes", "--no-vacuum")
            assert len(read(home / "backups" / FILE).erased_at) == number + 1
        assert seen(home / "backups" / FILE) == (user, TEAM, "-rw-rw----")


def test_a_file_that_the_user_may_not_read_is_told_before_anything_is_erased(
    home: Path, run: Run
) -> None:
    run("erase", "A-0", "--yes")
    file = home / "backups" / FILE
    os.chown(file, 0, 0)  # as earlier versions left it
    with acting_as(SERVICE):
        with pytest.raises(StoreError, match="Permission denied") as told:
            run("erase", "A-1", "--yes")
        assert "Give it to the service's user" in told.value.hint
    file.unlink()
    os.chown(file.parent, 0, 0)
    with acting_as(SERVICE), pytest.raises(StoreError, match="nothing was erased"):
        run("erase", "A-1", "--yes")
    store = Store(f"sqlite:///{home / 'propensity.db'}")
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(leads)).scalar_one() == 3
    store.close()


@pytest.mark.parametrize(("call", "name"), [("open", "backups/erased.part"), ("mkdir", "backups")])
def test_root_gives_away_nothing_that_a_link_leads_to_in_the_place_of_what_it_made(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, name: str
) -> None:
    os.chown(home, SERVICE, TEAM)
    home.chmod(0o2775)
    of_root, there, make = tmp_path / "root's", home / name, getattr(os, call)
    of_root.touch(0o600) if call == "open" else of_root.mkdir(0o700)
    before = seen(of_root)

    def making(path: str | Path, *rest: Any, **named: Any) -> Any:
        """Makes it; and the service's user is quicker than what root does next."""
        answer = make(path, *rest, **named)
        if Path(path).name == there.name:
            there.rename(home / "taken")
            there.symlink_to(of_root)
        return answer

    with monkeypatch.context() as racing, suppress(StoreError):
        racing.setattr(os, call, making)
        keep(home / "backups" / FILE, Tombstones("a" * 64, {"b" * 64: NOW}))
    assert (home / "taken").exists(), "the link was laid"
    assert seen(of_root) == before


def test_root_is_led_out_of_the_data_directory_by_no_link_and_the_service_by_its_own(
    home: Path, run: Run
) -> None:
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    os.chown(elsewhere, SERVICE, SERVICE)
    (home / "backups").symlink_to(elsewhere)
    with pytest.raises(StoreError, match="nothing was erased"):
        run("erase", "A-0", "--yes")
    assert list(elsewhere.iterdir()) == []
    with acting_as(SERVICE):
        run("erase", "A-0", "--yes")
        assert len(read(elsewhere / FILE).erased_at) == 1


def test_root_writes_and_reads_rejected_rows_where_they_lie_and_not_where_a_link_leads(
    home: Path, tmp_path: Path
) -> None:
    of_root, rejects = tmp_path / "root's", home / "rejects"
    of_root.write_text("for root alone\n", encoding="utf-8")
    rejects.mkdir()
    file = rejects / "leads.csv.rejects.csv"
    file.write_text("id,problem\nA-0,late\nA-1,late\n", encoding="utf-8-sig")
    file.with_suffix(".new").symlink_to(of_root)
    for path in (rejects, file):
        os.chown(path, SERVICE, SERVICE)
    assert forget_in_files(rejects, "A-0") == 1
    assert of_root.read_text(encoding="utf-8") == "for root alone\n"
    assert file.read_text(encoding="utf-8-sig") == "id,problem\nA-1,late\n"
    assert seen(file) == (SERVICE, SERVICE, "-rw-------")
    file.unlink()
    file.symlink_to(of_root)
    with pytest.raises(StoreError, match="rejected rows of the lead"):
        forget_in_files(rejects, "for root alone")
