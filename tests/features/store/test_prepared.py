"""Does a prepared statement keep to its transaction, and fail as any other statement does?"""

from __future__ import annotations

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, bindparam, literal_column, select
from sqlalchemy.exc import SQLAlchemyError
from stores import undone

from features.errors import StoreError
from features.store.engine import Store
from features.store.prepared import Prepared
from features.store.tables import leads

KEYS = Prepared(select(leads.c.external_id, leads.c.id).where(leads.c.id > bindparam("after")))
ADD = Prepared(leads.insert().inline(), ["external_id", "do_not_score"])


def rows(store: Store) -> list[tuple[str, int]]:
    with store.read() as connection:
        return [tuple(row) for row in KEYS.run(connection, after=-1)]


def test_rows_are_written_with_the_transaction_and_not_without(store: Store) -> None:
    with store.write() as connection:
        ADD.run_for_each(connection, [{"external_id": n, "do_not_score": False} for n in "ab"])
    assert sorted(name for name, _ in rows(store)) == ["a", "b"]
    with undone(store) as connection:
        ADD.run_for_each(connection, [{"external_id": "c", "do_not_score": False}])
    assert sorted(name for name, _ in rows(store)) == ["a", "b"]


def test_a_read_sees_one_state_from_its_first_statement_on(store: Store) -> None:
    with store.read() as connection:
        before = KEYS.run(connection, after=-1)
        with store.write() as other:
            ADD.run_for_each(other, [{"external_id": "late", "do_not_score": False}])
        assert KEYS.run(connection, after=-1) == before
    assert [name for name, _ in rows(store)] == ["late"]


def test_what_a_driver_refuses_is_told_as_of_any_statement(store: Store) -> None:
    statement = Prepared(select(literal_column("no_such_function_of_anybody()")))
    with pytest.raises((StoreError, SQLAlchemyError)), store.read() as connection:
        statement.run(connection)


@pytest.mark.parametrize("way", ["prepared", "plain"])
def test_a_statement_that_the_server_no_longer_takes_fails_once_and_can_be_asked_again(
    postgres_store: Store, way: str
) -> None:
    statement = select(Table("changing", MetaData(), Column("size", Integer)).c.size)
    prepared = Prepared(statement)
    # Another process: the driver forgets what it has prepared when it sends an ALTER itself.
    elsewhere = Store(postgres_store.url.render_as_string(hide_password=False))

    def ask() -> list[object]:
        # A read ends by a roll-back, after which the driver prepares anew; a write does not.
        with postgres_store.write() as connection:
            found = prepared.run(connection) if way == "prepared" else connection.execute(statement)
            return [row[0] for row in found]

    def change(command: str, store: Store = elsewhere) -> None:
        with store.write() as connection:
            connection.exec_driver_sql(command)

    change("CREATE TABLE changing AS SELECT 7 AS size")
    try:
        # The driver prepares what it is sent for the sixth time.
        assert [ask() for _ in range(9)] == [[7]] * 9
        change("ALTER TABLE changing ALTER COLUMN size TYPE text")
        with pytest.raises(StoreError, match="cached plan"):
            ask()
        assert [ask() for _ in range(9)] == [["7"]] * 9
        # What a pooler does that hands a session on; said so that the driver does not notice.
        change("DO 'BEGIN DEALLOCATE ALL; END'", postgres_store)
        with pytest.raises(StoreError, match="does not exist"):
            ask()
        assert ask() == ["7"]
    finally:
        change("DROP TABLE changing")
        elsewhere.close()
