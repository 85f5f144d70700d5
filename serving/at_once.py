"""Which requests are answered from the connection itself? Plain ones for a score, there as a whole.

A task, ASGI's messages and five layers around each of them cost more than reading such a request. So the
server (`serving.server`) asks here first. Rule: nothing is decided here. What each layer would have said
is asked of that layer; whatever it would not let pass goes through it, as if nobody had asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import orjson
import structlog
from starlette.types import Message, Scope

from features.errors import PropensityError
from serving.crowd import Crowd
from serving.errors import as_response, internal_report, refused
from serving.lead_score import LeadScore, Result
from serving.limits import BodyLimit
from serving.middleware import Envelope, request_id_of
from serving.short_way import CHOSEN, ShortWay, occasion_of

log = structlog.get_logger("propensity.requests")

Send = Callable[[int, list[tuple[bytes, bytes]], bytes], None]
"""Takes an answer: its status, its headers and its body."""


class Shortcut(Protocol):
    """What may answer a request in the place of the application."""

    def take(self, scope: Scope, body: bytes, send: Send) -> bool:
        """Begin to answer a request for a score that is there as a whole.

        Returns:
            False: it is the application's to answer, and nothing has happened.
        """


class AtOnce:
    """Answers plain requests for a score as the layers around the framework would.

    Args:
        envelope, crowd, limits, way: these layers, from outside.
    """

    def __init__(self, envelope: Envelope, crowd: Crowd, limits: BodyLimit, way: ShortWay) -> None:
        self._envelope = envelope
        self._crowd = crowd
        self._limits = limits
        self._way = way

    def take(self, scope: Scope, body: bytes, send: Send) -> bool:
        """See `Shortcut`."""
        began = time.perf_counter()
        if self._limits.refusal(scope) or not self._crowd.has_room:
            return False
        try:
            plain = self._way.read(scope, body)
        except Exception:  # fails on the application's way too, which has an answer to it
            return False
        if plain is None:
            return False
        self._crowd.enter()
        request_id = request_id_of(scope)

        def tell(found: Result | BaseException) -> None:
            self._crowd.leave()
            try:
                status, headers, content = self._answer(found, request_id)
            except Exception as error:  # nobody's answer may keep others from theirs
                status, headers, content = self._answer(error, request_id)
            start: Message = {"status": status, "headers": headers}
            self._envelope.add_headers(start, request_id, scope)
            send(status, headers, content)
            self._envelope.note(scope, status, time.perf_counter() - began, request_id)

        occasion = occasion_of(plain, request_id)
        self._way.parts.rounds.begin(plain.scorer, plain.ask, occasion, tell)
        return True

    def _answer(
        self, found: Result | BaseException, request_id: str
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        metrics = self._way.parts.metrics
        if isinstance(found, LeadScore):
            metrics.count_scores([found], found.occasion.channel)
            body = orjson.dumps(found.to_json())
            length = (b"content-length", b"%d" % len(body))
            return 200, [length, (b"content-type", b"application/json")], body
        if isinstance(found, PropensityError):
            metrics.count_scores([found], "api")
            response = refused(found, request_id)
        else:
            log.error("request failed", request_id=request_id, route=CHOSEN.path, exc_info=found)
            response = as_response(internal_report(request_id))
        return response.status_code, [*response.raw_headers], bytes(response.body)
