"""A connection that is kept writes as a borrowed one does: all or nothing, and never beside the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select

from features.errors import StoreError
from features.store.consent import lead_hash
from features.store.engine import Connection, Store
from features.store.kept import KeptWriter
from features.store.ledger import ScoreEntry, record_scores, scores

ENTRY = ScoreEntry(
    lead="L",
    as_of=10,
    scored_at=10,
    raw=-1.0,
    probability=0.25,
    route="nurture",
    bundle="b" * 64,
    definition="d" * 64,
    inputs={"size": 1.5},
    reasons=[],
)


def count(store: Store) -> int:
    with store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(scores)).scalar_one())


def fail_after(connection: Connection, hashing: bool = False) -> None:
    """Write a score, perhaps after a statement that SQLAlchemy runs, and fail."""
    if hashing:
        lead_hash(connection, "somebody")
    record_scores(connection, [ENTRY], [None])
    raise ZeroDivisionError


def test_each_transaction_is_there_when_it_ends(store: Store) -> None:
    kept, before = KeptWriter(store), count(store)
    for n in (1, 2, 3):
        with kept.write() as connection:
            record_scores(connection, [ENTRY], [None])
        assert count(store) == before + n
    kept.close()


def test_what_failed_in_the_middle_left_nothing_and_the_next_goes_through(store: Store) -> None:
    kept, before = KeptWriter(store), count(store)
    with pytest.raises(ZeroDivisionError), kept.write() as connection:
        fail_after(connection)
    assert count(store) == before
    with kept.write() as connection:
        record_scores(connection, [ENTRY], [None])
    kept.close()
    assert count(store) == before + 1


def test_statements_of_both_sorts_are_in_one_transaction(store: Store) -> None:
    kept, before = KeptWriter(store), count(store)
    with pytest.raises(ZeroDivisionError), kept.write() as connection:
        fail_after(connection, hashing=True)
    assert count(store) == before
    with kept.write() as connection:
        record_scores(connection, [ENTRY], [None])
        lead_hash(connection, "somebody")
        record_scores(connection, [ENTRY], [None])
    assert count(store) == before + 2
    with store.write() as connection:  # nobody holds the right to write any more
        record_scores(connection, [ENTRY], [None])
    kept.close()


def test_a_file_that_was_moved_away_is_not_written_to(sqlite_store: Store, tmp_path: Path) -> None:
    kept = KeptWriter(sqlite_store)
    with kept.write() as connection:
        record_scores(connection, [ENTRY], [None])
    path = Path(str(sqlite_store.url.database))
    aside = path.rename(tmp_path / "aside.db")
    with pytest.raises(StoreError, match="is gone"), kept.write() as connection:
        record_scores(connection, [ENTRY], [None])
    aside.rename(path)
    with kept.write() as connection:
        record_scores(connection, [ENTRY], [None])
    assert count(sqlite_store) == 2
    kept.close()
