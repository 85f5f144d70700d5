"""Is a key known by its hash alone, recognisable when it leaks, and worthless once it ended?"""

from __future__ import annotations

import binascii
import re

import pytest
from agreed import NOW
from sqlalchemy import select, text

from features.clock import DAY, SECOND
from features.errors import ConflictError, NotFoundError
from features.store.access import fingerprint
from features.store.engine import Store
from features.store.keys import (
    KEY_PATTERN,
    caller_of_key,
    create_key,
    keys,
    list_keys,
    looks_like_key,
    note_uses,
    revoke_key,
)


def test_a_key_carries_a_checksum_that_tells_it_from_other_texts(store: Store) -> None:
    with store.write() as connection:
        key = create_key(connection, "crm", "crm", NOW)
    assert re.fullmatch(r"pk_[0-9a-f]{48}", key)
    assert int(key[-8:], 16) == binascii.crc32(key[3:43].encode())
    assert looks_like_key(key)
    for i in range(3, len(key)):
        other = key[:i] + ("0" if key[i] != "0" else "1") + key[i + 1 :]
        assert not looks_like_key(other), i
    for no_key in ("", "pk_", key[:-1], key + "0", key.upper(), f"{key}\n", "пк_" + key[3:]):
        assert not looks_like_key(no_key)


def test_nothing_in_the_database_gives_a_key_away(store: Store) -> None:
    with store.write() as connection:
        key = create_key(connection, "crm", "crm", NOW)
        (row,) = connection.execute(select(keys)).mappings()
    assert row["hash"] == fingerprint(key)
    assert not [value for value in row.values() if isinstance(value, str) and key[8:20] in value]
    assert row["prefix"] == key[:8]


def test_a_key_of_the_first_release_without_checksum_stays_good(store: Store) -> None:
    old = "pk_" + "5" * 40
    assert KEY_PATTERN.fullmatch(old)
    with store.write() as connection:
        row = {"hash": fingerprint(old), "prefix": old[:8], "name": "old", "role": "crm"}
        connection.execute(keys.insert(), [{**row, "created_at": NOW}])
        assert caller_of_key(connection, old, NOW) is not None


def test_a_key_ends_when_it_was_to_end_or_was_revoked(store: Store) -> None:
    with store.write() as connection:
        month = create_key(connection, "month", "crm", NOW, days=30)
        for_ever = create_key(connection, "for ever", "analyst", NOW)
        with pytest.raises(ConflictError):
            create_key(connection, "month", "crm", NOW)
        assert caller_of_key(connection, month, NOW + 30 * DAY - 1) is not None
        assert caller_of_key(connection, month, NOW + 30 * DAY) is None
        assert caller_of_key(connection, for_ever, NOW + 3_000 * DAY) is not None
        revoke_key(connection, "for ever", NOW)
        assert caller_of_key(connection, for_ever, NOW) is None
        with pytest.raises(NotFoundError):
            revoke_key(connection, "for ever", NOW)


def test_the_last_use_is_the_newest_whoever_notes_it_last(store: Store) -> None:
    with store.write() as connection:
        create_key(connection, "crm", "crm", NOW)
        create_key(connection, "idle", "crm", NOW)
        for seconds in (5, 9, 7):
            note_uses(connection, {"crm": NOW + seconds * SECOND, "nobody": NOW})
        assert {k.name: k.used_at for k in list_keys(connection)} == {
            "crm": NOW + 9 * SECOND,
            "idle": None,
        }


def test_what_can_be_no_key_is_not_even_looked_up(store: Store) -> None:
    with store.write() as connection:
        connection.execute(text("ALTER TABLE api_keys RENAME TO elsewhere"))
        for guess in ("", "secret", "pk_" + "0" * 48, "pk_" + "z" * 40):
            assert caller_of_key(connection, guess, NOW) is None
        connection.execute(text("ALTER TABLE elsewhere RENAME TO api_keys"))
