"""Is a request under a key carried out once and answered alike, whatever breaks on the way?"""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from agreed import NOW
from keyed_requests import event, send, stored
from served import Served, sign_in
from sqlalchemy import func, select, text
from stores import state

from features.clock import DAY, SECOND, iso
from features.errors import InputError
from features.store import idempotency
from features.store.access import remove_user
from features.store.engine import Store
from features.store.ledger import scores
from features.store.merges import merges
from features.store.webhooks import add_sender, signature
from serving.app import prune_kept
from serving.once import HEADER, REPLAYED
from serving.routes import ingest as ingest_routes
from serving.security import ACCESS, SESSION_COOKIE, SIGNED

HELD = idempotency.HELD


def test_the_same_request_gets_the_same_answer_and_is_carried_out_once(bare: Served) -> None:
    first = send(bare, "k", [event(1)])
    again = send(bare, "k", [event(1)])
    assert (first.status_code, first.json()["added"]) == (200, 1)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["content-type"] == first.headers["content-type"]
    assert REPLAYED not in first.headers
    assert again.headers[REPLAYED] == "true"
    assert stored(bare) == 1
    # Without its key it is told that there was nothing to add.
    assert bare.post("/v1/events", json=[event(1)]).json()["unchanged"] == 1


def test_a_key_names_one_request(bare_lite: Served) -> None:
    first = send(bare_lite, "k", [event(1)])
    for path, rows in (
        ("/v1/events", [event(2)]),
        ("/v1/events", [event(1), event(1)]),
        ("/v1/answers", [event(1)]),
        ("/v1/events?x=1", [event(1)]),
    ):
        other = send(bare_lite, "k", rows, path)
        assert other.status_code == 422
        assert other.json()["type"] == "urn:propensity:problem:key-reused"
    assert send(bare_lite, "k", [event(1)]).content == first.content
    assert stored(bare_lite) == 1


def test_the_keys_of_another_caller_are_other_keys(bare_lite: Served) -> None:
    send(bare_lite, "k", [event(1)], role="crm")
    other = send(bare_lite, "k", [event(2)], role="admin")
    assert other.json()["added"] == 1
    token, csrf = sign_in(bare_lite, "crm", "admin")
    person = bare_lite.client.post(
        "/v1/events",
        json=[event(3)],
        headers={"cookie": f"propensity_session={token}", "x-csrf-token": csrf, HEADER: "k"},
    )
    assert person.json()["added"] == 1


def test_a_new_person_of_an_old_name_is_told_nothing_that_the_old_one_was(
    bare_lite: Served,
) -> None:
    def ask(at: int) -> Any:
        token, csrf = sign_in(bare_lite, "anna", "admin", at=at)
        headers = {HEADER: "k-1", "X-CSRF-Token": csrf}
        cookies = {"Cookie": f"{SESSION_COOKIE}={token}"}
        return bare_lite.client.put("/v1/leads/n-1", json={}, headers={**headers, **cookies})

    assert REPLAYED not in ask(NOW).headers
    with bare_lite.store.write() as connection:
        remove_user(connection, "anna")
    assert REPLAYED not in ask(NOW + 1).headers
    assert ask(NOW + 1).headers[REPLAYED] == "true"


def test_what_overtook_its_lead_is_tried_anew_under_its_key(bare: Served) -> None:
    late = "L-9"
    asked: dict[str, tuple[str, Any]] = {
        "fact": ("/v1/events", [event(1, lead=late)]),
        "deal": ("/v1/deals", [{"lead": late, "ending": "won", "occurred_at": iso(NOW - DAY)}]),
        "merge": ("/v1/merges", [{"lead": late, "survivor": "L-1"}]),
    }
    for key, (path, rows) in asked.items():
        first = send(bare, key, rows, path)
        assert (first.status_code, first.json()["problems"][0]["field"]) == (422, "lead")
        again = send(bare, key, rows, path)
        assert (again.status_code, REPLAYED in again.headers) == (422, False)
    with bare.store.read() as connection:
        for table in (idempotency.requests, idempotency.about):
            assert connection.execute(select(table)).all() == []
    bare.put(f"/v1/leads/{late}", json={"owner": "anna"})
    for key, (path, rows) in asked.items():
        came = send(bare, key, rows, path)
        assert (came.status_code, came.json()["added"]) == (200, 1)
        assert send(bare, key, rows, path).headers[REPLAYED] == "true"


def test_an_objection_that_overtook_its_lead_is_tried_anew_under_its_key(bare: Served) -> None:
    def object_to(lead: str) -> Any:
        path, body = f"/v1/leads/{lead}/do-not-score", {"do_not_score": True}
        return bare.put(path, json=body, headers={HEADER: "k"})

    assert object_to("L-9").status_code == 404
    bare.put("/v1/leads/L-9", json={"owner": "anna"})
    assert object_to("L-9").status_code == 200


def test_what_was_written_is_answered_alike_though_a_row_of_it_was_refused(bare: Served) -> None:
    rows = [event(1), event(1, lead="L-9")]
    first = send(bare, "k", rows)
    assert (first.json()["added"], len(first.json()["rejected"])) == (1, 1)
    bare.put("/v1/leads/L-9", json={"owner": "anna"})
    assert send(bare, "k", rows).content == first.content
    assert stored(bare) == 1


def test_a_batch_of_strangers_is_scored_once_they_are_there(served_lite: Served) -> None:
    def ask(*leads: str) -> Any:
        body = {"leads": [{"lead": lead} for lead in leads]}
        headers = {HEADER: " ".join(leads)}
        return served_lite.post("/v1/scores/batch", json=body, headers=headers)

    assert ask("N-1", "N-2").json()["scored"] == 0
    half = ask("L-0001", "N-1")
    served_lite.put("/v1/leads/N-1", json={"owner": "anna"})
    served_lite.clock.now += SECOND
    assert ask("N-1", "N-2").json()["scored"] == 1
    assert ask("L-0001", "N-1").content == half.content
    assert ask("N-1", "N-2").headers[REPLAYED] == "true"


def test_whoever_is_refused_too_late_is_told_what_another_wrote_meanwhile(
    bare: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request hangs for minutes before it is refused; its sender has long asked again."""
    written: list[Any] = []

    def hangs(*_: Any, **__: Any) -> Any:
        monkeypatch.undo()
        bare.clock.now += HELD
        bare.put("/v1/leads/L-9", json={"owner": "anna"})
        written.append(send(bare, "k", [event(1, lead="L-9")]))
        raise InputError("none of the 1 rows could be stored")

    monkeypatch.setattr(ingest_routes, "take", hangs)
    late = send(bare, "k", [event(1, lead="L-9")])
    assert (late.status_code, late.content) == (200, written[0].content)
    assert stored(bare) == 1


def test_a_key_that_was_given_back_is_no_longer_the_refused_requests(bare_lite: Served) -> None:
    """A claim lost to another who was refused: its key may name another request by now."""
    store = bare_lite.store

    def claimed(fingerprint: str, now: int) -> idempotency.Claim:
        with store.write() as connection:
            found = idempotency.claim(connection, "key crm", "k", fingerprint, [], now)
        assert isinstance(found, idempotency.Claim)
        return found

    slow, quick = claimed("f", NOW), claimed("f", NOW + HELD)
    with store.write() as connection:
        assert idempotency.release(connection, quick) is None
    other = claimed("another", NOW + HELD)
    told = idempotency.Answer(200, "application/json", "{}")
    with store.write() as connection:
        idempotency.keep(connection, other, told)
        assert idempotency.release(connection, slow) is None
        mine = idempotency.Answer(409, "application/json", "[]")
        assert idempotency.finish(connection, slow, mine) == mine
        assert idempotency.release(connection, other) == told


@pytest.mark.parametrize(
    ("path", "wrong", "right"),
    [
        ("/v1/events", [{"lead": "L-1"}], [event(1)]),
        ("/v1/events", {"row": []}, [event(1)]),
        ("/v1/scores", {"lead": 1}, {"lead": "L-1"}),
    ],
)
def test_what_could_not_be_understood_can_be_sent_again_corrected_under_its_key(
    bare_lite: Served, path: str, wrong: Any, right: Any
) -> None:
    assert send(bare_lite, "k", wrong, path).status_code == 422
    assert (
        bare_lite.client.post(
            path, content=b"{", headers={**bare_lite.headers("crm"), HEADER: "k"}
        ).status_code
        == 400
    )
    assert (
        send(bare_lite, "k", right, path).json().get("type") != "urn:propensity:problem:key-reused"
    )


def test_who_may_not_leaves_no_trace(bare_lite: Served) -> None:
    assert send(bare_lite, "k", [event(1)], role="rep").status_code == 403
    with bare_lite.store.read() as connection:
        assert connection.execute(select(idempotency.requests)).all() == []


def test_a_key_that_is_none_is_told_so(bare_lite: Served) -> None:
    for key in ("", "x" * 256, "a\tb", "é"):
        answer = bare_lite.client.post(
            "/v1/events",
            json=[event(1)],
            headers={**bare_lite.headers("crm"), HEADER: key.encode("latin-1")},
        )
        assert (answer.status_code, answer.json()["problems"][0]["field"]) == (422, HEADER)
    assert stored(bare_lite) == 0


def test_the_longest_key_is_taken_and_reading_needs_none(bare_lite: Served) -> None:
    assert send(bare_lite, " ~" * 127 + "x", [event(1)]).status_code == 200
    assert bare_lite.get("/v1/leads/L-1", headers={HEADER: "x" * 999}).status_code == 200


AT = iso(NOW)
WRITES: dict[str, tuple[str, Any]] = {
    "PUT /v1/leads/{lead}": ("/v1/leads/N-1", {"owner": "anna"}),
    "POST /v1/scores": ("/v1/scores", {"lead": "N-1"}),
    "POST /v1/scores/batch": ("/v1/scores/batch", {"leads": [{"lead": "N-1"}, {"lead": "L-0001"}]}),
    "POST /v1/answers": (
        "/v1/answers",
        [{"lead": "N-1", "question": "pain", "answer": "Some", "occurred_at": AT}],
    ),
    "POST /v1/events": ("/v1/events", [event(1, lead="N-1")]),
    "POST /v1/stages": (
        "/v1/stages",
        [{"lead": "N-1", "stage": "qualified", "occurred_at": AT}],
    ),
    "POST /v1/deals": ("/v1/deals", [{"lead": "N-1", "ending": "won", "occurred_at": AT}]),
    "POST /v1/merges": ("/v1/merges", [{"lead": "L-0002", "survivor": "L-0003"}]),
    "POST /v1/webhooks/{source}": (
        "/v1/webhooks/crm",
        {"type": "events", "timestamp": AT, "data": [event(2, lead="N-1")]},
    ),
    "PUT /v1/leads/{lead}/do-not-score": ("/v1/leads/N-1/do-not-score", {"do_not_score": True}),
    "DELETE /v1/leads/{lead}": ("/v1/leads/N-1", None),
}
"""Every write of the API, in an order in which each has something to do."""

FORMS = {"POST /sign-in", "POST /sign-out"}
"""What browsers send, who know of no such key: who signs in twice is signed in twice."""


def test_every_write_of_the_api_is_asked_twice_here() -> None:
    writes = {route for route in ACCESS if route.partition(" ")[0] not in ("GET", "HEAD")}
    assert writes - FORMS == set(WRITES), "a write without a case below, or a case without a write"


def test_whatever_is_written_is_written_once_and_answered_alike(served_lite: Served) -> None:
    with served_lite.store.write() as connection:
        secret = add_sender(connection, "crm", NOW)

    def ask(route: str) -> Any:
        path, given = WRITES[route]
        body = b"" if given is None else json.dumps(given).encode()
        headers = {HEADER: route}
        if route in SIGNED:
            at = str(served_lite.clock.now // SECOND)
            signed = signature(secret, route, at, body)
            headers = {"webhook-id": route, "webhook-timestamp": at}
            headers["webhook-signature"] = signed
        return served_lite.call(route.partition(" ")[0], path, content=body, headers=headers)

    for route in WRITES:
        before = _all_that_is_written(served_lite)
        first = ask(route)
        assert first.status_code == 200, (route, first.text)
        written = _all_that_is_written(served_lite)
        assert written != before, f"{route} had nothing to do"
        served_lite.clock.now += SECOND  # what is recorded now is known a moment later
        again = ask(route)
        assert (again.status_code, again.content) == (200, first.content), route
        assert again.headers[REPLAYED] == "true", route
        assert _all_that_is_written(served_lite) == written, route


def _all_that_is_written(served: Served) -> object:
    """Leads, facts, merges, and how often somebody was scored."""
    with served.store.read() as connection:
        counted = [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (scores, merges)
        ]
        return state(connection), counted


def test_eight_senders_of_one_request_carry_it_out_once(bare: Served) -> None:
    def ask(_: int) -> Any:
        return send(bare, "k", [event(i) for i in range(50)])

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    told = {answer.content for answer in answers if answer.status_code == 200}
    assert len(told) == 1
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert all(a.headers["retry-after"] == "1" for a in answers if a.status_code == 409)
    assert sum(a.status_code == 200 and REPLAYED not in a.headers for a in answers) == 1
    assert stored(bare) == 50


def test_however_many_answers_are_kept_all_go_in_time(
    bare: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "_AT_ONCE", 2)
    for n in range(5):
        bare.post("/v1/events", json=[event(n)], headers={HEADER: f"key {n}"})
    bare.clock.now += idempotency.KEPT + SECOND
    prune_kept(bare.service)
    with bare.store.read() as connection:
        kept = select(func.count()).select_from(idempotency.requests)
        assert connection.execute(kept).scalar_one() == 0


def test_answers_are_kept_three_days_and_then_pruned(bare: Served) -> None:
    first = send(bare, "k", [event(1)])
    bare.clock.now += 71 * 3600 * SECOND
    with bare.store.write() as connection:
        assert idempotency.prune(connection, bare.clock.now) == 0
    assert send(bare, "k", [event(1)]).content == first.content
    bare.clock.now += 2 * 3600 * SECOND
    with bare.store.write() as connection:
        assert idempotency.prune(connection, bare.clock.now) == 1
    assert send(bare, "k", [event(1)]).json() == {**first.json(), "added": 0, "unchanged": 1}


@pytest.mark.parametrize("earlier", [1, SECOND, 100 * SECOND])
def test_who_comes_second_with_an_earlier_clock_takes_no_claim_away(
    bare_lite: Served, earlier: int
) -> None:
    """Of two at once, the one that looked at the clock first may be the second to claim."""
    found = []
    for now in (NOW, NOW - earlier):
        with bare_lite.store.write() as connection:
            found.append(idempotency.claim(connection, "key crm", "k", "f", [], now))
    assert isinstance(found[0], idempotency.Claim)
    assert isinstance(found[1], idempotency.Busy)


def test_a_claim_that_was_lost_to_another_writes_nothing(bare_lite: Served) -> None:
    """A process that hung for minutes wakes up after another has taken over."""
    slow = bare_lite.store
    with slow.write() as connection:
        mine = idempotency.claim(connection, "key crm", "k", "f", [], NOW)
    assert isinstance(mine, idempotency.Claim)
    with slow.write() as connection:
        theirs = idempotency.claim(connection, "key crm", "k", "f", [], NOW + HELD)
    assert isinstance(theirs, idempotency.Claim)
    answer = idempotency.Answer(200, "application/json", "{}")
    with pytest.raises(idempotency.ConflictError), slow.write() as connection:
        idempotency.keep(connection, mine, answer)
    with slow.write() as connection:
        idempotency.release(connection, mine)
        idempotency.keep(connection, theirs, answer)


def test_erasing_a_person_deletes_the_answers_about_the_person(served_lite: Served) -> None:
    served_lite.post("/v1/scores", json={"lead": "L-0001"}, headers={HEADER: "a"})
    both = {"leads": [{"lead": "L-0001"}, {"lead": "L-0002"}]}
    served_lite.post("/v1/scores/batch", json=both, headers={HEADER: "b"})
    served_lite.post("/v1/scores", json={"lead": "L-0003"}, headers={HEADER: "c"})
    assert served_lite.call("DELETE", "/v1/leads/L-0001").json()["replies"] == 2
    with served_lite.store.read() as connection:
        (kept,) = connection.execute(select(idempotency.requests.c.answer)).scalars()
    assert "L-0003" in kept


def test_a_claim_that_is_given_back_while_another_waits_tells_it_to_come_again(
    postgres_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> object:
        with postgres_store.write() as connection:
            return idempotency.claim(connection, "crm", "k", "f", [], NOW)

    mine = ask()
    assert isinstance(mine, idempotency.Claim)
    locked, go_on = threading.Event(), threading.Event()

    def slowly(*_: Any) -> None:
        locked.set()
        assert go_on.wait(30)

    monkeypatch.setattr(idempotency, "_kept_for", slowly)

    def give_back() -> None:
        with postgres_store.write() as connection:
            idempotency.release(connection, mine)

    with ThreadPoolExecutor(2) as threads:
        given = threads.submit(give_back)
        assert locked.wait(30)
        asked = threads.submit(ask)
        waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        for _ in range(200):
            with postgres_store.read() as connection:
                if connection.execute(waits).scalar_one():
                    break
            assert not asked.done(), asked.result()
        go_on.set()
        given.result()
        assert asked.result() == idempotency.Busy()
    assert isinstance(ask(), idempotency.Claim)
