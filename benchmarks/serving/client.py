"""How fast does one server answer? Keep-alive connections that each send the next request when answered.

    python -m benchmarks.serving.client < {"port": …, "seconds": …, "clients": …, "requests": […]}

In a process of its own, so that what the client costs is not the server's; the last line is
JSON: the seconds between the first request and the last answer, and each answer's own.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, cast

import uvloop

_END_OF_HEADERS = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client: asks, waits for the answer, asks again until told to stop."""

    def __init__(self, requests: Sequence[bytes], offset: int, until: float) -> None:
        self._requests = requests
        self._next = offset
        self._until = until
        self._received = bytearray()
        self._sent_at = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.seconds: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Take a piece of the answer; when it is whole, ask again."""
        self._received += data
        head = self._received.find(_END_OF_HEADERS)
        if head < 0 or not _is_whole(self._received, head):
            return
        now = time.perf_counter()
        if b" 200 " not in self._received[:16]:
            self._fail(f"answered {bytes(self._received[:600])!r}")
            return
        self.seconds.append(now - self._sent_at)
        self._received.clear()
        if now < self._until:
            self._ask()
        else:
            self._transport.close()
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """A server that hangs up has failed."""
        self._fail(f"hung up: {exc}")

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(why))
            self._transport.close()

    def _ask(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._requests[self._next % len(self._requests)])
        self._next += 1


def _is_whole(received: bytearray, head: int) -> bool:
    headers = bytes(received[:head]).lower()
    at = headers.find(b"content-length:")
    if at >= 0:
        length = int(headers[at + 15 :].split(b"\r\n", 1)[0])
        return len(received) >= head + len(_END_OF_HEADERS) + length
    return received.endswith(b"0\r\n\r\n")  # chunked


async def ask(
    port: int, requests: Sequence[bytes], clients: int, seconds: float
) -> tuple[float, list[float]]:
    """The seconds that it took in all, and those of each answer."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    stride = max(len(requests) // clients, 1)
    made = [
        await loop.create_connection(
            lambda i=i: Connection(requests, i * stride, began + seconds),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
        for i in range(clients)
    ]
    await asyncio.gather(*(connection.done for _, connection in made))
    took = time.perf_counter() - began
    return took, [one for _, connection in made for one in connection.seconds]


def main(asked: dict[str, Any]) -> dict[str, Any]:
    """Ask as described, once warmed up."""
    requests = [base64.b64decode(request) for request in asked["requests"]]
    took, each = uvloop.run(ask(asked["port"], requests, asked["clients"], asked["seconds"]))
    return {"took": took, "each": each}


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
