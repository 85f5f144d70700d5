"""The suites that compare ways to a score start services as those of the service do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from models_made import fill, promote, put_bundle, workspace_of
from served import Clock, Served, TestClient, calm, make_keys

from features.definition import Definition
from features.store.engine import Store
from serving.app import create_app


@pytest.fixture
def company(store: Store, definition: Definition, tmp_path: Path) -> Iterator[Served]:
    """A service with the made company and a champion, on SQLite and on PostgreSQL."""
    fill(store, definition)
    workspace = workspace_of(store, tmp_path)
    promote(workspace, put_bundle(workspace))
    clock = Clock()
    with ExitStack() as running:
        app = create_app(calm(), workspace, clock)
        client = running.enter_context(TestClient(app))
        yield Served(client, workspace, clock, make_keys(workspace.store))
