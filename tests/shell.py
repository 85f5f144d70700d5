"""How do tests run commands? In an installation of their own; what a command raises, the test sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner, Result

Run = Callable[..., Result]


def shell(app: typer.Typer, home: Path, **environment: str) -> Run:
    """Runs commands of this app on this data directory, wide enough that no line is broken."""
    surroundings = {"PROPENSITY_DATA_DIR": str(home), "COLUMNS": "200", **environment}

    def run(*arguments: str, **rest: Any) -> Result:
        result = CliRunner().invoke(app, arguments, env=surroundings, **rest)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def said(result: Result) -> Any:
    """The one JSON object on stdout of a command that did its work."""
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    return json.loads(line)
