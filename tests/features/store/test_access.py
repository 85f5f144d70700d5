"""Do sessions end when they should, and with the person they belong to?"""

from __future__ import annotations

import pytest
from agreed import NOW
from sqlalchemy import select

from features.clock import HOUR, MINUTE
from features.errors import InputError, NotFoundError
from features.store.access import (
    find_session,
    list_users,
    note_session,
    open_session,
    prove,
    remove_user,
    sessions,
    set_user,
    sign_out,
    users,
)
from features.store.engine import Connection, Store

PASSWORD = "correct horse battery"


def signed_in(connection: Connection, name: str = "anna", now: int = NOW) -> str:
    proof = prove(connection, name, PASSWORD)
    assert proof is not None
    token = open_session(connection, name, proof, now)
    assert token is not None
    return token


@pytest.fixture
def anna(store: Store) -> Store:
    with store.write() as connection:
        set_user(connection, "anna", "rep", PASSWORD, "Anna Berg", NOW)
    return store


def test_a_session_ends_after_an_hour_without_use_and_twelve_in_any_case(anna: Store) -> None:
    with anna.write() as connection:
        token = signed_in(connection)
        assert find_session(connection, token, NOW + HOUR - 1) is not None
        assert find_session(connection, token, NOW + HOUR) is None
        for minutes in range(0, 12 * 60, 59):
            assert find_session(connection, token, NOW + minutes * MINUTE) is not None, minutes
            note_session(connection, token, NOW + minutes * MINUTE)
        assert find_session(connection, token, NOW + 12 * HOUR - 1) is not None
        assert find_session(connection, token, NOW + 12 * HOUR) is None
        assert find_session(connection, token, NOW + 12 * HOUR - 1, idle_minutes=5) is None


def test_a_session_of_the_first_release_counts_from_its_beginning(anna: Store) -> None:
    with anna.write() as connection:
        token = signed_in(connection)
        connection.execute(sessions.update().values(used_at=None))
        assert find_session(connection, token, NOW + HOUR - 1) is not None
        assert find_session(connection, token, NOW + HOUR) is None


def test_a_person_who_is_removed_or_changed_is_signed_out_at_once(anna: Store) -> None:
    with anna.write() as connection:
        set_user(connection, "ben", "rep", PASSWORD, None, NOW)
        of_anna, of_ben = signed_in(connection), signed_in(connection, "ben")
        remove_user(connection, "anna")
        assert find_session(connection, of_anna, NOW) is None
        assert prove(connection, "anna", PASSWORD) is None
        assert [user.name for user in list_users(connection)] == ["ben"]
        set_user(connection, "ben", "analyst", PASSWORD, None, NOW)
        assert find_session(connection, of_ben, NOW) is None
        with pytest.raises(NotFoundError, match="'anna'"):
            remove_user(connection, "anna")


def test_neither_password_nor_token_is_in_the_database(anna: Store) -> None:
    with anna.write() as connection:
        token = signed_in(connection)
        rows = [*connection.execute(select(users)), *connection.execute(select(sessions))]
    assert PASSWORD not in str(rows)
    assert token not in str(rows)


def test_a_new_session_takes_the_place_of_the_one_that_was_there(anna: Store) -> None:
    with anna.write() as connection:
        old, proof = signed_in(connection), prove(connection, "anna", PASSWORD)
        assert proof is not None
        new = open_session(connection, "anna", proof, NOW, instead_of=old)
        assert new is not None
        assert find_session(connection, old, NOW) is None
        assert find_session(connection, new, NOW) is not None
        sign_out(connection, new)
        assert find_session(connection, new, NOW) is None


def test_a_proof_is_worth_nothing_once_the_password_was_changed(anna: Store) -> None:
    with anna.write() as connection:
        proof = prove(connection, "anna", PASSWORD)
        assert proof is not None
        set_user(connection, "anna", "rep", "another good password", None, NOW)
        assert open_session(connection, "anna", proof, NOW) is None


def test_passwords_are_neither_short_nor_endless(store: Store) -> None:
    with store.write() as connection:
        for password in ("", "x" * 11, "x" * 1_001):
            with pytest.raises(InputError, match="password is"):
                set_user(connection, "anna", "rep", password, None, NOW)
        assert list_users(connection) == []
