"""How are requests that wait together answered? In rounds: one read, one prediction, one commit.

While a round is computed the next requests gather, so that a round is as large as the crowd and nobody
waits for a crowd that does not come. A score does not depend on who else is in its round: features,
prediction and reasons are functions of a row, and a batch of one is a batch.

What needs the database is computed in a thread. Leads that bring all that is known of them need nothing
before they are written, and are computed where they came in: to change threads would cost as much again.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import structlog

from features.errors import PropensityError
from features.store.engine import Store
from features.store.history import Profile
from features.store.ledger_writer import Ids, Ledger
from serving.lead_score import Ask, LeadScore, Occasion, Result, Scorer
from serving.scoring import computed, numbered, submit

log = structlog.get_logger("propensity.rounds")

TOGETHER = 64
"""Leads of one round: as many as one may wait for when one's own takes a millisecond."""

HERE = 16
"""Leads of a round that is computed in the event loop, which answers nobody else meanwhile."""


Tell = Callable[[Result | BaseException], None]
"""Is told, in the event loop, what became of a question."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A lead that somebody waits for the score of."""

    ask: Ask
    occasion: Occasion
    scorer: Scorer
    tell: Tell
    loop: asyncio.AbstractEventLoop


class Rounds:
    """Scores single leads for many requests at once, in one thread.

    Args:
        store: where facts are read.
        ledger: where scores are written.
    """

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger
        self._waiting: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._here: deque[_Waiting] = deque()
        self._thread = threading.Thread(target=self._run, name="rounds", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    async def score(self, scorer: Scorer, ask: Ask, occasion: Occasion) -> LeadScore:
        """Score one lead in the next round, and write it into the ledger.

        Args:
            scorer: what scores; whatever is promoted meanwhile, the answer is of this one.
            ask: which lead, and when.
            occasion: when, where and with how many reasons.

        Raises:
            PropensityError: as `serving.scoring.score_one`.
        """
        answer: asyncio.Future[Result | BaseException]
        answer = asyncio.get_running_loop().create_future()

        def tell(found: Result | BaseException) -> None:
            if not answer.done():  # its sender may have left
                answer.set_result(found)

        self.begin(scorer, ask, occasion, tell)
        found = await answer
        if isinstance(found, BaseException):
            raise found
        return found

    def begin(self, scorer: Scorer, ask: Ask, occasion: Occasion, tell: Tell) -> None:
        """As `score`, for whoever runs in the event loop and does not wait but wants to be told."""
        one = _Waiting(ask, occasion, scorer, tell, asyncio.get_running_loop())
        if ask.plain is not None and self._ledger.answers_when_written:
            self._gather(one)
        else:
            self._waiting.put(one)

    def stop(self, patience_seconds: float = 10.0) -> None:
        """Answer who waits, and take no more."""
        self._waiting.put(None)
        self._thread.join(patience_seconds)

    def _gather(self, one: _Waiting) -> None:
        """Score a lead here, with all others that come in the same turn of the event loop."""
        self._here.append(one)
        if len(self._here) == 1:
            one.loop.call_soon(self._round_here)

    def _round_here(self) -> None:
        together = [self._here.popleft() for _ in range(min(HERE, len(self._here)))]
        if self._here:
            self._here[0].loop.call_soon(self._round_here)
        for those in _by_scorer(together):
            self._round(those)

    def _run(self) -> None:
        while together := self._next():
            for those in _by_scorer(together):
                self._round(those)

    def _next(self) -> list[_Waiting]:
        """Who waits now, the first being waited for; nobody when this is the end."""
        first = self._waiting.get()
        found = [] if first is None else [first]
        while found and len(found) < TOGETHER:
            try:
                another = self._waiting.get_nowait()
            except Empty:
                break
            if another is None:
                self._waiting.put(None)  # seen again when these are answered
                break
            found.append(another)
        return found

    def _round(self, those: Sequence[_Waiting]) -> None:
        try:
            asked = [(one.ask, one.occasion) for one in those]
            waits = self._ledger.answers_when_written
            results, known = computed(self._store, those[0].scorer, asked, writer_refuses=waits)
            self._write(those, results, known)
        except PropensityError as error:
            _tell(those, [error] * len(those))
        except Exception as error:
            # Nobody's question may spoil the answers of others.
            if len(those) == 1:
                _tell(those, [error])
                return
            for one in those:
                self._round([one])

    def _write(
        self, those: Sequence[_Waiting], results: Sequence[Result], known: Mapping[str, Profile]
    ) -> None:
        """Hand the scores to the ledger; whoever waits is told when they are in it."""
        scores = [result for result in results if isinstance(result, LeadScore)]
        if not scores:
            _tell(those, results)
            return

        def written(ids: Future[Ids]) -> None:
            error = ids.exception()
            if error is None:
                _tell(those, numbered(results, ids.result()))
            else:
                _tell(those, [error if isinstance(r, LeadScore) else r for r in results])

        submit(self._ledger, scores, known).add_done_callback(written)


def _by_scorer(together: Sequence[_Waiting]) -> list[list[_Waiting]]:
    """Those of one model together: while models are swapped, a round may hold two."""
    found: list[list[_Waiting]] = []
    for one in together:
        if not found or not _is_same(found[-1][0].scorer, one.scorer):
            found.append([])
        found[-1].append(one)
    return found


def _is_same(one: Scorer, other: Scorer) -> bool:
    """Whether two are made of the same parts; to compare models by value would take too long."""
    return all(getattr(one, part) is getattr(other, part) for part in Scorer.__slots__)


def _tell(those: Sequence[_Waiting], results: Sequence[Result | BaseException]) -> None:
    """Wake those who wait; their loop is spoken to once, not once for each."""
    with contextlib.suppress(RuntimeError):  # a loop that was closed has nobody left who waits
        those[0].loop.call_soon_threadsafe(_settle, those, results)


def _settle(those: Sequence[_Waiting], results: Sequence[Result | BaseException]) -> None:
    for one, result in zip(those, results, strict=True):
        try:
            one.tell(result)
        except Exception as error:  # nobody's connection may keep others from their answers
            log.error("answer not sent", exc_info=error)
