"""How does one thread write over and over? On a connection of its own, given to the driver as it is.

To take a connection from the pool, begin, commit and give it back costs SQLAlchemy more than SQLite
needs for the few rows of a group. Rule: what `Store.write` promises holds here too: the work is
committed as a whole or not at all, and a file that was moved away is never written to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from features.store.engine import Connection, Store, file_of, told
from features.store.prepared import driver_of, own_errors


class KeptWriter:
    """Writes from one thread; on PostgreSQL as `Store.write` does.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connection: Connection | None = None
        self._file: tuple[int, int] | None = None

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection whose work is committed as a whole, or not at all.

        Raises:
            StoreError: the database failed; nothing was written.
        """
        if not self._store.is_sqlite:
            with self._store.write() as connection:
                yield connection
            return
        with told(self._store):
            connection = self._opened()
            try:
                with own_errors(connection, "BEGIN IMMEDIATE"):
                    driver_of(connection).execute("BEGIN IMMEDIATE")
                yield connection
                with own_errors(connection, "COMMIT"):
                    driver_of(connection).commit()
                if (
                    connection.in_transaction()
                ):  # a statement that SQLAlchemy ran began one for itself
                    connection.commit()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Give the connection back; what was not committed is undone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def _opened(self) -> Connection:
        present = file_of(self._store.url)
        if self._connection is not None and (present is None or present != self._file):
            self.close()
        if self._connection is None:
            self._connection = self._store.engine.connect()
            self._file = present
        return self._connection
