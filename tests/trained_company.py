"""One simulated company with a trained model, made once for all tests of a run, and copies of it.

2,000 leads in two years, imported from their files and trained on for real, MLflow included: about
twenty seconds on an idle core. Workers of one run share it; whoever ends last removes it.
"""

from __future__ import annotations

import atexit
import fcntl
import logging
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from pathlib import Path

from quiet_mlflow import tracking

from features.clock import to_instant
from features.store.files.load import load
from features.store.migrate import upgrade
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.config import TrainConfig
from training.run import train
from training.simulate import Truth, simulate

CONFIG = TrainConfig(leaves=(2, 4), most_trees=150)
LEADS, EVENTS, SEED = 2_000, 16_000, 3
END = to_instant(datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
"""The instant at which the simulated company ends and its model is trained."""


@dataclass(frozen=True)
class TrainedCompany:
    """Where everything is; nothing in it may be changed: work on a copy.

    Attributes:
        files: the simulated files, with their truth.
        home: a data directory with facts, one bundle and no champion; its MLflow store is empty.
        tracked: the MLflow store in which the bundle's training was tracked.
        digest: the bundle's.
    """

    files: Path
    home: Path
    tracked: Path
    digest: str

    @property
    def truth(self) -> Truth:
        """The true probabilities."""
        return Truth.of(self.files)

    def copy(self, place: Path) -> Workspace:
        """An installation of its own, with an MLflow store that knows of nothing yet."""
        shutil.copytree(self.home, place, dirs_exist_ok=True)
        return workspace_at(place)

    def tracked_copy(self, place: Path) -> Workspace:
        """The same, with an MLflow store that knows of the training."""
        self.copy(place)
        shutil.copy(self.tracked / "mlflow.db", place / "mlflow.db")
        return workspace_at(place)

    def read_only(self) -> Workspace:
        """The installation itself, for tests that only look."""
        return workspace_at(self.home)

    def model(self) -> PropensityModel:
        """The trained model."""
        return self.read_only().registry.load(self.digest)


def workspace_at(place: Path) -> Workspace:
    """The installation in a data directory."""
    return Workspace.of({"PROPENSITY_DATA_DIR": str(place)})


@cache
def trained_company() -> TrainedCompany:
    """The company; made by the first process of a test run that asks."""
    with _shared_place() as place:
        files, home, tracked = (place / name for name in ("files", "home", "tracked"))
        if not (place / "digest").exists():
            (place / "digest").write_text(_make(files, home, tracked))
        return TrainedCompany(files, home, tracked, (place / "digest").read_text())


@contextmanager
def _shared_place() -> Iterator[Path]:
    """A directory for all workers of this run, held by one of them at a time."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    place = Path(tempfile.gettempdir()) / f"propensity-trained-{run[:12]}"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (place / f"used-by-{os.getpid()}").touch()
        atexit.register(_leave, place, os.getpid())
        yield place


def _leave(place: Path, process: int) -> None:
    if process != os.getpid():
        return  # a forked child leaves by this door too
    (place / f"used-by-{process}").unlink(missing_ok=True)
    if not list(place.glob("used-by-*")):
        shutil.rmtree(place, ignore_errors=True)


def _make(files: Path, home: Path, tracked: Path) -> str:
    summary = simulate(files, leads=LEADS, events=EVENTS, seed=SEED, truth_every_days=10_000)
    assert to_instant(datetime.fromisoformat(summary.end)) == END
    home.mkdir()
    tracked.mkdir()
    shutil.copy(files / "definition.yaml", home)
    workspace = workspace_at(home)
    upgrade(workspace.store)
    report = load(
        workspace.store,
        workspace.definition(),
        now=END,
        rejects=files / "rejects",
        directory=files,
    )
    assert not any(file.rejected for file in report.files), report
    migrate_mlflow(home / "mlflow.db")
    shutil.copy(home / "mlflow.db", tracked)
    watched = replace(workspace, mlflow_uri=f"sqlite:///{tracked / 'mlflow.db'}")
    digest = train(watched, CONFIG, now=END).digest
    for one in (workspace, watched):
        one.store.close()
    return digest


def migrate_mlflow(path: Path) -> None:
    """An empty MLflow store; making one takes its migrations many seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        tracking.MlflowClient(f"sqlite:///{path}").search_experiments()
