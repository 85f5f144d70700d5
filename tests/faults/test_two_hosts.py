"""Do several workers and two hosts on one PostgreSQL behave as one service?

Each host has a data directory of its own, and they share nothing but the database.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from agreed import DEFINITION_TEXT, NOW
from models_made import fill, lead_id, promote, put_bundle
from served import Clock, Served, TestClient, calm, make_keys
from sqlalchemy import URL, func, select
from workers import Worker, working

from features.clock import DAY, SECOND, iso
from features.definition import Definition
from features.store.engine import Store
from features.store.keys import create_key, revoke_key
from features.store.ledger import scores
from features.store.tables import events
from models.workspace import Workspace
from serving.app import create_app
from serving.once import HEADER, REPLAYED
from serving.queueing import LEASE, QueueRefresher
from training.promote import roll_back


def host(home: Path, url: URL) -> Workspace:
    """An installation with an empty data directory on a database that others use too."""
    home.mkdir()
    (home / "definition.yaml").write_text(DEFINITION_TEXT, encoding="utf-8")
    return Workspace.of(
        {
            "PROPENSITY_DATA_DIR": str(home),
            "PROPENSITY_DATABASE": url.render_as_string(hide_password=False),
            "PROPENSITY_MLFLOW": "http://127.0.0.1:9",
        }
    )


Two = tuple[Served, Served]


@pytest.fixture
def two(postgres_store: Store, definition: Definition, tmp_path: Path) -> Iterator[Two]:
    """Two services that share a database; the first one's host has the champion on disk."""
    fill(postgres_store, definition)
    first, second = (host(tmp_path / name, postgres_store.url) for name in ("one", "two"))
    promote(first, put_bundle(first))
    with ExitStack() as running:
        served = []
        for workspace in (first, second):
            app = create_app(calm(), workspace, Clock())
            client = running.enter_context(TestClient(app, raise_server_exceptions=False))
            served.append(Served(client, workspace, Clock()))
        keys = make_keys(postgres_store)
        for one in served:
            one.keys = keys
        yield served[0], served[1]


def ask(served: Served, role: str = "admin") -> Any:
    return served.post("/v1/scores", role, json={"lead": lead_id(1)})


def test_what_one_host_promotes_the_other_serves_with_the_same_number(two: Two) -> None:
    one, other = two
    assert ask(one).json()["raw"] == ask(other).json()["raw"]
    assert other.get("/v2/health/ready", "anonymous").json()["model_source"] == "database"
    second = put_bundle(one.workspace, seed=2)
    promote(one.workspace, second)
    for served in two:
        served.service.live.look()
    assert ask(one).json()["model"] == ask(other).json()["model"] == second
    assert ask(one).json()["raw"] == ask(other).json()["raw"]


def test_a_roll_back_on_one_host_holds_on_the_other(two: Two) -> None:
    one, other = two
    first, second = one.workspace.registry.champion_digest(), put_bundle(one.workspace, seed=2)
    promote(one.workspace, second)
    shutil.rmtree(one.workspace.bundles)
    by = {"by": "ines", "reason": "numbers are off", "on_warning": lambda _: None}
    roll_back(other.workspace, now=NOW, bad=second[:12], **by)
    for served in two:
        served.service.live.look()
        assert ask(served).json()["model"] == first


def test_a_key_revoked_on_one_host_is_refused_by_the_other_within_a_second(two: Two) -> None:
    """The keys' cache is the only memory of them, and settings bound it by a second."""
    from served import revoke_key

    one, other = two
    assert ask(other, "crm").status_code == 200
    with one.store.write() as connection:
        revoke_key(connection, "crm", NOW)
    assert 0 <= other.service.settings.key_cache_seconds <= 1
    done = threading.Event()
    done.wait(other.service.settings.key_cache_seconds + 0.05)
    assert ask(other, "crm").status_code == 401


def test_one_host_refreshes_the_queue_while_the_other_waits(two: Two) -> None:
    inside, go_on = threading.Event(), threading.Event()
    one, other = two

    class Slow(QueueRefresher):
        """Stops in the middle until it is told to go on."""

        def _refresh(self, scorer: Any, now: int) -> int:
            from features.store.leases import holding

            with holding(self._store, LEASE, self._holder):
                inside.set()
                assert go_on.wait(60)
            return super()._refresh(scorer, now)

    first = Slow(one.store, one.service.live.scorer, one.clock, 60.0, "host-1")
    second = QueueRefresher(other.store, other.service.live.scorer, other.clock, 60.0, "host-2")
    given: list[int | None] = []
    thread = threading.Thread(target=lambda: given.append(first.look()))
    thread.start()
    assert inside.wait(60)
    assert second.look() is None, "the other host is at it"
    go_on.set()
    thread.join()
    assert given[0]
    with one.store.read() as connection:
        in_all = connection.execute(select(func.count()).select_from(scores)).scalar_one()
    assert in_all == given[0], "every lead was scored once"
    assert second.look() is None, "and it need not be done again"
    other.clock.now += 3_601 * SECOND
    assert second.look() == given[0], "the next turn may be another's"


def tell(served: Served, key: str, number: int) -> Any:
    """One event, under a key of the sender's."""
    row = {"lead": lead_id(1), "kind": "visit", "occurred_at": iso(NOW - DAY + number)}
    return served.post("/v1/events", "crm", json=[row], headers={HEADER: key})


def visits(store: Store) -> int:
    with store.read() as connection:
        told = events.c.occurred_at.between(NOW - DAY, NOW - DAY + SECOND)
        query = select(func.count()).where(events.c.kind == "visit", told)
        return connection.execute(query).scalar_one()


def test_what_was_answered_by_one_host_under_a_key_the_other_answers_alike(two: Two) -> None:
    one, other = two
    first, again = tell(one, "k", 1), tell(other, "k", 1)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert tell(other, "k", 2).status_code == 422, "the key names another request"
    assert visits(one.store) == 1


def test_of_senders_at_both_hosts_one_is_carried_out_and_the_others_hear_of_it(two: Two) -> None:
    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(tell, two[i % 2], "k", 1) for i in range(8)]
        answers = [one.result() for one in asked]
    assert {answer.status_code for answer in answers} <= {200, 409}
    done = [answer for answer in answers if answer.status_code == 200]
    assert len({answer.content for answer in done}) == 1
    assert sum(REPLAYED not in answer.headers for answer in done) == 1
    assert visits(two[0].store) == 1


def test_after_an_erasure_at_one_host_the_other_gives_no_score_and_keeps_none(two: Two) -> None:
    """Both score the lead all the while; what is erased is gone for both at once."""
    one, other = two
    over, late = threading.Event(), threading.Event()
    wrong: list[str] = []

    def score(served: Served) -> None:
        while not over.is_set():
            was_late = late.is_set()
            given = ask(served).status_code
            if given not in (200, 404, 409) or (was_late and given == 200):
                wrong.append(f"{given}, asked {'after' if was_late else 'before'} the erasure")

    askers = [threading.Thread(target=score, args=(served,)) for served in two for _ in range(2)]
    for asker in askers:
        asker.start()
    with ExitStack() as ending:
        ending.callback(over.set)
        assert one.call("DELETE", f"/v1/leads/{lead_id(1)}").status_code == 200
        late.set()
        assert ask(other).status_code == 404
        facts = {"occurred_at": iso(NOW - DAY), "attributes": {"industry": "Retail"}}
        told = other.put(f"/v1/leads/{lead_id(1)}", json=facts)
        assert told.json()["problems"][0]["message"].startswith("erased:")
    for asker in askers:
        asker.join()
    assert wrong == []
    with one.store.read() as connection:
        query = select(func.count()).where(scores.c.lead_id == lead_id(1))
        assert connection.execute(query).scalar_one() == 0


# Real processes


@pytest.fixture
def workers(
    new_postgres_database: Callable[[], URL], definition: Definition, tmp_path: Path
) -> Iterator[tuple[Worker, Worker, Workspace]]:
    url = new_postgres_database()
    first, second = (host(tmp_path / name, url) for name in ("one", "two"))
    fill(first.store, definition)
    promote(first, put_bundle(first))
    keys = make_keys(first.store)
    with working(first, keys["admin"]) as one, working(second, keys["admin"]) as other:
        yield one, other, first
    first.store.close()


@pytest.mark.slow
def test_two_processes_on_one_database_follow_within_the_poll_and_queue_once(
    workers: tuple[Worker, Worker, Workspace],
) -> None:
    one, other, workspace = workers
    first, second = workspace.registry.champion_digest(), put_bundle(workspace, seed=2)
    promote(workspace, second)
    for worker in (one, other):
        worker.until(lambda w: w.score(lead_id(1))["model"] == second)
    told = [worker.score(lead_id(1), iso(NOW))["raw"] for worker in (one, other)]
    assert told[0] == told[1]
    by = {"by": "ines", "reason": "off", "on_warning": lambda _: None}
    roll_back(workspace, now=NOW, bad=second, **by)
    for worker in (one, other):
        worker.until(lambda w: w.score(lead_id(1))["model"] == first)
    one.kill()
    assert other.score(lead_id(1))["model"] == first, "the other host goes on alone"


PLAIN = {"lead": "x", "attributes": {"employees": 3}}
"""A lead that is sent along: it is scored on its connection, without the framework."""


@pytest.mark.slow
def test_a_revoked_key_is_refused_by_all_processes_however_often_it_is_used(
    workers: tuple[Worker, Worker, Workspace],
) -> None:
    """Long after a second, and long before a memory of several would have ended."""
    one, other, workspace = workers
    with workspace.store.write() as connection:
        key = create_key(connection, "leaky", "crm", NOW)
    headers = {"Authorization": f"Bearer {key}"}

    def asked() -> list[int]:
        found = []
        for worker in (one, other):
            found.append(worker.client.post("/v1/scores", json=PLAIN, headers=headers).status_code)
            found.append(worker.client.get("/v1/model", headers=headers).status_code)
        return found

    for _ in range(5):
        assert asked() == [200] * 4
    with workspace.store.write() as connection:
        revoke_key(connection, "leaky", NOW)
    revoked, late = time.monotonic(), []
    while len(late) < 5:
        is_late = time.monotonic() - revoked > 3.0
        told = asked()  # a key that is used all the time is not remembered for longer
        if is_late:
            late.append(told)
        time.sleep(0.1)  # whoever is refused too often is told to come more seldom
    assert late == [[401] * 4] * 5
