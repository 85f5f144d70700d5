"""Does one process at a time do a piece of work, whoever dies and whatever the clocks say?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection

from features.clock import DAY, SECOND
from features.errors import ConflictError
from features.store.engine import Store
from features.store.leases import (
    database_clock,
    held_by,
    holding,
    leases,
    release,
    renew,
    take,
)

ROOT = Path(__file__).resolve().parents[3]
NOW = 20_000 * DAY
WORK = "queue refresh"


def taken(store: Store, holder: str, now: int, seconds: float = 60.0) -> str:
    """Who holds the work after somebody asked for it."""
    with store.write() as connection:
        return take(connection, WORK, holder, now, seconds).holder


def test_the_first_to_ask_holds_it_and_the_other_is_told_who_does(store: Store) -> None:
    assert taken(store, "a", NOW) == "a"
    assert taken(store, "b", NOW + 59 * SECOND) == "a"
    with store.read() as connection:
        lease = held_by(connection, WORK, NOW + 59 * SECOND)
        assert lease is not None
        assert (lease.holder, lease.since) == ("a", NOW)
        assert held_by(connection, "another work", NOW) is None


def test_a_holder_that_says_nothing_for_a_term_loses_it(store: Store) -> None:
    taken(store, "a", NOW)
    with store.read() as connection:
        assert held_by(connection, WORK, NOW + 60 * SECOND) is None
    assert taken(store, "b", NOW + 60 * SECOND) == "b"
    with store.write() as connection:
        assert not renew(connection, WORK, "a", NOW + 61 * SECOND)
        assert renew(connection, WORK, "b", NOW + 61 * SECOND)


def test_renewing_keeps_it_and_remembers_since_when(store: Store) -> None:
    taken(store, "a", NOW)
    for minute in range(1, 10):
        assert taken(store, "a", NOW + minute * 59 * SECOND) == "a"
        assert taken(store, "b", NOW + minute * 59 * SECOND) == "a"
    with store.read() as connection:
        lease = held_by(connection, WORK, NOW + 9 * 59 * SECOND)
    assert lease is not None
    assert lease.since == NOW


def test_only_the_holder_gives_it_back(store: Store) -> None:
    taken(store, "a", NOW)
    with store.write() as connection:
        release(connection, WORK, "b")
    assert taken(store, "b", NOW) == "a"
    with store.write() as connection:
        release(connection, WORK, "a")
    assert taken(store, "b", NOW) == "b"


@pytest.mark.parametrize("jump", [-2 * DAY, 2 * DAY])
def test_a_clock_that_jumps_frees_the_work_instead_of_blocking_it_for_days(
    store: Store, jump: int
) -> None:
    taken(store, "a", NOW)
    assert taken(store, "b", NOW + jump) == "b"
    with store.write() as connection:
        assert not renew(connection, WORK, "a", NOW + jump + 1), "the old holder learns of it"


def test_a_clock_that_is_put_right_by_a_second_frees_nothing(store: Store) -> None:
    taken(store, "a", NOW)
    assert taken(store, "b", NOW - SECOND) == "a"


def test_of_many_that_ask_at_once_one_gets_it(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda i: taken(store, f"worker {i}", NOW), range(8)))
    assert len(set(told)) == 1


def test_the_database_tells_the_time(store: Store) -> None:
    before = time.time_ns() // 1_000
    with store.read() as connection:
        told = database_clock(connection)
    after = time.time_ns() // 1_000
    # SQLite's is rounded to the millisecond.
    assert before - 1_000 <= told <= after + 1_000


def test_two_at_once_one_works_and_the_other_says_who_does(store: Store) -> None:
    with holding(store, WORK, "host-1/17") as held:
        with pytest.raises(ConflictError, match="host-1/17 is at it, since 20"):
            holding(store, WORK, "host-2/4").__enter__()
        assert not held.is_lost
    with holding(store, WORK, "host-2/4"):
        pass
    with store.read() as connection:
        assert connection.execute(leases.select()).all() == []


def test_a_lease_is_given_back_when_the_work_fails(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), holding(store, WORK, "a"):
        raise ZeroDivisionError
    assert taken(store, "b", NOW) == "b"


def test_long_work_keeps_its_lease_by_renewing_and_learns_when_it_is_lost(store: Store) -> None:
    now, asked = [NOW], threading.Semaphore(0)

    def clock(_: Connection) -> int:
        asked.release()
        return now[0]

    with holding(store, WORK, "a", seconds=0.06, clock=clock) as held:
        assert asked.acquire(timeout=30)
        now[0] += 50_000
        assert asked.acquire(timeout=30), "it renews by itself"
        assert asked.acquire(timeout=30)
        assert taken(store, "b", now[0] + 20_000) == "a", "renewed at the later time"
        assert taken(store, "b", now[0] + DAY) == "b"
        deadline = time.monotonic() + 30
        while not held.is_lost:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert taken(store, "c", now[0] + DAY) == "b", "what is not held is not given back"


KILLED = """
import sys, time
from features.store.engine import Store
from features.store.leases import holding
with holding(Store(sys.argv[1]), "queue refresh", "doomed", seconds=3.0):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def doomed(store: Store) -> Iterator[subprocess.Popen[str]]:
    url = store.url.render_as_string(hide_password=False)
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, url],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_what_a_killed_process_held_is_free_after_its_term(
    store: Store, doomed: subprocess.Popen[str]
) -> None:
    assert doomed.stdout is not None
    assert doomed.stdout.readline() == "held\n"
    with pytest.raises(ConflictError, match="doomed is at it"):
        holding(store, WORK, "next").__enter__()
    doomed.send_signal(signal.SIGKILL)
    doomed.wait()
    with store.read() as connection:
        killed_at = database_clock(connection)
    while True:
        try:
            with holding(store, WORK, "next"), store.read() as connection:
                waited = database_clock(connection) - killed_at
                break
        except ConflictError:
            time.sleep(0.1)
    assert waited > 0.9 * SECOND, "its last word is at most a third of the term old"
