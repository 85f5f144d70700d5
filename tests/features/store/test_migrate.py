"""Do the migrations make the tables that the code uses, on both databases?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import URL, text

from features.errors import StoreError
from features.store import migrate
from features.store.audit import Entry, note, verify
from features.store.engine import Store
from features.store.erasure import erase
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


def test_a_database_of_a_newer_version_is_not_upgraded_and_it_is_said_so(
    sqlite_store: Store,
) -> None:
    with sqlite_store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"cannot be upgraded: .*9999"):
        upgrade(sqlite_store)


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


def test_a_filled_database_of_the_first_release_keeps_its_rows(
    tmp_path: Path, new_postgres_database: Callable[[], URL]
) -> None:
    """0002 adds tables and an index; what was there stays, and takes new writes."""
    stores = [
        Store(f"sqlite:///{tmp_path / 'first.db'}"),
        Store(new_postgres_database().render_as_string(hide_password=False)),
    ]
    for store in stores:
        to(store, "0001")
        with store.write() as connection:
            connection.execute(text("INSERT INTO leads (external_id) VALUES ('ada')"))
            connection.execute(
                text(
                    "INSERT INTO scores (lead, lead_id, as_of, scored_at, raw, probability, route,"
                    " bundle, definition, inputs, inputs_hash, reasons, warnings, channel) VALUES"
                    " (1, 'ada', 1, 1, 0.5, 0.6, 'r', 'b', 'd', '{}', 'h', '[]', '[]', 'api')"
                )
            )
        upgrade(store)
        require_current(store)
        with store.write() as connection:
            assert connection.execute(text("SELECT lead_id, raw FROM scores")).all() == [
                ("ada", 0.5)
            ]
            note(connection, Entry(at=1, actor="anna", action="tried", object="it"))
            assert verify(connection).entries == 1
            assert erase(connection, "ada", by="anna", now=2).scores == 1
        store.close()


def to(store: Store, revision: str) -> None:
    """Bring a database up or down to a revision."""
    with store.write() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        present = MigrationContext.configure(connection).get_current_revision()
        move = command.downgrade if present is not None else command.upgrade
        move(config, revision)
