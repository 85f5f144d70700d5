"""A line to PostgreSQL breaks at COMMIT: is anything there twice, or called lost although it is there?

From the client's side nobody can tell whether the server got the word: both are tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from agreed import NOW
from models_made import fill, lead_id, promote, put_bundle
from relay import Relay, Where, relayed
from served import Serve, Served
from sqlalchemy import select, text

from features.clock import DAY, iso
from features.definition import Definition
from features.errors import StoreError
from features.store import ledger_writer
from features.store.engine import Store
from features.store.ingest import set_do_not_score
from features.store.ledger import QueueEntry, ScoreEntry, current, scores
from features.store.ledger_writer import LedgerWriter
from features.store.promotions import DecisionRecord, list_decisions
from features.store.tables import events, leads
from models.registry import Registry

SHOWN = QueueEntry(
    last_touch=None, owner=None, name=None, stage=None, kind="prospect", is_open=True
)


@pytest.fixture
def line(postgres_store: Store) -> Iterator[Relay]:
    with relayed(postgres_store.url) as relay:
        yield relay


@contextmanager
def writing(line: Relay, is_durable: bool) -> Iterator[LedgerWriter]:
    """A ledger at the other end of the line, which breaks from the first score on."""
    store = Store(line.url)
    writer = LedgerWriter(store, is_durable=is_durable)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()
        store.close()


def entry(lead: str) -> ScoreEntry:
    return ScoreEntry(
        lead=lead,
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


def known(store: Store, *names: str) -> None:
    with store.write() as connection:
        connection.execute(leads.insert(), [{"external_id": name} for name in names])


def written(store: Store) -> dict[int, str]:
    with store.read() as connection:
        rows = connection.execute(select(scores.c.id, scores.c.lead_id)).all()
    assert len({row.id for row in rows}) == len(rows)
    return {row.id: row.lead_id for row in rows}


def in_queue(store: Store) -> set[int]:
    with store.read() as connection:
        return set(connection.execute(select(current.c.score)).scalars())


@pytest.mark.parametrize("cuts", [1, 2])
@pytest.mark.parametrize("is_durable", [True, False])
@pytest.mark.parametrize("where", ["before", "after"])
def test_scores_are_there_once_under_the_ids_that_were_given(
    line: Relay,
    postgres_store: Store,
    where: Where,
    is_durable: bool,
    cuts: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    known(postgres_store, "a", "b")
    with writing(line, is_durable) as writer:
        line.where, line.cuts = where, cuts
        both = writer.submit([entry("a"), entry("b")], [SHOWN, SHOWN])
        alone = writer.submit([entry("stranger")], [None])
        ids = [*both.result(20), *alone.result(20)]
    assert line.cuts == (cuts - 1 if where == "after" else 0), "what was committed is asked for"
    assert written(postgres_store) == dict(zip(ids, ["a", "b", "stranger"], strict=True))
    assert in_queue(postgres_store) == set(ids[:2])
    assert "could not be written" not in caplog.text


def test_who_objects_before_the_ledger_has_learned_of_it_is_as_the_transaction_left_it(
    line: Relay, postgres_store: Store
) -> None:
    known(postgres_store, "a", "objects")
    with postgres_store.write() as connection:
        set_do_not_score(connection, "objects", objected=True)
    with writing(line, is_durable=True) as writer:
        line.cuts = 1
        told = writer.submit([entry("a"), entry("objects")], [SHOWN, SHOWN]).result(20)
    assert told[0] is not None
    assert told[1] is None
    assert written(postgres_store) == {told[0]: "a"}


@pytest.fixture
def slow_commits(postgres_store: Store) -> Iterator[None]:
    """A server that takes its time to commit scores, as one with a standby that must confirm does."""
    with postgres_store.write() as connection:
        for statement in _SLOW:
            connection.execute(text(statement))
    yield
    with postgres_store.write() as connection:
        connection.execute(text("DROP FUNCTION rest CASCADE"))


_SLOW = (
    """CREATE FUNCTION rest() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN PERFORM pg_sleep(0.7); RETURN NULL; END $$""",
    """CREATE CONSTRAINT TRIGGER rests AFTER INSERT ON scores
       DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION rest()""",
)


@pytest.mark.usefixtures("slow_commits")
@pytest.mark.parametrize("is_durable", [True, False])
def test_a_transaction_that_is_still_being_committed_is_waited_for(
    line: Relay, postgres_store: Store, is_durable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with writing(line, is_durable) as writer:
        line.where, line.cuts = "during", 1
        ids = writer.submit([entry("a")], [None]).result(20)
    assert written(postgres_store) == dict.fromkeys(ids, "a")
    assert "IntegrityError" in caplog.text, "it was tried again while the server was at it"


@pytest.mark.usefixtures("slow_commits")
@pytest.mark.parametrize("is_durable", [True, False])
def test_a_commit_that_outlasts_the_doubt_is_found_for_each_request(
    line: Relay,
    postgres_store: Store,
    is_durable: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The second attempt waits for the first and is refused, when the time to ask is over."""
    monkeypatch.setattr(ledger_writer, "_DOUBT_SECONDS", 0.1)
    with writing(line, is_durable) as writer:
        line.where, line.cuts = "during", 1
        with held_back(writer):
            both = [writer.submit([entry(lead)], [None]) for lead in ("a", "b")]
        ids = [one.result(30)[0] for one in both]
    assert written(postgres_store) == dict(zip(ids, ["a", "b"], strict=True))
    assert "could not be written" not in caplog.text


@contextmanager
def held_back(writer: LedgerWriter) -> Iterator[None]:
    """What is submitted meanwhile waits together, and becomes one transaction."""
    with writer._changed:
        yield


@pytest.mark.parametrize("is_durable", [True, False])
def test_where_it_cannot_be_learned_nobody_is_told_that_it_is_lost(
    line: Relay,
    postgres_store: Store,
    is_durable: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(ledger_writer, "_DOUBT_SECONDS", 0.2)
    with writing(line, is_durable) as writer:
        line.cuts, line.then_gone = 1, True
        told = writer.submit([entry("a")], [None])
        if is_durable:
            with pytest.raises(StoreError, match="whether scores were written is not known"):
                told.result(30)
    if not is_durable:
        assert "whether scores were written is not known" in caplog.text
    assert [*written(postgres_store).values()] == ["a"]


# Others who write: what was carried out once is answered as such when it is asked for again.


COMMITS = ("claim", "facts", "new score of the lead", "answer")
"""What a request under a key writes, a transaction each."""


@pytest.fixture
def served(
    serve: Serve, postgres_store: Store, definition: Definition, line: Relay
) -> Iterator[Served]:
    fill(postgres_store, definition)
    store = Store(line.url)
    yield serve(store)
    store.close()


@pytest.mark.parametrize("cut", ["claim", "facts", "answer"])
@pytest.mark.parametrize("where", [pytest.param("before", marks=pytest.mark.slow), "after"])
def test_a_request_under_a_key_is_carried_out_once(
    served: Served, line: Relay, where: Where, cut: str
) -> None:
    row = {"lead": lead_id(1), "kind": "visit", "occurred_at": iso(NOW - DAY)}

    def tell() -> Any:
        return served.post("/v1/events", json=[row], headers={"Idempotency-Key": "k"})

    assert served.post("/v1/events", json=[row | {"external_id": "0"}]).is_success
    before = visits(served.store)
    line.where, line.cuts, line.spared = where, 1, COMMITS.index(cut)
    assert tell().status_code == 503
    assert line.cuts == 0
    again = tell()
    if (cut, where) == ("claim", "after"):  # nobody knows that it holds it: until its time is over
        assert again.status_code == 409
        served.clock.now += 121 * 1_000_000
        again = tell()
    assert (again.status_code, again.json()["added"]) == (200, 1)
    assert visits(served.store) == before + 1


def visits(store: Store) -> int:
    with store.read() as connection:
        return len(connection.execute(select(events).where(events.c.kind == "visit")).all())


@pytest.fixture
def slow_decisions(postgres_store: Store) -> Iterator[None]:
    """A server that takes its time to commit decisions."""
    with postgres_store.write() as connection:
        for statement in _SLOW:
            connection.execute(text(statement.replace("scores", "decisions")))
    yield
    with postgres_store.write() as connection:
        connection.execute(text("DROP FUNCTION rest CASCADE"))


@pytest.mark.parametrize(
    "where", [pytest.param("before", marks=pytest.mark.slow), "during", "after"]
)
def test_a_roll_back_whose_commit_was_not_answered_goes_back_once(
    served_postgres: Served, line: Relay, where: Where, request: pytest.FixtureRequest
) -> None:
    """It leads from the second of two champions to the first; once more, and there is none before."""
    if where == "during":
        request.getfixturevalue("slow_decisions")
    there = served_postgres.workspace
    first, second = there.registry.champion_digest(), put_bundle(there, seed=2)
    promote(there, second)
    store = Store(line.url)
    registry = Registry(store, there.registry.root)
    assert first is not None
    registry.share(first)
    back = DecisionRecord(
        decided_at=NOW,
        decision="roll_back",
        bundle=first,
        against=second,
        decided_by="anna",
        reason="a test",
        evidence={"looks": (1, 2)},
    )
    line.where, line.cuts, line.spared = where, 1, 1  # the bytes are shared first
    if where == "before":
        with pytest.raises(StoreError):
            registry.decide(back)
        assert there.registry.champion_digest() == second
        registry.decide(back)
    else:
        registry.decide(back)
    assert line.cuts == 0
    assert there.registry.champion_digest() == first
    with store.read() as connection:
        assert [made.decision for made in list_decisions(connection)].count("roll_back") == 1
    store.close()
