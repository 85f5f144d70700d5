"""Analysts find everything about a training in MLflow, nobody else does, and it can be down."""

from __future__ import annotations

import json
import os
import shutil
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from model_cases import simulated
from quiet_mlflow import tracking
from trained_company import END, TrainedCompany, trained_company

from features.errors import InputError
from models.card import model_card
from models.mlflow_flavor import BundlePyfunc
from models.workspace import Workspace
from training.promote import Verdict, carry_out, mirror, roll_back
from training.run import catalogue


@pytest.fixture(scope="module")
def company() -> TrainedCompany:
    return trained_company()


@pytest.fixture
def workspace(company: TrainedCompany, tmp_path: Path) -> Iterator[Workspace]:
    """A copy whose MLflow store knows of the training."""
    found = company.tracked_copy(tmp_path / "home")
    yield found
    found.store.close()


@pytest.fixture
def client(workspace: Workspace) -> Any:
    return tracking.MlflowClient(workspace.mlflow_uri)


def the_run(client: Any) -> Any:
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    (run,) = client.search_runs([experiment.experiment_id])
    return run


def aliases(client: Any) -> dict[str, str]:
    """Alias -> digest."""
    found = client.get_registered_model(tracking.MODEL_NAME).aliases
    return {
        alias: client.get_model_version(tracking.MODEL_NAME, version).tags["digest"]
        for alias, version in found.items()
    }


def test_a_run_holds_what_was_chosen_measured_and_learned_from(
    company: TrainedCompany, client: Any
) -> None:
    run, model = the_run(client), company.model()
    assert run.info.status == "FINISHED"
    assert run.data.params["leaves"] == str(model.about["learner"]["leaves"])
    assert run.data.params["judge_share"] == "0.25"
    assert run.data.params["calibration"] == model.about["calibration"]["name"]
    figures = model.about["judged"]["figures"]
    assert run.data.metrics["auc"] == figures["auc"]["estimate"]
    assert run.data.metrics["log_loss"] == figures["log_loss"]
    assert run.data.tags["digest"] == company.digest
    assert run.data.tags["fingerprint"] == model.about["data"]["fingerprint"]
    assert run.data.tags["definition"] == model.definition.hash
    assert run.data.tags["origin"] == "train"


def test_a_run_holds_pictures_and_the_card(client: Any, company: TrainedCompany) -> None:
    run = the_run(client)
    listed = {item.path: item.file_size for item in client.list_artifacts(run.info.run_id)}
    assert {"card.md", "importance.png", "lift.png", "reliability.png", "scores.png"} < set(listed)
    assert {"evaluation.html", "shapes.png", "swarm.png", "where_0.png"} < set(listed)
    assert min(listed.values()) > 500
    card = Path(client.download_artifacts(run.info.run_id, "card.md")).read_text(encoding="utf-8")
    assert card == model_card(company.model().about)
    picture = Path(client.download_artifacts(run.info.run_id, "reliability.png")).read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_the_version_is_the_challenger_and_belongs_to_its_run(
    client: Any, company: TrainedCompany
) -> None:
    assert aliases(client) == {"challenger": company.digest}
    (version,) = client.search_model_versions(f"name = '{tracking.MODEL_NAME}'")
    assert version.run_id == the_run(client).info.run_id
    assert version.tags["digest"] == company.digest


def artifacts(company: TrainedCompany) -> list[Path]:
    return [path for path in (company.home / "mlartifacts").rglob("*") if path.is_file()]


def test_no_artifact_is_a_pickle(company: TrainedCompany) -> None:
    names = {path.name for path in artifacts(company)}
    assert {"MLmodel", "booster.txt", "manifest.json"} <= names
    for path in artifacts(company):
        assert path.suffix not in {".pkl", ".pickle", ".joblib", ".cloudpickle", ".npy"}
        content = path.read_bytes()
        # Protocol 2 and later begin with this byte; text and PNG do not.
        assert not content.startswith(b"\x80"), path
        assert b"cloudpickle" not in content, path


def test_the_logged_model_is_the_bundle_byte_for_byte(company: TrainedCompany) -> None:
    ours = company.home / "bundles" / company.digest
    theirs = next(p for p in artifacts(company) if p.name == "manifest.json").parent
    assert theirs.name == company.digest
    assert {p.name: p.read_bytes() for p in ours.iterdir()} == {
        p.name: p.read_bytes() for p in theirs.iterdir()
    }


def test_logging_connects_to_nobody(
    company: TrainedCompany, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []

    def connect(_: socket.socket, address: Any) -> None:
        tried.append(address)
        raise OSError("this test does not go out")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket.socket, "connect_ex", connect)
    workspace = company.copy(tmp_path / "home")
    told: list[str] = []
    run = catalogue(workspace, company.digest, company.model(), None, "train", told.append)
    assert run is not None
    assert told == []
    assert tried == []


def test_usage_is_reported_to_nobody() -> None:
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["DO_NOT_TRACK"] == "true"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.telemetry.utils import is_telemetry_disabled
    assert is_telemetry_disabled()


# It can be down


def unreachable() -> str:
    """A port on which nobody listens, because it was just given back."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def broken_stores(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "not.db").write_text(
        "this is no database, but it is long enough to be looked at" * 9
    )
    return {
        "a closed port": unreachable(),
        "a file that is no database": f"sqlite:///{tmp_path / 'not.db'}",
        "a scheme nobody knows": "gopher://example",
    }


@pytest.mark.parametrize("what", broken_stores(Path("/dev/shm")))
def test_a_catalogue_that_fails_is_a_warning_and_not_an_error(
    company: TrainedCompany, tmp_path: Path, what: str
) -> None:
    workspace = company.copy(tmp_path / "home")
    broken = Workspace(
        workspace.data_dir,
        workspace.database_url,
        workspace.definition_path,
        broken_stores(tmp_path)[what],
    )
    told: list[str] = []
    assert catalogue(broken, company.digest, company.model(), None, "train", told.append) is None
    assert len(told) == 1
    assert told[0].startswith("not catalogued in MLflow (")
    assert "\n" not in told[0]


def test_a_server_that_does_not_answer_is_given_up_soon() -> None:
    assert int(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]) <= 10
    assert int(os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]) <= 1


def test_promotion_goes_through_when_the_catalogue_is_down(
    company: TrainedCompany, tmp_path: Path
) -> None:
    workspace = company.copy(tmp_path / "home")
    down = Workspace(
        workspace.data_dir, workspace.database_url, workspace.definition_path, unreachable()
    )
    told: list[str] = []
    carry_out(
        down,
        company.digest,
        Verdict("promote", "the first", {}),
        None,
        now=END,
        by="ines",
        on_warning=told.append,
    )
    assert down.registry.champion_digest() == company.digest
    assert len(told) == 1
    assert told[0].startswith("MLflow's aliases were not moved (")
    down.store.close()


# Aliases follow our decisions


def test_aliases_follow_promotion_and_roll_back(
    company: TrainedCompany, workspace: Workspace, client: Any
) -> None:
    second = _another(company, workspace)
    for digest, against in ((company.digest, None), (second, company.digest)):
        carry_out(workspace, digest, Verdict("promote", "", {}), against, now=END, by="ines")
        assert aliases(client)["champion"] == digest
    assert aliases(client) == {
        "champion": second,
        "previous": company.digest,
        "challenger": second,
    }
    told: list[str] = []
    roll_back(workspace, now=END, by="ines", reason="no good", on_warning=told.append)
    assert told == []
    assert aliases(client)["champion"] == company.digest
    assert "previous" not in aliases(client), "there is none to roll back to any more"
    before = aliases(client)
    mirror(workspace, told.append)
    assert told == []
    assert aliases(client) == before


def _another(company: TrainedCompany, workspace: Workspace) -> str:
    """The same model with another note about it: another bundle, catalogued too."""
    source = company.home / "bundles" / company.digest
    about = json.loads((source / "about.json").read_text())
    from models.bundle import write_bundle

    model = simulated().model.recalibrated(simulated().model.calibrator, {**about, "note": "2"})
    digest = write_bundle(
        model,
        workspace.bundles,
        created_at=END + 1,
        origin="train",
        golden=simulated().frame.take(simulated().queries.lead[:3] * 0),
        card="",
    )
    workspace.registry.add(digest, {})
    assert catalogue(workspace, digest, model, None, "train", lambda _: None) is not None
    return digest


def test_a_champion_that_mlflow_has_never_heard_of_moves_no_alias(
    company: TrainedCompany, tmp_path: Path
) -> None:
    workspace = company.copy(tmp_path / "home")
    told: list[str] = []
    carry_out(
        workspace,
        company.digest,
        Verdict("promote", "", {}),
        None,
        now=END,
        by="ines",
        on_warning=told.append,
    )
    client = tracking.MlflowClient(workspace.mlflow_uri)
    assert client.search_registered_models() == []
    assert told == []
    workspace.store.close()


def test_the_pyfunc_refuses_a_frame_without_the_columns_it_reads() -> None:
    import pandas as pd

    model = simulated().model
    with pytest.raises(InputError, match=r"lacks \d+ columns .* lead_age_days"):
        BundlePyfunc(model).predict(pd.DataFrame({"lead_kind": ["client"]}))


def test_tracked_copies_leave_the_shared_company_alone(company: TrainedCompany) -> None:
    """Every test here works on a copy: the company's own store still has one run and no champion."""
    place = company.tracked / "mlflow.db"
    kept = shutil.copy(place, place.parent / "looked-at.db")
    client = tracking.MlflowClient(f"sqlite:///{kept}")
    assert the_run(client).data.tags["digest"] == company.digest
    assert company.read_only().registry.champion_digest() is None
