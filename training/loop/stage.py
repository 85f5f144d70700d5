"""Where does a rehearsal take place? A scratch installation with the definition and nothing else."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from features.clock import DAY
from features.definition import Definition
from features.errors import NotEnoughEvidenceError
from features.store.engine import Store
from features.store.files.load import load
from features.store.migrate import upgrade
from features.store.replaying import first_recorded
from models.workspace import Workspace
from training.dataset import newest_cutoff
from training.loop.act import Loop
from training.loop.monitor import monitor
from training.loop.policy import Policy
from training.loop.rehearse import WEEK, Plan

BY = "rehearsal"


@dataclass(frozen=True)
class Company:
    """A history to be rehearsed, and where its files lie."""

    workspace: Workspace
    files: Path


def scratch(home: Path, definition: Path) -> Workspace:
    """An installation with an empty store of its own, and without MLflow."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(definition, home / "definition.yaml")
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": str(home), "PROPENSITY_MLFLOW": "off"})
    upgrade(workspace.store)
    return workspace


def company(files: Path, home: Path, *, now: int) -> Workspace:
    """An installation with the whole history that a directory of files with a definition tells."""
    workspace = scratch(home, files / "definition.yaml")
    load(
        workspace.store,
        workspace.definition(),
        now=now,
        rejects=home / "rejects",
        directory=files,
    )
    return workspace


def loop_of(workspace: Workspace, seed: int, policy: Policy, plan: Plan) -> Loop:
    """The loop of a scratch installation, with the real monitor."""
    return Loop(
        workspace,
        lambda now: monitor(workspace, now=now),
        BY,
        seed=seed,
        policy=policy,
        config=plan.config,
    )


def first_week(history: Store, definition: Definition, weeks: int) -> int:
    """The instant of the first week, such that the outcomes of the last are still known.

    Raises:
        NotEnoughEvidenceError: the history is too short for so many weeks and a first model.
    """
    wait = definition.outcome_wait
    begun, end = first_recorded(history), newest_cutoff(history)
    first = (end - wait - (weeks - 1) * WEEK) // DAY * DAY
    if begun is None or first - begun < 2 * wait:
        room = 0 if begun is None else max((end - begun - 3 * wait) // WEEK, 0)
        raise NotEnoughEvidenceError(
            f"the history is too short to rehearse {weeks} weeks",
            hint=f"Ask for at most {room} weeks: the first model needs outcomes, the last week too.",
        )
    return first
