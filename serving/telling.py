"""How does a command say what it found? As words or as one JSON object; and where, and when, it works.

Results go to stdout, progress and remarks to stderr. Imports that cost time wait until they are needed.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from models.workspace import Workspace

out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of words.")]


def workspace() -> Workspace:
    """The installation that the environment describes."""
    from models.workspace import Workspace

    return Workspace.of(os.environ)


def now(here: Workspace) -> int:
    """The present instant as all hosts of the installation's database have it."""
    from features.store.one_clock import clock_of

    return clock_of(here.store)()


def tell(content: dict[str, Any], words: str | Table, as_json: bool) -> None:
    """Print a result."""
    if as_json:
        print(json.dumps(content, allow_nan=False))  # noqa: T201 - machines read stdout
    else:
        out.print(words, highlight=False)
