"""How is a CRM's database asked? One SELECT, in the order of change, a page at a time, read only.

The query of the configuration is asked as a sub-query: whatever it selects, only what changed at or
after the watermark comes, `page_rows` at once, each page in a transaction of its own that is rolled
back. The page after a row begins after its (changed, id), so that rows which changed at one instant are
neither missed nor given twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Select,
    and_,
    column,
    create_engine,
    or_,
    select,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from features.clock import to_datetime
from features.errors import SourceError
from features.store.pull.config import SourceConfig, Sql
from features.store.pull.mapping import as_instant
from features.store.pull.source import Page, Row

_UNITS = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}

_READ_ONLY = {
    "postgresql": ("SET TRANSACTION READ ONLY", "SET LOCAL statement_timeout = {milliseconds}"),
    "mysql": ("SET SESSION TRANSACTION READ ONLY",),
    "mariadb": ("SET SESSION TRANSACTION READ ONLY",),
    "sqlite": ("PRAGMA query_only = ON",),
    "oracle": ("SET TRANSACTION READ ONLY",),
}
"""What keeps each kind of database from being changed by us; the others rely on the user's rights."""


class SqlSource:
    """Rows of a query.

    Args:
        config: a source whose `how` is `Sql`.
        environment: where the URL of the database is, under the name that the configuration gives.

    Raises:
        SourceError: there is no such variable, or no such database.
    """

    def __init__(self, config: SourceConfig, environment: Mapping[str, str]) -> None:
        assert isinstance(config.how, Sql), "see open_source"
        self.config, self._how = config, config.how
        self._engine = _engine(config.name, self._how.url_env, environment)

    def pages(self, since: int | None, at: str | None = None) -> Iterator[Page]:
        """See `OutcomeSource`; pages come in the order of change.

        Raises:
            SourceError: the database fails.
        """
        del at  # who follows the order of change goes on from the watermark
        after: tuple[Any, Any] | None = None
        low = None if since is None else self._written(since)
        try:
            while True:
                with self._reading() as connection:
                    answer = connection.execute(self._asked(low, after))
                    rows: list[Row] = [dict(row._mapping) for row in answer]
                if not rows:
                    return
                last = rows[-1]
                after = last[self._how.changed], last[self._how.fields.id]
                yield Page(rows, through=as_instant(after[0], self._how.zone))
                if len(rows) < self._how.page_rows:
                    return
        except (SQLAlchemyError, ValueError) as error:
            raise self._failed(error) from None
        finally:
            self._engine.dispose()

    def _asked(self, low: Any, after: tuple[Any, Any] | None) -> Select[Any]:
        fields = self._how.fields.model_dump(exclude_none=True).values()
        names = dict.fromkeys([self._how.changed, *(name for name in fields if _is_column(name))])
        rows = text(self._how.query).columns(*map(column, names)).subquery("asked")
        changed, id_ = rows.c[self._how.changed], rows.c[self._how.fields.id]
        query = select(rows).order_by(changed, id_).limit(self._how.page_rows)
        if after is not None:
            same = and_(changed == after[0], id_ > after[1])
            return query.where(or_(changed > after[0], same))
        return query.where(changed.is_not(None) if low is None else changed >= low)

    def _written(self, instant: int) -> Any:
        """An instant as the column writes it."""
        how = self._how
        if how.changed_as in _UNITS:
            return instant // _UNITS[how.changed_as]
        moment = to_datetime(instant)
        if how.changed_as == "timestamp_tz":
            return moment
        local = moment.astimezone(how.zone).replace(tzinfo=None)
        return local.strftime(how.changed_format) if how.changed_as == "text" else local

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection that changes nothing."""
        with self._engine.connect() as connection:
            milliseconds = round(self._how.timeout_seconds * 1_000)
            for statement in _READ_ONLY.get(connection.dialect.name, ()):
                connection.exec_driver_sql(statement.format(milliseconds=milliseconds))
            try:
                yield connection
            finally:
                connection.rollback()

    def _failed(self, error: Exception) -> SourceError:
        """What went wrong, without what the driver may have repeated of the address."""
        said = str(getattr(error, "orig", None) or error).strip().splitlines() or [""]
        password = self._engine.url.password
        words = said[0].replace(str(password), "***") if password else said[0]
        return SourceError(
            f"{self.config.name}: the database failed: {words[:300]}",
            hint=f"Is the query right, and the address in {self._how.url_env}?",
        )


def _engine(name: str, variable: str, environment: Mapping[str, str]) -> Engine:
    url = environment.get(variable)
    if not url:
        raise SourceError(
            f"{name}: the variable {variable} is not set",
            hint="It holds the address of the database, as in postgresql+psycopg://user:…@host/crm.",
        )
    try:
        return create_engine(url, hide_parameters=True, pool_pre_ping=True)
    except (SQLAlchemyError, ImportError, TypeError, ValueError):
        # What could not be read may hold a password.
        raise SourceError(
            f"{name}: the address in {variable} cannot be used, or its driver is not installed"
        ) from None


def _is_column(name: Any) -> bool:
    return isinstance(name, str)
