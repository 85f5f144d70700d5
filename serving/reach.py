"""Can the database be reached? It is asked once a second at most, however many probes ask us.

And what it says soon, for whoever must be answered whether it says anything or not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

import anyio

from features.errors import StoreError
from features.store.engine import Store

Answer = TypeVar("Answer")

_SECONDS = 1.0
_SOON_SECONDS: Final = 2.0
"""Whoever scrapes figures waits ten seconds for them by default, in which we ask twice."""


async def soon(ask: Callable[[], Answer]) -> Answer:
    """What a thread hears from the database, unless that takes too long.

    Args:
        ask: does no harm when it ends after nobody waits for it any more.

    Raises:
        StoreError: the database failed.
        TimeoutError: it did not answer in time, or all threads wait for it.
    """
    with anyio.fail_after(_SOON_SECONDS):
        return await anyio.to_thread.run_sync(ask, abandon_on_cancel=True)


class Reach:
    """Remembers for a second whether the database was there.

    Args:
        store: the database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asking = threading.Lock()
        self._found: tuple[bool, float] = (False, float("-inf"))

    def is_there(self) -> bool:
        """Whether it was there when it was last asked, less than a second ago."""
        with self._asking:
            found, until = self._found
            if time.monotonic() < until:
                return found
            found = self._ask()
            # From when it answered: one that is gone may take seconds to be given up.
            self._found = found, time.monotonic() + _SECONDS
            return found

    def _ask(self) -> bool:
        try:
            self._store.check()
        except StoreError:
            return False
        return True
