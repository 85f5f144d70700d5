"""What happens around every request? An id, a line in the log, figures, headers, and no naked error.

The log names the route's template and never the address, a body or a person. `Envelope` is the outermost
layer of all and so pays for every answer: what can be made once is made once.
"""

from __future__ import annotations

import os
import re
import time

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import as_response, internal_report
from serving.limits import RefusedError
from serving.logs import RequestLines
from serving.metrics import Metrics

log = structlog.get_logger("propensity.requests")

_OWN_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

_GONE = 499
"""What is noted, and sent to nobody, when a sender leaves in the middle of a body."""

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "object-src 'none'; img-src 'self' data:"
    ),
}


class Envelope:
    """The outermost layer of ours around every request.

    Args:
        app: what comes next.
        metrics: where requests are counted.
        hsts_seconds: how long browsers are to insist on HTTPS; 0: nothing is said.

    Attributes:
        lines: writes the lines of requests; None: the log does, as it writes all others.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, hsts_seconds: int = 0) -> None:
        self._app = app
        self._metrics = metrics
        self.lines: RequestLines | None = None
        headers = dict(SECURITY_HEADERS)
        if hsts_seconds:
            headers["Strict-Transport-Security"] = f"max-age={hsts_seconds}"
        self._headers = [(name.lower().encode(), text.encode()) for name, text in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer in its place when it fails."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        request_id, began = request_id_of(scope), time.perf_counter()
        state["request_id"] = request_id

        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                state["status"] = message["status"]
                self.add_headers(message, request_id, scope)
            await send(message)

        try:
            await self._app(scope, receive, wrapped)
        except ClientDisconnect:
            state["status"] = _GONE
        except Exception:  # the last line: nothing but the server stands outside
            await _answer_failure(scope, receive, wrapped)
        finally:
            self.note(scope, state.get("status", 0), time.perf_counter() - began, request_id)

    def add_headers(self, message: Message, request_id: str, scope: Scope) -> None:
        """Add to the beginning of an answer what every answer says."""
        headers = message["headers"]
        if (told := scope["state"].get("pace")) is not None and message["status"] != 429:
            headers.extend(told)
        there = {name for name, _ in headers}
        headers.append((b"x-request-id", request_id.encode()))
        headers.extend([header for header in self._headers if header[0] not in there])
        if b"cache-control" not in there and not scope["path"].startswith("/static/"):
            headers.append(_NOT_KEPT)

    def note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        """Count a request that was answered, and write its line."""
        method, route = _method(scope), _route(scope)
        self._metrics.count_request(method, route, status, seconds)
        line = {
            "request_id": request_id,
            "method": method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1_000, 2),
        }
        if self.lines is None:
            log.info("request", **line)
        else:
            self.lines.write(line)


class NoNakedError:
    """Answers in the place of a route that failed, before the framework would in words of its own.

    Args:
        app: what comes next.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            scope["state"]["status"] = _GONE
        except RefusedError:
            return  # who refused the body answers
        except Exception:  # answered in here, so that the answer goes out through what is around
            await _answer_failure(scope, receive, send)


async def _answer_failure(scope: Scope, receive: Receive, send: Send) -> None:
    """Log what nobody foresaw, and answer unless an answer has begun."""
    request_id, route = scope["state"]["request_id"], _route(scope)
    log.exception("request failed", request_id=request_id, route=route)
    if not scope["state"].get("status"):
        await as_response(internal_report(request_id))(scope, receive, send)


_NOT_KEPT = (b"cache-control", b"no-store")


def request_id_of(scope: Scope) -> str:
    """The sender's own id of the request, when it is a harmless one; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _OWN_ID.fullmatch(value):
            return str(value.decode("ascii"))
    return os.urandom(16).hex()


def _route(scope: Scope) -> str:
    """The template of the route that was chosen; addresses may name people, templates do not."""
    return str(getattr(scope.get("route"), "path", None) or "none")


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def _method(scope: Scope) -> str:
    """The method; senders may invent any number of others."""
    return scope["method"] if scope["method"] in _METHODS else "OTHER"
