"""Are messages taken that the standard's own library signs, and no others?"""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from agreed import NOW
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from features.clock import HOUR, SECOND
from features.errors import ConflictError, InputError, NotFoundError
from features.store.engine import Store
from features.store.webhooks import (
    add_sender,
    is_signed,
    list_secrets,
    revoke_sender,
    rotate_secret,
    secrets_of,
    signature,
)

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SENT = str(NOW // SECOND)


def test_the_vector_of_the_standard_is_signed_as_the_standard_says() -> None:
    signed = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signature(SECRET, ID, "1614265330", BODY) == signed
    assert is_signed([SECRET], ID, "1614265330", signed, BODY, 1_614_265_330 * SECOND)


@given(
    st.binary(min_size=24, max_size=64),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
)
def test_what_their_library_signs_is_taken_and_the_other_way_round(
    key: bytes, message_id: str, body: str
) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    at = datetime.fromtimestamp(NOW // SECOND, UTC)
    theirs = Webhook(secret).sign(message_id, at, body)
    assert theirs == signature(secret, message_id, SENT, body.encode())
    assert is_signed([secret], message_id, SENT, theirs, body.encode(), NOW)


def test_their_library_takes_what_is_signed_here_now() -> None:
    sent = str(int(datetime.now(UTC).timestamp()))
    headers = {
        "webhook-id": ID,
        "webhook-timestamp": sent,
        "webhook-signature": signature(SECRET, ID, sent, BODY),
    }
    assert Webhook(SECRET).verify(BODY, headers) == {"test": 2432232314}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(b'{"test": 1}', headers)


GOOD = signature(SECRET, ID, SENT, BODY)


@pytest.mark.parametrize(
    ("id_", "sent", "given_", "body"),
    [
        (ID, SENT, GOOD, b'{"test":2432232314}'),  # serialised anew
        ("msg_2", SENT, GOOD, BODY),
        (ID, str(int(SENT) + 1), GOOD, BODY),
        (ID, SENT, "", BODY),
        (ID, SENT, GOOD.replace("v1,", "v1a,"), BODY),
        (ID, SENT, GOOD.removeprefix("v1,"), BODY),
        (ID, SENT, GOOD[:-1], BODY),
        (ID, SENT, GOOD.lower(), BODY),
        (ID, SENT, "é" + GOOD, BODY),
        ("é", SENT, GOOD, BODY),
        (ID, "", GOOD, BODY),
        (ID, f"{SENT}.0", GOOD, BODY),
        (ID, f" {SENT}", GOOD, BODY),
        (ID, "9" * 400, GOOD, BODY),
        (ID, SENT, " ".join(["v1,x"] * 16 + [GOOD]), BODY),  # more than anybody rotates through
    ],
)
def test_anything_else_is_refused(id_: str, sent: str, given_: str, body: bytes) -> None:
    assert is_signed([SECRET], ID, SENT, GOOD, BODY, NOW)
    assert not is_signed([SECRET], id_, sent, given_, body, NOW)


@pytest.mark.parametrize(("off", "fits"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_a_message_is_good_for_five_minutes_before_and_after(off: int, fits: bool) -> None:
    sent = str(int(SENT) + off)
    signed = signature(SECRET, ID, sent, BODY)
    assert is_signed([SECRET], ID, sent, signed, BODY, NOW) is fits


def test_one_good_signature_among_several_is_enough() -> None:
    given_ = f"v1a,xyz v1,AAAA {GOOD}"
    assert is_signed([SECRET], ID, SENT, given_, BODY, NOW)


def test_an_unknown_sender_can_sign_nothing() -> None:
    nobodys = "whsec_" + base64.b64encode(b"\0" * 32).decode()
    assert not is_signed([], ID, SENT, signature(nobodys, ID, SENT, BODY), BODY, NOW)


def test_while_secrets_change_over_both_are_good_and_then_the_new_one_alone(store: Store) -> None:
    with store.write() as connection:
        old = add_sender(connection, "crm", NOW)
        new = rotate_secret(connection, "crm", NOW, overlap_hours=24)
        assert secrets_of(connection, "crm", NOW) == [new, old]
        assert secrets_of(connection, "crm", NOW + 24 * HOUR - 1) == [new, old]
        assert secrets_of(connection, "crm", NOW + 24 * HOUR) == [new]
        newest = rotate_secret(connection, "crm", NOW, overlap_hours=0)
        assert secrets_of(connection, "crm", NOW) == [newest]
        assert [one.source for one in list_secrets(connection)] == ["crm"] * 3


def test_rotating_again_does_not_lengthen_an_older_secret(store: Store) -> None:
    with store.write() as connection:
        add_sender(connection, "crm", NOW)
        rotate_secret(connection, "crm", NOW, overlap_hours=1)
        rotate_secret(connection, "crm", NOW, overlap_hours=48)
        assert list_secrets(connection)[0].ends_at == NOW + HOUR


def test_a_revoked_sender_has_no_secret_and_can_be_let_in_again(store: Store) -> None:
    with store.write() as connection:
        first = add_sender(connection, "crm", NOW)
        revoke_sender(connection, "crm", NOW)
        assert secrets_of(connection, "crm", NOW) == []
        with pytest.raises(NotFoundError):
            revoke_sender(connection, "crm", NOW)
        assert add_sender(connection, "crm", NOW) != first


def test_a_secret_of_the_senders_own_is_kept_as_it_is(store: Store) -> None:
    with store.write() as connection:
        assert add_sender(connection, "crm", NOW, SECRET) == SECRET
        assert secrets_of(connection, "crm", NOW) == [SECRET]


@pytest.mark.parametrize("secret", ["whsec_", "whsec_AAAA", "whsec_!!", "whsec_" + "A" * 400])
def test_a_secret_that_is_too_short_too_long_or_none_is_refused(
    sqlite_store: Store, secret: str
) -> None:
    with pytest.raises(InputError, match="secret"), sqlite_store.write() as connection:
        add_sender(connection, "crm", NOW, secret)


@pytest.mark.parametrize("name", ["", "CRM", "a b", "a/b", "-x", "x" * 65])
def test_a_name_that_no_address_could_carry_is_refused(sqlite_store: Store, name: str) -> None:
    with pytest.raises(InputError), sqlite_store.write() as connection:
        add_sender(connection, name, NOW)


def test_a_sender_is_let_in_once(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        add_sender(connection, "crm", NOW)
    with pytest.raises(ConflictError, match="already"), sqlite_store.write() as connection:
        add_sender(connection, "crm", NOW)
