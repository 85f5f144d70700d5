"""Does a write happen as a whole, does a read see one state, and does a failure say what to do?"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, func, select, text

from features.errors import StoreError
from features.store.engine import Store
from features.store.migrate import upgrade
from features.store.tables import leads


def _add(store: Store, lead: str) -> None:
    with store.write() as connection:
        connection.execute(leads.insert(), [{"external_id": lead}])


def _count(store: Store) -> int:
    with store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(leads)).scalar_one())


def test_what_is_written_is_there_for_the_next_reader(store: Store) -> None:
    _add(store, "ada")
    assert _count(store) == 1


def test_an_error_inside_a_write_leaves_nothing_behind(store: Store) -> None:
    with pytest.raises(RuntimeError, match="half way"), store.write() as connection:  # noqa: PT012
        connection.execute(leads.insert(), [{"external_id": "ada"}])
        raise RuntimeError("half way")
    assert _count(store) == 0


def test_a_read_sees_one_state_while_others_write(store: Store) -> None:
    with store.read() as connection:
        before = connection.execute(select(func.count()).select_from(leads)).scalar_one()
        _add(store, "ada")
        after = connection.execute(select(func.count()).select_from(leads)).scalar_one()
    assert (before, after) == (0, 0)
    assert _count(store) == 1


def test_a_read_cannot_write(store: Store) -> None:
    with pytest.raises(StoreError, match=r"read-?only"), store.read() as connection:
        connection.execute(leads.insert(), [{"external_id": "ada"}])
    assert _count(store) == 0


def test_a_connection_that_read_can_write_afterwards(store: Store) -> None:
    """On PostgreSQL both come from one pool: what reading asked for must not stick."""
    for i in range(3):
        assert _count(store) == i
        _add(store, f"lead {i}")


def test_reading_modifying_and_writing_in_eight_threads_loses_no_step(sqlite_store: Store) -> None:
    """A deferred transaction that turns into a writer would fail with "database is locked"."""
    _add(sqlite_store, "0")
    start = threading.Barrier(8)

    def count_up(_worker: int) -> None:
        start.wait()
        for _ in range(25):
            with sqlite_store.write() as connection:
                number = int(connection.execute(select(leads.c.external_id)).scalar_one())
                connection.execute(leads.update().values(external_id=str(number + 1)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count_up, range(8)))
    with sqlite_store.read() as connection:
        assert connection.execute(select(leads.c.external_id)).scalar_one() == "200"


def test_eight_threads_can_open_a_new_sqlite_file_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'propensity.db'}"
    start = threading.Barrier(8)

    def open_it(_worker: int) -> str:
        start.wait()
        store = Store(url)
        with store.write() as connection:
            connection.execute(text("CREATE TABLE IF NOT EXISTS seen (worker INTEGER)"))
            connection.execute(text("INSERT INTO seen VALUES (1)"))
            mode = str(connection.execute(text("PRAGMA journal_mode")).scalar_one())
        store.close()
        return mode

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(open_it, range(8))) == {"wal"}
    connection = sqlite3.connect(tmp_path / "new" / "propensity.db")
    assert connection.execute("SELECT count(*) FROM seen").fetchone() == (8,)
    connection.close()


def test_sqlite_enforces_foreign_keys(sqlite_store: Store) -> None:
    with sqlite_store.read() as connection:
        assert connection.execute(text("PRAGMA foreign_keys")).scalar_one() == 1


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="in memory") as refusal:
        Store(url)
    assert "sqlite:///var/propensity.db" in refusal.value.hint


@pytest.mark.parametrize(
    ("url", "message"),
    [("nonsense", "cannot be read"), ("mysql://host/name", "mysql is no database")],
)
def test_a_url_that_names_no_usable_database_is_refused(url: str, message: str) -> None:
    with pytest.raises(StoreError, match=message) as refusal:
        Store(url)
    assert "postgresql://" in refusal.value.hint


def test_a_place_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="no place for the database"):
        Store(f"sqlite:///{tmp_path / 'file' / 'propensity.db'}")


def test_a_database_without_tables_says_how_to_make_them(
    tmp_path: Path, postgres_server: URL
) -> None:
    for url in (f"sqlite:///{tmp_path / 'new.db'}", _shown(postgres_server)):
        store = Store(url)
        with pytest.raises(StoreError) as failure, store.read() as connection:
            connection.execute(select(leads))
        assert "propensity db upgrade" in failure.value.hint
        store.close()


def test_a_read_only_database_can_be_read_and_says_that_it_cannot_be_written(
    sqlite_store: Store,
) -> None:
    _add(sqlite_store, "ada")
    only = Store(f"sqlite:///file:{sqlite_store.url.database}?mode=ro&uri=true")
    assert _count(only) == 1
    with pytest.raises(StoreError, match="readonly") as failure:
        _add(only, "bo")
    assert "propensity doctor" in failure.value.hint
    only.close()
    assert _count(sqlite_store) == 1


def test_a_locked_database_says_so(sqlite_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.store.engine.BUSY_TIMEOUT_MS", 20)
    impatient = Store(sqlite_store.url.render_as_string())
    with (
        sqlite_store.write(),
        pytest.raises(StoreError, match="database is locked"),
        impatient.write(),
    ):
        pass
    impatient.close()


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("this is no database, only a file that happens to be there")
    store = Store(f"sqlite:///{tmp_path / 'notes.db'}")
    with pytest.raises(StoreError, match="file is not a database"):
        store.check()
    store.close()


def test_a_server_that_is_not_there_says_so_without_the_password() -> None:
    for url in (
        "postgresql://rep:hunter2@127.0.0.1:1/crm",
        "postgresql://rep@127.0.0.1:1/crm?password=hunter2",
    ):
        store = Store(url)
        with pytest.raises(StoreError) as failure:
            store.check()
        assert "hunter2" not in f"{failure.value} {failure.value.hint} {failure.value.__cause__}"
        assert "127.0.0.1" in str(failure.value)
        store.close()


def test_the_values_of_a_failed_statement_are_not_in_the_message(store: Store) -> None:
    _add(store, "a secret name")
    with pytest.raises(Exception, match="leads") as failure:
        _add(store, "a secret name")
    # PostgreSQL names the key in a detail of its own, SQLite does not.
    assert "parameters hidden" in str(failure.value)


def test_a_pool_that_is_used_up_says_so(store: Store) -> None:
    small = create_engine(store.url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    store._reader.dispose()
    store._reader = small
    with store.read(), pytest.raises(StoreError, match="failed"), store.read():
        pass
    small.dispose()


def test_upgrading_again_changes_nothing(store: Store) -> None:
    _add(store, "ada")
    upgrade(store)
    assert _count(store) == 1


def test_each_test_has_a_database_of_its_own(
    new_postgres_database: Callable[[], URL], postgres_store: Store
) -> None:
    _add(postgres_store, "ada")
    other = Store(_shown(new_postgres_database()))
    assert _count(other) == 0
    other.close()


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=False)
