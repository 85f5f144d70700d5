"""PostgreSQL takes what it is sent and says nothing, as one that was stopped: who waits how long?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from models_made import fill, lead_id
from relay import Relay, relayed
from served import Serve, Served
from sqlalchemy import text

from features.definition import Definition
from features.errors import StoreError
from features.store.engine import Store
from serving import app

Answer = TypeVar("Answer")

PATIENCE = 0.5


@pytest.fixture
def line(postgres_store: Store, definition: Definition) -> Iterator[Relay]:
    """A line to a database that holds the company."""
    fill(postgres_store, definition)
    with relayed(postgres_store.url) as relay:
        yield relay


@pytest.fixture
def store(line: Relay) -> Iterator[Store]:
    """A store at the other end of the line."""
    found = Store(line.url)
    yield found
    line.flows.set()
    found.close()


def within_a_minute(line: Relay, ask: Callable[[], Answer]) -> Answer:
    """What is answered while the server is silent; not to hang for ever is what is tested."""
    line.flows.clear()
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(ask)
        try:
            return asked.result(timeout=60)
        finally:
            line.flows.set()


def test_a_statement_that_nothing_comes_back_to_is_given_up(line: Relay, store: Store) -> None:
    store.patience_seconds = PATIENCE

    def ask() -> None:
        with store.read() as connection:
            line.flows.clear()
            connection.execute(text("SELECT 1"))

    with pytest.raises(StoreError, match=r"the server has said nothing for 0\.5 seconds"):
        within_a_minute(line, lambda: _flowing_first(line, ask))
    store.check()


def _flowing_first(line: Relay, ask: Callable[[], None]) -> None:
    line.flows.set()
    ask()


def test_it_is_silence_that_counts_and_not_how_long_an_answer_takes(store: Store) -> None:
    store.patience_seconds = 2 * PATIENCE
    a_page_at_a_time = "SELECT repeat('x', 20000), pg_sleep(0.2) FROM generate_series(1, 15)"
    with store.read() as connection:
        assert len(connection.execute(text(a_page_at_a_time)).all()) == 15


def test_who_reads_for_hours_waits_for_ever(store: Store) -> None:
    assert store.patience_seconds is None
    with store.read() as connection:
        assert connection.execute(text(f"SELECT 1 FROM pg_sleep({3 * PATIENCE})")).scalar() == 1


def ask_all(served: Served) -> dict[str, Any]:
    """One question of each way to a score, one that only reads, and the figures."""
    sent_along = {"lead": "new", "attributes": {"industry": "Retail"}}
    with ThreadPoolExecutor(4) as threads:
        figures = threads.submit(served.get, "/metrics")
        stored = threads.submit(served.post, "/v1/scores", json={"lead": lead_id(1)})
        plain = threads.submit(served.post, "/v1/scores", json=sent_along)
        queue = threads.submit(served.get, "/v1/queue")
        asked = {"stored": stored, "sent along": plain, "queue": queue, "figures": figures}
        return {way: answer.result() for way, answer in asked.items()}


def test_every_score_is_answered_while_the_server_is_silent_and_after(
    line: Relay, store: Store, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_PATIENCE_SECONDS", PATIENCE)
    served = serve(store, key_cache_seconds=0.0)
    before = ask_all(served)
    assert {way: answer.status_code for way, answer in before.items()} == dict.fromkeys(before, 200)
    silent = within_a_minute(line, lambda: ask_all(served))
    for way in ("stored", "sent along", "queue"):
        answer = silent[way]
        assert answer.status_code == 503, answer.text
        assert answer.json()["type"] == "urn:propensity:problem:store"
        assert int(answer.headers["retry-after"]) >= 1
    assert silent["figures"].status_code == 200
    after = ask_all(served)
    for way in ("stored", "sent along"):
        assert after[way].json()["raw"] == before[way].json()["raw"]
