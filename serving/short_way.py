"""Which requests are answered without the framework? Plain ones for a score, from who is known by now.

The short way is the long one without what a plain request does not need: no route is looked for, nothing
is injected, nothing asked twice. Rule: it gives the answer that the long way would have given; where it
finds anything that is not plain, something wrong above all, the request goes the long way.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from features.errors import NoModelError, PropensityError
from serving.deps import Service
from serving.errors import TooManyError, refused
from serving.lead_score import TOP, Ask, Occasion, Scorer
from serving.limits import SHORT
from serving.once import HEADER
from serving.pace import admit
from serving.plain_requests import plain_ask
from serving.security import ACCESS
from serving.settings import Settings

ALLOWED = ACCESS["POST /v1/scores"]
_QUERY = re.compile(rb"(?:reasons=(?P<n>100|[1-9]?[0-9]))?")
_KEYED = HEADER.lower().encode()
_MOST_KEYS = 1_000
"""Attributes that any request may have, see `serving.contracts`."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The route of the requests that are answered here, as the log and the figures name it."""

    path: str = "/v1/scores"


_CHOSEN = Chosen()


class Running(Protocol):
    """An application whose state holds the service once it runs."""

    @property
    def state(self) -> Any:
        """Where `service` is."""


class ShortWay:
    """Answers plain requests for a score; passes all others on.

    Args:
        app: the long way.
        running: holds the service.
        settings: its limits.
    """

    def __init__(self, app: ASGIApp, running: Running, settings: Settings) -> None:
        self._app = app
        self._running = running
        self._most_keys = min(settings.max_keys, _MOST_KEYS)
        # A short body has no more values than bytes.
        self._is_open = settings.max_values >= SHORT

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if not self._is_open or not _is_for_a_score(scope):
            await self._app(scope, receive, send)
            return
        parts: Service = self._running.state.service
        if (reasons := _reasons(scope)) is None or not _is_let_in(scope, parts):
            await self._app(scope, receive, send)
            return
        message, now = await receive(), parts.clock()
        asked = self._asked(message, parts, now)
        if asked is None:
            await self._app(scope, _from_the_first(message, receive), send)
            return
        scope["route"] = _CHOSEN
        occasion = Occasion(now=now, request_id=scope["state"]["request_id"], reasons=reasons)
        await _answer(asked, occasion, parts, scope, receive, send)

    def _asked(self, message: Message, parts: Service, now: int) -> tuple[Scorer, Ask] | None:
        """What scores, and what a plain body asks; None where it takes a closer look."""
        if message.get("more_body") or not 0 < len(message.get("body", b"")) <= SHORT:
            return None
        try:
            scorer = parts.live.scorer()
        except NoModelError:
            return None
        ask = plain_ask(message["body"], scorer, self._most_keys, now)
        return None if ask is None else (scorer, ask)


def _is_for_a_score(scope: Scope) -> bool:
    is_it: bool = scope["type"] == "http" and scope["path"] == _CHOSEN.path
    return is_it and scope["method"] == "POST"


def _reasons(scope: Scope) -> int | None:
    """How many reasons are asked for; None where that is not plain to see."""
    query = _QUERY.fullmatch(scope["query_string"])
    if query is None:
        return None
    return TOP if query["n"] is None else int(query["n"])


def _is_let_in(scope: Scope, parts: Service) -> bool:
    """Let a caller in whose key is known by now; False: to be asked for on the long way."""
    key = _key(scope)
    caller = None if key is None else parts.keys.remembered(key)
    if caller is None or caller.role not in ALLOWED:
        return False
    try:
        scope["state"]["pace"] = admit(parts.pace.keys, caller.name, time.monotonic())
    except TooManyError:
        return False
    scope["state"]["caller"] = caller
    return True


def _key(scope: Scope) -> str | None:
    """The key of a request that carries it plainly, and no key of its own."""
    given = None
    for name, value in scope["headers"]:
        if name == _KEYED:
            return None
        if name == b"authorization":
            if given is not None or value[:7].lower() != b"bearer ":
                return None
            given = value[7:].strip().decode("latin-1")
    return given


def _from_the_first(message: Message, receive: Receive) -> Receive:
    """Receives once more what was received already, and then goes on."""
    is_first = True

    async def again() -> Message:
        nonlocal is_first
        if is_first:
            is_first = False
            return message
        return await receive()

    return again


async def _answer(
    asked: tuple[Scorer, Ask],
    occasion: Occasion,
    parts: Service,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """Score, count and send."""
    try:
        found = await parts.rounds.score(*asked, occasion)
    except PropensityError as error:
        parts.metrics.count_scores([error], occasion.channel)
        await refused(error, str(occasion.request_id))(scope, receive, send)
        return
    parts.metrics.count_scores([found], occasion.channel)
    body = orjson.dumps(found.to_json())
    headers = [
        (b"content-length", str(len(body)).encode()),
        (b"content-type", b"application/json"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
