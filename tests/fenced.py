"""What do the pages of the repository show in fences? Commands and files, for tests that try them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
NOT_RUN = "# not run by the tests: "
"""A block of commands that begins with this is left out, for the reason that follows."""

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """One fenced block: its language, its text, and the line it begins at."""

    language: str
    text: str
    line: int


def pages() -> list[Path]:
    """Every page written for people, in order."""
    return [
        *sorted(ROOT.glob("*.md")),
        *sorted(ROOT.glob("docs/**/*.md")),
        *sorted(ROOT.glob("requirements/*.md")),
        *sorted(ROOT.glob("notebooks/*.md")),
    ]


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    """The fenced blocks of a page in these languages, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        if found[1] in languages:
            yield Block(found[1], found[2], text.count("\n", 0, found.start()) + 1)
