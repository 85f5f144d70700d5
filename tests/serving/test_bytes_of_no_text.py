"""Does any byte that belongs to no text make the service fail? In a body, an address, a query, a header.

Half of a surrogate pair can be written in JSON and in no encoding; a lone byte above 127 can be sent in
an address and is no UTF-8. Requests are handed to the application as a server would, because clients
refuse to send them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from agreed import NOW
from served import Served

from features.clock import DAY, iso
from serving.security import ACCESS

HALF = "\ud800"
AT = iso(NOW - DAY)
BODIES: tuple[Any, ...] = (
    {"lead": HALF},
    {"lead": "L-0001", "attributes": {"city": HALF}},
    {"lead": "L-0001", "attributes": {HALF: "x"}},
    {"lead": "L-0001", "as_of": HALF},
    {"leads": [{"lead": HALF}, {"lead": "L-0001", "kind": HALF}]},
    {"name": HALF, "owner": HALF, HALF: HALF},
    {"do_not_score": HALF},
    [{"lead": HALF, "kind": "visit", "occurred_at": AT}],
    [{"lead": "L-0001", "kind": "visit", "occurred_at": AT, "source": HALF, "external_id": HALF}],
    [{"lead": "L-0001", "question": HALF, "answer": HALF, "occurred_at": AT}],
    [{"lead": "L-0001", "ending": "won", "occurred_at": AT, "reason": HALF}],
    [{"lead": "L-0001", "into": HALF, "occurred_at": AT}],
    HALF,
)
QUERIES = (b"q=\xff", b"reasons=\xff", b"owner=%ff", b"as_of=%ED%A0%80", b"\xff=\xff")
HEADERS = (
    (b"authorization", b"Bearer \xff"),
    (b"cookie", b"session=\xed\xa0\x80; csrf=\xff"),
    (b"idempotency-key", b"\xff"),
    (b"x-request-id", b"\xff"),
    (b"content-type", b"\xff"),
    (b"accept", b"text/html;\xff"),
    (b"host", b"\xff"),
    (b"origin", b"\xff"),
    (b"if-none-match", b"\xff"),
    (b"webhook-signature", b"\xff"),
)

Headers = tuple[tuple[bytes, bytes], ...]


class Sender:
    """Hands requests to the application byte by byte; notes those that it did not get over."""

    def __init__(self, served: Served) -> None:
        self._served = served
        key = served.headers("admin")["Authorization"].encode()
        self._usual = {b"host": b"testserver", b"authorization": key}
        self.sent, self.failed = 0, list[str]()

    def send(
        self,
        method: str,
        path: str,
        query: bytes = b"",
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: bytes = b"",
    ) -> None:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode("utf-8", "surrogateescape"),
            "query_string": query,
            "root_path": "",
            "headers": list({**self._usual, **dict(headers)}.items()),
            "client": ("testclient", 1),
            "server": ("testserver", 80),
        }
        told: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def answered(message: Any) -> None:
            told.append(message)

        portal = self._served.client.portal
        assert portal is not None
        portal.call(self._served.client.app, scope, receive, answered)
        self.sent += 1
        if told[0]["status"] >= 500:
            self.failed.append(f"{method} {path!r} {query!r} {headers!r} {body!r}: {told[0]}")


def keys(n: int) -> Iterator[Headers]:
    """Without a key of idempotency, and with one."""
    yield ()
    yield ((b"idempotency-key", b"k%d" % n),)


def address(template: str, lead: str) -> str:
    """An address of this route that is about this lead, the first score, or the sender `crm`."""
    path = re.sub(r"{lead[^}]*}", lead, template)
    return path.replace("{score}", "1").replace("{source}", "crm")


def test_no_byte_of_a_body_or_an_address_breaks_a_route(served: Served) -> None:
    sender = Sender(served)
    for route in ACCESS:
        method, template = route.split(" ", 1)
        path = address(template, "L-0002" if method == "DELETE" else "L-0001")
        for body in BODIES if method in ("POST", "PUT") else ():
            for headers in keys(sender.sent):
                sender.send(method, path, headers=headers, body=json.dumps(body).encode())
        for query in QUERIES:
            for headers in keys(sender.sent):
                sender.send(method, path, query, headers, b'{"lead": "L-0001"}')
        for headers in (*keys(sender.sent), ((b"accept", b"text/html"),)):
            sender.send(method, address(template, "a\udcff"), b"q=\xff", headers, b"{}")
    assert sender.failed == []
    assert sender.sent > 10 * len(ACCESS)


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header[0].decode())
def test_no_byte_of_a_header_breaks_a_route(
    served_lite: Served, header: tuple[bytes, bytes]
) -> None:
    sender = Sender(served_lite)
    for method, path in (
        ("POST", "/v1/scores"),
        ("GET", "/v1/queue"),
        ("GET", "/queue"),
        ("GET", "/sign-in"),
        ("POST", "/sign-in"),
        ("POST", "/v1/webhooks/crm"),
    ):
        sender.send(method, path, headers=[header], body=b'{"lead": "L-0001"}')
    assert sender.failed == []
