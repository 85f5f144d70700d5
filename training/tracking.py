"""Where do analysts see what was trained? MLflow: runs, figures, pictures, cards, versions, aliases.

MLflow is a catalogue. Training goes on when it cannot be reached, and says so; which model scores is
decided in our own database and only mirrored here. Nothing here waits without end: not for a server that
accepts and says nothing, nor for one that says a byte a second, which no timeout of a request ends.
"""

from __future__ import annotations

import os

# Before the import: MLflow reports usage by default, and leads are nobody else's business.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")

import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import mlflow
from mlflow.tracking import MlflowClient

MODEL_NAME = "propensity"
EXPERIMENT = "propensity"

KNOCK_SECONDS = 30.0
"""How long a tracking server may take to answer at all."""

LOG_SECONDS = 300.0
"""How long logging a run may take: on a new SQLite store MLflow's own migrations take long."""

T = TypeVar("T")


class TrackingError(Exception):
    """MLflow could not be reached or refused."""


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow's own warnings are about its internals; its errors are told as one kind."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Exception as error:
            # Whatever the catalogue raises – its database's errors are not its own kind –, a model
            # that was trained must not be lost for it.
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise TrackingError(said[0][:300]) from error


def log_run(
    uri: str,
    artifacts: Path,
    bundle: Path,
    *,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    pictures: Path,
) -> str:
    """Log a run with its bundle and register it as a version of `MODEL_NAME`.

    Args:
        uri: MLflow's tracking URI.
        artifacts: where a local tracking store keeps artifacts.
        bundle: the directory of the bundle; its name is its digest.
        params: what was chosen.
        metrics: what was measured.
        tags: digests and origin.
        pictures: a directory whose files are logged beside the model.

    Returns:
        The run's id.

    Raises:
        TrackingError: MLflow could not be reached or refused.
    """

    def log() -> str:
        _experiment(artifacts)
        with mlflow.start_run(run_name=f"{tags.get('origin', 'train')} {bundle.name[:12]}") as run:
            mlflow.log_params(dict(params))
            mlflow.log_metrics(dict(metrics))
            mlflow.set_tags(dict(tags))
            mlflow.log_artifacts(str(pictures))
            logged = mlflow.pyfunc.log_model(
                name="model",
                loader_module="models.mlflow_flavor",
                data_path=str(bundle),
                pip_requirements=["lightgbm", "numpy", "pandas", "propensity"],
            )
            _register(logged, run.info.run_id, bundle.name)
            return str(run.info.run_id)

    with _quiet():
        _reach(uri)
        return _within(LOG_SECONDS, log)


def mirror_aliases(uri: str, champion: str, previous: str | None) -> None:
    """Point the aliases `champion` and `previous` at the versions with these digests.

    An alias whose model MLflow does not know, or that is no more, is taken away.

    Raises:
        TrackingError: MLflow could not be reached or refused.
    """

    def mirror() -> None:
        client = MlflowClient()
        versions = client.search_model_versions(f"name = '{MODEL_NAME}'")
        by_digest = {v.tags.get("digest"): v.version for v in versions}
        for alias, digest in (("champion", champion), ("previous", previous)):
            if digest in by_digest:
                client.set_registered_model_alias(MODEL_NAME, alias, by_digest[digest])
            elif versions:
                client.delete_registered_model_alias(MODEL_NAME, alias)

    with _quiet():
        _reach(uri)
        _within(LOG_SECONDS, mirror)


def log_decision(
    uri: str, artifacts: Path, digest: str, decision: str, *, reason: str, report: Path
) -> str:
    """Log a decision about a model as a run of its own, with its report; the run's id.

    Args:
        uri: MLflow's tracking URI.
        artifacts: where a local tracking store keeps artifacts.
        digest: of the model that it is about.
        decision: what was decided.
        reason: why.
        report: a file that shows the evidence.

    Raises:
        TrackingError: MLflow could not be reached or refused.
    """

    def log() -> str:
        _experiment(artifacts)
        with mlflow.start_run(run_name=f"{decision} {digest[:12]}") as run:
            mlflow.set_tags({"digest": digest, "decision": decision, "reason": reason[:4_000]})
            mlflow.log_artifact(str(report))
            return str(run.info.run_id)

    with _quiet():
        _reach(uri)
        return _within(LOG_SECONDS, log)


def load_from_mlflow(uri: str, alias: str = "champion") -> Any:
    """The pyfunc model behind an alias, as MLflow's users load it.

    Raises:
        TrackingError: MLflow could not be reached, or has no such alias.
    """
    with _quiet():
        mlflow.set_tracking_uri(uri)
        return mlflow.pyfunc.load_model(f"models:/{MODEL_NAME}@{alias}")


def _reach(uri: str) -> None:
    """Let MLflow work with this location; of a server, first hear whether it answers at all."""
    mlflow.set_tracking_uri(uri)
    if uri.startswith(("http:", "https:")):
        _within(KNOCK_SECONDS, lambda: MlflowClient().search_experiments(max_results=1))


def _within(seconds: float, call: Callable[[], T]) -> T:
    """What a call gives, if it gives it in time; else it is left behind and ends with the process.

    Raises:
        TimeoutError: it did not.
    """
    given: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            given.append(call())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="mlflow", daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not given:
        raise TimeoutError(f"MLflow did not answer within {seconds:g} s")
    return given[0]


def _register(logged: Any, run_id: str, digest: str) -> None:
    """Make the logged model the newest version of `MODEL_NAME`, and the challenger."""
    client = MlflowClient()
    if not client.search_registered_models(f"name = '{MODEL_NAME}'"):
        client.create_registered_model(MODEL_NAME)
    # A server takes the model's address as a source only together with the model's id.
    version = client.create_model_version(
        MODEL_NAME,
        logged.model_uri,
        run_id=run_id,
        tags={"digest": digest},
        model_id=logged.model_id,
    )
    client.set_registered_model_alias(MODEL_NAME, "challenger", version.version)


def _experiment(artifacts: Path) -> None:
    if mlflow.get_experiment_by_name(EXPERIMENT) is None:
        local = mlflow.get_tracking_uri().startswith(("sqlite:", "file:"))
        location = artifacts.resolve().as_uri() if local else None
        mlflow.create_experiment(EXPERIMENT, artifact_location=location)
    mlflow.set_experiment(EXPERIMENT)
