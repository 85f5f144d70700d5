"""Are signed messages taken once, whoever brings them, and nothing else?"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from agreed import NOW
from served import Served
from sqlalchemy import select
from standardwebhooks.webhooks import Webhook
from stores import state

from features.clock import DAY, HOUR, SECOND, iso
from features.store.outcomes import deals
from features.store.webhooks import add_sender, revoke_sender, rotate_secret, signature

DEAL = {"lead": "L-0001", "ending": "won", "occurred_at": iso(NOW - DAY), "external_id": "d-1"}
MESSAGE = {"type": "deals", "timestamp": iso(NOW), "data": [DEAL]}


@pytest.fixture
def secret(served: Served) -> str:
    """The secret of the sender `crm`."""
    with served.store.write() as connection:
        return add_sender(connection, "crm", NOW)


def bring(
    served: Served, secret: str, message: Any = MESSAGE, id_: str = "msg_1", **changes: Any
) -> Any:
    """Bring a message as a sender would, signed by the standard's own library."""
    body = json.dumps(message) if not isinstance(message, str) else message
    at = served.clock.now // SECOND + changes.pop("late", 0)
    signed = Webhook(secret).sign(id_, datetime.fromtimestamp(at, UTC), body)
    headers = {"webhook-id": id_, "webhook-timestamp": str(at), "webhook-signature": signed}
    source = changes.pop("source", "crm")
    return served.client.post(
        f"/v1/webhooks/{source}", content=body.encode(), headers={**headers, **changes}
    )


def is_queued(served: Served, lead: str) -> bool:
    return lead in {row["lead"] for row in served.get("/v1/queue?limit=500").json()["rows"]}


def test_a_signed_message_is_taken_and_its_facts_are_the_senders(
    served: Served, secret: str
) -> None:
    served.get("/v1/leads/L-0001/score")
    assert is_queued(served, "L-0001")
    answer = bring(served, secret)
    assert (answer.status_code, answer.json()) == (
        200,
        {"added": 1, "unchanged": 0, "rejected": [], "rescored": 0},
    )
    with served.store.read() as connection:
        row = connection.execute(select(deals)).one()
    assert (row.source, row.external_id, row.ending) == ("crm", "d-1", "won")
    # The deal has closed the lead, which is felt in the queue though the answer did not wait.
    assert not is_queued(served, "L-0001")


def test_a_message_brought_again_is_answered_again_and_changes_nothing(
    served: Served, secret: str
) -> None:
    first = bring(served, secret)
    with served.store.read() as connection:
        before = state(connection)
    served.clock.now += HOUR  # a retry has a time and a signature of its own
    again = bring(served, secret)
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotent-replayed"] == "true"
    with served.store.read() as connection:
        assert state(connection) == before
    other = bring(served, secret, {**MESSAGE, "data": [{**DEAL, "ending": "lost"}]})
    assert (other.status_code, other.json()["type"]) == (422, "urn:propensity:problem:key-reused")


def test_what_is_not_signed_by_the_sender_is_refused_before_it_is_read(
    served: Served, secret: str
) -> None:
    with served.store.write() as connection:
        other = add_sender(connection, "other", NOW)
    with served.store.read() as connection:
        before = state(connection)
    answers = [
        bring(served, other),
        bring(served, secret, source="other"),
        bring(served, secret, source="nobody"),
        bring(served, secret, source="%00"),
        bring(served, secret, late=-301),
        bring(served, secret, late=301),
        bring(served, secret, **{"webhook-id": "msg_2"}),
        bring(served, secret, **{"webhook-signature": ""}),
        bring(served, other, "{not json"),
        served.client.post("/v1/webhooks/crm", json=MESSAGE),
        served.post("/v1/webhooks/crm", json=MESSAGE),  # an admin's key is no signature
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    with served.store.read() as connection:
        assert state(connection) == before


def test_during_a_rotation_both_secrets_are_good_and_a_revoked_sender_is_out_at_once(
    served: Served, secret: str
) -> None:
    with served.store.write() as connection:
        new = rotate_secret(connection, "crm", NOW, overlap_hours=1)
    assert bring(served, secret, id_="a").status_code == 200
    assert bring(served, new, id_="b").status_code == 200
    served.clock.now += HOUR
    assert bring(served, secret, id_="c").status_code == 401
    assert bring(served, new, id_="c").status_code == 200
    with served.store.write() as connection:
        revoke_sender(connection, "crm", served.clock.now)
    assert bring(served, new, id_="d").status_code == 401


@pytest.fixture
def secret_lite(served_lite: Served) -> str:
    with served_lite.store.write() as connection:
        return add_sender(connection, "crm", NOW)


def test_bad_rows_are_named_and_good_ones_kept(served_lite: Served, secret_lite: str) -> None:
    rows = [{**DEAL, "lead": "nobody"}, DEAL, {"lead": "L-0001"}]
    answer = bring(served_lite, secret_lite, {"type": "deals", "data": rows})
    assert (answer.status_code, answer.json()["added"]) == (200, 1)
    assert [row["index"] for row in answer.json()["rejected"]] == [0, 2]


def test_a_message_of_which_nothing_could_be_kept_may_be_brought_again(
    served_lite: Served, secret_lite: str
) -> None:
    """Messages overtake each other: the answer comes before its lead."""
    message = {"type": "events", "data": {"lead": "N-1", "kind": "visit", "occurred_at": iso(NOW)}}
    assert bring(served_lite, secret_lite, message, "m1").status_code == 422
    lead = {"type": "leads", "data": {"lead": "N-1", "owner": "anna", "name": "Contoso"}}
    assert bring(served_lite, secret_lite, lead, "m2").json()["added"] == 1
    assert bring(served_lite, secret_lite, message, "m1").json()["added"] == 1
    assert served_lite.get("/v1/leads/N-1").json()["owner"] == "anna"


NONSENSE: list[tuple[Any, int]] = [
    ("{", 400),
    ("[]", 422),
    ({"type": "deals"}, 422),
    ({"type": "deals", "data": []}, 422),
    ({"type": "cats", "data": [DEAL]}, 422),
    ({"type": "deals", "data": [DEAL], "more": 1}, 422),
    ({"type": "deals", "data": "x"}, 422),
    ({"type": "deals", "data": [1, None]}, 422),
    ({"type": "deals", "data": [{**DEAL, "source": 1}]}, 422),
]


def test_a_signed_message_that_makes_no_sense_is_refused_with_its_problems(
    served_lite: Served, secret_lite: str
) -> None:
    for message, status in NONSENSE:
        answer = bring(served_lite, secret_lite, message)
        assert answer.status_code == status, message
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_message_of_too_many_rows_is_refused(serve: Any, company_store: Any) -> None:
    served = serve(company_store, max_rows=2)
    with served.store.write() as connection:
        secret = add_sender(connection, "crm", NOW)
    answer = bring(served, secret, {"type": "deals", "data": [DEAL] * 3})
    assert answer.status_code == 413


def test_what_is_signed_here_is_what_the_library_signs() -> None:
    secret = "whsec_" + "A" * 44
    at = datetime.fromtimestamp(NOW // SECOND, UTC)
    theirs = Webhook(secret).sign("m", at, "{}")
    assert theirs == signature(secret, "m", str(NOW // SECOND), b"{}")
