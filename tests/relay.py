"""A line to a database that can go quiet: what is sent is taken, and nothing comes back."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import URL


class Relay:
    """Passes on what two sides say to each other.

    Attributes:
        port: where it listens on this machine.
        flows: cleared while nothing is passed on.
    """

    def __init__(self, database: URL) -> None:
        self._database = database
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.flows = threading.Event()
        self.flows.set()
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
                for one, other in ((caller, called), (called, caller)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _call(self) -> socket.socket:
        """A line to the database itself, which may listen on a file."""
        host = self._database.query.get("host") or self._database.host
        port = self._database.port or self._database.query.get("port") or 5432
        if not str(host).startswith("/"):
            return socket.create_connection((str(host), int(str(port))))
        called = socket.socket(socket.AF_UNIX)
        called.connect(f"{host}/.s.PGSQL.{port}")
        return called

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while said := one.recv(65_536):
                self.flows.wait()
                other.sendall(said)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def relayed(database: URL) -> Iterator[Relay]:
    """A line to a database, as long as it is needed."""
    relay = Relay(database)
    relay.start()
    try:
        yield relay
    finally:
        relay.stop()
