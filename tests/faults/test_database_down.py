"""The database is locked, full, read-only or gone: is every answer true, and is nothing half written?

What is acknowledged is there, what is not there was refused with 503 and Retry-After, and when the
fault ends the next request is answered as if nothing had been.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from agreed import NOW
from fault_proxy import proxied
from models_made import fill, lead_id, promote, put_bundle, workspace_of
from served import Clock, Serve, Served, TestClient, calm, make_keys
from sqlalchemy import URL, event, func, select

from features.clock import DAY, iso
from features.definition import Definition
from features.errors import StoreError
from features.store import engine
from features.store.engine import Store
from features.store.ledger import scores
from features.store.tables import events
from models.workspace import Workspace
from serving.app import create_app
from serving.state import Repeating


def written(store: Store) -> tuple[int, int]:
    """How many scores and events are there."""
    with store.read() as connection:
        found = [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (scores, events)
        ]
    return found[0], found[1]


def ask(served: Served) -> Any:
    return served.post("/v1/scores", json={"lead": lead_id(1)})


def tell(served: Served, number: int = 0) -> Any:
    row = {"lead": lead_id(1), "kind": "visit", "occurred_at": iso(NOW - DAY - number)}
    return served.post("/v1/events", json=[row])


def assert_refused(answer: Any) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["type"] == "urn:propensity:problem:store"


@contextmanager
def faulty(served: Served, fault: str) -> Iterator[None]:
    """The SQLite database as it is while something is wrong with it."""
    path = Path(served.store.url.database or "")
    with closing(sqlite3.connect(path)) as other:
        if fault == "locked":
            other.execute("BEGIN EXCLUSIVE")
            yield
            other.rollback()
        elif fault == "full":
            pages = other.execute("PRAGMA page_count").fetchone()[0]
            with limited(served.store, pages):
                yield
        elif fault == "read-only":
            with pragma(served.store, "query_only = ON", "query_only = OFF"):
                yield
        elif fault == "gone":
            aside = path.with_suffix(".aside")
            path.rename(aside)
            yield
            aside.rename(path)


@contextmanager
def pragma(store: Store, before: str, after: str) -> Iterator[None]:
    """All writing connections under a setting of SQLite's."""
    store.close()
    settings: list[str] = [before]

    def each(connection: sqlite3.Connection, *_: Any) -> None:
        connection.execute(f"PRAGMA {settings[0]}")

    event.listen(store.engine, "connect", each)
    try:
        yield
    finally:
        settings[0] = after
        store.close()
        event.remove(store.engine, "connect", each)


def limited(store: Store, pages: int) -> Any:
    """A database that may not grow: what a full disk is to SQLite."""
    return pragma(store, f"max_page_count = {pages}", "max_page_count = 1073741823")


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 200)


@pytest.mark.parametrize("fault", ["locked", "read-only", "gone"])
def test_sqlite_refuses_for_a_while_and_nothing_is_half_written(served: Served, fault: str) -> None:
    expected = ask(served).json()["raw"]
    assert tell(served).status_code == 200
    before = written(served.store)
    with faulty(served, fault):
        assert_refused(ask(served))
        assert_refused(tell(served, 1))
        assert served.get("/v2/health/live", "anonymous").status_code == 200
        ready = served.get("/v2/health/ready", "anonymous").status_code
        assert ready == (503 if fault == "gone" else 200)
    assert written(served.store) == before
    assert ask(served).json()["raw"] == expected
    assert tell(served, 1).status_code == 200
    # A new fact scores its lead anew, in the same transaction.
    assert written(served.store) == (before[0] + 2, before[1] + 1)


def test_a_full_disk_refuses_and_loses_nothing_that_was_acknowledged(served: Served) -> None:
    acknowledged = 0
    with faulty(served, "full"):
        while (answer := tell(served, acknowledged)).status_code == 200:
            acknowledged += 1
            assert acknowledged < 20_000, "it never filled up"
        assert_refused(answer)
        while (answer := ask(served)).status_code == 200:
            pass
        assert_refused(answer)
    with served.store.read() as connection:
        told = select(func.count()).select_from(events).where(events.c.kind == "visit")
        query = told.where(events.c.occurred_at > NOW - DAY - 20_000)
        assert connection.execute(query).scalar_one() >= acknowledged
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    assert ask(served).status_code == 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of five megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("only root may mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_for_real_refuses_and_recovers(
    serve: Serve, migrated_sqlite: Path, definition: Definition, small_disk: Path
) -> None:
    database = small_disk / "propensity.db"
    database.write_bytes(migrated_sqlite.read_bytes())
    store = Store(f"sqlite:///{database}")
    fill(store, definition)
    served = serve(store)
    acknowledged = 0
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(max(0, _free(small_disk) - 300_000)))
    while (answer := tell(served, acknowledged)).status_code == 200:
        acknowledged += 1
    assert_refused(answer)
    assert_refused(ask(served))
    ballast.unlink()
    assert tell(served, acknowledged).status_code == 200
    assert ask(served).status_code == 200
    with store.read() as connection:
        query = select(func.count()).where(
            events.c.kind == "visit", events.c.occurred_at > NOW - DAY - 20_000
        )
        assert connection.execute(query).scalar_one() >= acknowledged + 1
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    store.close()
    served.store.close()


def _free(place: Path) -> int:
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize


def test_a_database_that_was_replaced_is_the_one_that_is_asked(served: Served) -> None:
    """A restored file under the old name: nothing more is written to the one that was there."""
    path = Path(served.store.url.database or "")
    assert ask(served).status_code == 200
    served.store.close()
    aside = path.with_suffix(".aside")
    aside.write_bytes(path.read_bytes())
    before = written(served.store)
    path.rename(path.with_suffix(".old"))
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    aside.rename(path)
    assert ask(served).status_code == 200
    assert written(served.store) == (before[0] + 1, before[1])
    with closing(sqlite3.connect(path)) as here:
        assert here.execute("SELECT COUNT(*) FROM scores").fetchone() == (before[0] + 1,)


def test_a_missing_database_is_not_made_anew_by_asking(served: Served) -> None:
    path = Path(served.store.url.database or "")
    with faulty(served, "gone"):
        for _ in range(3):
            assert_refused(ask(served))
        assert not path.exists()


# PostgreSQL


def cut(served: Served) -> int:
    """End every other session of the database, as a failover does; how many there were."""
    plain = served.store.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        found = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return len(found.fetchall())


def test_postgresql_sessions_that_were_cut_between_requests_are_not_noticed(
    served_postgres: Served,
) -> None:
    expected = ask(served_postgres).json()["raw"]
    for _ in range(3):
        assert cut(served_postgres) > 0
        answer = ask(served_postgres)
        assert (answer.status_code, answer.json()["raw"]) == (200, expected)


def test_postgresql_sessions_cut_in_the_middle_lose_nothing_acknowledged(
    served_postgres: Served,
) -> None:
    before = written(served_postgres.store)
    answered: list[int] = []
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            answered.append(ask(served_postgres).status_code)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    while len(answered) < 60:
        cut(served_postgres)
        over.wait(0.02)
    over.set()
    for worker in workers:
        worker.join()
    assert set(answered) <= {200, 503}
    assert ask(served_postgres).status_code == 200
    given = answered.count(200) + 1
    assert written(served_postgres.store)[0] - before[0] >= given, "a given score is in the ledger"


def through(url: URL, port: int) -> str:
    """The database behind a proxy on this machine."""
    behind = url.set(host="127.0.0.1", port=port, query={})
    return behind.render_as_string(hide_password=False)


@pytest.mark.parametrize("mode", ["refuse", pytest.param("hang", marks=pytest.mark.slow)])
def test_a_postgresql_that_does_not_answer_is_given_up_after_a_bounded_wait(
    postgres_database: URL, mode: str
) -> None:
    with proxied(mode) as proxy:
        store = Store(through(postgres_database, proxy.port))
        with pytest.raises(StoreError, match="failed"):
            store.check()
        store.close()


# The champion while the database is away


def test_the_last_good_model_stays_and_the_figures_say_since_when_it_is_unconfirmed(
    served: Served,
) -> None:
    live = served.service.live
    model = live.scorer().model.digest
    served.clock.now += 3_600_000_000
    with faulty(served, "gone"):
        with pytest.raises(StoreError, match="is gone"):
            live.look()
        assert live.scorer().model.digest == model
        assert live.state.checked_at == NOW
    live.look()
    assert live.state.checked_at == served.clock.now
    lines = served.get("/metrics").text.splitlines()
    (told,) = [line for line in lines if line.startswith("propensity_champion_checked_timestamp")]
    assert float(told.split()[1]) == served.clock.now / 1e6


def test_the_figures_are_told_while_the_database_is_away_to_whoever_it_knew(
    serve: Serve, company_store: Store
) -> None:
    """An alarm on the age of the champion could never ring if the figures went with the database."""
    served = serve(company_store, key_cache_seconds=0.0)
    assert served.get("/metrics", "analyst").status_code == 200
    assert served.get("/metrics", "crm").status_code == 403
    with faulty(served, "gone"):
        served.clock.now += DAY
        lines = served.get("/metrics", "analyst").text.splitlines()
        (told,) = [line for line in lines if line.startswith("propensity_champion_checked_time")]
        assert float(told.split()[1]) == NOW / 1e6
        assert served.get("/metrics", "crm").status_code == 403
        for role in ("admin", "revoked"):  # whom it has not met, and whom it must not
            assert served.get("/metrics", role).status_code == 503
        assert served.get("/v1/model", "analyst").status_code == 503


def test_a_fault_that_lasts_is_logged_once_and_not_every_second(
    capsys: pytest.CaptureFixture[str],
) -> None:
    turns: list[int] = []
    enough = threading.Event()

    def turn() -> None:
        turns.append(1)
        if len(turns) == 5:
            enough.set()
        if len(turns) != 3:
            raise StoreError("the database is gone")

    thread = Repeating("tests", 0.001, turn)
    thread.start()
    assert enough.wait(30)
    thread.stop()
    lines = [line for line in capsys.readouterr().out.splitlines() if "turn failed" in line]
    assert len(lines) == 2, "once, and once more after it had gone well"


# Clocks


@pytest.mark.parametrize("skew", [-2, 2])
def test_a_senders_clock_that_is_days_off_never_makes_a_fact_of_the_future(
    served: Served, skew: int
) -> None:
    before = written(served.store)
    row = {"lead": lead_id(1), "kind": "visit", "occurred_at": iso(NOW + skew * DAY)}
    answer = served.post("/v1/events", json=[row])
    if skew > 0:
        assert answer.status_code == 422 or answer.json()["rejected"] == 1
        assert "lies in the future" in answer.text
        assert written(served.store) == before
    else:
        assert answer.status_code == 200


@pytest.mark.parametrize("skew", [-2, 2])
def test_our_clock_that_is_days_off_uses_no_fact_from_after_its_now(
    served: Served, skew: int
) -> None:
    """Ahead: senders' facts are taken late, not early. Behind: newer facts are not looked at."""
    honest = ask(served).json()
    served.clock.now += skew * DAY
    row = {"lead": lead_id(1), "kind": "visit", "occurred_at": iso(NOW)}
    told = served.post("/v1/events", json=[row])
    if skew < 0:
        assert "lies in the future" in told.text
    answer = ask(served)
    assert answer.status_code == 200
    assert answer.json()["as_of"] == iso(served.clock.now)
    served.clock.now = NOW
    back = ask(served)
    assert back.status_code == 200
    if skew < 0:
        assert back.json()["raw"] == honest["raw"], "nothing of the future was kept"
    else:
        # Recorded two days ahead, the visit is not known yet: it is used when it is.
        assert back.json()["raw"] == honest["raw"]


# No model


def test_without_any_model_there_is_no_number(serve: Serve, sqlite_store: Store) -> None:
    served = serve(sqlite_store, with_model=False)
    served.put("/v1/leads/N-1", json={})
    for answer in (
        served.post("/v1/scores", json={"lead": "N-1"}),
        served.get("/v1/leads/N-1/score"),
        served.get("/v2/health/ready", "anonymous"),
    ):
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert "probability" not in answer.text
    assert served.get("/v2/health/live", "anonymous").status_code == 200


EXPECTING = "expected_win_rate: 0.2\n"


def expecting(workspace: Workspace) -> Workspace:
    """An installation whose two sides expect a win rate."""
    path = workspace.definition_path
    path.write_text(path.read_text(encoding="utf-8") + EXPECTING, encoding="utf-8")
    return workspace


@pytest.fixture
def agreeing(sqlite_store: Store, definition: Definition, tmp_path: Path) -> Iterator[Served]:
    """A service without a model that may score by what is agreed."""
    fill(sqlite_store, definition)
    workspace = expecting(workspace_of(sqlite_store, tmp_path))
    app = create_app(calm(without_model="agreed"), workspace, Clock())
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Served(client, workspace, Clock(), make_keys(workspace.store))


def test_the_agreed_scorecard_scores_where_that_is_wanted_and_says_what_it_is(
    agreeing: Served,
) -> None:
    answers = [agreeing.post("/v1/scores", json={"lead": lead_id(i)}).json() for i in range(1, 40)]
    for answer in answers:
        assert any("agreed, not learned" in said["message"] for said in answer["warnings"])
        total = answer["base"] + sum(reason["log_odds"] for reason in answer["reasons"])
        assert total == pytest.approx(answer["raw"], abs=1e-9)
    assert len({answer["probability"] for answer in answers}) > 5
    health = agreeing.get("/v2/health/ready", "anonymous").json()
    assert health["model_source"] == "definition"
    assert agreeing.get("/v1/model").json()["origin"] == "agreed"
    assert "Agreed, not learned" in agreeing.get("/v1/model/card").text


def test_a_promotion_takes_over_from_the_scorecard(agreeing: Served) -> None:
    promote(agreeing.workspace, digest := put_bundle(agreeing.workspace))
    agreeing.service.live.look()
    assert ask(agreeing).json()["model"] == digest
    assert agreeing.get("/v2/health/ready", "anonymous").json()["model_source"] == "disk"


def test_nothing_agreed_gives_no_number_even_where_the_scorecard_is_wanted(
    serve: Serve, sqlite_store: Store
) -> None:
    served = serve(sqlite_store, with_model=False, without_model="agreed")
    served.put("/v1/leads/N-1", json={})
    assert served.post("/v1/scores", json={"lead": "N-1"}).status_code == 503
    assert 'propensity_trouble{of="model"} 1.0' in served.get("/metrics").text


def test_a_lock_is_waited_for_but_not_for_ever(new_postgres_database: Callable[[], URL]) -> None:
    url = new_postgres_database().render_as_string(hide_password=False)
    first, second = Store(url), Store(url)

    def count_them() -> None:
        with second.write() as waiting:
            assert waiting.exec_driver_sql("SHOW lock_timeout").scalar_one() == "10s"
            waiting.exec_driver_sql("SET lock_timeout = '50ms'")
            waiting.execute(select(func.count()).select_from(events))

    with first.write() as holding:
        holding.exec_driver_sql("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreError, match="lock timeout"):
            count_them()
    first.close()
    second.close()
