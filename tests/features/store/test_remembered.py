"""Does a restored backup forget again whom we erased since it was made, on whatever machine?"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest
from agreed import DEFINITION_TEXT, NOW, agreed
from alembic import command
from sqlalchemy import delete, select

from features.clock import DAY
from features.errors import ConflictError, StoreError
from features.facts import Event, LeadVersion
from features.store import migrate
from features.store.audit import links, verify
from features.store.backup import Copy, back_up, copies_before
from features.store.consent import ERASED, bury, erased, own_secrets, tombstones
from features.store.engine import Store
from features.store.erasure import erase
from features.store.idempotency import Answer, Claim, claim, finish
from features.store.ingest import ingest
from features.store.ledger import ScoreEntry, record_scores
from features.store.merges import Merge
from features.store.outcomes import Deal
from features.store.pull.watermarks import keep_waiting
from features.store.recording import record_deals, record_merged
from features.store.remembered import (
    copies_left,
    forget_again,
    known,
    remember,
    restore_without_erased,
)
from features.store.schema import metadata
from features.store.tables import leads
from features.store.tombstone_file import (
    FILE,
    Tombstones,
    UnintelligibleError,
    keep,
    read,
    set_aside,
)

AGREED = agreed()
PERSON, PART, STRANGER, OTHER = "Quxenbach-1", "Quxenbach-2", "Quxenbach-3", "bo"
TIMES = {"occurred_at": NOW - 9 * DAY, "recorded_at": NOW - 9 * DAY}


def score_of(lead: str, channel: str) -> ScoreEntry:
    return ScoreEntry(
        lead=lead,
        as_of=NOW - 1,
        scored_at=NOW,
        raw=-0.1,
        probability=0.4,
        route="nurture",
        bundle="b" * 64,
        definition="d" * 64,
        inputs={},
        reasons=[{"words": lead}],
        warnings=[],
        channel=channel,
        request_id=None,
    )


def fill(store: Store) -> None:
    """A person of two leads, one that only a request described, a deal that waits, and somebody else."""
    versions = [LeadVersion(lead=lead, name=lead, **TIMES) for lead in (PERSON, PART, OTHER)]
    with store.write() as connection:
        ingest(connection, versions, AGREED, NOW)
        sold = Deal(lead=PART, ending="won", reason=PART, external_id=f"d {PART}", **TIMES)
        record_deals(connection, [sold], AGREED, NOW)
        record_merged(connection, [Merge(lead=PART, survivor=PERSON, recorded_at=NOW)], AGREED, NOW)
        record_scores(connection, [score_of(STRANGER, "payload")], [None])
        keep_waiting(
            connection, [Deal(lead=STRANGER, ending="lost", external_id="w", **TIMES)], NOW
        )


def answer_about(store: Store, lead: str) -> None:
    with store.write() as connection:
        mine = claim(connection, "key crm", lead, "f", [lead], NOW)
        assert isinstance(mine, Claim)
        finish(connection, mine, Answer(200, "application/json", lead))


def forget(store: Store, *names: str) -> None:
    with store.write() as connection:
        for lead in names:
            erase(connection, lead, by="admin", now=NOW)


def without_secret(store: Store) -> None:
    """As releases before 1.1 left a database in which nobody had been erased."""
    with store.write() as connection:
        connection.execute(delete(own_secrets))


def everything(store: Store) -> str:
    """Every cell of every table."""
    with store.read() as connection:
        rows = [row for t in metadata.sorted_tables for row in connection.execute(select(t))]
    return "\n".join(str(tuple(row)) for row in rows)


@contextmanager
def opened(database: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{database}")
    yield store
    store.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where an installation keeps its copies."""
    return tmp_path / "backups"


@pytest.fixture
def definition_file(tmp_path: Path) -> Path:
    path = tmp_path / "definition.yaml"
    path.write_text(DEFINITION_TEXT, encoding="utf-8")
    return path


def restored(place: Path, there: Path, home: Path | None = None) -> int:
    """Restored as another installation's database; how many were erased again."""
    database, definition = there / "propensity.db", there / "definition.yaml"
    home = home or there / "backups"
    return restore_without_erased(place, database, definition, home, by="ops", now=NOW + DAY)


def assert_forgotten(there: Path, *names: str) -> None:
    for path in there.glob("*propensity.db*"):
        assert b"Quxenbach" not in path.read_bytes(), path
    with opened(there / "propensity.db") as store:
        assert "Quxenbach" not in everything(store)
        with store.read() as connection:
            assert erased(connection, names) == set(names)
            assert list(connection.execute(select(leads.c.external_id)).scalars()) == [OTHER]
            assert verify(connection).problems == ()
        with store.write() as connection:
            again = [LeadVersion(lead=lead, **TIMES) for lead in names]
            report = ingest(connection, again, AGREED, NOW)
            said = {p.message for problems in report.problems.values() for p in problems}
        assert (report.added, said) == (0, {ERASED})


def test_an_older_copy_is_restored_without_whom_was_erased_since(
    sqlite_store: Store, home: Path, definition_file: Path, tmp_path: Path
) -> None:
    fill(sqlite_store)
    answer_about(sqlite_store, STRANGER)
    back_up(sqlite_store, definition_file, home / "2026-05-01")
    forget(sqlite_store, PERSON, STRANGER)
    remember(sqlite_store, home)
    copy = home / "2026-05-01" / "propensity.db"
    assert b"Quxenbach" in copy.read_bytes()
    assert restored(home / "2026-05-01", tmp_path / "there", home) == 3
    assert_forgotten(tmp_path / "there", PERSON, PART, STRANGER)
    with opened(tmp_path / "there" / "propensity.db") as store, store.read() as connection:
        told = [link.entry for link in links(connection)]
    assert {(one.actor, one.action) for one in told} == {("ops", "lead_erased")}
    assert {path.name for path in (tmp_path / "there").iterdir()} == {
        "propensity.db",
        "definition.yaml",
    }


def test_on_a_new_machine_the_copies_and_the_file_beside_them_are_enough(
    sqlite_store: Store, home: Path, definition_file: Path, tmp_path: Path
) -> None:
    """The copy is older than our secret: without it, no tombstone refuses anybody."""
    without_secret(sqlite_store)
    fill(sqlite_store)
    back_up(sqlite_store, definition_file, home / "2026-04-01")
    with sqlite_store.read() as connection:
        assert known(connection).secret is None
    forget(sqlite_store, PERSON, STRANGER)
    remember(sqlite_store, home)
    shutil.copytree(home, tmp_path / "new" / "copies")
    there = tmp_path / "new" / "var"
    assert restored(tmp_path / "new" / "copies" / "2026-04-01", there) == 3
    assert_forgotten(there, PERSON, PART, STRANGER)
    # From here on the new machine remembers by itself.
    assert read(there / "backups" / FILE) == read(home / FILE)


def test_what_lies_beside_a_copy_is_found_from_within_it(
    sqlite_store: Store,
    home: Path,
    definition_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(sqlite_store)
    back_up(sqlite_store, definition_file, home / "2026-05-01")
    forget(sqlite_store, PERSON, STRANGER)
    remember(sqlite_store, home)
    monkeypatch.chdir(home / "2026-05-01")
    assert restored(Path(), tmp_path / "there") == 3


@pytest.mark.parametrize("has_secret", [False, True])
def test_a_newer_copy_beside_an_older_one_knows_who_was_erased(
    sqlite_store: Store, definition_file: Path, tmp_path: Path, has_secret: bool
) -> None:
    fill(sqlite_store)
    if not has_secret:
        without_secret(sqlite_store)
    safe = tmp_path / "safe"
    back_up(sqlite_store, definition_file, safe / "older")
    forget(sqlite_store, PERSON, STRANGER)
    back_up(sqlite_store, definition_file, safe / "newer")
    (safe / "damaged").mkdir()
    (safe / "damaged" / "propensity.db").write_bytes(b"no database")
    assert restored(safe / "older", tmp_path / "there") == 3
    assert_forgotten(tmp_path / "there", PERSON, PART, STRANGER)
    assert restored(safe / "newer", tmp_path / "then") == 0


def test_a_copy_of_an_older_release_is_brought_up_to_date_to_forget(
    sqlite_store: Store, home: Path, definition_file: Path, tmp_path: Path
) -> None:
    place = home / "2025-01-01"
    place.mkdir(parents=True)
    shutil.copy(definition_file, place)
    with opened(place / "propensity.db") as old:
        with old.write() as connection:
            command.upgrade(migrate._config(connection), "0001")
        with old.write() as connection:
            connection.exec_driver_sql(
                "INSERT INTO leads (id, external_id, do_not_score) VALUES (1, ?, 0), (2, ?, 0)",
                (PERSON, OTHER),
            )
    fill(sqlite_store)
    forget(sqlite_store, PERSON)
    remember(sqlite_store, home)
    assert restored(place, tmp_path / "there", home) == 1
    assert_forgotten(tmp_path / "there", PERSON, PART)


def test_what_another_installation_erased_is_not_taken_for_ours(
    sqlite_store: Store, home: Path, definition_file: Path, tmp_path: Path
) -> None:
    fill(sqlite_store)
    forget(sqlite_store, PERSON)
    back_up(sqlite_store, definition_file, home / "2026-05-01")
    foreign = {"format": 1, "secret": "f" * 64, "erased": {"a" * 64: NOW}}
    (home / FILE).write_text(json.dumps(foreign), encoding="utf-8")
    with pytest.raises(ConflictError, match="another installation"):
        restored(home / "2026-05-01", tmp_path / "there")
    assert not (tmp_path / "there").exists()
    with sqlite_store.write() as connection, pytest.raises(ConflictError):
        forget_again(connection, read(home / FILE), by="ops", now=NOW)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format": 2}', '{"format": 1, "secret": "a", "erased": {"b": "c"}}']
)
def test_a_file_that_says_nothing_certain_is_no_permission_to_bring_anybody_back(
    sqlite_store: Store, home: Path, definition_file: Path, tmp_path: Path, content: str
) -> None:
    back_up(sqlite_store, definition_file, home / "2026-05-01")
    (home / FILE).write_text(content, encoding="utf-8")
    with pytest.raises(StoreError, match="who was erased cannot be read"):
        restored(home / "2026-05-01", tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_the_file_holds_all_that_were_ever_erased_and_is_for_its_owner_alone(
    sqlite_store: Store, home: Path
) -> None:
    fill(sqlite_store)
    remember(sqlite_store, home)
    assert not home.exists(), "there is nobody to be remembered"
    forget(sqlite_store, PERSON)
    remember(sqlite_store, home)
    with sqlite_store.write() as connection:
        connection.execute(delete(tombstones))  # as after a restore by hand
    forget(sqlite_store, STRANGER)
    remember(sqlite_store, home)
    with sqlite_store.read() as connection:
        secret = connection.execute(select(own_secrets.c.secret)).scalar_one()
    told = read(home / FILE)
    assert (told.secret, len(told.erased_at)) == (secret, 3)
    assert (home / FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in home.iterdir()] == [FILE]


def test_a_database_that_was_brought_back_by_other_means_forgets_again(
    store: Store, home: Path
) -> None:
    fill(store)
    forget(store, PERSON, STRANGER)
    with store.write() as connection:
        bury(connection, "Quxenbach-4", NOW)
    remember(store, home)
    with store.write() as connection:
        connection.execute(delete(tombstones))
    fill(store)
    answer_about(store, "Quxenbach-4")  # all that the copy knows of this one
    with store.write() as connection:
        assert forget_again(connection, read(home / FILE), by="ops", now=NOW) == 3
        assert forget_again(connection, read(home / FILE), by="ops", now=NOW) == 0
    assert "Quxenbach" not in everything(store)
    with store.write() as connection:
        assert erased(connection, [PERSON, PART, STRANGER, OTHER]) == {PERSON, PART, STRANGER}
        late = [Event(lead=PERSON, kind="visit", external_id="e", **TIMES)]
        assert ingest(connection, late, AGREED, NOW).added == 0
        assert verify(connection).problems == ()


def test_copies_that_may_hold_a_person_are_told_with_the_day_on_which_they_go(
    sqlite_store: Store, home: Path, definition_file: Path
) -> None:
    """2026-05-01 is today; the worker makes one a day and keeps seven."""
    fill(sqlite_store)
    for name in ("2026-04-20", "2026-04-30", ".2026-05-01", "mine", "2026-13-45"):
        back_up(sqlite_store, definition_file, home / name)
    (home / ".2026-04-29").mkdir()  # nothing had been copied when it was killed
    (home / "2026-04-28").write_text("no directory", encoding="utf-8")
    forget(sqlite_store, PERSON)
    left = copies_left(sqlite_store, home, PERSON, NOW)
    assert left == [
        Copy(date(2026, 4, 20), date(2026, 5, 6)),
        Copy(date(2026, 4, 30), date(2026, 5, 7)),
        Copy(date(2026, 5, 1), date(2026, 5, 8)),
    ]
    back_up(sqlite_store, definition_file, home / "2026-05-02")
    after = copies_left(sqlite_store, home, PERSON, NOW + DAY)
    assert after == left, "the copy that was made later knows of the erasure"
    assert copies_before(home / "none", "a" * 64, NOW) == []


def test_of_more_copies_than_are_kept_the_oldest_go_with_the_next_one(
    sqlite_store: Store, home: Path, definition_file: Path
) -> None:
    for day in range(1, 10):
        back_up(sqlite_store, definition_file, home / f"2026-04-{day:02d}")
    goes = [copy.goes.isoformat() for copy in copies_before(home, "a" * 64, NOW)]
    assert goes == ["2026-05-01"] * 3 + [f"2026-05-{day:02d}" for day in range(2, 8)]


def test_whose_merge_was_taken_back_before_the_erasure_comes_back_with_a_copy(
    sqlite_store: Store, home: Path, tmp_path: Path
) -> None:
    """The copy still holds the two as one person; only one of them has a tombstone."""
    fill(sqlite_store)
    (tmp_path / "agreed.yaml").write_text(DEFINITION_TEXT, encoding="utf-8")
    copy = home / "2026-04-30"
    back_up(sqlite_store, tmp_path / "agreed.yaml", copy)
    apart = Merge(lead=PART, survivor=None, recorded_at=NOW + 1)
    with sqlite_store.write() as connection:
        record_merged(connection, [apart], AGREED, NOW + 2)
    forget(sqlite_store, PERSON)
    remember(sqlite_store, home)
    restored = tmp_path / "restored.db"
    again = restore_without_erased(copy, restored, tmp_path / "d.yaml", home, by="admin", now=NOW)
    assert again == 1
    with opened(restored) as store, store.read() as connection:
        names = set(connection.execute(select(leads.c.external_id)).scalars())
        assert names == {PART, OTHER}
        assert len(known(connection).erased_at) == 1


def test_a_database_has_its_secret_from_its_first_upgrade_on(
    sqlite_store: Store, home: Path, definition_file: Path
) -> None:
    """Two copies, one before and one after the first erasure, are of one installation."""
    back_up(sqlite_store, definition_file, home / "before")
    forget_nobody = read(home / FILE)
    fill(sqlite_store)
    forget(sqlite_store, PERSON)
    with sqlite_store.read() as connection:
        after = known(connection).secret
    assert forget_nobody.secret is None
    with opened(home / "before" / "propensity.db") as copy, copy.read() as connection:
        assert known(connection).secret == after
    migrate.upgrade(sqlite_store)
    with sqlite_store.read() as connection:
        assert known(connection).secret == after


def test_a_copy_without_a_secret_that_is_upgraded_takes_that_of_the_file_until_it_uses_its_own(
    store: Store, home: Path
) -> None:
    """`pg_restore`, `propensity db upgrade`, `propensity erase-again`."""
    fill(store)
    forget(store, PERSON)
    remember(store, home)
    told = read(home / FILE)
    for table in (tombstones, own_secrets):
        with store.write() as connection:
            connection.execute(delete(table))
    migrate.upgrade(store)
    fill(store)
    with store.write() as connection:
        assert known(connection).secret not in (None, told.secret)
        assert forget_again(connection, told, by="ops", now=NOW) == 2
        assert known(connection) == told
    with store.write() as connection:
        connection.execute(delete(tombstones))
        connection.execute(delete(own_secrets))
    migrate.upgrade(store)
    answer_about(store, OTHER)
    with store.write() as connection, pytest.raises(ConflictError, match="another installation"):
        forget_again(connection, told, by="ops", now=NOW)


def test_what_is_not_ours_is_set_aside_as_it_is_each_under_a_name_of_its_own(
    tmp_path: Path,
) -> None:
    path, ours = tmp_path / FILE, Tombstones("a" * 64, {"b" * 64: NOW})
    for number in range(1, 12):
        path.write_text(f"not ours {number}", encoding="utf-8")
        aside = keep(path, ours)
        assert aside is not None
        assert aside.read_text(encoding="utf-8") == f"not ours {number}"
        assert read(path) == ours
    assert [one.name for one in set_aside(tmp_path)] == [
        f"erased.aside-{number}.json" for number in range(1, 12)
    ]
    assert keep(path, Tombstones("a" * 64, {"c" * 64: NOW})) is None
    assert len(read(path).erased_at) == 2


def no_file(path: Path, kind: str, content: bytes) -> None:
    """Lay something in a file's place that a reader would take for it, or wait at for half a second."""
    if kind == "pipe":
        os.mkfifo(path)
        writer = os.open(path, os.O_RDWR)
        os.write(writer, content)
        threading.Timer(0.5, os.close, [writer]).start()
    elif kind == "link":
        path.with_name("elsewhere").write_bytes(content)
        path.symlink_to(path.with_name("elsewhere"))
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["pipe", "link", "directory"])
def test_what_lies_in_the_files_place_and_is_no_file_is_not_read_and_is_set_aside(
    tmp_path: Path, kind: str
) -> None:
    path, ours = tmp_path / FILE, Tombstones("a" * 64, {"b" * 64: NOW})
    keep(path, ours)
    content = path.read_bytes()
    path.unlink()
    no_file(path, kind, content)
    with pytest.raises(UnintelligibleError, match="no file"):
        read(path)
    aside = keep(path, ours)
    assert aside is not None
    assert os.path.lexists(aside)
    assert path.is_file()
    assert read(path) == ours
