"""A running service with a made company and a made model, and callers of every role.

The clock stands still unless a test moves it; the queue is refreshed only when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from models_made import fill, promote, put_bundle, workspace_of
from served import Clock, Serve, Served, TestClient, calm, make_keys

from features.definition import Definition
from features.store.engine import Store
from serving.app import create_app


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a service on a store; all are stopped at the end."""
    with ExitStack() as running:

        def start(store: Store, *, with_model: bool = True, **changes: Any) -> Served:
            workspace = workspace_of(store, tmp_path)
            if with_model:
                promote(workspace, put_bundle(workspace))
            clock = Clock()
            app = create_app(calm(**changes), workspace, clock)
            client = running.enter_context(TestClient(app, raise_server_exceptions=False))
            return Served(client, workspace, clock, make_keys(workspace.store))

        yield start


@pytest.fixture
def served(serve: Serve, store: Store, definition: Definition) -> Served:
    """A service with the company and a model, on SQLite and on PostgreSQL."""
    fill(store, definition)
    return serve(store)


@pytest.fixture
def served_lite(serve: Serve, sqlite_store: Store, definition: Definition) -> Served:
    """The same on SQLite alone, for what no database decides."""
    fill(sqlite_store, definition)
    return serve(sqlite_store)
