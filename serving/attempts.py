"""Who is guessing passwords? Failed sign-ins of the last minutes, in memory.

An attempt counts as failed from its beginning until it turns out right: guesses sent all at once are
stopped before a password is hashed, for that costs 50 ms and 16 MiB each. A name that does not exist is
counted like one that does, so that the limit tells nobody which is which. Several processes count
apart: the limit then is that many times higher, and still one.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from features.clock import MINUTE
from serving.errors import BusyError

WINDOW = 15 * MINUTE
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

    def begin(self, name: str, address: str, now: int) -> int:
        """Count an attempt as failed: 0; or the microseconds until the next one may be made."""
        with self._lock:
            wait = max(
                self._wait(key, limit, now)
                for key, limit in zip(_keys(name, address), self._limits, strict=True)
            )
            if not wait:
                self._count(name, address, now)
            return wait

    def succeeded(self, name: str, address: str, now: int) -> None:
        """The attempt begun at `now` was right: so what went before was a slip."""
        pair, *others = _keys(name, address)
        with self._lock:
            self._failures.pop(pair, None)
            for key in others:
                self._uncount(key, now)

    def _count(self, name: str, address: str, now: int) -> None:
        for key, limit in zip(_keys(name, address), self._limits, strict=True):
            self._failures.setdefault(key, deque(maxlen=limit)).append(now)
        if len(self._failures) > _MOST_KEYS:
            self._forget(now)

    def _uncount(self, key: tuple[str, ...], now: int) -> None:
        times = self._failures.get(key)
        if times is not None and now in times:
            times.remove(now)
            if not times:
                del self._failures[key]

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


class Hashing:
    """Lets few passwords be hashed at once, and few wait: the threads are there for everybody.

    Args:
        at_once: hashed at the same time.
        waiting: how many more may wait for their turn.
    """

    def __init__(self, at_once: int = 2, waiting: int = 6) -> None:
        self._places = threading.BoundedSemaphore(at_once + waiting)
        self._turns = threading.BoundedSemaphore(at_once)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A turn to hash.

        Raises:
            BusyError: too many are waiting already.
        """
        if not self._places.acquire(blocking=False):
            raise BusyError("too many people are signing in", hint="Try again in a moment.")
        try:
            with self._turns:
                yield
        finally:
            self._places.release()


def _keys(name: str, address: str) -> tuple[tuple[str, ...], ...]:
    return ("pair", name, address), ("address", address), ("name", name)
