"""What time is it, for all hosts of one database? The database's; a host's own clock counts on from it.

Sessions, keys, claims and facts carry instants that one host writes and another compares: a host whose
clock is an hour off would sign people out as they come in, and not know what was told to its neighbour.
SQLite serves one host, whose own clock is the only one there is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress

from features.clock import SECOND
from features.errors import StoreError
from features.store.engine import Store
from features.store.leases import database_clock

log = logging.getLogger("propensity.clock")

TOLERATED = SECOND
"""Within this the two are taken to agree; and an answer that took longer says too little."""


def ahead_of_database(store: Store, own: Callable[[], int]) -> int | None:
    """How far a clock is ahead of the database's, in microseconds; None when that cannot be told.

    Raises:
        StoreError: the database cannot be asked.
    """
    if store.is_sqlite:
        return 0
    with store.read() as connection:
        database_clock(connection)  # what the first statement waits for is not the clock's
        asked = own()
        there = database_clock(connection)
        took = own() - asked
    return asked + took // 2 - there if 0 <= took <= TOLERATED else None


def wall_clock() -> int:
    """The present instant by this host; whoever shares a database asks `OneClock` instead."""
    return time.time_ns() // 1_000


class OneClock:
    """The present instant as every host of a database has it.

    Args:
        store: the database.
        own: this host's clock.
    """

    def __init__(self, store: Store, own: Callable[[], int]) -> None:
        self._store = store
        self._own = own
        self._ahead = 0

    def __call__(self) -> int:
        """The present instant."""
        return self._own() - self._ahead

    def look(self) -> None:
        """Compare the clocks; until the next time the difference is taken to stay.

        Raises:
            StoreError: the database cannot be asked.
        """
        ahead = ahead_of_database(self._store, self._own)
        if ahead is None or abs(ahead - self._ahead) <= TOLERATED:
            return
        self._ahead = ahead if abs(ahead) > TOLERATED else 0
        said = "this host's clock is %+.1f s from the database's, which counts"
        log.warning(said, ahead / SECOND)


def clock_of(store: Store) -> OneClock:
    """The clock of a command, compared once; this host's own while the database cannot be asked."""
    clock = OneClock(store, wall_clock)
    with suppress(StoreError):  # the command itself will say so
        clock.look()
    return clock
