"""A running service with a made company and a made model, and callers of every role.

The clock stands still unless a test moves it; the queue is refreshed only when a test asks for it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from agreed import NOW
from models_made import fill, promote, put_bundle, workspace_of

from features.definition import Definition
from features.store.access import ROLES, create_key, open_session, prove, set_user
from features.store.engine import Store
from models.workspace import Workspace
from serving.app import create_app
from serving.settings import Settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the test client is to move to another HTTP library
    from fastapi.testclient import TestClient

os.environ.setdefault("OMP_NUM_THREADS", "1")

PASSWORD = "correct horse battery"


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Served:
    """A running service and the ways to call it."""

    client: TestClient
    workspace: Workspace
    clock: Clock
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return self.workspace.store

    @property
    def service(self) -> Any:
        return self.client.app.state.service  # type: ignore[attr-defined]

    def headers(self, role: str) -> dict[str, str]:
        """What a caller of this role sends; `anonymous` sends nothing."""
        return {} if role == "anonymous" else {"Authorization": f"Bearer {self.keys[role]}"}

    def call(self, method: str, path: str, role: str = "admin", **rest: Any) -> Any:
        headers = self.headers(role) | rest.pop("headers", {})
        return self.client.request(method, path, headers=headers, **rest)

    def get(self, path: str, role: str = "admin", **rest: Any) -> Any:
        return self.call("GET", path, role, **rest)

    def post(self, path: str, role: str = "admin", **rest: Any) -> Any:
        return self.call("POST", path, role, **rest)

    def put(self, path: str, role: str = "admin", **rest: Any) -> Any:
        return self.call("PUT", path, role, **rest)


def calm(**changes: Any) -> Settings:
    """Settings under which nothing happens by itself."""
    given = {"champion_poll_seconds": 3_600.0, "refresh_queue": False, "log_level": "ERROR"}
    return Settings(**(given | changes))


def make_keys(store: Store) -> dict[str, str]:
    """A key of every role, `rep` being anna's, and one that was revoked."""
    with store.write() as connection:
        names = {role: "anna" if role == "rep" else role for role in ROLES}
        return {role: create_key(connection, name, role, NOW) for role, name in names.items()}


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a service on a store; all are stopped at the end."""
    running: list[Any] = []

    def start(store: Store, *, with_model: bool = True, **changes: Any) -> Served:
        workspace = workspace_of(store, tmp_path)
        if with_model:
            promote(workspace, put_bundle(workspace))
        clock = Clock()
        client = TestClient(create_app(calm(**changes), workspace, clock))
        client.__enter__()
        running.append(client)
        return Served(client, workspace, clock, make_keys(workspace.store))

    yield start
    for client in running:
        client.__exit__(None, None, None)


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


@pytest.fixture
def anna(served_lite: Served) -> str:
    """The session token of anna, a rep who signed in."""
    with served_lite.store.write() as connection:
        set_user(connection, "anna", "rep", PASSWORD, "anna", NOW)
        proof = prove(connection, "anna", PASSWORD)
        assert proof is not None
        token = open_session(connection, "anna", proof, NOW)
    assert token is not None
    return token
