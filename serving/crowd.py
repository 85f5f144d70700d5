"""How many requests at once? So many as the threads can work off soon; the rest is told to come again.

A queue that grows without end answers everybody too late. Probes are always answered, and who is not
known yet takes no place: a stranger's slow form must not keep others out (`serving.limits` ends it).
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.errors import BusyError, as_response, report_of
from serving.limits import PROBES

_ANSWERED = PROBES | {"/sign-in"}


class Crowd:
    """Answers 503 with Retry-After when too many requests are under way.

    Args:
        app: what comes next.
        most: requests at once.
    """

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most
        self._inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or turn it away."""
        if scope["type"] != "http" or scope["path"] in _ANSWERED:
            await self._app(scope, receive, send)
            return
        if self._inside >= self._most:
            error = BusyError("too many requests are under way", hint="Come again in a moment.")
            report = report_of(error, str(scope.get("state", {}).get("request_id", "")))
            await as_response(report)(scope, receive, send)
            return
        self._inside += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._inside -= 1
