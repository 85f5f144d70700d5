"""What happens around every request? An id, a line in the log, figures, headers, and no naked error.

The log names the route's template and never the address, a body or a person.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import as_response, internal_report
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
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, hsts_seconds: int = 0) -> None:
        self._app = app
        self._metrics = metrics
        self._headers = dict(SECURITY_HEADERS)
        if hsts_seconds:
            self._headers["Strict-Transport-Security"] = f"max-age={hsts_seconds}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and answer in its place when it fails."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given_id(scope) or uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        began = time.perf_counter()
        status = 0

        async def wrapped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message, request_id, scope, self._headers)
            await send(message)

        try:
            await self._app(scope, receive, wrapped)
        except ClientDisconnect:
            status = _GONE
        except Exception:
            log.exception("request failed", request_id=request_id, route=_route(scope))
            if not status:
                await as_response(internal_report(request_id))(scope, receive, wrapped)
        finally:
            self._note(scope, status, time.perf_counter() - began, request_id)

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        method, route = _method(scope), _route(scope)
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(method, route).observe(seconds)
        log.info(
            "request",
            request_id=request_id,
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1_000, 2),
        )


def _given_id(scope: Scope) -> str | None:
    """The sender's own id of the request, when it is a harmless one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _OWN_ID.fullmatch(value):
            return str(value.decode("ascii"))
    return None


def _add_headers(message: Message, request_id: str, scope: Scope, every: Mapping[str, str]) -> None:
    if (told := scope["state"].get("pace")) is not None and message["status"] != 429:
        message["headers"].extend(told)
    headers = MutableHeaders(scope=message)
    headers["X-Request-Id"] = request_id
    for name, value in every.items():
        headers.setdefault(name, value)
    if not scope["path"].startswith("/static/"):
        headers.setdefault("Cache-Control", "no-store")


def _route(scope: Scope) -> str:
    """The template of the route that was chosen; addresses may name people, templates do not."""
    return str(getattr(scope.get("route"), "path", None) or "none")


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def _method(scope: Scope) -> str:
    """The method; senders may invent any number of others."""
    return scope["method"] if scope["method"] in _METHODS else "OTHER"
