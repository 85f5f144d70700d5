"""MLflow refuses, hangs, trickles, breaks off, errs or lies: does scoring notice, and does anybody wait?

Scoring must not even try to reach it. Who trains or promotes gets one clear warning after a bounded
wait; the decision stands, and the champion is the one that was decided on.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from agreed import NOW
from fault_proxy import MODES, FaultProxy, proxied
from models_made import lead_id, put_bundle
from quiet_mlflow import tracking
from served import Clock, Served, TestClient, calm, make_keys
from trained_company import CONFIG, END, migrate_mlflow, trained_company

from features.store.engine import Store
from models.workspace import Workspace
from serving.app import create_app
from serving.doctor import examine
from training.promote import carry_out, roll_back
from training.run import Watching, train
from training.verdicts import Verdict


def modes(*quick: str) -> pytest.MarkDecorator:
    """Some ways to fail in `make test`, all of them in `make test-all`."""
    slow = [pytest.param(mode, marks=pytest.mark.slow) for mode in MODES if mode not in quick]
    return pytest.mark.parametrize("proxy", [*quick, *slow], indirect=True)


@pytest.fixture
def proxy(request: pytest.FixtureRequest) -> Iterator[FaultProxy]:
    with proxied(request.param) as found:
        yield found


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "KNOCK_SECONDS", 1.5)
    monkeypatch.setattr(tracking, "LOG_SECONDS", 60.0)
    for name, value in (("TIMEOUT", "1"), ("MAX_RETRIES", "0")):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)


@pytest.fixture
def workspace(company_store: Store, tmp_path: Path, proxy: FaultProxy) -> Workspace:
    found = Workspace.of({"PROPENSITY_DATA_DIR": str(tmp_path)})
    return replace(found, mlflow_uri=proxy.url)


@modes(*MODES)
def test_a_service_starts_and_scores_from_disk_and_never_asks_mlflow(
    workspace: Workspace, proxy: FaultProxy
) -> None:
    with TestClient(create_app(calm(), workspace, Clock())) as client:
        served = Served(client, workspace, Clock(), make_keys(workspace.store))
        health = served.get("/v2/health/ready", "anonymous").json()
        scored = served.post("/v1/scores", json={"lead": lead_id(1)})
        model = served.get("/v1/model").json()
        figures = served.get("/metrics").text
    assert scored.status_code == 200
    assert (health["model_source"], health["trouble"]) == ("disk", [])
    assert health["model_created_at"] == model["created_at"] == "2026-04-01T12:00:00Z"
    assert model["checked_at"] == "2026-05-01T12:00:00Z"
    assert 'propensity_model_source{source="disk"} 1.0' in figures
    assert "propensity_model_created_timestamp_seconds 1.7750448e+09" in figures
    assert proxy.accepted == 0
    workspace.store.close()


@modes("hang")
def test_a_promotion_stands_and_says_that_mlflow_was_not_told(
    workspace: Workspace, proxy: FaultProxy
) -> None:
    first, second = workspace.registry.champion_digest(), put_bundle(workspace, seed=2)
    told: list[str] = []
    verdict = Verdict("promote", "for a test", {})
    carry_out(workspace, second, verdict, first, now=NOW, by="t", on_warning=told.append)
    assert workspace.registry.champion_digest() == second
    (warning,) = told
    assert "MLflow's aliases were not moved" in warning
    roll_back(workspace, now=NOW + 1, by="t", reason="a test", on_warning=told.append, bad=second)
    again = roll_back(
        workspace, now=NOW + 2, by="t", reason="again", on_warning=told.append, bad=second
    )
    assert workspace.registry.champion_digest() == first == again, "rolled back once, not twice"
    workspace.store.close()


@modes("trickle", "html")
def test_logging_a_run_ends_with_one_clear_error(workspace: Workspace, tmp_path: Path) -> None:
    digest = workspace.registry.champion_digest()
    assert digest is not None
    with pytest.raises(tracking.TrackingError) as caught:
        tracking.log_run(
            workspace.mlflow_uri,
            tmp_path,
            workspace.bundles / digest,
            params={},
            metrics={},
            tags={},
            pictures=tmp_path,
        )
    assert str(caught.value)
    assert "\n" not in str(caught.value)
    workspace.store.close()


@modes("hang")
def test_the_doctor_looks_at_everything_all_the_same(workspace: Workspace) -> None:
    findings = {finding.part: finding for finding in examine(workspace)}
    assert findings["champion"].state == "well"
    assert findings["mlflow"].state in ("well", "warning")
    workspace.store.close()


# With the real server behind the proxy


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    home, port = tmp_path_factory.mktemp("mlflow"), free_port()
    migrate_mlflow(home / "mlflow.db")
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(home / "artifacts")]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(
        command, cwd=home, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}, **quiet
    )
    while True:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health").is_success:
                break
        except httpx.TransportError:
            assert process.poll() is None, "MLflow did not start"
            time.sleep(0.2)
    yield "127.0.0.1", port
    process.terminate()
    process.wait(60)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pass", "trickle", "reset", "corrupt"])
def test_training_with_a_real_server_behind_a_bad_line(
    mlflow_server: tuple[str, int], mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "KNOCK_SECONDS", 20.0)
    monkeypatch.setattr(tracking, "LOG_SECONDS", 900.0 if mode == "pass" else 120.0)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    company = trained_company()
    workspace = company.copy(tmp_path)
    told: list[str] = []
    with proxied(mode, mlflow_server) as proxy:
        through = replace(workspace, mlflow_uri=proxy.url)
        carry_out(
            through,
            company.digest,
            Verdict("promote", "for a test", {}),
            None,
            now=END,
            by="t",
            on_warning=told.append,
        )
        done = train(through, CONFIG, now=END + 1, watching=Watching(warn=told.append))
        assert proxy.accepted > 0
        through.store.close()
    assert workspace.registry.champion_digest() == company.digest, "the champion is untouched"
    assert workspace.registry.load(done.digest).digest == done.digest, "what was trained is kept"
    if mode == "pass":
        assert done.mlflow_run is not None, told
    else:
        assert done.mlflow_run is None
        assert any("MLflow" in said for said in told)
    workspace.store.close()
