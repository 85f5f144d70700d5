"""What is a section of a report on a page? Sentences, a table, and a picture that repeats the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serving.charts import Chart, Reliability

LONG = 24
"""Tables with more rows than this are folded unless one of them is to be seen."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table; numbers stand at its end."""

    text: str
    is_number: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table: its head, its rows, and for each row whether something is to be seen in it."""

    head: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    off: Sequence[bool]

    @property
    def is_long(self) -> bool:
        """Whether it is folded: long, and nothing in it is to be seen at once."""
        return len(self.rows) > LONG and not any(self.off)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of a report: sentences, a table, and a picture that repeats it; `picture`: its words."""

    key: str
    title: str
    words: Sequence[str]
    sheet: Sheet | None
    picture: str
    line: Chart | None
    bands: Reliability | None
