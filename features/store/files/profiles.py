"""What is in each column of a file nobody has described yet? Counts from which a mapping is guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from features.quality import text_problem
from features.sources import Format
from features.store.files.dates import instant
from features.store.files.naming import KEY, LEAD, NOT_KNOWN, any_of
from features.store.files.reading import open_table
from features.store.files.tables import Table
from features.store.files.values import FALSE, TRUE, number

ROWS_READ = 200_000
"""Rows that a guess looks at; further rows are trusted to be like them."""
DISTINCT_COUNTED = 2_000
MOST_LEVELS = 200
"""A category has at most so many levels; a text with more is free text or a key."""

Kind = Literal["empty", "constant", "boolean", "number", "date", "category", "text"]
BLANK = frozenset(Format().unanswered)


@dataclass(slots=True)
class ColumnProfile:
    """One column: how often which text stands in it, and what all its texts could be.

    `counts` holds the first `DISTINCT_COUNTED` texts, trimmed and without blank ones. `different` are
    all its texts; it is given up (None) once one repeats in a column not named like a key. `readings`
    are the ways in which every text so far could be read. `steps` is 1 where its whole numbers only
    rise, −1 where they only fall; `runs` counts how often the text changes from row to row.
    """

    name: str
    filled: int = 0
    blank: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    different: set[str] | None = field(default_factory=set)
    readings: list[str] = field(default_factory=lambda: list(_READINGS))
    storable: bool = True
    repeats: bool = False
    steps: int | None = None
    runs: int = 0
    _last: float | None = None
    _before: str = ""

    def add(self, cell: str) -> None:
        """Count one cell."""
        text = cell.strip()
        if text in BLANK:
            self.blank += 1
            return
        self.filled += 1
        self.runs += text != self._before
        self._before = text
        self._compare(text)
        known = text in self.counts
        if known or (self.different is not None and text in self.different):
            self._repeated()
        elif self.different is not None:
            self.different.add(text)
        if known or len(self.counts) < DISTINCT_COUNTED:
            self.counts[text] += 1
        if not known:
            self._read(text)

    def _repeated(self) -> None:
        if not self.repeats:
            self.repeats = True
            if not any_of(self.name, KEY | LEAD):
                self.different = None

    def _read(self, text: str) -> None:
        self.storable = self.storable and text_problem(text) is None
        if text.lower() not in NOT_KNOWN:
            self.readings = [name for name in self.readings if _fits(_READINGS[name], text)]

    def _compare(self, text: str) -> None:
        if self.steps == 0 or not text.isdigit() or len(text) > 15:
            self.steps = 0
            return
        value, last = float(text), self._last
        self._last = value
        if last is not None:
            step = (value > last) - (value < last)
            self.steps = step if self.steps in (None, step) else 0

    @property
    def is_key(self) -> bool:
        """Whether the column is filled in every row and differs in each."""
        return not self.repeats and self.names_rows

    @property
    def is_nearly_key(self) -> bool:
        """Whether the column would be a key but for a few rows that are there twice."""
        return self.names_rows and len(self.different or ()) >= 0.9 * self.filled

    @property
    def names_rows(self) -> bool:
        """Whether the column says in every row whom it is about."""
        return self.different is not None and self.filled > 1 and not self.blank and self.storable

    @property
    def levels(self) -> list[str]:
        """The texts that say something, the most frequent first."""
        return [text for text, _ in self.counts.most_common() if text.lower() not in NOT_KNOWN]

    @property
    def not_known(self) -> list[str]:
        """The texts that say that nobody knows."""
        return sorted(text for text in self.counts if text.lower() in NOT_KNOWN)

    @property
    def kind(self) -> Kind:
        """What the column is best read as."""
        levels = self.levels
        if not levels:
            return "empty"
        if len(levels) == 1 and not self.blank and not self.not_known:
            return "constant"
        for reading, kind in _KIND_OF:
            if reading in self.readings:
                return kind
        few = len(levels) <= MOST_LEVELS and (len(levels) <= 3 or self.filled >= 2 * len(levels))
        return "category" if few and self.storable else "text"


def _fits(reads: Callable[[str], object], text: str) -> bool:
    with suppress(ValueError):
        reads(text)
        return True
    return False


def _truth(text: str) -> None:
    if text.lower() not in TRUE | FALSE:
        raise ValueError


def _plain_number(decimal: Literal[".", ","]) -> Callable[[str], float]:
    def read(text: str) -> float:
        digits = text.lstrip("+-")
        if len(digits) > 1 and digits[0] == "0" and digits.isdigit():
            raise ValueError("leading zeros are part of a code, not of a number")
        return number(text, decimal)

    return read


def _date(day_first: bool) -> Callable[[str], int]:
    def read(text: str) -> int:
        if text.isdigit():
            raise ValueError("digits alone are more often a key than a date")
        return instant(text, day_first)

    return read


_READINGS: Mapping[str, Callable[[str], object]] = {
    "truth": _truth,
    "point": _plain_number("."),
    "comma": _plain_number(","),
    "day": _date(True),
    "month": _date(False),
}
_KIND_OF: tuple[tuple[str, Kind], ...] = (
    ("truth", "boolean"),
    ("point", "number"),
    ("comma", "number"),
    ("day", "date"),
    ("month", "date"),
)


@dataclass(frozen=True, slots=True)
class FileProfile:
    """One file: its columns by name, in order, and how many rows were looked at."""

    path: Path
    table: Table
    rows: int
    columns: Mapping[str, ColumnProfile]

    def of_kind(self, *kinds: Kind) -> list[ColumnProfile]:
        """The columns that are best read as one of these."""
        return [column for column in self.columns.values() if column.kind in kinds]


def profile_file(path: Path) -> FileProfile:
    """Look at a file's first `ROWS_READ` rows.

    Raises:
        InputError: it cannot be read.
    """
    table = open_table(path, Format())
    profiles = [ColumnProfile(name) for name in table.columns]
    rows = (row for chunk in table.chunks(10_000) for row in chunk.rows)
    count = 0
    for row in islice(rows, ROWS_READ):
        if any(row.cells):
            count += 1
            for profile, cell in zip(profiles, row.cells, strict=True):
                profile.add(cell)
    return FileProfile(path, table, count, {profile.name: profile for profile in profiles})
