"""Can the database be reached? It is asked once a second at most, however many probes ask us."""

from __future__ import annotations

import threading
import time

from features.errors import StoreError
from features.store.engine import Store

_SECONDS = 1.0


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
