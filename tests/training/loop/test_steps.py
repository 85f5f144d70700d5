"""Do the steps of the worker fetch, audit, copy and tell, and fail only when something is wrong?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from agreed import NOW, agreed
from models_made import fill, lead_id, workspace_of
from own_crm import BROKEN, SOURCES, make_crm
from served import Served
from sqlalchemy import update

from features.clock import DAY
from features.definition import Definition
from features.store.backup import KEPT_DAILY, restore
from features.store.consent import bury
from features.store.engine import Store
from features.store.ledger import scores
from features.store.outcomes import count_deals
from features.store.tombstone_file import FILE, read
from models.workspace import Workspace
from training.loop import steps as steps_module
from training.loop.steps import Crew
from training.loop.worker import Ran, run_step
from training.verdicts import Verdict


def ran(workspace: Workspace, step: str, now: int = NOW) -> Ran:
    steps = Crew(workspace, "the worker").steps()
    found = run_step(workspace.store, steps[step], clock=lambda: now, holder="here")
    assert found is not None
    return found


@pytest.fixture
def home(sqlite_store: Store, tmp_path: Path) -> Iterator[Workspace]:
    fill(sqlite_store, agreed())
    found = workspace_of(sqlite_store, tmp_path)
    yield found
    found.store.close()


@pytest.fixture
def crm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CRM in which three deals closed, one of a lead that is not here."""
    told = [("d1", lead_id(1), "won"), ("d2", lead_id(2), "won"), ("d3", "unheard of", "won")]
    monkeypatch.setenv("CRM", make_crm(tmp_path, told))


def test_outcomes_are_fetched_from_all_sources_and_once(home: Workspace, crm: None) -> None:
    home.sources_path.write_text(SOURCES, encoding="utf-8")
    first, again = ran(home, "outcomes"), ran(home, "outcomes", NOW + DAY)
    assert (first.outcome, again.outcome) == ("done", "done")
    (came,), (nothing,) = first.said["pulled"], again.said["pulled"]
    assert came == {"source": "crm", "added": 2, "waiting": 1, "rejected": 0}
    assert (nothing["added"], nothing["rejected"]) == (0, 0)


def test_a_source_that_fails_is_a_failed_step_and_spoils_no_other(
    home: Workspace, crm: None
) -> None:
    home.sources_path.write_text(SOURCES + BROKEN, encoding="utf-8")
    found = ran(home, "outcomes")
    assert found.outcome == "failed"
    assert "NOT_SET" in found.said["reason"]
    with home.store.read() as connection:
        assert count_deals(connection, NOW + 1) == 2


def test_without_a_file_of_sources_there_is_nothing_to_fetch_and_nothing_wrong(
    home: Workspace,
) -> None:
    found = ran(home, "outcomes")
    assert found.outcome == "done"
    assert "there is no sources.yaml" in found.said["skipped"]


def test_an_audit_finds_the_score_that_was_changed_in_the_ledger(served: Served) -> None:
    for i in range(4):
        given = served.post("/v1/scores", json={"lead": lead_id(i + 1)}).json()
    clean = ran(served.workspace, "audit", NOW + DAY)
    assert (clean.outcome, clean.said["sampled"]) == ("done", 4)
    with served.store.write() as connection:
        mine = scores.c.id == given["score_id"]
        connection.execute(update(scores).where(mine).values(raw=scores.c.raw + 1e-9))
    found = ran(served.workspace, "audit", NOW + 2 * DAY)
    assert found.outcome == "failed"
    assert "of 4 scores 1 come out otherwise than they were given" in found.said["reason"]


def test_one_backup_a_day_is_made_and_the_last_seven_stay(home: Workspace) -> None:
    backups = home.data_dir / "backups"
    for killed in (".2026-05-01", ".2026-04-20"):  # copies of processes that were killed
        (backups / killed).mkdir(parents=True)
    (backups / "mine").mkdir()
    assert ran(home, "backup").said["removed"] == 0
    assert ran(home, "backup", NOW + 60).said["skipped"] == "there is one of today"
    removed = [ran(home, "backup", NOW + i * DAY).said["removed"] for i in range(1, KEPT_DAILY + 2)]
    assert removed == [0] * (KEPT_DAILY - 1) + [1, 1]
    names = sorted(place.name for place in backups.iterdir())
    assert names == [f"2026-05-{day:02d}" for day in range(3, 3 + KEPT_DAILY)] + ["mine"]


def test_a_backup_of_the_worker_can_be_restored(home: Workspace, tmp_path: Path) -> None:
    place = Path(ran(home, "backup").said["place"])
    there = tmp_path / "there" / "propensity.db"
    there.parent.mkdir()
    restore(place, there, there.parent / "definition.yaml")
    store = Store(f"sqlite:///{there}")
    with store.read() as mine, home.store.read() as theirs:
        assert count_rows(mine) == count_rows(theirs) > 0
    store.close()


def count_rows(connection: Any) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM leads").scalar_one())


def test_postgresql_is_left_to_its_own_programs(
    postgres_store: Store, tmp_path: Path, definition: Definition
) -> None:
    workspace = workspace_of(postgres_store, tmp_path)
    assert "its own programs" in ran(workspace, "backup").said["skipped"]
    assert not (tmp_path / "backups").exists()
    with postgres_store.write() as connection:
        bury(connection, "L-1", NOW)
    ran(workspace, "backup", NOW + DAY)
    assert list(read(tmp_path / "backups" / FILE).erased_at.values()) == [NOW]
    workspace.store.close()


@pytest.mark.parametrize("step", ["recalibrate", "retrain"])
def test_what_a_step_decides_about_a_model_is_told_to_the_catalogue(
    home: Workspace, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = Verdict("keep", "it pays nothing", {"leads": 40})
    told: list[Any] = []
    decided = SimpleNamespace(digest="a" * 64, verdict=verdict)
    monkeypatch.setattr(steps_module, step, lambda *_, **__: decided)
    monkeypatch.setattr(steps_module, "report", lambda _, *said: told.append(said[:4]))
    found = ran(replace(home, mlflow_uri="off"), step)
    assert found.said == {"model": "a" * 64, "decision": "keep", "reason": "it pays nothing"}
    assert told == [("a" * 64, "keep", "it pays nothing", {"leads": 40})]
