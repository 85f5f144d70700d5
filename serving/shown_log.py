"""What was shown to whom? Noted in passing: a list is answered first and written down a moment later.

Bounded in memory and once for each score, place and day; when the database takes no writes, the oldest
are dropped and counted. What is lost is a showing, never a score.

Remembered is which score stands in which place, not which ever stood there: scores are renewed all day,
and what was remembered of the old ones made a busy process grow by megabytes a minute.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from features.clock import DAY
from features.store.engine import Store
from features.store.exposure import Channel, Shown, record_shown, whole_list_name

_TOGETHER = 2_000
"""Showings of one transaction."""


class ShownLog:
    """Showings on their way into the database.

    Args:
        store: the database.
        capacity: how many may wait; the oldest go first.
    """

    def __init__(self, store: Store, capacity: int = 50_000) -> None:
        self._store = store
        self._capacity = capacity
        self._waiting: dict[tuple[object, ...], Shown] = {}
        self._stands: dict[tuple[str, str, int], int] = {}
        self._day = 0
        self._lock = threading.Lock()
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """How many wait to be written."""
        return len(self._waiting)

    @property
    def places(self) -> int:
        """Of how many places it is remembered which score was last noted there."""
        return len(self._stands)

    def note(self, showings: Sequence[Shown]) -> None:
        """Remember what was shown; takes no time to speak of, and never fails."""
        with self._lock:
            for one in showings:
                if self._is_new(one):
                    self._waiting[one.key] = one
            while len(self._waiting) > self._capacity:
                del self._waiting[next(iter(self._waiting))]
                self.dropped += 1

    def _is_new(self, one: Shown) -> bool:
        """Whether the day, the place or the score in it is another than when it was last noted."""
        place = one.list, one.channel, one.rank
        if one.at // DAY != self._day:
            self._day = one.at // DAY
            self._stands.clear()
        if self._stands.get(place) == one.score:
            return False
        if len(self._stands) >= 4 * self._capacity:
            self._stands.clear()
        self._stands[place] = one.score
        return True

    def write(self) -> int:
        """Write what waits, a part at a time; how many rows were new.

        Raises:
            StoreError: the database takes no writes; what could not be written goes on waiting.
        """
        added = 0
        while part := self._oldest():
            with self._store.write() as connection:
                added += record_shown(connection, part)
            with self._lock:
                for one in part:
                    self._waiting.pop(one.key, None)
        return added

    def _oldest(self) -> list[Shown]:
        """The next part; others note meanwhile, and nobody may add to what is being walked over."""
        with self._lock:
            return list(islice(self._waiting.values(), _TOGETHER))


def showings(
    rows: Sequence[Mapping[str, Any]], first: int, name: str, channel: Channel, at: int
) -> list[Shown]:
    """Rows of a queue as they were shown, the first of them in this place (from 1)."""
    return [
        Shown(
            lead=row["lead_id"],
            score=row["id"],
            at=at,
            list=name,
            rank=first + i,
            channel=channel,
            place=row["place"],
            chance=row["chance"],
        )
        for i, row in enumerate(rows)
    ]


def list_name(owner: str | None, *narrowed_by: tuple[str, str | None]) -> str:
    """How a list is called: whose it is, and by what it was narrowed; of a search only that it was.

    >>> list_name("anna", ("route", "nurture"), ("q", "miller"), ("kind", None))
    'owner=anna route=nurture q'
    """
    narrowed = [name if name == "q" else f"{name}={value}" for name, value in narrowed_by if value]
    return " ".join([whole_list_name(owner), *narrowed])
