"""What goes wrong in a soak? Swaps, a kill, damage, a locked database, a promotion while MLflow hangs.

One after the other, again and again, and each of them at least once however short the run. A trouble
that cannot be made is told: a soak without its troubles shows nothing.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from benchmarks.soak_tally import Tally
from benchmarks.soaked import Worker, command
from features.errors import StoreError
from features.store.promotions import DecisionRecord
from models.workspace import Workspace

_PAUSE_SECONDS = 6.0
_LOCKED_SECONDS = 3.0
_LOCK_TRIES = 5
# What hangs is given up after seconds; that nobody waits more than half a minute has tests of its own.
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "3", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


class Hanging:
    """A server that lets connections in and never says a word."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def connections(self) -> int:
        """How many were made since this was asked last, and are now closed."""
        self._listening.setblocking(False)
        found = 0
        with suppress(BlockingIOError):
            while True:
                self._listening.accept()[0].close()
                found += 1
        return found

    def close(self) -> None:
        """Listen no more."""
        self._listening.close()


@contextmanager
def hanging() -> Iterator[Hanging]:
    """A server that hangs, for a while."""
    server = Hanging()
    try:
        yield server
    finally:
        server.close()


class Trouble(threading.Thread):
    """Makes all troubles in turn until it is over.

    Attributes:
        went_round: set once each of them was made.
    """

    def __init__(
        self,
        workspace: Workspace,
        digests: list[str],
        mortal: Worker,
        tally: Tally,
        over: threading.Event,
    ) -> None:
        super().__init__(daemon=True)
        self._workspace, self._digests, self._mortal = workspace, digests, mortal
        self._tally, self._over = tally, over
        self.went_round = threading.Event()

    def run(self) -> None:
        """One after the other, with a pause before each."""
        deeds: list[tuple[str, Callable[[], None]]] = [
            ("swap", self._swap),
            ("kill", self._restart),
            ("damage", self._damage),
            ("swap", self._swap),
            ("lock", self._lock),
            ("promote", self._promote),
        ]
        for number in itertools.count():
            name, deed = deeds[number % len(deeds)]
            if self._over.wait(_PAUSE_SECONDS):
                return
            try:
                deed()
            except Exception as error:  # whatever it is, the run is told to have failed
                self._tally.failed.append(f"{name}: {type(error).__name__}: {error}"[:500])
            else:
                self._tally.done[name] += 1
            if number == len(deeds) - 1:
                self.went_round.set()

    def _other(self) -> str:
        present = self._workspace.registry.champion_digest()
        (other,) = [digest for digest in self._digests if digest != present]
        return other

    def _swap(self) -> None:
        registry = self._workspace.registry
        registry.decide(
            DecisionRecord(
                decided_at=time.time_ns() // 1_000,
                decision="promote",
                bundle=self._other(),
                against=registry.champion_digest(),
                decided_by="soak",
                reason="a swap",
                evidence={},
            )
        )

    def _restart(self) -> None:
        self._mortal.kill()
        self._mortal.start()

    def _damage(self) -> None:
        """Flip a byte of the model that does not score now: the next swap has to fetch it anew."""
        path = self._workspace.bundles / self._other() / "learner.json"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    def _lock(self) -> None:
        """Hold the database for three seconds, as an import might; on a busy one it takes tries."""
        for tries_left in reversed(range(_LOCK_TRIES)):
            try:
                self._hold()
            except StoreError:
                if not tries_left:
                    raise
            else:
                return

    def _hold(self) -> None:
        store = self._workspace.store
        with store.write() as connection:
            if not store.is_sqlite:
                connection.exec_driver_sql("LOCK TABLE scores, events IN ACCESS EXCLUSIVE MODE")
            self._over.wait(_LOCKED_SECONDS)

    def _promote(self) -> None:
        """By the command, as an operator does it, on the day that MLflow hangs."""
        other = self._other()
        with hanging() as mlflow:
            changes = {"PROPENSITY_MLFLOW": mlflow.url, **_IMPATIENT}
            command(self._workspace, "promote", other, "--force", "a soak", **changes)
            if not mlflow.connections():
                raise RuntimeError("MLflow was not even asked")
        if self._workspace.registry.champion_digest() != other:
            raise RuntimeError("what was promoted does not score")
