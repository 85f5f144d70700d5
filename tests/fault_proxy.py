"""A network that misbehaves on order: between a client and a server, or in the server's place.

refuse   nobody listens          reset    the connection breaks in the middle of the answer
hang     accepts, says nothing   error    500 with a page of HTML
trickle  a byte of the answer    html     200 with a page of HTML
a second                corrupt  the answer with every 20th byte of its body flipped
pass     as if it were not there
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

MODES = ("refuse", "hang", "trickle", "reset", "error", "html", "corrupt")

_PAGE = b"<html><body><h1>It works!</h1></body></html>"


class FaultProxy:
    """Listens on a port of this machine; `mode` may be changed while it runs.

    Attributes:
        port: where it listens.
        mode: what becomes of a connection that is made now.
        accepted: how many connections were made so far.
    """

    def __init__(self, upstream: tuple[str, int] | None, mode: str) -> None:
        self.upstream, self.mode, self.accepted = upstream, mode, 0
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        if mode == "refuse":
            self._socket.close()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        if self.mode != "refuse":
            serving = asyncio.start_server(self._serve, sock=self._socket)
            self._server = self._loop.run_until_complete(serving)
        self._loop.run_forever()
        # Ended where it ran: the thread that stops it may have a loop of its own.
        self._loop.run_until_complete(self._end())
        self._loop.close()

    async def _end(self) -> None:
        """Leave no task and no connection, whatever it was in the middle of."""
        if self._server is not None:
            self._server.close()
        await asyncio.sleep(0)  # who has just been let in begins to be served
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # in the next turn its socket is closed

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.append(writer)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "hang":
            await asyncio.sleep(3_600)
        while True:
            request = await _message(reader)
            if self.mode in ("error", "html"):
                status = b"500 Internal Server Error" if self.mode == "error" else b"200 OK"
                writer.write(_response(status, _PAGE))
            else:
                await self._spoil(await self._ask(request), writer)
            await writer.drain()

    async def _spoil(self, answer: bytes, writer: asyncio.StreamWriter) -> None:
        if self.mode == "trickle":
            for i in range(len(answer)):
                writer.write(answer[i : i + 1])
                await writer.drain()
                await asyncio.sleep(1.0)
        elif self.mode == "reset":
            writer.write(answer[: len(answer) - 5])
            await writer.drain()
            linger = struct.pack("ii", 1, 0)  # close with RST, not with FIN
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            raise ConnectionError
        elif self.mode == "corrupt":
            head, _, body = answer.partition(b"\r\n\r\n")
            flipped = bytes(b ^ 0x15 if i % 20 == 0 else b for i, b in enumerate(body))
            writer.write(head + b"\r\n\r\n" + flipped)
        else:
            writer.write(answer)

    async def _ask(self, request: bytes) -> bytes:
        """The real server's answer; without one, what an empty catalogue would say."""
        if self.upstream is None:
            return _response(b"200 OK", b'{"experiments": [], "next_page_token": ""}')
        reader, writer = await asyncio.open_connection(*self.upstream)
        self._writers.append(writer)
        writer.write(request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        await writer.drain()
        answer = await reader.read()
        writer.close()
        return answer


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One request with its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return head + await reader.readexactly(length)


def _response(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


@contextmanager
def proxied(mode: str, upstream: tuple[str, int] | None = None) -> Iterator[FaultProxy]:
    """A proxy that runs."""
    proxy = FaultProxy(upstream, mode)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
