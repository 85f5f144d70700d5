"""How is everything that cannot be made again put in a safe place, and brought back from there?

One SQLite file holds facts, ledger, decisions, keys and the bytes of all models; beside it goes the lead
definition. A copy is taken while the service writes, is one consistent moment, and is checked before it
counts; a restore never touches a database that is there. PostgreSQL has programs of its own for this.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from features.errors import ConflictError, NotFoundError, StoreError
from features.store.engine import Store

DATABASE, DEFINITION = "propensity.db", "definition.yaml"
"""What a backup consists of."""

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


def restore(place: Path, database: Path, definition: Path) -> None:
    """Bring a backup back to where there is nothing.

    Args:
        place: the backup's directory.
        database: where the SQLite file goes.
        definition: where the lead definition goes, unless there is one.

    Raises:
        NotFoundError: there is no whole backup at `place`.
        ConflictError: there is a database already.
        StoreError: the backup is damaged.
    """
    if not (place / DATABASE).is_file():
        raise NotFoundError(f"there is no backup in {place}", hint=f"It would hold {DATABASE}.")
    beside = [database.with_name(database.name + end) for end in ("", "-wal", "-shm")]
    if there := [path for path in beside if path.exists()]:
        raise ConflictError(
            f"{there[0]} is there already", hint="Stop the service and move it away first."
        )
    database.parent.mkdir(parents=True, exist_ok=True)
    unfinished = database.with_name(f".{database.name}.part")
    _copy(place / DATABASE, unfinished)
    if not definition.exists():
        definition.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(place / DEFINITION, definition)
    unfinished.rename(database)
    _flush(database.parent)


def _copy(source: Path, target: Path) -> None:
    """Copy a database as of one moment, flush it, and check that it is sound."""
    target.unlink(missing_ok=True)
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as there,
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
