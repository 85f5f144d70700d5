"""How does the service talk to whoever runs it? One JSON object a line on stderr.

No body, no address and no person is logged: routes are named by their templates, requests by their id.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

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
