"""How is everything that cannot be made again put in a safe place, and brought back from there?

One SQLite file holds facts, ledger, decisions, keys and the bytes of all models; beside it goes the lead
definition. A copy is taken while the service writes, is one consistent moment, and is checked before it
counts; a restore never touches a database that is there. PostgreSQL has programs of its own for this.
What a restored copy must forget again is told by `features.store.remembered`.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from features.clock import to_datetime
from features.errors import ConflictError, NotFoundError, StoreError
from features.store.engine import Store

DATABASE, DEFINITION = "propensity.db", "definition.yaml"
"""What a backup consists of."""

KEPT_DAILY = 7
"""Daily copies that are kept; older ones go when a new one is made."""

_DAILY = re.compile(r"\.?(\d{4}-\d{2}-\d{2})")
"""The name of a daily copy; of one that is not whole, with a dot before it."""

_ENDS = ("", "-wal", "-shm", "-journal")
"""What SQLite calls the files of a database, after its name."""

_PAGES = 2_000
"""Copied at once; between two portions others may write."""


def back_up(store: Store, definition: Path, place: Path) -> int:
    """Copy database and definition into a new directory; how many bytes.

    Args:
        store: an SQLite store; it may be in use.
        definition: the lead definition's file.
        place: the directory to be made.

    Raises:
        ConflictError: `place` is there and not empty.
        StoreError: the store is not SQLite, cannot be read, or the copy is not sound.
    """
    source = _file_of(store)
    if place.exists() and any(place.iterdir()):
        raise ConflictError(f"{place} is not empty", hint="Name a directory of its own.")
    place.mkdir(parents=True, exist_ok=True)
    unfinished = place / f".{DATABASE}.part"
    _copy(source, unfinished)
    shutil.copyfile(definition, place / DEFINITION)
    unfinished.rename(place / DATABASE)
    _flush(place)
    return sum(path.stat().st_size for path in place.iterdir())


def restore(
    place: Path,
    database: Path,
    definition: Path,
    amend: Callable[[Path], None] = lambda _: None,
) -> None:
    """Bring a backup back to where there is nothing.

    Args:
        place: the backup's directory.
        database: where the SQLite file goes.
        definition: where the lead definition goes, unless there is one.
        amend: changes the copy before it is anybody's database; given its path.

    Raises:
        NotFoundError: there is no whole backup at `place`.
        ConflictError: there is a database already.
        StoreError: the backup is damaged.
    """
    if not (place / DATABASE).is_file():
        raise NotFoundError(f"there is no backup in {place}", hint=f"It would hold {DATABASE}.")
    if there := [path for path in _files_of(database) if path.exists()]:
        raise ConflictError(
            f"{there[0]} is there already", hint="Stop the service and move it away first."
        )
    database.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _unfinished(database)
    try:
        _copy(place / DATABASE, unfinished)
        amend(unfinished)
        _flush(unfinished)
        if not definition.exists():
            definition.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(place / DEFINITION, definition)
        unfinished.rename(database)
    finally:
        _remove(unfinished)
    _flush(database.parent)


def left_by_restore(database: Path) -> list[Path]:
    """What a restore under way, or one that was killed, has beside the database that it makes.

    It holds what the backup holds. The next restore removes it.
    """
    return [path for path in _files_of(_unfinished(database)) if path.exists()]


def _unfinished(database: Path) -> Path:
    return database.with_name(f".{database.name}.part")


def drop_old(home: Path) -> int:
    """Keep the last daily copies, and no unfinished one; how many whole ones went.

    Nobody may be making one meanwhile.
    """
    made = _dated(home)
    whole = sorted(place for place in made if not place.name.startswith("."))
    old = whole[:-KEPT_DAILY]
    for place in [*old, *(made.keys() - set(whole))]:
        shutil.rmtree(place)
    return len(old)


@dataclass(frozen=True, slots=True)
class Copy:
    """A daily copy by its day, and the day on which it goes if one is made every day."""

    day: date
    goes: date

    def to_json(self) -> dict[str, str]:
        """As plain data."""
        return {"day": self.day.isoformat(), "goes": self.goes.isoformat()}


def copies_before(home: Path, tombstone: str, now: int) -> list[Copy]:
    """The daily copies that do not know of an erasure and may hold the person, oldest first.

    Args:
        home: where they are.
        tombstone: what stands in their stead in every copy made later.
        now: the present instant.
    """
    # One that is being made, or whose maker was killed, holds what a whole one holds.
    made = {place: day for place, day in _dated(home).items() if not _is_empty(place)}
    days = sorted(set(made.values()))
    holding = {day for place, day in made.items() if not _knows(place / DATABASE, tombstone)}
    following = max([to_datetime(now).date(), *(day + timedelta(1) for day in days[-1:])])
    return [
        Copy(day, following + timedelta(max(0, KEPT_DAILY - len(days) + older)))
        for older, day in enumerate(days)
        if day in holding
    ]


def _knows(copy: Path, tombstone: str) -> bool:
    """Whether an erasure was made before a copy; before one that cannot be read none was."""
    try:
        with closing(_opened(copy)) as database:
            query = "SELECT 1 FROM tombstones WHERE hash = ?"
            return database.execute(query, (tombstone,)).fetchone() is not None
    except sqlite3.Error:
        return False


def _dated(home: Path) -> dict[Path, date]:
    """The directories of daily copies, whole and unfinished, and their days."""
    found = {}
    for place in home.iterdir() if home.is_dir() else ():
        if (named := _DAILY.fullmatch(place.name)) and place.is_dir():
            with suppress(ValueError):  # somebody's 2026-13-45
                found[place] = date.fromisoformat(named[1])
    return found


def _is_empty(place: Path) -> bool:
    try:
        return not any(place.iterdir())
    except FileNotFoundError:
        return True  # it was dropped meanwhile
    except OSError:
        return False


def _files_of(database: Path) -> Iterator[Path]:
    yield from (database.with_name(database.name + end) for end in _ENDS)


def _remove(database: Path) -> None:
    for path in _files_of(database):
        path.unlink(missing_ok=True)


def _opened(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)


def _copy(source: Path, target: Path) -> None:
    """Copy a database as of one moment, flush it, and check that it is sound."""
    _remove(target)
    try:
        with (
            closing(_opened(source)) as there,
            closing(sqlite3.connect(target)) as here,
        ):
            there.backup(here, pages=_PAGES, sleep=0.01)
            # In WAL mode a copy would be three files.
            here.execute("PRAGMA journal_mode = DELETE")
            (said,) = here.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise StoreError(f"{source} could not be copied: {error}") from error
    if said != "ok":
        target.unlink()
        raise StoreError(
            f"the copy of {source} is damaged: {said}", hint="Use an older backup; keep this one."
        )
    _flush(target)


def _file_of(store: Store) -> Path:
    if not store.is_sqlite or (store.url.database or "").startswith("file:"):
        raise StoreError(
            "only an SQLite file is backed up by this command",
            hint="PostgreSQL: pg_dump --format=custom; docs/operations.md says how.",
        )
    return Path(store.url.database or "")


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
