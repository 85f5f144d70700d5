"""How do many scores become few transactions? One thread writes whatever has come since it last wrote.

*Durable*: the ids come when the transaction that holds the scores is committed; scores that wait
together share a commit. *Queued*: the ids come at once, of numbers taken beforehand, and the scores are
written as soon as the database allows. Either way at most so many scores wait, and none is lost
silently: what cannot be written is answered with an error, or logged as one. Where a connection breaks
at COMMIT nobody can tell from here whether the server got it: it is asked for the ids before anything is
written again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from features.errors import PropensityError, StoreError
from features.store.engine import Store
from features.store.ledger import QueueEntry, ScoreEntry, present, record_scores, take_numbers

log = logging.getLogger("propensity.ledger")

TOGETHER = 1_000
"""Scores of one transaction, unless a single request brings more: nobody waits for a huge one."""

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
"""Seconds between two attempts to write to a database that fails."""

_DOUBT_SECONDS = 2.0
"""How long it is tried to learn whether scores were written, once at least: somebody waits for it."""

Ids = list[int | None]
"""Of scores, in the order given; None for those that were not written, see `record_scores`."""


class Ledger(Protocol):
    """Where scores are written."""

    @property
    def answers_when_written(self) -> bool:
        """Whether ids come no sooner than the transaction that left out whoever objects."""

    def submit(
        self, entries: Sequence[ScoreEntry], shown: Sequence[QueueEntry | None]
    ) -> Future[Ids]:
        """Scores to be written, and what the queue shows of them; their ids in the order given."""


class DirectLedger:
    """Writes at once, in a transaction of its own: for commands and files."""

    answers_when_written = True

    def __init__(self, store: Store) -> None:
        self._store = store

    def submit(
        self, entries: Sequence[ScoreEntry], shown: Sequence[QueueEntry | None]
    ) -> Future[Ids]:
        """See `Ledger`; what fails is raised here."""
        ids: Future[Ids] = Future()
        with self._store.write() as connection:
            found = record_scores(connection, entries, shown)
        ids.set_result(found)
        return ids


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Scores of one request; `ids` are known in advance when nobody waits for them to be written."""

    entries: Sequence[ScoreEntry]
    shown: Sequence[QueueEntry | None]
    ids: list[int] | None
    written: Future[Ids] = field(default_factory=Future)


@dataclass(slots=True)
class _Group:
    """Requests whose scores are one transaction.

    Attributes:
        requests: these.
        sent: the ids under which the scores may be there: all was sent that comes before COMMIT.
        until: when it is no longer tried to learn whether they are, on a monotonic clock.
    """

    requests: Sequence[_Waiting]
    sent: list[int] | None = None
    until: float = 0.0

    def is_in_doubt(self, now: float) -> bool:
        """Whether it is open, and to be learned, if the scores are there."""
        if self.sent is not None and not self.until:
            self.until = now + _DOUBT_SECONDS
        return now < self.until

    def tell(self, ids: Ids) -> None:
        """Tell each request the ids of its scores."""
        for one, here in self._places():
            one.written.set_result(ids[here])

    def parts(self) -> list[_Group]:
        """Each request by itself, with the ids under which its scores may be there."""
        return [
            _Group([one], None if self.sent is None else self.sent[here], self.until)
            for one, here in self._places()
        ]

    def _places(self) -> Iterator[tuple[_Waiting, slice]]:
        """Each request, and where its scores are among those of all."""
        at = 0
        for one in self.requests:
            yield one, slice(at, at := at + len(one.entries))

    def fail(self, error: Exception) -> None:
        """Tell those who wait; what was answered already is told to whoever reads the log."""
        if self.sent is not None and isinstance(error, StoreError):
            error = StoreError(f"{error.message}; whether scores were written is not known")
        for one in self.requests:
            if one.ids is not None:
                said = error.message if isinstance(error, PropensityError) else type(error).__name__
                log.error("scores %s were given and could not be written: %s", one.ids, said)
            one.written.set_exception(error)


class LedgerWriter:
    """Writes scores in one thread, many requests' in one transaction.

    Args:
        store: the database.
        capacity: scores that may wait; above, whoever brings more is told to come back.
        is_durable: whether ids come only with the commit.
    """

    def __init__(self, store: Store, capacity: int = 10_000, is_durable: bool = True) -> None:
        self._store = store
        self._capacity = capacity
        self._is_durable = is_durable
        self._waiting: deque[_Waiting] = deque()
        self._numbers: deque[int] = deque()
        self._scores = 0
        self._changed = threading.Condition()
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    @property
    def waiting(self) -> int:
        """How many scores wait to be written, those being written among them."""
        return self._scores

    @property
    def answers_when_written(self) -> bool:
        """See `Ledger`."""
        return self._is_durable

    def start(self) -> None:
        """Begin to write.

        Raises:
            StoreError: the database cannot be written to.
        """
        if not self._is_durable:
            self._take_numbers()
        self._thread.start()

    def submit(
        self, entries: Sequence[ScoreEntry], shown: Sequence[QueueEntry | None]
    ) -> Future[Ids]:
        """See `Ledger`.

        Raises:
            StoreError: too many scores wait, or the writer has stopped.
        """
        with self._changed:
            if self._is_stopping.is_set():
                raise StoreError("the service stops; the score cannot be written any more")
            if self._scores >= self._capacity:
                raise StoreError(f"{self._scores} scores wait to be written into the ledger")
            ids = None if self._is_durable else self._numbered(len(entries))
            one = _Waiting(entries, shown, ids)
            self._waiting.append(one)
            self._scores += len(entries)
            self._changed.notify()
        if ids is None:
            return one.written
        at_once: Future[Ids] = Future()
        at_once.set_result([*ids])
        return at_once

    def stop(self, patience_seconds: float = 10.0) -> None:
        """Write what waits, and take no more; what the database refuses to the end is logged."""
        self._is_stopping.set()
        with self._changed:
            self._changed.notify()
        self._thread.join(patience_seconds)

    def _numbered(self, n: int) -> list[int]:
        if len(self._numbers) < n:
            raise StoreError("no more ids of scores could be taken from the database")
        return [self._numbers.popleft() for _ in range(n)]

    def _take_numbers(self) -> None:
        """See that there are numbers for as many scores as may wait."""
        missing = 2 * self._capacity - len(self._numbers)
        if missing > self._capacity:
            with self._store.write() as connection:
                self._numbers.extend(take_numbers(connection, missing))

    def _take_more_numbers(self) -> None:
        try:
            self._take_numbers()
        except StoreError as error:
            log.warning("no ids of scores taken, will be tried again: %s", error.message)

    def _run(self) -> None:
        while together := self._next():
            self._until_written(_Group(together))
            if not self._is_durable:
                self._take_more_numbers()
            with self._changed:
                self._scores -= sum(len(one.entries) for one in together)

    def _next(self) -> list[_Waiting]:
        """What is written next; nothing when the writer has been stopped and all is written."""
        with self._changed:
            while not self._waiting and not self._is_stopping.is_set():
                self._changed.wait()
            found: list[_Waiting] = []
            room = TOGETHER
            while self._waiting and (not found or len(self._waiting[0].entries) <= room):
                found.append(self._waiting.popleft())
                room -= len(found[-1].entries)
            return found

    def _until_written(self, group: _Group) -> None:
        pause = _SHORTEST_PAUSE
        while True:
            try:
                ids = self._found(group) or self._written(group)
            except Exception as error:
                if not self._is_tried_again(group, error):
                    return
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                group.tell(ids)
                return

    def _is_tried_again(self, group: _Group, error: Exception) -> bool:
        """Whether there is any sense in it; else those who wait are told."""
        is_in_doubt = group.is_in_doubt(time.monotonic())
        if not is_in_doubt and not isinstance(error, StoreError):
            # One row that the database will never take must not take the others with it.
            self._one_by_one(group, error)
            return False
        if not is_in_doubt and (self._is_durable or self._is_stopping.is_set()):
            group.fail(error)
            return False
        said = error.message if isinstance(error, StoreError) else type(error).__name__
        log.warning("ledger not written, will be tried again: %s", said)
        return True

    def _found(self, group: _Group) -> Ids | None:
        """The ids of scores that were sent and are there; None when none is.

        A transaction is there as a whole: what is missing was left out, see `record_scores`.
        """
        if group.sent is None:
            return None
        with self._store.read() as connection:
            there = present(connection, group.sent)
        return [id_ if id_ in there else None for id_ in group.sent] if there else None

    def _written(self, group: _Group) -> Ids:
        """Write all in one transaction; the ids.

        Raises:
            StoreError: the database failed; nothing was written, unless `group.sent` says otherwise.
        """
        entries = [entry for one in group.requests for entry in one.entries]
        shown = [entry for one in group.requests for entry in one.shown]
        known = group.sent or [id_ for one in group.requests for id_ in one.ids or ()]
        with self._store.write() as connection:
            taken = known or take_numbers(connection, len(entries))
            ids = record_scores(connection, entries, shown, taken)
            # What SQLite has just counted it counts again for somebody else when this comes to nothing.
            if known or connection.dialect.name == "postgresql":
                group.sent = taken
        return ids

    def _one_by_one(self, group: _Group, error: Exception) -> None:
        if len(group.requests) > 1:
            for part in group.parts():
                self._until_written(part)
            return
        try:
            # What was refused may have been refused for being there: by a COMMIT that took its time.
            ids = self._found(group)
        except StoreError as away:
            group.fail(away)
            return
        if ids is None:
            group.fail(error)
        else:
            group.tell(ids)
