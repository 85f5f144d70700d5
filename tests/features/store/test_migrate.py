"""Do the migrations make the tables that the code uses, on both databases?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, text

from features.errors import StoreError
from features.store.engine import Store
from features.store.migrate import require_current, revisions, upgrade
from features.store.schema import metadata


def test_migrations_make_exactly_the_tables_that_the_code_defines(store: Store) -> None:
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_migrated_database_is_current(store: Store) -> None:
    require_current(store)
    present, newest = revisions(store)
    assert present == newest


def test_a_database_without_tables_is_told_to_upgrade_and_then_is_current(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'new.db'}")
    with pytest.raises(StoreError, match="has no tables yet") as failure:
        require_current(store)
    assert failure.value.hint == "Run `propensity db upgrade`."
    upgrade(store)
    require_current(store)
    store.close()


def test_a_database_of_another_version_is_refused_and_its_password_not_shown(
    new_postgres_database: Callable[[], URL], sqlite_store: Store
) -> None:
    url = new_postgres_database().set(password="hunter2")
    postgres = Store(url.render_as_string(hide_password=False))
    for store in (sqlite_store, postgres):
        with store.write() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(StoreError, match="is at revision 9999") as failure:
            require_current(store)
        assert "hunter2" not in str(failure.value)
    postgres.close()


def test_an_upgrade_that_fails_half_way_leaves_no_table(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'half.db'}")
    with store.write() as connection:
        connection.execute(text("CREATE TABLE users (name TEXT)"))
    with pytest.raises(StoreError, match="already exists"):
        upgrade(store)
    with store.read() as connection:
        names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))
        assert [row.name for row in names] == ["users"]
    store.close()
