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
from features.store.access import Caller
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


CHOSEN = Chosen()


class Running(Protocol):
    """An application whose state holds the service once it runs."""

    @property
    def state(self) -> Any:
        """Where `service` is."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A plain request that is let in: what scores, what is asked, and how many reasons are wanted."""

    scorer: Scorer
    ask: Ask
    reasons: int
    now: int


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
        self._is_open = min(settings.max_values, settings.max_body_bytes) >= SHORT

    @property
    def parts(self) -> Service:
        """The running service."""
        found: Service = self._running.state.service
        return found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        parts = self.parts if self._is_open and is_for_a_score(scope) else None
        if parts is None or (caller := known_caller(scope, parts)) is None:
            await self._app(scope, receive, send)
            return
        message = await receive()
        plain = None
        if not message.get("more_body"):
            plain = self._read(scope, message.get("body", b""), caller)
        if plain is None:
            await self._app(scope, _from_the_first(message, receive), send)
            return
        await _answer(plain, parts, scope, receive, send)

    def read(self, scope: Scope, body: bytes) -> Plain | None:
        """A whole request that is plain, let in; None where it must go the long way.

        Args:
            scope: of a request for a score.
            body: all of it.
        """
        caller = known_caller(scope, self.parts) if self._is_open else None
        return None if caller is None else self._read(scope, body, caller)

    def _read(self, scope: Scope, body: bytes, caller: Caller) -> Plain | None:
        reasons = _reasons(scope)
        if reasons is None or not 0 < len(body) <= SHORT:
            return None
        parts = self.parts
        try:
            scorer, now = parts.live.scorer(), parts.clock()
            ask = plain_ask(body, scorer, self._most_keys, now)
            if ask is None:
                return None
            scope["state"]["pace"] = admit(parts.pace.keys, caller.name, time.monotonic())
        except (NoModelError, TooManyError):
            return None
        scope["state"]["caller"] = caller
        scope["route"] = CHOSEN
        return Plain(scorer, ask, reasons, now)


def is_for_a_score(scope: Scope) -> bool:
    """Whether a request is for a single score, plain or not."""
    is_it: bool = scope["type"] == "http" and scope["path"] == CHOSEN.path
    return is_it and scope["method"] == "POST"


def _reasons(scope: Scope) -> int | None:
    """How many reasons are asked for; None where that is not plain to see."""
    query = _QUERY.fullmatch(scope["query_string"])
    if query is None:
        return None
    return TOP if query["n"] is None else int(query["n"])


def known_caller(scope: Scope, parts: Service) -> Caller | None:
    """Who asks, where the key is known by now and may do so; None: to be asked for on the long way."""
    key = _key(scope)
    caller = None if key is None else parts.keys.remembered(key)
    return caller if caller is not None and caller.role in ALLOWED else None


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


async def _answer(plain: Plain, parts: Service, scope: Scope, receive: Receive, send: Send) -> None:
    """Score, count and send."""
    occasion = occasion_of(plain, scope["state"]["request_id"])
    try:
        found = await parts.rounds.score(plain.scorer, plain.ask, occasion)
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


def occasion_of(plain: Plain, request_id: str) -> Occasion:
    """When a plain request is answered, under which id, and with how many reasons."""
    return Occasion(now=plain.now, request_id=request_id, reasons=plain.reasons)
