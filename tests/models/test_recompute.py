"""Are old scores found to be what they were, and wrong ones found out?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from agreed import NOW, agreed
from models_made import fill, lead_id, promote, put_bundle, workspace_of
from sqlalchemy import func, select

from features.clock import DAY, HOUR
from features.errors import NotFoundError
from features.facts import Event
from features.store.engine import Store
from features.store.erasure import erase
from features.store.exposure import Shown, record_shown
from features.store.ingest import ingest
from features.store.ledger import current, numbers, scores
from models.recompute import audit_scores, replay_score
from models.workspace import Workspace
from serving.queueing import refresh_queue
from serving.state import LiveModel

LATER = NOW + HOUR


@pytest.fixture
def scored(sqlite_store: Store, tmp_path: Path) -> Iterator[Workspace]:
    """The company in SQLite, every open lead scored once."""
    yield from scored_on(sqlite_store, tmp_path)


@pytest.fixture
def scored_there(store: Store, tmp_path: Path) -> Iterator[Workspace]:
    """The same, on SQLite and on PostgreSQL."""
    yield from scored_on(store, tmp_path)


def scored_on(store: Store, tmp_path: Path) -> Iterator[Workspace]:
    fill(store, agreed())
    workspace = workspace_of(store, tmp_path)
    promote(workspace, put_bundle(workspace))
    live = LiveModel(workspace, lambda: NOW, 180.0)
    live.look()
    refresh_queue(store, live.scorer(), NOW)
    yield workspace
    workspace.store.close()


def edited(workspace: Workspace, **values: object) -> int:
    """A score that somebody has changed; its id."""
    with workspace.store.write() as connection:
        id_ = int(connection.execute(select(func.min(scores.c.id))).scalar_one())
        connection.execute(scores.update().where(scores.c.id == id_).values(**values))
    return id_


def test_every_score_is_what_it_was_and_its_row_what_the_store_still_says(
    scored: Workspace,
) -> None:
    found = audit_scores(scored, now=LATER, n=10_000)
    assert found.is_clean
    assert found.sampled == found.scores == found.rows_alike > 20
    assert (found.unreplayable, found.rows_changed, found.unwritten) == ({}, (), 0)


def test_a_sample_is_as_large_as_asked_and_another_one_by_another_seed(scored: Workspace) -> None:
    sizes = [audit_scores(scored, now=LATER, n=10, seed=seed).sampled for seed in range(6)]
    assert all(1 <= size <= 10 for size in sizes)
    assert audit_scores(scored, now=NOW, n=10).sampled == 0


@pytest.mark.parametrize("change", [{"raw": 0.123}, {"probability": 0.5}, {"inputs": "{}"}])
def test_a_score_that_was_edited_is_found(scored: Workspace, change: dict[str, object]) -> None:
    id_ = edited(scored, **change)
    found = audit_scores(scored, now=LATER, n=10_000)
    if change == {"inputs": "{}"}:
        assert found.unreplayable == {"the person was erased": 1}
    else:
        assert found.mismatched == (id_,)
        assert not found.is_clean


def test_a_fact_written_later_under_an_earlier_time_changes_the_row_and_not_the_number(
    scored: Workspace,
) -> None:
    early = Event(lead=lead_id(2), kind="visit", occurred_at=NOW - DAY, recorded_at=NOW - DAY)
    with scored.store.write() as connection:
        assert ingest(connection, [early], agreed(), LATER).added == 1
    found = audit_scores(scored, now=LATER, n=10_000)
    assert found.is_clean
    assert len(found.rows_changed) == 1
    replay = replay_score(scored, found.rows_changed[0])
    assert (replay.logged["lead_id"], replay.is_same, replay.same_row) == (lead_id(2), True, False)


def test_a_score_that_was_shown_and_is_not_there_is_missing(scored: Workspace) -> None:
    ghost = Shown(lead=lead_id(3), score=99_999, at=NOW, list="x", rank=1, channel="api")
    with scored.store.write() as connection:
        record_shown(connection, [ghost])
    found = audit_scores(scored, now=LATER)
    assert (found.missing, found.is_clean) == (1, False)


def test_an_id_that_was_never_given_is_extra_and_one_never_written_is_allowed(
    scored_there: Workspace,
) -> None:
    scored = scored_there
    assert audit_scores(scored, now=LATER, n=5).is_clean
    with scored.store.write() as connection:
        if scored.store.is_sqlite:
            connection.execute(numbers.update().values(next=numbers.c.next + 5))
        else:
            connection.execute(
                select(func.setval("scores_id_seq", func.nextval("scores_id_seq") + 4))
            )
    assert audit_scores(scored, now=LATER).unwritten == 5
    with scored.store.write() as connection:
        connection.execute(current.delete())
    edited(scored, id=10**9)
    found = audit_scores(scored, now=LATER)
    assert (found.extra, found.unwritten, found.is_clean) == (1, 6, False)


def test_an_erased_persons_score_tells_nothing_and_is_no_mismatch(scored: Workspace) -> None:
    with scored.store.write() as connection:
        erase(connection, lead_id(4), by="tests", now=LATER)
    found = audit_scores(scored, now=LATER, n=10_000)
    assert found.is_clean
    assert found.unreplayable == {"the person was erased": 1}


def test_a_replay_explains_the_score_and_a_stranger_is_told(scored: Workspace) -> None:
    with scored.store.read() as connection:
        id_ = int(connection.execute(select(func.max(scores.c.id))).scalar_one())
    found = replay_score(scored, id_).to_json()
    assert found["same"] is found["same_row"] is True
    assert found["given"]["raw"] == pytest.approx(found["anew"]["raw"], abs=1e-12)
    assert len(found["reasons"]) > 3
    with pytest.raises(NotFoundError, match="no score 123456"):
        replay_score(scored, 123456)
