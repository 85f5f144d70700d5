"""How many requests at once? So many as the threads can work off soon; the rest is told to come again.

A queue that grows without end answers everybody too late. Probes are always answered, and nobody keeps
a place by being slow: who reads an answer slowly has given it back, and who is not known yet takes none
of those who are: forms have deadlines (`serving.limits`), senders of webhooks places of their own.
"""

from __future__ import annotations

from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import BusyError, as_response, report_of
from serving.limits import PROBES, SENDERS
from serving.pace import neighbourhood

_ANSWERED = PROBES | {"/sign-in"}
_SHARE_OF_ADDRESS = 8
"""One address may hold the eighth part of the senders' places: it alone shuts no other sender out."""


class Crowd:
    """Answers 503 with Retry-After when too many requests are under way.

    Args:
        app: what comes next.
        most: requests at once; of senders, whose messages show only when they are read whether they
            are signed, as many again.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._inside = 0
        self._senders: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or turn it away."""
        if scope["type"] != "http" or scope["path"] in _ANSWERED:
            await self._app(scope, receive, send)
        elif scope["path"].startswith(SENDERS):
            await self._of_sender(scope, receive, send)
        elif not self.has_room:
            await _turn_away(scope, receive, send)
        else:
            await self._of_caller(scope, receive, send)

    @property
    def has_room(self) -> bool:
        """Whether one request more may be under way."""
        return self._inside < self._most

    def enter(self) -> None:
        """Take a place for a request that is not passed on."""
        self._inside += 1

    def leave(self) -> None:
        """Give a place back that `enter` took."""
        self._inside -= 1

    async def _of_caller(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A request that has its place until its answer begins."""
        has_place = True

        def give_back() -> None:
            nonlocal has_place
            self._inside -= has_place
            has_place = False

        async def sent(message: Message) -> None:
            give_back()
            await send(message)

        self._inside += 1
        try:
            await self._app(scope, receive, sent)
        finally:
            give_back()

    async def _of_sender(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A message that shows only when it is read whether it is signed."""
        senders, where = self._senders, neighbourhood((scope.get("client") or ("",))[0])
        share = max(1, self._most // _SHARE_OF_ADDRESS)
        if senders[where] >= share or senders.total() >= self._most:
            await _turn_away(scope, receive, send)
            return
        senders[where] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            senders[where] -= 1
            if not senders[where]:
                del senders[where]


async def _turn_away(scope: Scope, receive: Receive, send: Send) -> None:
    error = BusyError("too many requests are under way", hint="Come again in a moment.")
    report = report_of(error, str(scope.get("state", {}).get("request_id", "")))
    await as_response(report)(scope, receive, send)
