"""Is the past that an installation is given one in which nobody knew what came later?"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
import structlog
from agreed import NOW, agreed
from models_made import fill, promote, put_bundle, workspace_of
from sqlalchemy import func, select
from trained_company import CONFIG, trained_company

from features.store.engine import Store
from features.store.history import iter_open
from features.store.outcomes import deals
from features.store.promotions import list_bundles
from features.store.shown import shown_in_queue
from features.store.tables import answers, events, lead_versions
from models.workspace import Workspace
from serving.queue_step import score_queue
from training.loop import lived
from training.loop.lived import Past, live_through
from training.loop.rehearse import WEEK
from training.loop.stage import first_week, scratch
from training.run import Watching

TABLES = (lead_versions, answers, events, deals)


class _KilledError(Exception):
    pass


def newest(workspace: Workspace) -> int:
    with workspace.store.read() as connection:
        return max(
            connection.execute(select(func.max(table.c.recorded_at))).scalar_one()
            for table in TABLES
        )


@pytest.mark.slow
def test_a_past_is_lived_through_week_by_week_also_when_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    monkeypatch.setattr(lived, "TrainConfig", lambda: CONFIG)
    history = trained_company().read_only()
    here = scratch(tmp_path / "here", history.definition_path)
    since = first_week(history.store, history.definition(), 3)
    past = Past(since, since + 3 * WEEK, "somebody")
    known: dict[int, int] = {}

    def score(workspace: Workspace, at: int) -> None:
        if at == past.instants[1] and at not in known:
            known[at] = 0
            raise _KilledError
        known[at] = newest(workspace)
        score_queue(workspace, at)

    def live() -> list[int]:
        return list(live_through(history.store, here, score, past, Watching()))

    with pytest.raises(_KilledError):
        live()
    champion = here.registry.champion_digest()
    assert live() == list(past.instants[1:])
    assert live() == []
    assert here.registry.champion_digest() == champion
    with here.store.read() as connection:
        assert [one.created_at for one in list_bundles(connection)] == [past.since]
    assert all(newest_then < at for at, newest_then in known.items())
    assert past.until - WEEK < newest(here) < past.until
    with here.store.read() as connection:
        assert all(len(shown_in_queue(connection, at)) > 100 for at in past.instants)
    for one in (history, here):
        one.store.close()


def open_leads(store: Store, at: int) -> set[str]:
    with store.read() as connection:
        found = iter_open(connection, agreed(), at)
        return {facts.lead_ids[i] for facts, queries in found for i in queries.lead.tolist()}


def test_a_week_that_was_left_in_the_middle_of_its_scoring_is_scored_whole(
    sqlite_store: Store,
    migrated_sqlite: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed after the first portion of the second of three weeks; the first is not touched again."""
    fill(sqlite_store, agreed())
    (tmp_path / "here").mkdir()
    shutil.copy(migrated_sqlite, tmp_path / "here" / "propensity.db")
    here = workspace_of(
        Store(f"sqlite:///{tmp_path / 'here' / 'propensity.db'}"), tmp_path / "here"
    )
    promote(here, put_bundle(here))
    past = Past(NOW - 5 * WEEK, NOW - 2 * WEEK, "somebody")
    monkeypatch.setattr("serving.queueing.TOGETHER", 40)
    scored: list[int] = []

    def score(workspace: Workspace, at: int) -> None:
        scored.append(at)
        is_killed = scored == list(past.instants[:2])
        score_queue(workspace, at, stop=lambda: is_killed)
        if is_killed:
            raise _KilledError

    def live() -> list[int]:
        return list(live_through(sqlite_store, here, score, past, Watching()))

    def shown(at: int) -> set[str]:
        with here.store.read() as connection:
            return set(shown_in_queue(connection, at))

    with pytest.raises(_KilledError):
        live()
    everybody = [open_leads(sqlite_store, at) for at in past.instants]
    assert 0 < len(shown(past.instants[1])) < 40 < len(everybody[1])
    assert live() == list(past.instants[1:])
    assert [shown(at) for at in past.instants] == everybody
    assert live() == []
    assert scored == [past.instants[i] for i in (0, 1, 1, 2)]
    here.store.close()
