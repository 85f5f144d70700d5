"""How long is a database waited for that says nothing? As long as its caller can; then the line is cut.

A server that is stopped, or a pooler that is paused, takes what it is sent and never answers: neither
TCP nor PostgreSQL's own timeouts end that. Rule: silence counts, not the time that a statement takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import psycopg

Result = TypeVar("Result")
_Steps = Generator[Any, Any, Result]
"""Yields what it waits for and is sent whether that has come: 0 while there is nothing."""


class AttentiveConnection(psycopg.Connection[Any]):
    """A connection that ends itself when the server has been silent for too long.

    Attributes:
        patience_seconds: gives the longest silence; None: for ever.
    """

    patience_seconds: Callable[[], float | None] = staticmethod(lambda: None)

    def wait(self, gen: _Steps[Result], *rest: Any, **more: Any) -> Result:
        """Wait for an answer.

        Raises:
            psycopg.OperationalError: there was silence, and the connection is closed.
        """
        seconds = self.patience_seconds()
        steps = gen if seconds is None else self._with_an_ear(gen, seconds)
        return super().wait(steps, *rest, **more)

    def _with_an_ear(self, steps: _Steps[Result], seconds: float) -> _Steps[Result]:
        try:
            wanted, until = next(steps), time.monotonic() + seconds
            while True:
                come = yield wanted
                if come:
                    until = time.monotonic() + seconds
                elif time.monotonic() >= until:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(
                        f"the server has said nothing for {seconds:g} seconds"
                    )
                wanted = steps.send(come)
        except StopIteration as end:
            found: Result = end.value
            return found
