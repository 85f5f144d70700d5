"""Who is guessing passwords? Failed sign-ins of the last minutes, in memory.

A name that does not exist is counted like one that does, so that the limit tells nobody which is which.
Several processes count apart: the limit then is that many times higher, and still one.
"""

from __future__ import annotations

import threading
from collections import deque

from features.clock import SECOND

WINDOW = 15 * 60 * SECOND
"""How long a failure counts, in microseconds."""

_MOST_KEYS = 20_000
"""Names and addresses remembered at once; bounds the memory that guessing can take."""


class FailedSignIns:
    """Counts failures by name and address together, by address and by name.

    Args:
        of_pair: failures allowed for one name from one address.
        of_address: for all names from one address: an office may share one.
        of_name: for one name from all addresses, so that many addresses do not help.
    """

    def __init__(self, of_pair: int = 5, of_address: int = 50, of_name: int = 50) -> None:
        self._limits = (of_pair, of_address, of_name)
        self._failures: dict[tuple[str, ...], deque[int]] = {}
        self._lock = threading.Lock()

    def wait(self, name: str, address: str, now: int) -> int:
        """Microseconds until the next attempt may be made; 0: now."""
        with self._lock:
            return max(
                self._wait(key, limit, now)
                for key, limit in zip(_keys(name, address), self._limits, strict=True)
            )

    def failed(self, name: str, address: str, now: int) -> None:
        """An attempt failed."""
        with self._lock:
            for key, limit in zip(_keys(name, address), self._limits, strict=True):
                self._failures.setdefault(key, deque(maxlen=limit)).append(now)
            if len(self._failures) > _MOST_KEYS:
                self._forget(now)

    def succeeded(self, name: str, address: str) -> None:
        """An attempt was right: what went before was a slip."""
        with self._lock:
            self._failures.pop(_keys(name, address)[0], None)

    def _wait(self, key: tuple[str, ...], limit: int, now: int) -> int:
        times = self._failures.get(key)
        if times is None or len(times) < limit:
            return 0
        # Only the last `limit` failures are kept: when the oldest of them no longer counts, one is free.
        return max(0, times[0] + WINDOW - now)

    def _forget(self, now: int) -> None:
        """Drop what no longer counts; if that is not enough, whatever is oldest."""
        for key in [key for key, times in self._failures.items() if times[-1] <= now - WINDOW]:
            del self._failures[key]
        excess = len(self._failures) - _MOST_KEYS // 2
        if excess > 0:
            for key in list(self._failures)[:excess]:
                del self._failures[key]


def _keys(name: str, address: str) -> tuple[tuple[str, ...], ...]:
    return ("pair", name, address), ("address", address), ("name", name)
