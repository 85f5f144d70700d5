"""The clock of one host is an hour off, or its time zone changes: do hosts of one database still agree?

Two services share PostgreSQL; one of them has a clock that is wrong, and both go by
`features.store.one_clock`. So do commands, of a host that is an hour ahead.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from _pytest.mark import ParameterSet
from agreed import DEFINITION_TEXT
from models_made import fill, lead_id, promote, put_bundle
from served import Clock, Served, TestClient, calm, make_keys, sign_in
from shell import said, shell
from sqlalchemy import URL, func, select
from standardwebhooks.webhooks import Webhook

from features.clock import DAY, HOUR, MINUTE, SECOND, iso, to_instant
from features.definition import Definition
from features.store import idempotency
from features.store.engine import Store
from features.store.idempotency import Busy, Claim
from features.store.keys import create_key, keys
from features.store.leases import database_clock, held_by, holding
from features.store.ledger import scores
from features.store.one_clock import OneClock, wall_clock
from features.store.tables import events
from features.store.turns import last_turns
from features.store.webhooks import add_sender
from models.workspace import Workspace
from propensity import app
from serving import doctor
from serving.app import create_app, prune_kept
from serving.doctor import examine
from serving.once import HEADER, REPLAYED

Two = tuple[Served, Served]


def host(home: Path, url: URL) -> Workspace:
    home.mkdir()
    (home / "definition.yaml").write_text(DEFINITION_TEXT, encoding="utf-8")
    return Workspace.of(
        {
            "PROPENSITY_DATA_DIR": str(home),
            "PROPENSITY_DATABASE": url.render_as_string(hide_password=False),
            "PROPENSITY_MLFLOW": "http://127.0.0.1:9",
        }
    )


def late(value: object, name: str) -> ParameterSet:
    """One of several that are much alike: run by `make test-all`."""
    return pytest.param(value, id=name, marks=pytest.mark.slow)


Start = Callable[[Callable[[Workspace], Any], Callable[[Workspace], Any]], Two]


@pytest.fixture
def start(postgres_store: Store, definition: Definition, tmp_path: Path) -> Iterator[Start]:
    """Starts two services on one database, each with the clock that is given for it."""
    with ExitStack() as running:

        def two(*clocks: Callable[[Workspace], Any]) -> Two:
            fill(postgres_store, definition)
            homes = [host(tmp_path / name, postgres_store.url) for name in ("one", "two")]
            promote(homes[0], put_bundle(homes[0]))
            passwords = make_keys(postgres_store)
            served = []
            for workspace, clock in zip(homes, clocks, strict=True):
                told = clock(workspace)
                service = create_app(calm(key_cache_seconds=0.0), workspace, told)
                client = TestClient(service, raise_server_exceptions=False, follow_redirects=False)
                running.enter_context(client)
                served.append(Served(client, workspace, told, passwords))
            return served[0], served[1]

        yield two


@pytest.fixture(params=[pytest.param(-HOUR, id="behind"), late(HOUR, "ahead")])
def two(request: pytest.FixtureRequest, start: Start) -> Two:
    """One host whose clock is right, another whose clock is an hour off."""

    def off(workspace: Workspace) -> OneClock:
        return OneClock(workspace.store, lambda: wall_clock() + request.param)

    return start(lambda workspace: OneClock(workspace.store, wall_clock), off)


BOTH_WAYS = pytest.mark.parametrize(
    "turned", [pytest.param(True, id="wrong first"), late(False, "right first")]
)


def turn(two: Two, turned: bool) -> Two:
    return (two[1], two[0]) if turned else two


def visit(served: Served, at: int, key: str) -> Any:
    row = {"lead": lead_id(1), "kind": "visit", "occurred_at": iso(at), "external_id": key}
    return served.post("/v1/events", "crm", json=[row], headers={HEADER: key})


def visits(store: Store) -> list[str]:
    with store.read() as connection:
        query = select(events.c.external_id).where(events.c.kind == "visit")
        return [name for name in connection.execute(query).scalars() if name.startswith("k")]


@BOTH_WAYS
def test_what_one_took_under_a_key_the_other_replays_and_knows(two: Two, turned: bool) -> None:
    one, other = turn(two, turned)
    at = wall_clock() - MINUTE
    first, again = visit(one, at, "k"), visit(other, at, "k")
    assert (first.status_code, first.json()["added"]) == (200, 1)
    assert (again.json(), again.headers.get(REPLAYED)) == (first.json(), "true")
    assert visits(one.store) == ["k"]
    asked = {"lead": lead_id(1)}
    told = [served.post("/v1/scores", "crm", json=asked).json() for served in (one, other)]
    assert told[0]["raw"] == pytest.approx(told[1]["raw"], abs=1e-6), "it is a fact for both"
    times = [to_instant(datetime.fromisoformat(one["as_of"])) for one in told]
    assert abs(times[0] - times[1]) < MINUTE
    prune_kept(other.service)
    assert visit(one, at, "k").headers.get(REPLAYED) == "true"


@pytest.mark.slow
@BOTH_WAYS
def test_a_claim_keeps_the_other_out_and_no_longer_than_it_is_to(
    two: Two, turned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = turn(two, turned)
    monkeypatch.setattr(idempotency, "HELD", 3 * SECOND)

    def claim(served: Served) -> object:
        with served.store.write() as connection:
            now = served.service.clock()
            return idempotency.claim(connection, "key crm", "k", "f", [], now)

    assert isinstance(claim(one), Claim)
    assert isinstance(claim(other), Busy)
    time.sleep(3.5)  # its holder died
    assert isinstance(claim(other), Claim)


@pytest.mark.slow
@BOTH_WAYS
def test_a_key_ends_for_both_when_it_ends(two: Two, turned: bool) -> None:
    one, other = turn(two, turned)
    with one.store.write() as connection:
        key = create_key(connection, "new", "crm", one.service.clock(), days=1)
        ends = keys.update().where(keys.c.name == "new")
        soon = database_clock(connection) + 5 * SECOND
        connection.execute(ends.values(expires_at=soon))
    headers = {"Authorization": f"Bearer {key}"}

    def told() -> list[int]:
        found = [s.client.get("/v1/model", headers=headers) for s in (one, other)]
        return [answer.status_code for answer in found]

    assert told() == [200, 200]
    time.sleep(max(0.0, (soon - wall_clock()) / SECOND) + 0.5)
    assert told() == [401, 401]


@BOTH_WAYS
def test_who_signs_in_at_one_is_in_at_the_other(two: Two, turned: bool) -> None:
    one, other = turn(two, turned)
    token, _ = sign_in(one, "boss", "admin", at=one.service.clock())
    for served in (one, other):
        page = served.client.get("/queue", headers={"cookie": f"propensity_session={token}"})
        assert page.status_code == 200, page.headers.get("location")


@pytest.mark.slow
@BOTH_WAYS
def test_a_lease_of_one_holds_for_the_other_and_a_queue_that_is_new_is_new_for_both(
    two: Two, turned: bool
) -> None:
    one, other = turn(two, turned)
    with holding(one.store, "work", "one"), other.store.read() as connection:
        lease = held_by(connection, "work", database_clock(connection))
        assert lease is not None
        assert abs(lease.since - one.service.clock()) < MINUTE
    assert one.service.refresher.look()
    assert other.service.refresher.look() is None


def test_the_doctor_tells_that_a_host_is_off(
    postgres_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = host(tmp_path / "one", postgres_store.url)

    def told() -> list[str]:
        return [one.said for one in examine(there) if one.part == "clock"]

    assert told() == []
    monkeypatch.setattr(doctor, "wall_clock", lambda: wall_clock() - HOUR)
    assert told() == ["this host's clock is -3,600 s from the database's"]
    there.store.close()


def test_a_clock_that_is_put_right_while_the_service_runs_is_followed(
    postgres_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    off = [2 * HOUR]
    clock = OneClock(postgres_store, lambda: wall_clock() + off[0])
    clock.look()
    assert abs(clock() - wall_clock()) < 2 * SECOND
    off[0] = 0
    clock.look()
    assert abs(clock() - wall_clock()) < 2 * SECOND


def test_a_clock_is_corrected_by_what_is_more_than_a_second_and_not_for_less(
    postgres_store: Store,
) -> None:
    off = told = 0

    def own() -> int:
        nonlocal told
        told = wall_clock() + off
        return told

    def correction(seconds: float) -> int:
        """What is taken off a clock that is ahead by so much, after a look."""
        nonlocal off
        off = round(seconds * SECOND)
        clock.look()
        present = clock()
        return told - present

    clock = OneClock(postgres_store, own)
    assert correction(0.5) == 0
    corrected = correction(2.0)
    assert abs(corrected - 2 * SECOND) < SECOND / 4
    assert correction(1.5) == corrected, "what is less than a second off is let be"
    assert correction(-0.5) == 0


SOURCES = """
sources:
  - {file: leads.csv, lead: id, opened_at: opened, attributes: {industry: industry}}
"""


@pytest.fixture
def command(
    postgres_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """Runs a command on another host of that database, whose clock is off by so much."""
    home = tmp_path / "third"
    host(home, postgres_store.url)
    (home / "definition.yaml").write_text(DEFINITION_TEXT + SOURCES, encoding="utf-8")
    opened = iso(wall_clock() - 10 * MINUTE)
    (home / "leads.csv").write_text(f"id,opened,industry\nNEW,{opened},Retail\n", "utf-8")
    url = postgres_store.url.render_as_string(hide_password=False)
    run = shell(app, home, PROPENSITY_DATABASE=url, PROPENSITY_MLFLOW="off")
    right, root = time.time_ns, logging.getLogger()
    ours, handlers, level = structlog.get_config(), root.handlers, root.level

    def off(by: int, *words: str) -> Any:
        with monkeypatch.context() as there:
            there.setattr(time, "time_ns", lambda: right() + by * 1_000)
            return said(run(*words, "--json"))

    yield off
    structlog.configure(**ours)
    root.handlers, root.level = handlers, level


RIGHT = time.time_ns


def right(workspace: Workspace) -> OneClock:
    """A host's clock that stays right while a command of another host runs in this process."""
    return OneClock(workspace.store, lambda: RIGHT() // 1_000)


def test_who_is_let_in_no_more_by_a_command_an_hour_ahead_is_out_with_the_next_message(
    start: Start, command: Callable[..., Any]
) -> None:
    one, _ = start(right, right)
    with one.store.write() as connection:
        secret = add_sender(connection, "crm", one.service.clock() - MINUTE)

    def bring(key: str) -> int:
        at = one.service.clock() // SECOND
        signed = Webhook(secret).sign(key, datetime.fromtimestamp(at, UTC), body)
        headers = {"webhook-id": key, "webhook-timestamp": str(at), "webhook-signature": signed}
        return int(one.client.post("/v1/webhooks/crm", content=body, headers=headers).status_code)

    at = iso(one.service.clock() - MINUTE)
    deal = {"lead": lead_id(1), "ending": "won", "occurred_at": at, "external_id": "d-1"}
    body = json.dumps({"type": "deals", "timestamp": at, "data": [deal]})
    assert bring("first") == 200
    command(HOUR, "webhooks", "revoke", "crm")
    assert bring("second") == 401


def test_what_commands_of_a_host_that_is_an_hour_off_load_and_score_is_known_and_stands_at_once(
    start: Start, command: Callable[..., Any]
) -> None:
    one, _ = start(right, right)
    assert one.post("/v1/scores", "crm", json={"lead": "NEW"}).status_code == 404
    command(-HOUR, "import")
    assert one.post("/v1/scores", "crm", json={"lead": "NEW"}).status_code == 200
    for work in (["queue", "refresh"], ["run", "score"]):
        command(HOUR, *work)
        with one.store.read() as connection:
            newest = connection.execute(select(func.max(scores.c.scored_at))).scalar_one()
        assert abs(newest - one.service.clock()) < MINUTE
    with one.store.read() as connection:
        turn = last_turns(connection)["score"]
    assert abs(turn.started_at - one.service.clock()) < MINUTE


def test_a_claim_made_by_a_clock_that_was_put_right_since_keeps_nobody_out_for_an_hour(
    store: Store,
) -> None:
    def claim(now: int) -> object:
        with store.write() as connection:
            return idempotency.claim(connection, "key crm", "k", "f", [], now)

    now = wall_clock()
    assert isinstance(claim(now + HOUR), Claim)
    assert isinstance(claim(now), Claim)
    assert isinstance(claim(now), Busy)


# Time zones: instants have none. These clocks stand still until they are moved.

CHANGES = [
    ("Europe/Berlin", "2026-10-25T01:00:00Z"),
    ("Europe/Berlin", "2027-03-28T01:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("America/New_York", "2027-03-14T07:00:00Z"),
]
"""When an hour comes twice, or never."""


@pytest.fixture(params=[CHANGES[0], *(late(change, " ".join(change)) for change in CHANGES[1:])])
def change(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The instant at which the zone changes in which this process is."""
    zone, at = request.param
    with monkeypatch.context() as there:
        there.setenv("TZ", zone)
        time.tzset()
        instant = to_instant(datetime.fromisoformat(at))
        before, after = ((instant + by) // SECOND for by in (-MINUTE, MINUTE))
        assert time.localtime(before).tm_gmtoff != time.localtime(after).tm_gmtoff
        yield instant
    time.tzset()


def test_an_hour_that_comes_twice_or_never_is_an_hour(change: int, start: Start) -> None:
    clock = Clock(change - 30 * MINUTE)
    one, other = start(lambda _: clock, lambda _: clock)
    first = visit(one, clock.now - MINUTE, "k")
    sessions = [sign_in(one, name, "admin", at=clock.now)[0] for name in ("ines", "boss")]
    with one.store.write() as connection:
        key = create_key(connection, "new", "crm", clock.now, days=1)

    def page(token: str) -> int:
        headers = {"cookie": f"propensity_session={token}"}
        return int(other.client.get("/queue", headers=headers).status_code)

    clock.now = change + 29 * MINUTE
    again = visit(other, change - 31 * MINUTE, "k")
    assert (again.json(), again.headers.get(REPLAYED)) == (first.json(), "true")
    assert page(sessions[0]) == 200
    clock.now = change + 31 * MINUTE
    assert page(sessions[1]) == 401, "an hour without use is over"

    def model() -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return int(other.client.get("/v1/model", headers=headers).status_code)

    clock.now = change - 30 * MINUTE + DAY - 1
    assert model() == 200
    clock.now += 1
    assert model() == 401


def test_the_database_tells_the_instant_whatever_the_zone_of_either(
    change: int, postgres_store: Store
) -> None:
    assert change
    zones = ("UTC", "Asia/Kolkata", "America/St_Johns")
    for zone in zones:
        url = postgres_store.url.update_query_dict({"options": f"-c timezone={zone}"})
        store = Store(url.render_as_string(hide_password=False))
        with store.read() as connection:
            assert connection.exec_driver_sql("SHOW timezone").scalar_one() == zone
            assert abs(database_clock(connection) - wall_clock()) < MINUTE
        store.close()
