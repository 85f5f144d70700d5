"""How is a statement run that every score needs? Compiled once for a kind of database, then as it is.

SQLAlchemy looks each time whether it has compiled a statement before and wraps what comes back, which
costs more than SQLite needs for a small one. Rule: only for statements that never change, of plain
numbers and texts, and always within the connection's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import ClauseElement, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

_ROWS = 16
"""Rows of one statement."""


@lru_cache(maxsize=256)
def _of_rows(text: str, n: int) -> str:
    """An insert of one row as one of so many: the same parameters again for each."""
    before, values, row = text.rpartition(" VALUES ")
    return f"{before}{values}{', '.join([row] * n)}"


@dataclass(frozen=True, slots=True)
class _Compiled:
    """What one kind of driver is given.

    Attributes:
        text: the statement.
        names: of the parameters in their order; None: they are given by name.
        fixed: the parameters that are the same each time.
    """

    text: str
    names: Sequence[str] | None
    fixed: Mapping[str, Any]

    def parameters(self, given: Mapping[str, Any]) -> Any:
        """What changes and what is fixed, by position or by name."""
        every = {**self.fixed, **given}
        return every if self.names is None else tuple([every[name] for name in self.names])


class Prepared:
    """A statement and what it was compiled to.

    Args:
        statement: with a `bindparam` for all that changes.
        columns: of an insert, as its rows name them.
    """

    def __init__(self, statement: ClauseElement, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = columns
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection, **given: Any) -> list[Any]:
        """Run it once; the rows that it gives, as the driver gives them."""
        compiled = self._on(connection)
        return run_by_driver(_begun(connection), compiled.text, compiled.parameters(given))

    def run_for_each(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run an insert for each of these rows, of which there is one at least."""
        compiled = self._on(connection)
        if connection.dialect.name != "sqlite":
            each = [compiled.parameters(row) for row in rows]
            run_by_driver(_begun(connection), compiled.text, each, many=True)
            return
        # SQLite's driver lets go of the interpreter at each step, and a statement is one step.
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS]
            given = [value for row in some for value in compiled.parameters(row)]
            run_by_driver(_begun(connection), _of_rows(compiled.text, len(some)), given)

    def _on(self, connection: Connection) -> _Compiled:
        dialect = connection.dialect
        found = self._compiled.get(dialect.name)
        if found is None:
            made = self._statement.compile(dialect=dialect, column_keys=self._columns)
            assert isinstance(made, SQLCompiler)
            fixed = {} if self._columns else {k: v for k, v in made.params.items() if v is not None}
            found = _Compiled(str(made), made.positiontup, fixed)
            self._compiled[dialect.name] = found
        return found


def driver_of(connection: Connection) -> Any:
    """The driver's own connection."""
    return connection.connection.dbapi_connection


def run_by_driver(
    connection: Connection, text: str, given: Any = (), *, many: bool = False
) -> list[Any]:
    """Run a text in the driver's own words; the rows that it gives, errors being SQLAlchemy's.

    Args:
        connection: within whose transaction.
        text: the statement.
        given: its parameters, or with `many` those of each time that it is run.
        many: whether it is run several times, and gives nothing.
    """
    cursor = driver_of(connection).cursor()
    try:
        if many:
            cursor.executemany(text, given)
            return []
        cursor.execute(text, given)
        return [*cursor.fetchall()] if cursor.description else []
    except connection.dialect.loaded_dbapi.Error as error:
        dialect = connection.dialect
        failure = dialect.loaded_dbapi.Error
        raise DBAPIError.instance(
            text, None, error, failure, hide_parameters=True, dialect=dialect
        ) from error
    finally:
        cursor.close()


def _begun(connection: Connection) -> Connection:
    """The connection with a transaction under way."""
    if not connection.in_transaction():
        connection.begin()
    return connection
