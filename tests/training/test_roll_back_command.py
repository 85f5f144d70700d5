"""Is roll back one command, and harmless when it is given twice?"""

from __future__ import annotations

from pathlib import Path

import pytest
from models_made import promote, put_bundle
from shell import Run, said, shell

from features.errors import NotFoundError
from features.store.engine import Store
from features.store.promotions import list_decisions
from models.workspace import Workspace
from propensity import app


@pytest.fixture
def workspace(company_store: Store, tmp_path: Path) -> Workspace:
    """An installation with the company and a champion."""
    return Workspace.of({"PROPENSITY_DATA_DIR": str(tmp_path)})


@pytest.fixture
def run(workspace: Workspace) -> Run:
    return shell(app, workspace.data_dir, PROPENSITY_MLFLOW="off")


def decided(workspace: Workspace) -> list[tuple[str, str]]:
    with workspace.store.read() as connection:
        return [(one.decision, one.reason) for one in list_decisions(connection)]


def test_the_model_named_goes_once_however_often_the_command_is_given(
    workspace: Workspace, run: Run
) -> None:
    first, bad = workspace.registry.champion_digest(), put_bundle(workspace, seed=2)
    promote(workspace, bad)
    before = decided(workspace)
    order = ("models", "roll-back", "--from", bad[:12], "--reason", "numbers are off")
    assert said(run(*order, "--json")) == {"champion": first}
    assert workspace.registry.champion_digest() == first
    assert decided(workspace) == [*before, ("roll_back", "numbers are off")]
    assert said(run(*order, "--json")) == {"champion": first}
    again = run(*order)
    assert (again.exit_code, again.stdout.strip()) == (0, f"The champion is {str(first)[:12]}.")
    assert workspace.registry.champion_digest() == first
    assert decided(workspace) == [*before, ("roll_back", "numbers are off")]
    roles = {model["digest"]: model["role"] for model in said(run("models", "--json"))}
    assert roles[first] == "champion"


def test_without_a_name_it_goes_back_a_step_and_not_beyond_the_first_model(
    workspace: Workspace, run: Run
) -> None:
    first, second = workspace.registry.champion_digest(), put_bundle(workspace, seed=2)
    promote(workspace, second)
    assert said(run("models", "roll-back", "--json")) == {"champion": first}
    with pytest.raises(NotFoundError, match="no earlier champion"):
        run("models", "roll-back")
    assert workspace.registry.champion_digest() == first
    assert [decision for decision, _ in decided(workspace)][-1] == "roll_back"
