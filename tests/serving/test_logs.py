"""Are the lines of requests, which are written apart, the lines that the log would have written?"""

from __future__ import annotations

import asyncio
import io
import json
import re
from typing import Any

import pytest
import structlog
from own_loop import run

from serving import logs

LINE: dict[str, Any] = {
    "request_id": "r-1",
    "method": "POST",
    "route": "/v1/scores",
    "status": 200,
    "ms": 1.25,
}
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def quickly(lines: list[dict[str, Any]]) -> list[str]:
    sink = io.StringIO()

    async def write() -> None:
        writer = logs.RequestLines(sink)
        for line in lines:
            writer.write(line)
        assert not sink.getvalue(), "those of one turn go together"
        await asyncio.sleep(0)

    run(write())
    return sink.getvalue().splitlines()


def usually(line: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    sink, before = io.StringIO(), structlog.get_config()
    root = logs.logging.getLogger()
    handlers, level = root.handlers, root.level
    try:
        with monkeypatch.context() as patch:
            patch.setattr("sys.stderr", sink)
            logs.configure("INFO")
            structlog.get_logger("test").info("request", **line)
    finally:
        structlog.configure(**before)
        root.handlers = handlers
        root.setLevel(level)
    return sink.getvalue().strip()


def test_both_write_the_same_line(monkeypatch: pytest.MonkeyPatch) -> None:
    (quick,), usual = quickly([LINE]), usually(LINE, monkeypatch)
    assert STAMP.sub("then", quick) == STAMP.sub("then", usual)
    assert STAMP.search(quick)


def test_every_line_is_written_once_and_in_order() -> None:
    lines = quickly([LINE | {"status": 200 + i} for i in range(20)])
    assert [json.loads(line)["status"] for line in lines] == [*range(200, 220)]


@pytest.mark.parametrize(("level", "wanted"), [("DEBUG", True), ("INFO", True), ("WARNING", False)])
def test_who_wants_warnings_only_gets_no_lines(level: str, wanted: bool) -> None:
    assert (logs.request_lines(level) is not None) == wanted
