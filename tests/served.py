"""How do tests call a running service? As callers of every role, at a time of their choosing."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any, Protocol

from agreed import NOW

from features.store.access import ROLES, find_session, open_session, prove, set_user
from features.store.engine import Store
from features.store.keys import create_key, revoke_key
from models.workspace import Workspace
from serving.deps import Service
from serving.settings import Settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the test client is to move to another HTTP library
    from fastapi.testclient import TestClient

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
    def service(self) -> Service:
        found: Service = self.client.app.state.service  # type: ignore[attr-defined]
        return found

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


class Serve(Protocol):
    """Starts a service on a store."""

    def __call__(self, store: Store, *, with_model: bool = True, **changes: Any) -> Served: ...


def calm(**changes: Any) -> Settings:
    """Settings under which nothing happens by itself, and no fast machine asks too often."""
    given = {
        "champion_poll_seconds": 3_600.0,
        "refresh_queue": False,
        "person_burst": 1_000_000,
        "stranger_burst": 1_000_000,
    }
    return Settings(**(given | changes))


def make_keys(store: Store) -> dict[str, str]:
    """A key of every role, the rep being anna, and one that was revoked."""
    with store.write() as connection:
        names = {role: "anna" if role == "rep" else role for role in ROLES}
        keys = {role: create_key(connection, name, role, NOW) for role, name in names.items()}
        keys["revoked"] = create_key(connection, "old", "admin", NOW)
        revoke_key(connection, "old", NOW)
    return keys


def sign_in(
    served: Served, name: str, role: Any, owner: str | None = None, at: int = NOW
) -> tuple[str, str]:
    """Make a person who is signed in: the session's token, and its CSRF token."""
    with served.store.write() as connection:
        set_user(connection, name, role, PASSWORD, owner, at)
        proof = prove(connection, name, PASSWORD)
        assert proof is not None
        token = open_session(connection, name, proof, at)
        assert token is not None
        session = find_session(connection, token, at)
    assert session is not None
    assert session.caller.csrf is not None
    return token, session.caller.csrf
