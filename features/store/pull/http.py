"""How is another system asked over HTTP? Patiently, within limits, and never anywhere else.

One host, named by whoever runs the service: an answer that points to another is an error, so that no
answer can make us ask what it wants asked. Addresses that only a machine's own network knows are refused
unless the configuration allows them; the address that was looked at is the one that is connected to.
Nothing of an answer's content is repeated in a message: it may be about people.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from features.errors import SourceError

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that may be others the next time."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 3
_PIECE = 65_536


@dataclass(frozen=True, slots=True)
class Patience:
    """How often something is tried, and how long is waited in between.

    Attributes:
        attempts: in all, 1 or more.
        first_seconds: before the second; doubled for each that follows, up to `longest_seconds`. A
            `Retry-After` that asks for more than `longest_seconds` ends the pull: the next one is
            the next attempt.
        sleep: waits.
        lots: spreads the waits of many between half and whole.
        clock: the present time in seconds since 1970, for a `Retry-After` that is a date.
    """

    attempts: int = 5
    first_seconds: float = 0.5
    longest_seconds: float = 120.0
    sleep: Callable[[float], None] = time.sleep
    lots: Random = field(default_factory=Random)
    clock: Callable[[], float] = time.time

    def pause(self, attempt: int) -> float:
        """Seconds after the attempt of this number, from 1."""
        whole = min(self.first_seconds * 2.0 ** (attempt - 1), self.longest_seconds)
        return whole * (0.5 + self.lots.random() / 2)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: an address of our host, its method, headers and body."""

    url: str
    method: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: the content of the JSON, and the headers."""

    content: Any
    headers: Message


class _PassingError(Exception):
    """What may go well the next time: why, and how long the other side asks us to wait."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.why, self.wait = why, wait


@dataclass(frozen=True)
class Host:
    """The one system that is asked.

    Attributes:
        name: of the source, for messages.
        url: an address of it; scheme, host and port are those of every request.
        private: whether it may be in our own network.
        timeout_seconds: longest silence, and longest time for a whole answer.
        most_bytes: of an answer.
        patience: with it.
    """

    name: str
    url: str
    private: bool
    timeout_seconds: float
    most_bytes: int
    patience: Patience

    def ask(self, ask: Ask) -> Answer:
        """The answer to a request, after as many attempts as it takes.

        Raises:
            SourceError: none came, or none that can be read.
        """
        for attempt in range(1, self.patience.attempts + 1):
            try:
                return self._once(ask)
            except _PassingError as error:
                wait = self.patience.pause(attempt) if error.wait is None else error.wait
                if attempt == self.patience.attempts or wait > self.patience.longest_seconds:
                    tried = f"tried {attempt} times" if attempt > 1 else "tried once"
                    raise self._wrong(f"{error.why} ({tried})") from None
                self.patience.sleep(wait)
        raise AssertionError("the last attempt raises")

    def own(self, url: str, base: str | None = None) -> str:
        """An address that an answer names, made whole.

        Raises:
            SourceError: it is another host's.
        """
        whole = urljoin(base or self.url, url)
        if _origin(urlsplit(whole)) != _origin(urlsplit(self.url)):
            raise self._wrong("the answer leads to another host, which is not followed")
        return whole

    def _once(self, ask: Ask) -> Answer:
        url = ask.url
        for _ in range(_MOST_REDIRECTS + 1):
            status, headers, content = self._exchanged(url, ask)
            if status not in _REDIRECTS:
                return self._read(status, headers, content)
            if ask.method != "GET":
                raise self._wrong(f"it answers {status} to a {ask.method}: the address has moved")
            url = self.own(headers.get("Location", ""), base=url)
        raise self._wrong("it redirects in a ring")

    def _exchanged(self, url: str, ask: Ask) -> tuple[int, Message, bytes]:
        parts = urlsplit(url)
        connection = self._connection(parts)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        until = time.monotonic() + self.timeout_seconds
        try:
            connection.request(ask.method, target, body=ask.body, headers=dict(ask.headers))
            with connection.getresponse() as response:
                return response.status, response.headers, self._body(response, until)
        except ssl.SSLCertVerificationError as error:
            raise self._wrong(f"its certificate is not good: {error.verify_message}") from None
        except (OSError, http.client.HTTPException) as error:
            raise _PassingError(f"no whole answer: {type(error).__name__}") from None
        finally:
            connection.close()

    def _body(self, response: http.client.HTTPResponse, until: float) -> bytes:
        """All of it, unless it is too long or takes too long."""
        pieces, size = [], 0
        while piece := response.read1(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > self.most_bytes:
                raise self._wrong(f"an answer of more than {self.most_bytes:,} bytes")
            if time.monotonic() > until:
                raise _PassingError(f"no whole answer within {self.timeout_seconds:g} s")
        if response.length:
            raise _PassingError("an answer that ends too early")
        return b"".join(pieces)

    def _read(self, status: int, headers: Message, body: bytes) -> Answer:
        if status in PASSING:
            wait = _wait(headers.get("Retry-After"), self.patience.clock)
            raise _PassingError(f"it answers {status}", wait)
        if status in (401, 403):
            raise self._wrong(f"it answers {status}: is what the variable holds still good?")
        if not 200 <= status < 300:
            raise self._wrong(f"it answers {status}")
        try:
            return Answer(json.loads(body), headers)
        except (ValueError, RecursionError):
            kind = headers.get_content_type()
            raise self._wrong(f"an answer of {len(body):,} bytes ({kind}) is not JSON") from None

    def _connection(self, parts: SplitResult) -> http.client.HTTPConnection:
        host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
        address = self._address(host, port)
        if parts.scheme == "https":
            return _HTTPSConnection(host, port, address, self.timeout_seconds)
        return _HTTPConnection(host, port, address, self.timeout_seconds)

    def _address(self, host: str, port: int) -> str:
        """Where the host is, if we may go there."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            raise _PassingError("its name is not known to the network") from None
        address = str(found[0][4][0])
        ip = ipaddress.ip_address(address.partition("%")[0])
        ip = getattr(ip, "ipv4_mapped", None) or ip
        if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
            raise self._wrong("its name leads to an address that is no host's")
        if not ip.is_global and not self.private:
            raise self._wrong("its name leads into a private network; `private: true` allows that")
        return address

    def _wrong(self, why: str) -> SourceError:
        host = urlsplit(self.url).hostname
        return SourceError(f"{self.name}: {host}: {why}", hint="Nothing that came before is lost.")


class _HTTPConnection(http.client.HTTPConnection):
    """To an address that was looked at, whatever the name leads to a moment later."""

    def __init__(self, host: str, port: int, address: str, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._address = address

    def connect(self) -> None:
        """Connect to the address."""
        self.sock = socket.create_connection((self._address, self.port), self.timeout)


class _HTTPSConnection(http.client.HTTPSConnection):
    """The same, with the certificate of the name."""

    def __init__(self, host: str, port: int, address: str, timeout: float) -> None:
        self._trust = ssl.create_default_context()
        super().__init__(host, port, timeout=timeout, context=self._trust)
        self._address = address

    def connect(self) -> None:
        """Connect to the address, and see that it is the host's."""
        plain = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = self._trust.wrap_socket(plain, server_hostname=self.host)


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def _wait(told: str | None, clock: Callable[[], float]) -> float | None:
    """Seconds that a Retry-After asks for; None: it says nothing that can be read."""
    if told is None:
        return None
    if told.strip().isdecimal():
        return float(told)
    try:
        return max(parsedate_to_datetime(told).timestamp() - clock(), 0.0)
    except (TypeError, ValueError, OverflowError):
        return None
