"""How is the database reached? One `Store` per URL: reads, and writes that see no half-done work.

SQLite runs in WAL mode with foreign keys on; a write opens with BEGIN IMMEDIATE, because a deferred
transaction that turns into a writer fails at once instead of waiting its turn.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError

from features.errors import StoreError

__all__ = ["Connection", "Store"]

BUSY_TIMEOUT_MS = 10_000


class Store:
    """A database of facts, scores and promotions.

    Args:
        url: an SQLAlchemy URL; `sqlite:///var/propensity.db` or `postgresql+psycopg://…`.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(_with_driver(url))
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            if self.url.database and self.url.database != ":memory:":
                Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
            self._reader = _sqlite_engine(self.url.render_as_string(False), "BEGIN")
            self._writer = _sqlite_engine(self.url.render_as_string(False), "BEGIN IMMEDIATE")
        else:
            self._reader = self._writer = create_engine(
                self.url, pool_pre_ping=True, hide_parameters=True
            )

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one consistent state and writes nothing."""
        with _told(self), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection whose work is committed as a whole, or not at all."""
        with _told(self), self._writer.begin() as connection:
            yield connection

    def check(self) -> None:
        """Raise `StoreError` when the database cannot be reached."""
        with self.read() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Give all connections back."""
        self._reader.dispose()
        self._writer.dispose()

    @property
    def engine(self) -> Engine:
        """The writing engine, for migrations."""
        return self._writer


@contextmanager
def _told(store: Store) -> Iterator[None]:
    """Turn what the driver says into something that can be acted on."""
    try:
        yield
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0] if str(error.orig) else "no reason given"
        raise StoreError(
            f"the database {store.url.render_as_string(hide_password=True)} failed: {reason}",
            hint="`propensity db upgrade` creates or migrates it; `propensity doctor` tells more.",
        ) from error
    except DBAPIError as error:
        if "UndefinedTable" in type(error.orig).__name__:
            raise StoreError(
                "the database has no tables yet", hint="Run `propensity db upgrade`."
            ) from error
        raise


def _with_driver(url: str) -> str:
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            return f"postgresql+psycopg://{url.removeprefix(prefix)}"
    return url


def _sqlite_engine(url: str, begin: str) -> Engine:
    engine = create_engine(url, connect_args={"check_same_thread": False}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _settings(connection: sqlite3.Connection, _record: Any) -> None:
        # The driver's own transaction handling would turn BEGIN IMMEDIATE into a deferred one.
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
