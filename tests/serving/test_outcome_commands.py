"""Can outcomes be fetched, scores audited and the holdout read from the shell?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from agreed import DEFINITION_TEXT, NOW, agreed
from models_made import fill, lead_id, promote, put_bundle, workspace_of
from own_crm import BROKEN, SOURCES, make_crm
from shell import Run, shell
from sqlalchemy import func, select
from typer.testing import Result

from features.errors import DefinitionError, NotEnoughEvidenceError, NotFoundError
from features.store.engine import Store
from features.store.leases import database_clock, take
from features.store.ledger import scores
from features.store.outcomes import deals
from propensity import app
from serving.queueing import refresh_queue
from serving.state import LiveModel


@pytest.fixture
def run(tmp_path: Path, sqlite_store: Store) -> Run:
    """Runs a command in an installation with the company, and a CRM beside it."""
    fill(sqlite_store, agreed())
    (tmp_path / "definition.yaml").write_text(DEFINITION_TEXT, encoding="utf-8")
    (tmp_path / "sources.yaml").write_text(SOURCES + BROKEN, encoding="utf-8")
    told = [("d1", lead_id(1), "won"), ("d2", "late", "won"), ("d3", lead_id(2), "?")]
    return shell(app, tmp_path, CRM=make_crm(tmp_path, told))


def said(result: Result) -> Any:
    return json.loads(result.stdout)


def count(store: Store) -> int:
    with store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(deals)).scalar_one())


def test_a_source_is_fetched_told_and_fetched_again_without_harm(
    run: Run, sqlite_store: Store
) -> None:
    rehearsed = run("outcomes", "pull", "crm", "--dry-run", "--json")
    assert (rehearsed.exit_code, count(sqlite_store)) == (0, 0)
    first = run("outcomes", "pull", "crm", "--json")
    assert first.exit_code == 0
    (pulled,) = said(first)["pulled"]
    assert [pulled[name] for name in ("rows", "added", "waiting", "rejected")] == [3, 1, 1, 1]
    assert "must be one of" in first.stderr
    (again,) = said(run("outcomes", "pull", "crm", "--json"))["pulled"]
    assert (again["added"], count(sqlite_store)) == (0, 1)
    assert "read through" in run("outcomes", "pull", "crm").stdout


def test_a_source_that_fails_is_told_by_the_exit_code_and_the_others_are_fetched(
    run: Run, sqlite_store: Store
) -> None:
    both = run("outcomes", "pull", "--json")
    assert both.exit_code == 1
    assert [one["source"] for one in said(both)["failed"]] == ["broken"]
    assert "NOT_SET is not set" in said(both)["failed"][0]["message"]
    assert count(sqlite_store) == 1


def test_of_two_at_once_one_fetches_and_the_other_says_who_does(
    run: Run, sqlite_store: Store
) -> None:
    with sqlite_store.write() as connection:
        take(connection, "pull crm", "host b", database_clock(connection), 60.0)
    refused = run("outcomes", "pull", "crm", "--json")
    assert refused.exit_code == 75
    assert "host b is at it" in said(refused)["busy"][0]["message"]
    both = run("outcomes", "pull", "--json")
    assert both.exit_code == 1, "what failed is told before who is at it"


def test_no_such_source_and_no_such_file_are_told(run: Run, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no source 'hub'"):
        run("outcomes", "pull", "hub")
    (tmp_path / "sources.yaml").unlink()
    with pytest.raises(DefinitionError, match=r"sources.yaml cannot be read"):
        run("outcomes", "pull")


def test_an_audit_says_by_its_exit_code_whether_the_scores_are_right(
    run: Run, sqlite_store: Store, tmp_path: Path
) -> None:
    workspace = workspace_of(sqlite_store, tmp_path)
    promote(workspace, put_bundle(workspace))
    live = LiveModel(workspace, lambda: NOW, 180.0)
    live.look()
    refresh_queue(sqlite_store, live.scorer(), NOW)
    right = run("audit", "scores", "--share", "1", "--json")
    assert right.exit_code == 0
    assert said(right)["sampled"] == said(right)["scores"] > 20
    replayed = run("audit", "replay", "1", "--json")
    assert (replayed.exit_code, said(replayed)["same"]) == (0, True)
    assert "given" in run("audit", "replay", "1").stdout
    with sqlite_store.write() as connection:
        connection.execute(scores.update().where(scores.c.id == 1).values(raw=0.5))
    wrong = run("audit", "scores", "--share", "1", "--json")
    assert (wrong.exit_code, said(wrong)["mismatched"]) == (1, [1])
    assert run("audit", "replay", "1").exit_code == 1
    workspace.store.close()


def test_a_holdout_that_was_never_begun_is_told(run: Run) -> None:
    with pytest.raises(NotEnoughEvidenceError, match="ever held out"):
        run("holdout", "--json")


def test_what_low_bands_would_be_is_not_said_where_nothing_was_explored(
    run: Run, sqlite_store: Store, tmp_path: Path
) -> None:
    workspace = workspace_of(sqlite_store, tmp_path)
    promote(workspace, put_bundle(workspace))
    workspace.store.close()
    with pytest.raises(NotEnoughEvidenceError, match="no place was ever given") as told:
        run("if-worked", "--json")
    assert "PROPENSITY_EXPLORE_SHARE" in str(told.value.hint)
