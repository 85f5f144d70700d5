"""How does the service talk to whoever runs it? One JSON object a line on stderr.

No body, no address and no person is logged: routes are named by their templates, requests by their id.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import orjson
import structlog

_SHARED: tuple[Any, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


# The values of local variables would be the very bodies and people that must not be logged.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def _as_line(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """One line: every request writes one, so it is written by the quickest writer."""
    return orjson.dumps(event, default=repr).decode()


class RequestLines:
    """Writes one line for each request: what `structlog` would have written, those of a turn together.

    Every request pays for its line, and a line by way of processors costs more than reading the request.

    Args:
        sink: where the lines go.
    """

    def __init__(self, sink: TextIO) -> None:
        self._sink = sink
        self._lines: list[bytes] = []
        self._second, self._stamp = 0, ""

    def write(self, line: Mapping[str, Any]) -> None:
        """Write a line before the event loop turns to what comes next.

        Args:
            line: what it says, by name.
        """
        said = {**line, "event": "request", "level": "info", "timestamp": self._now()}
        self._lines.append(orjson.dumps(said, default=repr))
        if len(self._lines) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        self._sink.write("".join(line.decode() + "\n" for line in lines))
        self._sink.flush()

    def _now(self) -> str:
        """The present instant, as structlog stamps it."""
        second, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        if second != self._second:
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._second = second
        return f"{self._stamp}.{nanoseconds // 1_000:06d}Z"


def request_lines(level: str) -> RequestLines | None:
    """What writes the lines of requests from this severity on; None: they are not wanted."""
    is_wanted = logging.getLevelNamesMapping()[level] <= logging.INFO
    return RequestLines(sys.stderr) if is_wanted else None


def configure(level: str) -> None:
    """Write everything, our own lines and the server's, as JSON from this severity on.

    Args:
        level: `DEBUG`, `INFO`, `WARNING` or `ERROR`.
    """
    number = logging.getLevelNamesMapping()[level]
    structlog.configure(
        processors=[
            *_SHARED,
            _TRACEBACKS,
            _as_line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _TRACEBACKS,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    logging.getLogger("alembic").setLevel(logging.WARNING)
