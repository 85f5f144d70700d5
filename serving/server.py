"""How long may a connection keep us waiting? Deadlines below HTTP, where no application looks.

uvicorn waits for ever for the end of a request's headers, for a body that nobody reads any more, and for
a reader who takes nothing of an answer. Here each of these has its time; and when all connections are
taken, the one whose turn it has been for longest makes room, so that idling keeps nobody out: a turn to
send a request, or the rest of one, or to take what was answered.

Rule: our own delay is nobody's fault. When a time has run out we read what lies in the socket before we
hang up: the event loop looks at its clocks first, and a machine that was starved or suspended would
close all connections whose requests came meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from starlette.types import Scope
from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from serving.at_once import Shortcut
from serving.settings import Settings
from serving.short_way import is_for_a_score

_MOST_HEAD_BYTES = 64 * 1024
"""Bytes read before the headers end; the application itself takes half as many (`serving.limits`)."""

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: 0\r\n\r\n"
)
_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_ANOTHER_LOOK_SECONDS = 0.01
"""From the end of a time to the end of a connection: one turn of the event loop, which reads."""

_LATE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Patience:
    """How long the connections of one server are waited for, and which of them are.

    Args:
        settings: the times, and how many connections there may be.
    """

    def __init__(self, settings: Settings) -> None:
        self.header_seconds = settings.header_seconds
        self.answer_seconds = settings.answer_seconds
        self.most = settings.max_connections
        self.waiting: dict[PatientProtocol, None] = {}

    def make_room(self) -> bool:
        """Close the connection whose turn it has been for longest; False when there is none."""
        longest = next((one for one in self.waiting if not one.is_held_up), None)
        if longest is None:
            return False
        longest.give_up(b"")
        return True


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with an end to its patience."""

    def __init__(
        self, *args: Any, patience: Patience, shortcut: Shortcut | None = None, **rest: Any
    ) -> None:
        super().__init__(*args, **rest)
        self._patience = patience
        self._shortcut = shortcut
        self._is_new = False
        self._held: RequestResponseCycle | None = None
        self._in_headers = False
        self._in_body = False
        self._head_bytes = 0
        self._request_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait; when there are too many already, in the place of another or not at all."""
        super().connection_made(transport)
        # Else what is left of an answer, when it is little, would be kept for a reader for ever.
        transport.set_write_buffer_limits(high=0)
        patience = self._patience
        if len(self.connections) > patience.most and not patience.make_room():
            self.connections.discard(self)
            transport.write(_FULL)
            transport.close()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop_timer()
        # uvicorn's own goes on after a reset, and would keep all of this until it ends.
        self._unset_keepalive_if_required()
        self.resume_writing()
        self._patience.waiting.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, and see whether a whole request is still to come."""
        if self.transport.is_closing():
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if (
            self._held is not None
        ):  # its body is still to come, and is the application's to wait for
            self._start()
        if self._in_headers and self._head_bytes > _MOST_HEAD_BYTES:
            self.give_up(_LONG)
        elif self._is_late_with_something():
            self._wait()
        else:
            self._stop_timer()
            self._see_whose_turn()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_headers = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its headers are there; its body is the application's to wait for."""
        self._in_headers, self._in_body, self._head_bytes = False, True, 0
        self._is_new = True
        super().on_headers_complete()
        self._is_new = False

    def on_message_complete(self) -> None:
        """All of it is there."""
        self._in_body, self._head_bytes = False, 0
        super().on_message_complete()
        cycle, shortcut = self._held, self._shortcut
        if cycle is None or shortcut is None:
            return
        if shortcut.take(cast("Scope", cycle.scope), bytes(cycle.body), partial(self._send, cycle)):
            self._held = None
        else:
            self._start()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Start the application, unless the request may be answered without, once it is all there."""
        may_be = self._is_new and self._shortcut is not None and app is self.app
        if may_be and is_for_a_score(cast("Scope", cycle.scope)) and _is_usual(cycle):
            self._held = cycle
        else:
            super()._start_asgi_task(cycle, app)

    def _start(self) -> None:
        cycle, self._held = self._held, None
        if cycle is not None:
            super()._start_asgi_task(cycle, self.app)

    def _send(
        self,
        cycle: RequestResponseCycle,
        status: int,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
    ) -> None:
        """Send an answer as a whole, as the cycle would have sent its parts."""
        # A connection that is lost tells its newest cycle alone.
        if cycle.disconnected or self.transport.is_closing():
            return
        content = [STATUS_LINE[status]]
        for name, value in (*cycle.default_headers, *headers):
            content += (name, b": ", value, b"\r\n")
        content.append(b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")
        content.append(body)
        cycle.response_started = cycle.response_complete = True
        self.transport.write(b"".join(content))
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        cycle.on_response = lambda: None

    def on_response_complete(self) -> None:
        """It was answered, perhaps before it was all there."""
        super().on_response_complete()
        if self._in_body and not self.transport.is_closing():
            self._wait()
        else:
            self._see_whose_turn()

    def pause_writing(self) -> None:
        """The reader takes less than we send."""
        super().pause_writing()
        if self._answer_timer is None:
            self._answer_timer = self.loop.call_later(
                self._patience.answer_seconds, self._takes_nothing
            )
        self._see_whose_turn()

    def resume_writing(self) -> None:
        """The reader goes on."""
        super().resume_writing()
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None
        self._see_whose_turn()

    def give_up(self, said: bytes) -> None:
        """End the connection, whatever is still to come."""
        self._stop_timer()
        self._patience.waiting.pop(self, None)
        if self._answer_timer is not None:
            self.transport.abort()
        elif not self.transport.is_closing():
            self.transport.write(said)
            self.transport.close()

    def _is_late_with_something(self) -> bool:
        """Whether headers are to come, or a body that is read by nobody any more."""
        # Between requests any byte turns uvicorn's own timer off, also one that begins no request.
        return self._in_headers or self.cycle is None or self.cycle.response_complete

    @property
    def is_held_up(self) -> bool:
        """Whether it is us who do not read on, and not the other side that takes nothing."""
        return bool(self.flow.read_paused) and self._answer_timer is None

    def _is_their_turn(self) -> bool:
        """Whether nothing goes on before the other side sends something, or takes something."""
        is_between = self.cycle is None or self.cycle.response_complete
        return is_between or self._in_headers or self._in_body or self._answer_timer is not None

    def _see_whose_turn(self) -> None:
        """Note since when it has been the other side's turn, or that it is ours."""
        if self._is_their_turn() and not self.transport.is_closing():
            self._patience.waiting.setdefault(self, None)
        else:
            self._patience.waiting.pop(self, None)

    def _wait(self) -> None:
        if self._request_timer is None:
            self._request_timer = self.loop.call_later(self._patience.header_seconds, self._is_late)
        self._see_whose_turn()

    def _is_late(self) -> None:
        self._request_timer = self._after_another_look(self._give_up_late)

    def _give_up_late(self) -> None:
        self.give_up(_LATE if self._in_headers else b"")

    def _takes_nothing(self) -> None:
        self._answer_timer = self._after_another_look(self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        """The next request does not come."""
        self.timeout_keep_alive_task = self._after_another_look(super().timeout_keep_alive_handler)

    def _after_another_look(self, end: Callable[[], None]) -> asyncio.TimerHandle:
        """Do something unless what is read in the next turn of the event loop takes the timer back."""
        return self.loop.call_later(_ANOTHER_LOOK_SECONDS, end)

    def _stop_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None


def _is_usual(cycle: RequestResponseCycle) -> bool:
    """Whether a whole answer may be sent without looking how the connection is."""
    return cycle.keep_alive and not cycle.waiting_for_100_continue and not cycle.flow.write_paused


def protocol(
    settings: Settings, shortcut: Shortcut | None = None
) -> Callable[..., PatientProtocol]:
    """What makes the protocol of each connection of one server."""
    return partial(PatientProtocol, patience=Patience(settings), shortcut=shortcut)


def server_of(app: Any, settings: Settings) -> Server:
    """The server, ready to run.

    Args:
        app: the ASGI application.
        settings: where it listens, whom it believes, and how patient it is.
    """
    made: Any = protocol(settings, getattr(app, "at_once", None))
    return Server(
        Config(
            app,
            host=settings.host,
            port=settings.port,
            http=made,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_keep_alive=settings.keep_alive_seconds,
            timeout_graceful_shutdown=30,
        )
    )
