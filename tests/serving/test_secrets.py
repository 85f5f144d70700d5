"""Does the password of the database stay where it was given, whatever goes wrong and whoever tells?"""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from sqlalchemy import URL
from typer.testing import CliRunner

from features.errors import StoreError
from features.store.engine import Store
from models.workspace import Workspace
from propensity import app
from serving import commands
from serving.doctor import examine

SECRET = "hunter2"
WRONG = [
    f"postgresql://u:{SECRET}@127.0.0.1:1/db",
    f"postgresql://u@127.0.0.1:1/db?password={SECRET}",
    f"postgresql://u:{SECRET}@127.0.0.1:{SECRET}/db",
    f"mysql://u:{SECRET}@h/db",
    f"postgresql+nodriver://u:{SECRET}@h/db",
    SECRET,
    f"postgresql://u:x@{SECRET}@127.0.0.1:1/db",
    f"postgresql://u:x@y:{SECRET}@127.0.0.1:1/db",
    f"sqlite://u:{SECRET}@/x/y.db",
    f"postgresql://u:p%zz{SECRET}@127.0.0.1:1/db",
    f"postgres://u:{SECRET}@[::1/db",
]


@pytest.mark.parametrize("url", WRONG)
@pytest.mark.parametrize("command", [["doctor"], ["db", "upgrade"], ["keys", "list", "--json"]])
def test_a_url_that_does_not_work_is_refused_without_its_password(
    url: str, command: list[str], tmp_path: Path
) -> None:
    environment = {"PROPENSITY_DATA_DIR": str(tmp_path), "PROPENSITY_DATABASE": url}
    result = CliRunner().invoke(app, command, env=environment)
    raised = ""
    if result.exc_info is not None:
        raised = "".join(traceback.format_exception(*result.exc_info))
    assert isinstance(result.exception, StoreError | SystemExit), raised
    assert result.exit_code == 1
    # Lines of a traceback show source, not values; what an error says is all that could tell.
    assert SECRET not in result.output + raised


@pytest.mark.parametrize("place", ["authority", "query"])
def test_a_database_that_works_is_shown_without_its_password(
    postgres_database: URL, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres_database.set(password=SECRET)
    if place == "query":
        url = postgres_database.update_query_dict({"password": SECRET})
    text = url.render_as_string(hide_password=False)
    assert SECRET in text
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": str(tmp_path), "PROPENSITY_DATABASE": text})
    monkeypatch.setattr(commands, "_workspace", lambda: workspace)
    for command in (
        ["db", "upgrade"],
        ["db", "upgrade", "--json"],
        ["doctor"],
        ["doctor", "--json"],
    ):
        output = CliRunner().invoke(app, command).output
        assert SECRET not in output, command
        assert "***" in output, command
    workspace.store.close()


def test_nothing_that_is_told_of_a_store_shows_its_password(tmp_path: Path) -> None:
    url = f"postgresql://u:{SECRET}@127.0.0.1:1/db"
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": str(tmp_path), "PROPENSITY_DATABASE": url})
    mlflow = Workspace.of(
        {
            "PROPENSITY_DATA_DIR": str(tmp_path),
            "PROPENSITY_MLFLOW": f"http://u:{SECRET}@127.0.0.1:1",
        }
    )
    told = [str(finding) for each in (workspace, mlflow) for finding in examine(each)]
    told += [repr(workspace), repr(mlflow), repr(workspace.store.url), workspace.store.name]
    assert not [said for said in told if SECRET in said]
    with pytest.raises(StoreError) as refusal, workspace.store.read():
        pass
    assert SECRET not in str(refusal.value)
    workspace.store.close()
    mlflow.store.close()


def test_a_driver_that_repeats_a_password_is_corrected() -> None:
    store = Store(f"postgresql://u:{SECRET}@127.0.0.1:1/db?sslpassword=other1")
    said = f"cannot log in with {SECRET} or other1"
    assert store.without_secrets(said) == "cannot log in with *** or ***"
    store.close()
