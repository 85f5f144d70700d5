"""PostgreSQL takes what it is sent and says nothing, as one that was stopped: who waits how long?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from anyio.to_thread import current_default_thread_limiter
from models_made import fill, lead_id
from relay import Relay, relayed
from served import Serve, Served
from sqlalchemy import text

from features.clock import MINUTE, SECOND
from features.definition import Definition
from features.errors import StoreError
from features.store.engine import Store
from serving import app, reach

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


def within_a_minute(line: Relay, ask: Callable[[], Answer], seconds: float = 60) -> Answer:
    """What is answered while the server is silent; not to hang for ever is what is tested."""
    line.flows.clear()
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(ask)
        try:
            return asked.result(timeout=seconds)
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


def figures(served: Served) -> Any:
    return served.get("/metrics", "analyst")


def read_at(figures: Any) -> float:
    """Since when the figures that the database keeps are as they are told."""
    assert figures.status_code == 200, figures.text
    name = "propensity_kept_figures_read_timestamp_seconds "
    (told,) = [line for line in figures.text.splitlines() if line.startswith(name)]
    return float(told.removeprefix(name))


def test_whoever_scrapes_has_the_figures_in_time_though_the_server_falls_silent(
    line: Relay, store: Store, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prometheus waits ten seconds by default; statements here wait for as long as the silence lasts."""
    monkeypatch.setattr(app, "_PATIENCE_SECONDS", 600.0)
    served = serve(store, key_cache_seconds=0.0)
    before = read_at(figures(served))
    assert before == served.clock.now / SECOND
    served.clock.now += MINUTE
    silent = within_a_minute(line, lambda: figures(served), seconds=9)
    assert read_at(silent) == before
    assert read_at(figures(served)) == before + MINUTE / SECOND


def test_figures_are_told_while_all_threads_wait_for_the_server(
    line: Relay, store: Store, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_PATIENCE_SECONDS", 600.0)
    monkeypatch.setattr(reach, "_SOON_SECONDS", 0.2)
    served = serve(store)
    portal = served.client.portal
    assert portal is not None
    limiter = portal.call(current_default_thread_limiter)
    before = read_at(figures(served))

    def told() -> float:
        with ThreadPoolExecutor(3) as threads:
            waiting = [threads.submit(served.get, "/v1/queue") for _ in range(3)]
            while limiter.statistics().borrowed_tokens < 2:
                time.sleep(0.01)
            found = read_at(figures(served))
            assert not any(one.done() for one in waiting)
            line.flows.set()
        return found

    portal.call(setattr, limiter, "total_tokens", 2)
    assert within_a_minute(line, told) == before
