"""Where do analysts see what was trained? MLflow: runs, figures, pictures, cards, versions, aliases.

MLflow is a catalogue. Training goes on when it cannot be reached, and says so; which model scores is
decided in our own database and only mirrored here.
"""

from __future__ import annotations

import os

# Before the import: MLflow reports usage by default, and leads are nobody else's business.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow.tracking import MlflowClient

MODEL_NAME = "propensity"
EXPERIMENT = "propensity"


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
    with _quiet():
        mlflow.set_tracking_uri(uri)
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
            _register(logged.model_uri, run.info.run_id, bundle.name)
            return str(run.info.run_id)


def mirror_aliases(uri: str, champion: str, previous: str | None) -> None:
    """Point the aliases `champion` and `previous` at the versions with these digests.

    An alias whose model MLflow does not know, or that is no more, is taken away.

    Raises:
        TrackingError: MLflow could not be reached or refused.
    """
    with _quiet():
        mlflow.set_tracking_uri(uri)
        client = MlflowClient()
        versions = client.search_model_versions(f"name = '{MODEL_NAME}'")
        by_digest = {v.tags.get("digest"): v.version for v in versions}
        for alias, digest in (("champion", champion), ("previous", previous)):
            if digest in by_digest:
                client.set_registered_model_alias(MODEL_NAME, alias, by_digest[digest])
            elif versions:
                client.delete_registered_model_alias(MODEL_NAME, alias)


def load_from_mlflow(uri: str, alias: str = "champion") -> Any:
    """The pyfunc model behind an alias, as MLflow's users load it.

    Raises:
        TrackingError: MLflow could not be reached, or has no such alias.
    """
    with _quiet():
        mlflow.set_tracking_uri(uri)
        return mlflow.pyfunc.load_model(f"models:/{MODEL_NAME}@{alias}")


def _register(model_uri: str, run_id: str, digest: str) -> None:
    """Make the logged model the newest version of `MODEL_NAME`, and the challenger."""
    client = MlflowClient()
    if not client.search_registered_models(f"name = '{MODEL_NAME}'"):
        client.create_registered_model(MODEL_NAME)
    version = client.create_model_version(
        MODEL_NAME, model_uri, run_id=run_id, tags={"digest": digest}
    )
    client.set_registered_model_alias(MODEL_NAME, "challenger", version.version)


def _experiment(artifacts: Path) -> None:
    if mlflow.get_experiment_by_name(EXPERIMENT) is None:
        local = mlflow.get_tracking_uri().startswith(("sqlite:", "file:"))
        location = artifacts.resolve().as_uri() if local else None
        mlflow.create_experiment(EXPERIMENT, artifact_location=location)
    mlflow.set_experiment(EXPERIMENT)
