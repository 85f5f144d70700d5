"""Which services do tests start? Fixtures of a made company with a made model; a plugin of all suites.

Nothing heavy is imported and nothing is made before a test asks: a suite that starts no service pays
nothing for those that do.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from features.definition import Definition
from features.store.engine import Store

if TYPE_CHECKING:
    from served import Serve, Served


@pytest.fixture(autouse=True, scope="session")
def _plain_logs() -> None:
    """One line a message: the default draws whole tracebacks with every variable."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(),
    )


@pytest.fixture
def keys_stay_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key asked for once needs no other look, however slow the machine is."""
    from serving.security import KeyRing

    monkeypatch.setattr(KeyRing, "remembered", KeyRing.known_before)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a service on a store; all are stopped at the end."""
    from models_made import promote, put_bundle, workspace_of
    from served import Clock, Served, TestClient, calm, make_keys

    from serving.app import create_app

    with ExitStack() as running:

        def start(store: Store, *, with_model: bool = True, **changes: Any) -> Served:
            workspace = workspace_of(store, tmp_path)
            if with_model and workspace.registry.champion_digest() is None:
                promote(workspace, put_bundle(workspace))
            clock = Clock()
            app = create_app(calm(**changes), workspace, clock)
            client = running.enter_context(TestClient(app, raise_server_exceptions=False))
            return Served(client, workspace, clock, make_keys(workspace.store))

        yield start


@pytest.fixture(scope="session")
def company_home(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path, definition: Definition
) -> Path:
    """A data directory with the company in SQLite and a champion, to be copied."""
    from models_made import fill, promote, put_bundle, workspace_of

    home = tmp_path_factory.mktemp("company")
    shutil.copy(migrated_sqlite, home / "propensity.db")
    store = Store(f"sqlite:///{home / 'propensity.db'}")
    fill(store, definition)
    workspace = workspace_of(store, home)
    promote(workspace, put_bundle(workspace))
    workspace.store.close()
    store.close()
    return home


@pytest.fixture
def company_store(company_home: Path, tmp_path: Path) -> Iterator[Store]:
    """A store in SQLite with the company, and the champion's bundle beside it."""
    shutil.copytree(company_home, tmp_path, dirs_exist_ok=True)
    store = Store(f"sqlite:///{tmp_path / 'propensity.db'}")
    yield store
    store.close()


@pytest.fixture
def served_lite(serve: Serve, company_store: Store) -> Served:
    """A service with the company and a model on SQLite, for what no database decides."""
    return serve(company_store)


@pytest.fixture
def served_postgres(serve: Serve, postgres_store: Store, definition: Definition) -> Served:
    """The same on PostgreSQL."""
    from models_made import fill

    fill(postgres_store, definition)
    return serve(postgres_store)


@pytest.fixture(params=["sqlite", "postgresql"])
def served(request: pytest.FixtureRequest) -> Served:
    """The same, once on SQLite and once on PostgreSQL."""
    chosen: Served = request.getfixturevalue(
        "served_lite" if request.param == "sqlite" else "served_postgres"
    )
    return chosen


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request: pytest.FixtureRequest, serve: Serve) -> Served:
    """A service with two leads and no model, on SQLite and on PostgreSQL."""
    name = "sqlite_store" if request.param == "sqlite" else "postgres_store"
    from keyed_requests import fill

    store: Store = request.getfixturevalue(name)
    fill(store)
    return serve(store, with_model=False)


@pytest.fixture
def bare_lite(serve: Serve, sqlite_store: Store) -> Served:
    """The same on SQLite alone."""
    from keyed_requests import fill

    fill(sqlite_store)
    return serve(sqlite_store, with_model=False)
