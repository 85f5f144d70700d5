"""Is a service a value: made without touching anything, one of several, gone when it is stopped?"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from models_made import promote, put_bundle, workspace_of
from pydantic import TypeAdapter
from served import Clock, Served, TestClient, calm, make_keys
from starlette.routing import Match

from features.store.engine import Store
from models.workspace import Workspace
from serving.app import create_app
from serving.settings import MIB, Settings


def test_making_a_service_touches_nothing(tmp_path: Path) -> None:
    before = threading.active_count()
    create_app(calm(), Workspace.of({"PROPENSITY_DATA_DIR": str(tmp_path / "nowhere")}))
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == before


def test_the_first_request_finds_every_route_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The framework would build them at the first request, beside threads of ours."""
    app = create_app(calm(), Workspace.of({"PROPENSITY_DATA_DIR": str(tmp_path / "nowhere")}))

    def built(*_: object, **__: object) -> None:
        raise AssertionError("a route was built at a request")

    monkeypatch.setattr(TypeAdapter, "__init__", built)
    scope = {"type": "http", "method": "POST", "path": "/v1/events", "root_path": "", "headers": []}
    assert any(route.matches(dict(scope))[0] is Match.FULL for route in app.routes)


def test_two_services_in_one_process_know_nothing_of_each_other(
    served_lite: Served, migrated_sqlite: Path, tmp_path: Path
) -> None:
    home = tmp_path / "other"
    home.mkdir()
    (home / "propensity.db").write_bytes(migrated_sqlite.read_bytes())
    store = Store(f"sqlite:///{home / 'propensity.db'}")
    workspace = workspace_of(store, home)
    promote(workspace, put_bundle(workspace, seed=2))
    with TestClient(create_app(calm(), workspace, Clock())) as client:
        other = Served(client, workspace, Clock(), make_keys(workspace.store))
        assert other.get("/v1/leads/L-0001/score").status_code == 404
        assert served_lite.get("/v1/leads/L-0001/score").status_code == 200
        ours, theirs = (one.get("/v1/model").json()["model"] for one in (served_lite, other))
        assert ours != theirs
        assert other.client.get("/v1/model", headers=served_lite.headers("crm")).status_code == 401
    store.close()


def test_a_service_that_stops_leaves_no_thread(company_store: Store, tmp_path: Path) -> None:
    def ours() -> set[str]:
        return {thread.name for thread in threading.enumerate()} & {"champion", "queue"}

    settings = Settings(champion_poll_seconds=0.01, refresh_queue=True)
    app = create_app(settings, workspace_of(company_store, tmp_path), Clock())
    with TestClient(app):
        assert ours() == {"champion", "queue"}
    assert ours() == set()


def test_settings_come_from_the_environment_and_only_when_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings().max_body_bytes == MIB
    monkeypatch.setenv("PROPENSITY_MAX_BODY_BYTES", "2048")
    monkeypatch.setenv("PROPENSITY_SECURE_COOKIES", "true")
    assert (Settings().max_body_bytes, Settings().secure_cookies) == (2_048, True)
    assert Settings(max_body_bytes=4_096).max_body_bytes == 4_096


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "x"),
        ("MAX_ROWS", "-1"),
        ("LOG_LEVEL", "LOUD"),
        ("KEY_CACHE_SECONDS", "5"),
    ],
)
def test_settings_out_of_range_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"PROPENSITY_{name}", value)
    with pytest.raises(ValueError, match=name.lower()):
        Settings()


def test_every_setting_is_explained() -> None:
    described: dict[str, Any] = {n: f.description for n, f in Settings.model_fields.items()}
    assert all(described.values())
