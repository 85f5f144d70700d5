"""A service with scored leads to look at, and one with people only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from page_company import add_people, fill, serving, workspace_at

from features.store.engine import Store
from models.workspace import Workspace


@pytest.fixture(scope="module")
def office_store(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path
) -> Iterator[Store]:
    """The database behind `office`."""
    workspace = workspace_at(tmp_path_factory.mktemp("office"), migrated_sqlite)
    fill(workspace)
    yield workspace.store
    workspace.store.close()


@pytest.fixture(scope="module")
def office(office_store: Store) -> Iterator[str]:
    """The address of a service with scored leads; nobody changes anything in it."""
    directory = Path(str(office_store.url.database)).parent
    with serving(Workspace.of({"PROPENSITY_DATA_DIR": str(directory)})) as address:
        yield address


@pytest.fixture
def empty(tmp_path: Path, migrated_sqlite: Path) -> Workspace:
    """An installation with people, without leads and without a model."""
    workspace = workspace_at(tmp_path, migrated_sqlite)
    add_people(workspace.store)
    return workspace
