"""What is a file once it is open? Named columns and rows of text, in chunks, whatever it was on disk.

Cells are handed over as they stand: nothing is trimmed or converted here. Memory holds one chunk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple, Protocol

from features.errors import Problem


class Row(NamedTuple):
    """One row: its number from 1 on, the line it starts on (rows, where there are no lines), cells."""

    number: int
    line: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be read, and why."""

    row: Row
    problem: Problem


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows that follow each other; `share` of the file (0 to 1) has been read with them."""

    rows: list[Row]
    bad: list[BadRow] = field(default_factory=list)
    share: float = 1.0


class Table(Protocol):
    """An open file.

    `columns` are unique and not blank; `guesses` says what was guessed about the file and
    `unit` what `Row.line` counts: `line` or `row`.
    """

    label: str
    columns: Sequence[str]
    guesses: Mapping[str, str]
    unit: str

    def chunks(self, size: int) -> Iterator[Chunk]:
        """All rows from the first on, `size` rows (good and bad) a chunk. May be called again."""


def unique_names(header: Sequence[str]) -> tuple[list[str], list[str]]:
    """Column names for a header: trimmed; blank ones and repetitions get a name of their own.

    Returns:
        The names, and what was renamed, in words.

    >>> unique_names(["a", " a ", ""])
    (['a', 'a (2)', 'column 3'], ["column 2 is called 'a (2)'", "column 3 is called 'column 3'"])
    """
    names: list[str] = []
    renamed = []
    for position, cell in enumerate(header, start=1):
        wanted = cell.strip() or f"column {position}"
        name = next(n for n in _variants(wanted) if n not in names)
        if name != cell.strip():
            renamed.append(f"column {position} is called {name!r}")
        names.append(name)
    return names, renamed


def _variants(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name} ({repeat})" for repeat in count(2))
