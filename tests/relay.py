"""A line to a database that can go quiet, or break where it hurts.

Quiet: what is sent is taken, and nothing comes back. Broken: at a COMMIT, before the server gets it,
while it is at it, or after its answer and before the client gets that.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from sqlalchemy import URL

Where = Literal["before", "during", "after"]


_COMMIT = b"COMMIT\0"  # and not READ COMMITTED


class Relay:
    """Passes on what two sides say to each other.

    Attributes:
        port: where it listens on this machine.
        flows: cleared while nothing is passed on.
        cuts: how often the line will break at a COMMIT from now on.
        spared: how many come through before.
        where: whether the server gets the one at which it breaks, and time to answer it.
        then_gone: whether nobody is let in any more after it broke.
    """

    def __init__(self, database: URL) -> None:
        self._database = database
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.flows = threading.Event()
        self.flows.set()
        self.cuts = self.spared = 0
        self.where: Where = "after"
        self.then_gone = False
        self._ends: list[socket.socket] = []

    @property
    def url(self) -> str:
        """The database by way of this line."""
        behind = self._database.set(host="127.0.0.1", port=self.port, query={})
        return behind.render_as_string(hide_password=False)

    def start(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        for end in (self._listening, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.flows.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                called = self._call()
                self._ends += [caller, called]
                cut = threading.Event()
                for ends in ((caller, called, self._cut_here, cut), (called, caller, _cut, cut)):
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _call(self) -> socket.socket:
        """A line to the database itself, which may listen on a file."""
        host = self._database.query.get("host") or self._database.host
        port = self._database.port or self._database.query.get("port") or 5432
        if not str(host).startswith("/"):
            return socket.create_connection((str(host), int(str(port))))
        called = socket.socket(socket.AF_UNIX)
        called.connect(f"{host}/.s.PGSQL.{port}")
        return called

    def _pass(
        self,
        one: socket.socket,
        other: socket.socket,
        where_cut: Callable[[bytes, threading.Event], Where | None],
        cut: threading.Event,
    ) -> None:
        with suppress(OSError):
            while said := one.recv(65_536):
                self.flows.wait()
                where = where_cut(said, cut)
                if where != "before":
                    other.sendall(said)
                if where in ("before", "during"):
                    break
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _cut_here(self, said: bytes, cut: threading.Event) -> Where | None:
        """Where the line breaks at what a client says; after `cut` no answer is passed on."""
        if not self.cuts or _COMMIT not in said:
            return None
        if self.spared:
            self.spared -= 1
            return None
        self.cuts -= 1
        cut.set()
        if self.then_gone:
            self._listening.shutdown(socket.SHUT_RDWR)
        return self.where


def _cut(_: bytes, cut: threading.Event) -> Where | None:
    return "before" if cut.is_set() else None


@contextmanager
def relayed(database: URL) -> Iterator[Relay]:
    """A line to a database, as long as it is needed."""
    relay = Relay(database)
    relay.start()
    try:
        yield relay
    finally:
        relay.stop()
