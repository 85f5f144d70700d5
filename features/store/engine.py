"""How is the database reached? One `Store` per URL: reads, and writes that see no half-done work.

SQLite runs in WAL mode with foreign keys on; a write opens with BEGIN IMMEDIATE, because a deferred
transaction that turns into a writer fails at once instead of waiting its turn. Nothing waits without
end: for a lock, a connection or a server that does not answer at most about ten seconds.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DisconnectionError,
    InterfaceError,
    InternalError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from features.errors import StoreError
from features.store.prepared import run_by_driver

__all__ = ["Connection", "Store"]

BUSY_TIMEOUT_MS = 10_000

_READER_CACHE = "cache_size = -512"
"""In KiB: SQLite empties a reader's cache whenever somebody has written, and the operating system has
the pages too. Larger ones, filled and emptied all day beside what else is taken, leave holes.
"""

_POSTGRES = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
    "options": f"-c lock_timeout={BUSY_TIMEOUT_MS}",
}
"""How long a server that is gone is believed in; what the URL says itself goes before."""


class Store:
    """A database of facts, scores and promotions.

    Args:
        url: an SQLAlchemy URL; `sqlite:///var/propensity.db` or `postgresql+psycopg://…`.

    Attributes:
        patience_seconds: the longest silence of a PostgreSQL server in the middle of a statement; None:
            for ever, as a training needs that reads millions of rows.

    Raises:
        StoreError: the URL names no database that we can use, there is no place for it, or it would
            be in memory, where each connection has one of its own.
    """

    def __init__(self, url: str) -> None:
        self.url = _parsed(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.patience_seconds: float | None = None
        self._is_closed = False
        if self.is_sqlite:
            _make_room(self.url)
        try:
            self._reader, self._writer = self._engines()
        except (SQLAlchemyError, ImportError, TypeError, ValueError):
            raise StoreError("the URL of the database cannot be used", hint=_HINT) from None

    def _engines(self) -> tuple[Engine, Engine]:
        """What reads, and what writes."""
        if self.is_sqlite:
            reader = _sqlite_engine(self.url, "BEGIN", "query_only = ON", _READER_CACHE)
            return reader, _sqlite_engine(self.url, "BEGIN IMMEDIATE")
        from features.store.silence import AttentiveConnection  # SQLite needs no driver of it

        given = {key: value for key, value in _POSTGRES.items() if key not in self.url.query}
        writer = create_engine(
            self.url,
            pool_pre_ping=True,
            pool_timeout=BUSY_TIMEOUT_MS / 1_000,
            hide_parameters=True,
            connect_args=given,
        )

        @event.listens_for(writer, "do_connect")
        def _attentive(_dialect: Any, _record: Any, given: Any, named: Any) -> Any:
            self._is_closed = False
            connection = AttentiveConnection.connect(*given, **named)
            connection.patience_seconds = lambda: self.patience_seconds
            return connection

        event.listen(writer, "checkin", _as_the_server_says)
        event.listen(writer, "checkin", self._left_over)
        # By default every statement would see a state of its own.
        level = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        return writer.execution_options(**level), writer

    @property
    def name(self) -> str:
        """The URL as it may be shown: no password, wherever it is given."""
        hidden = {key: "***" for key in self.url.query if "pass" in key.lower()}
        return self.url.update_query_dict(hidden).render_as_string(hide_password=True)

    def without_secrets(self, said: str) -> str:
        """What a driver said, without the passwords that it may have repeated."""
        given = [value for key, value in self.url.query.items() if "pass" in key.lower()]
        for secret in (self.url.password, *given):
            said = said.replace(str(secret), "***") if secret else said
        return said

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
        """Give all connections back; one that somebody still has is closed when it is let go."""
        self._is_closed = True
        self._reader.dispose()
        self._writer.dispose()

    def _left_over(self, connection: Any, _record: Any) -> None:
        """Close what comes back after the end: its pool is gone, and nobody else would."""
        if self._is_closed and connection is not None:
            connection.close()

    @property
    def engine(self) -> Engine:
        """The writing engine, for migrations."""
        return self._writer


@contextmanager
def _told(store: Store) -> Iterator[None]:
    """Turn what the driver says into something that can be acted on."""
    try:
        yield
    except SQLAlchemyError as error:
        if "UndefinedTable" in type(getattr(error, "orig", None)).__name__:
            raise StoreError(
                "the database has no tables yet", hint="Run `propensity db upgrade`."
            ) from error
        # Exactly DatabaseError is what SQLite says of a file that is damaged or no database.
        is_known = isinstance(error, _OUT_OF_ORDER) or type(error) is DatabaseError
        refused = _REFUSALS.get(getattr(getattr(error, "orig", None), "sqlstate", None) or "")
        if not is_known and not refused and not _is_outdated(getattr(error, "orig", None)):
            raise
        reason = str(getattr(error, "orig", error)).strip().splitlines() or ["no reason given"]
        raise StoreError(
            f"the database {store.name} failed: {store.without_secrets(reason[0])}",
            hint=refused
            or "`propensity db upgrade` creates or migrates it; `propensity doctor` tells more.",
        ) from error


def _as_the_server_says(connection: Any, _record: Any) -> None:
    """Let the next transaction of a connection write if the server lets it.

    After a reader SQLAlchemy asks for "read write" by name, which overrules a database that somebody has
    made read-only.
    """
    if connection is not None and not connection.closed:
        connection.read_only = None


def _is_outdated(error: BaseException | None) -> bool:
    """Whether PostgreSQL does not take, or does not have, a statement that a connection had prepared.

    The driver prepares what it sends often, until it rolls back, which it does after this error: whoever
    asks again is answered. A migration of another process that changes a column's type does it, and a
    pooler that gives us a session of somebody else.
    """
    state = getattr(error, "sqlstate", None)
    return state in _NO_SUCH_STATEMENT or (state == "0A000" and "cached plan" in str(error))


_NO_SUCH_STATEMENT = ("26000", "42P05")
"""Invalid statement name, duplicate prepared statement: PostgreSQL's documentation, appendix A."""

_REFUSALS = {
    "25006": "It is read-only: name the primary in PROPENSITY_DATABASE, or let this one be written to.",
    "42501": "Grant our role SELECT, INSERT, UPDATE, DELETE on all tables and USAGE on all sequences.",
}
"""What to do where PostgreSQL refuses to write: to a transaction that only reads, to a role."""

_OUT_OF_ORDER = (OperationalError, InterfaceError, InternalError, PoolTimeout)


def _make_room(url: URL) -> None:
    """Make the directory of an SQLite file."""
    path = url.database
    if not path or path == ":memory:":
        raise StoreError(
            "a database in memory cannot be shared by readers and writers",
            hint="Name a file: sqlite:///var/propensity.db",
        )
    if not path.startswith("file:"):
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"there is no place for the database {path}: {error.strerror}",
                hint="Name a directory that can be written to.",
            ) from error


def _parsed(url: str) -> URL:
    for prefix in ("postgres://", "postgresql://"):
        if url.startswith(prefix):
            url = f"postgresql+psycopg://{url.removeprefix(prefix)}"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # What could not be read may hold a password: it is not in what is raised either.
        raise StoreError("the URL of the database cannot be read", hint=_HINT) from None
    if "@" in (parsed.host or ""):
        raise StoreError("the URL of the database has an @ too many", hint=_ESCAPE)
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(f"{parsed.get_backend_name()} is no database that we can use", hint=_HINT)
    return parsed


_HINT = "Write it as sqlite:///var/propensity.db or postgresql://user:password@host/name."

_ESCAPE = "Write an @ of the password as %40, a : as %3A and a / as %2F."


def _lower(text: str | None) -> str | None:
    return None if text is None else str(text).lower()


def _file_of(url: URL) -> tuple[int, int] | None:
    """Which file a path leads to now, whatever was opened there earlier; None: to none.

    A `file:` URI is not looked behind: it is the same for ever.
    """
    if (url.database or "").startswith("file:"):
        return 0, 0
    try:
        found = os.stat(url.database or "")  # noqa: PTH116 - asked of every connection
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _gone(url: URL) -> StoreError:
    hint = (
        "Put it back; a process that is started anew makes an empty one by `propensity db upgrade`."
    )
    return StoreError(f"the database {url.database} is gone", hint=hint)


def _sqlite_engine(url: URL, begin: str, *pragmas: str) -> Engine:
    engine = create_engine(url, connect_args={"check_same_thread": False}, hide_parameters=True)

    is_known = _file_of(url) is not None

    @event.listens_for(engine, "do_connect")
    def _there(*_: Any) -> None:
        # SQLite would make an empty file in place of one that is missing, for a backup to trip over.
        nonlocal is_known
        if is_known and _file_of(url) is None:
            raise _gone(url)
        is_known = True

    @event.listens_for(engine, "checkout")
    def _same_file(_connection: Any, record: Any, _proxy: Any) -> None:
        # A file that was moved away goes on being written to: what is then acknowledged is lost.
        present = _file_of(url)
        if present is None:
            raise _gone(url)
        if record.info.setdefault("file", present) != present:
            raise DisconnectionError

    @event.listens_for(engine, "connect")
    def _settings(connection: sqlite3.Connection, record: Any) -> None:
        record.info["file"] = _file_of(url)
        # The driver's own transaction handling would turn BEGIN IMMEDIATE into a deferred one.
        connection.isolation_level = None
        # The built-in knows the letters A to Z only: `Öffentlich` would not be found as `öffentlich`.
        connection.create_function("lower", 1, _lower, deterministic=True)
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            # What is deleted is overwritten with zeros, or an erased person would stay in the file.
            "secure_delete = ON",
            *pragmas,
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        run_by_driver(connection, begin)

    return engine
