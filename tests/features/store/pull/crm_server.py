"""A CRM's REST interface that misbehaves as it is told: a real server on a real socket."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Reply:
    """What the server answers; `cut` sends half of the body, `slow` waits before each byte."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    slow: float = 0.0
    kind: str = "application/json"

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Asked:
    """A request as it came."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Crm:
    """The server: `replies` are given in turn, then `answer` to all others."""

    answer: Callable[[Asked], Reply]
    replies: list[Reply] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""


@contextmanager
def crm(answer: Callable[[Asked], Reply]) -> Iterator[Crm]:
    """A running server."""
    shared = Crm(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            asked = Asked(parts.path, dict(parse_qsl(parts.query)), dict(self.headers), body)
            shared.asked.append(asked)
            self.send(shared.replies.pop(0) if shared.replies else shared.answer(asked))

        do_POST = do_GET

        def send(self, reply: Reply) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(len(reply.content)))
            self.end_headers()
            content = reply.content[: len(reply.content) // 2] if reply.cut else reply.content
            try:
                for i in range(0, len(content), 1 if reply.slow else len(content) or 1):
                    self.wfile.write(content[i : i + (1 if reply.slow else len(content))])
                    self.wfile.flush()
                    time.sleep(reply.slow)
            except OSError:
                pass  # whoever asked has gone

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    shared.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield shared
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
