"""How much may one request bring? Bytes, time, keys, depth: refused before they cost anything.

Bytes are counted as they come, because a chunked body does not say how long it is; a sender that
dribbles is cut off, because each byte would begin its patience anew. JSON is read
strictly: what some readers take and others refuse (NaN, 1e400, a key given twice) is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from features.store.access import Caller
from serving.errors import BusyError, MalformedError, Report, TooLargeError, as_response
from serving.once import answered_once
from serving.security import let_in
from serving.settings import Settings

BULK = ("/v1/scores/batch", "/v1/answers", "/v1/events", "/v1/stages", "/v1/deals")
"""Addresses that take many rows at once."""

PROBES = frozenset(
    {"/health", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"}
)
"""Addresses that tell how the service is; whoever asks there must get an answer."""

FORMS = ("/sign-in", "/sign-out")
"""Addresses that take a small form."""

SENDERS = "/v1/webhooks/"
"""Where addresses begin to which senders without a key bring signed messages."""

_LONGEST_FORM = 16 * 1024
_STRANGER_SECONDS = 10.0
"""For the whole body of whoever may be anybody: a form, or a message that may not be signed."""
_BULK_PATIENCE_SECONDS = 10.0
_LONGEST_HEADERS = 32 * 1024
_LONGEST_COOKIE = 4 * 1024

_LONGEST_INTEGER = 18
"""Digits of the longest integer; longer ones are no counts, and none of ours could hold them."""


SHORT = 16 * 1024
"""Bytes of a body that is read sooner than handed to another thread."""

Answering = Callable[[Request], Coroutine[Any, Any, Response]]


class BodyLimit:
    """Answers 413 as soon as a body is too long, and 408 when it comes too slowly.

    Args:
        app: what comes next.
        settings: how long is too long.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        names = (name.strip().lower() for name in settings.hosts.split(","))
        self._hosts = frozenset(name.encode() for name in names if name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with its body counted."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        settings = self._settings
        most = _most_bytes(scope["path"], settings)
        whole = settings.body_deadline_seconds
        if scope["path"] in FORMS or scope["path"].startswith(SENDERS):
            whole = min(whole, _STRANGER_SECONDS)
        body = _Counted(receive, send, most, settings.body_seconds, whole)
        if refusal := self.refusal(scope):
            await body.refuse(*refusal, scope)
            return
        if _announced(scope) > most:
            await body.refuse(413, "too-large", f"the body is longer than {most} bytes", scope)
            return
        with contextlib.suppress(RefusedError):
            await self._app(scope, body.receive, body.send)
        if body.refusal is not None and not body.has_answered:
            await body.refuse(*body.refusal, scope)

    def refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        """Why a request is refused for what it says of itself: status, code and words."""
        return _headers_refused(scope) or self._host_refused(scope)

    def _host_refused(self, scope: Scope) -> tuple[int, str, str] | None:
        """Why a request is refused for the name that it was sent to."""
        if not self._hosts or scope["path"] in PROBES:
            return None
        named = [value for name, value in scope["headers"] if name == b"host"]
        if len(named) == 1 and _without_port(named[0].lower()) in self._hosts:
            return None
        return 421, "misdirected", "the service does not go by this name"


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    return name if colon and port.isdigit() else host


def _most_bytes(path: str, settings: Settings) -> int:
    if path in FORMS:
        return _LONGEST_FORM
    return settings.max_bulk_bytes if path in BULK else settings.max_body_bytes


def _headers_refused(scope: Scope) -> tuple[int, str, str] | None:
    """Why a request is refused for its headers alone, before anything reads them.

    Python's cookie parser needs quadratic time before 3.11.10, 3.12.6 and 3.13 (CVE-2024-7592), and a
    multipart form may name a charset whose decoder does: both would hold up everybody else.
    """
    length = cookies = 0
    is_multipart = False
    for name, value in scope["headers"]:
        length += len(name) + len(value)
        if name == b"cookie":
            cookies += len(value)
        elif name == b"content-type" and value.lstrip().lower().startswith(b"multipart"):
            is_multipart = True
    if length > _LONGEST_HEADERS:
        return 431, "too-large", f"the headers are longer than {_LONGEST_HEADERS} bytes"
    if cookies > _LONGEST_COOKIE:
        return 431, "too-large", f"the cookies are longer than {_LONGEST_COOKIE} bytes"
    if is_multipart:
        return 415, "input", "multipart bodies are not taken; send JSON or a plain form"
    return None


class RefusedError(Exception):
    """Unwinds whoever was reading a body that was refused."""


class _Counted:
    """A request's body and its answer: once the body is refused, only the refusal is sent.

    Args:
        receive: gives the next piece.
        send: takes the answer.
        most: bytes of the longest body.
        silence: seconds until the next piece must be there.
        whole: seconds until all of it must be there, however its sender dribbles.
    """

    def __init__(
        self, receive: Receive, send: Send, most: int, silence: float, whole: float
    ) -> None:
        self._receive = receive
        self._send = send
        self._most = most
        self._silence = silence
        self._whole = whole
        self._until: float | None = None
        self._length = 0
        self._is_complete = False
        self.refusal: tuple[int, str, str] | None = None
        self.has_answered = False

    async def receive(self) -> Message:
        if self._is_complete:
            return await self._receive()
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + self._whole
        try:
            async with asyncio.timeout_at(min(now + self._silence, self._until)):
                message = await self._receive()
        except TimeoutError:
            self._give_up(408, "too-slow", "the body came too slowly, or not to its end")
        self._length += len(message.get("body", b""))
        if self._length > self._most:
            self._give_up(413, "too-large", f"the body is longer than {self._most} bytes")
        self._is_complete = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if self.refusal is None:
            self.has_answered = True
            await self._send(message)

    async def refuse(self, status: int, code: str, detail: str, scope: Scope) -> None:
        request_id = str(scope.get("state", {}).get("request_id", ""))
        hint = "Send fewer rows at once." if status == 413 else ""
        report = Report(
            status=status,
            code=code,
            detail=detail,
            hint=hint,
            request_id=request_id,
            headers={"Connection": "close"},
        )
        await as_response(report)(scope, self._receive, self._send)

    def _give_up(self, status: int, code: str, detail: str) -> NoReturn:
        self.refusal = (status, code, detail)
        raise RefusedError


def _announced(scope: Scope) -> int:
    """The length that the request says its body has; 0 when it does not say."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


class JsonRoute(APIRoute):
    """A route whose body is JSON, whatever its sender calls it; nobody's body is read unasked.

    The caller is let in before a byte of the body is read; the body is parsed outside the event loop.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The usual handler, around a request whose body is read our way."""
        answer = self.answering(super().get_route_handler())

        async def handler(request: Request) -> Response:
            as_json = _JsonRequest(request.scope, request.receive)
            caller = await let_in(as_json)
            if self.path_format not in BULK:
                return await read_and_answered(as_json, caller)
            async with _a_place(request.app.state.bulk_places):
                return await read_and_answered(as_json, caller)

        async def read_and_answered(as_json: Request, caller: Caller | None) -> Response:
            if self.body_field is not None:
                # Read here, where what is wrong with a body is not taken for something else.
                await as_json.json()
            return await answered_once(as_json, caller, answer)

        return handler

    def answering(self, usual: Answering) -> Answering:
        """What answers a request that was let in and whose body was read: by default, FastAPI's way."""
        return usual


@asynccontextmanager
async def _a_place(places: asyncio.Semaphore) -> AsyncIterator[None]:
    """A place among the requests that bring many rows; their bodies together bound the memory.

    Raises:
        BusyError: none became free in time.
    """
    try:
        async with asyncio.timeout(_BULK_PATIENCE_SECONDS):
            await places.acquire()
    except TimeoutError as error:
        said = "too many requests with many rows are under way"
        raise BusyError(said, hint="Send fewer of them at once.") from error
    try:
        yield
    finally:
        places.release()


class _JsonRequest(Request):
    """A request whose `json` is strict, and whose headers say that it is JSON."""

    @property
    def headers(self) -> Headers:
        """The headers, with the content type that the body is read as."""
        said = super().headers.mutablecopy()
        said["content-type"] = "application/json"
        return said

    async def json(self) -> Any:
        """The body, strictly parsed.

        Raises:
            MalformedError: it is not JSON.
            TooLargeError: it holds more than one request may.
        """
        if not hasattr(self, "_parsed"):
            settings: Settings = self.app.state.service.settings
            body = await self.body()
            if len(body) <= SHORT:
                self._parsed = parse_json(body, settings)
            else:
                self._parsed = await run_in_threadpool(parse_json, body, settings)
        return self._parsed


def parse_json(body: bytes, settings: Settings) -> Any:
    """Parse JSON strictly.

    Args:
        body: the bytes, UTF-8.
        settings: how many values, keys and levels one body may hold.

    Raises:
        MalformedError: not UTF-8, not JSON, a number that is none, a key given twice, too deep.
        TooLargeError: too many values, or too many keys in one object.
    """
    # An upper bound at the price of a scan: every value but the first follows one of these.
    if sum(body.count(sign) for sign in (b",", b"[", b"{")) > settings.max_values:
        raise TooLargeError(
            f"the body holds more than {settings.max_values} values", hint="Send fewer rows."
        )
    try:
        parsed = json.loads(
            body.decode("utf-8-sig"),
            object_pairs_hook=lambda pairs: _object(pairs, settings.max_keys),
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_integer,
        )
    except UnicodeDecodeError as error:
        raise MalformedError(f"the body is not UTF-8 (at byte {error.start})") from error
    except json.JSONDecodeError as error:
        message = f"the body is not JSON: {error.msg} at character {error.pos}"
        raise MalformedError(message) from error
    except RecursionError as error:
        raise _too_deep(settings.max_depth) from error
    # What opens no more than so many lists and objects cannot hold more of them in each other.
    opened = body.count(b"[") + body.count(b"{")
    if opened > settings.max_depth and _is_deeper(parsed, settings.max_depth):
        raise _too_deep(settings.max_depth)
    return parsed


def _object(pairs: list[tuple[str, Any]], most: int) -> dict[str, Any]:
    if len(pairs) > most:
        raise TooLargeError(f"an object of the body has more than {most} keys")
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedError("an object of the body names a key twice")
    return found


def _no_number(_: str) -> NoReturn:
    raise MalformedError("the body is not JSON: NaN and infinities are no numbers")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise MalformedError("a number of the body is too large")
    return value


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER:
        raise MalformedError(f"a number of the body has more than {_LONGEST_INTEGER} digits")
    return int(text)


def _too_deep(most: int) -> MalformedError:
    return MalformedError(f"the body is nested deeper than {most} levels")


def _is_deeper(value: Any, most: int) -> bool:
    """Whether lists and objects lie in each other more than `most` deep."""
    level = [value]
    for _ in range(most):
        level = [inner for outer in level for inner in _inside(outer) if _holds(inner)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, Mapping) else value if _holds(value) else ()


def _holds(value: Any) -> bool:
    return isinstance(value, dict | list)
