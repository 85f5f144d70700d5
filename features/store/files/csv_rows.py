"""Which rows does a CSV hold? Any separator, encoding and quoting; a broken row costs only itself.

A quotation mark that is never closed would swallow the rest of the file. Where that is certain, its
line is given up alone and the lines behind it are read again.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

from features.errors import InputError, Problem, shown
from features.sources import Format
from features.store.files.encodings import encoding_of
from features.store.files.tables import BadRow, Chunk, Row, unique_names

SEPARATORS = (",", ";", "\t", "|")
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar"}
_SAMPLE_LINES = 500
_SAMPLE_LINE_LENGTH = 1 << 16
_UNCLOSED = "a quotation mark opened here is never closed"


class CsvTable:
    """A CSV file: one header line, then rows of as many cells; blank lines do not count.

    Args:
        path: the file.
        label: how to call it in messages.
        said: what the definition says about it; the rest is guessed.

    Raises:
        InputError: the file is empty, or not in the encoding that was said.
    """

    unit = "line"

    def __init__(self, path: Path, label: str, said: Format) -> None:
        self.label = label
        self._path = path
        self._size = max(path.stat().st_size, 1)
        self.encoding, how = encoding_of(path, said.encoding)
        with path.open("rb") as raw, self._text(raw) as file:
            sample = _sample(file)
        self._declared = _declared(sample)
        self.separator, why = _separator(sample, said.separator, self._declared)
        names, renamed = unique_names(self._header())
        self.columns: Sequence[str] = names
        self.guesses: Mapping[str, str] = {
            "encoding": f"{self.encoding} ({how})",
            "separator": f"{_NAMES.get(self.separator, self.separator)} ({why})",
            **({"columns": "; ".join(renamed)} if renamed else {}),
        }

    def chunks(self, size: int) -> Iterator[Chunk]:
        """All rows from the first on, `size` rows (good and bad) a chunk."""
        with self._path.open("rb") as raw, self._text(raw) as file:
            rows: list[Row] = []
            bad: list[BadRow] = []
            for item in self._rows(file):
                if isinstance(item, BadRow):
                    bad.append(item)
                else:
                    rows.append(item)
                if len(rows) + len(bad) >= size:
                    yield Chunk(rows, bad, min(raw.tell() / self._size, 1.0))
                    rows, bad = [], []
            if rows or bad:
                yield Chunk(rows, bad)

    def _text(self, raw: IO[bytes]) -> IO[str]:
        return io.TextIOWrapper(raw, encoding=self.encoding, newline="")

    def _header(self) -> list[str]:
        with self._path.open("rb") as raw, self._text(raw) as file:
            first = next(self._records(_Lines(file)), None)
        if first is None:
            raise InputError(f"{self.label} is empty", hint="Its first line must name the columns.")
        if first[2]:
            raise InputError(f"{self.label}: the first line cannot be read: {first[2]}")
        return first[1]

    def _rows(self, file: IO[str]) -> Iterator[Row | BadRow]:
        lines = _Lines(file)
        records = self._records(lines)
        next(records)
        width = len(self.columns)
        for number, (line, cells, wrong) in enumerate(records, start=1):
            if len(cells) == width and not wrong:
                yield Row(number, line, cells)
            elif len(cells) > width and not wrong and not any(cells[width:]):
                # Spreadsheets end lines with separators that head no column.
                yield Row(number, line, cells[:width])
            else:
                yield BadRow(
                    Row(number, line, cells), self._problem(line, cells, wrong, lines.taken)
                )

    def _records(self, lines: _Lines) -> Iterator[tuple[int, list[str], str]]:
        """Line, cells and what is wrong with each record, the header first."""
        # Strict, because otherwise a quotation mark inside a later line would close the cell of an
        # earlier one, and the lines between would be gone without a word.
        reader = csv.reader(lines, delimiter=self.separator, strict=True)
        if self._declared:
            next(lines)
        while True:
            start = lines.begin()
            try:
                cells = next(reader, None)
            except csv.Error as error:
                first = lines.give_back_the_rest()
                tolerated = None if lines.ended else _alone(first, self.separator)
                if tolerated:
                    yield start, tolerated, ""
                else:
                    yield start, first.rstrip("\r\n").split(self.separator), _said_by(error)
                continue
            if cells is None:
                return
            if cells:
                yield start, cells, ""

    def _problem(self, line: int, cells: list[str], wrong: str, taken: int) -> Problem:
        until = f" to {line + taken - 1}" if taken > 1 and not wrong else ""
        where = f"{self.label} line {line}{until}"
        if wrong:
            return Problem(where, "(row)", "", wrong)
        message = f"the header has {len(self.columns)} columns"
        return Problem(where, "(row)", f"{len(cells)} cells", message)


class _Lines:
    """The lines of a file, which can be given back: what the reader took for one record is kept."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._again: deque[str] = deque()
        self._record: list[str] = []
        self._count = 0
        self.ended = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._again:
            line = self._again.popleft()
        else:
            line = next(self._file, "")
            if not line:
                self.ended = True
                raise StopIteration
        self._record.append(line)
        self._count += 1
        return line

    @property
    def taken(self) -> int:
        """How many lines the present record took."""
        return len(self._record)

    def begin(self) -> int:
        """A new record begins; the number of its first line."""
        self._record = []
        self.ended = False
        return self._count + 1

    def give_back_the_rest(self) -> str:
        """Give all lines of the record back but the first, which is returned."""
        first, *rest = self._record
        self._again.extendleft(reversed(rest))
        self._count -= len(rest)
        self._record = [first]
        return first


def _alone(line: str, separator: str) -> list[str] | None:
    """The cells of a line with quotation marks inside a quoted cell (`"the "big" one"`).

    None where the line leaves a quotation mark open, so that it cannot stand alone.
    """
    try:
        first, *rest = csv.reader([line, "end"], delimiter=separator)
    except csv.Error:
        return None
    return first if rest else None


def _said_by(error: csv.Error) -> str:
    text = str(error)
    open_quote = any(sign in text for sign in ("field limit", "end of data", "expected after"))
    return _UNCLOSED if open_quote else f"cannot be read ({text})"


def _sample(file: IO[str]) -> list[str]:
    lines = (file.readline(_SAMPLE_LINE_LENGTH) for _ in range(_SAMPLE_LINES))
    return [line for line in lines if line]


def _declared(sample: Sequence[str]) -> str | None:
    """The separator that spreadsheets write as a first line: `sep=;`."""
    first = sample[0].strip("\r\n") if sample else ""
    return first[4] if len(first) == 5 and first.lower().startswith("sep=") else None


def _separator(sample: list[str], said: str | None, declared: str | None) -> tuple[str, str]:
    """The separator, and why it was taken."""
    if said:
        if said in '"\r\n':
            raise InputError(f"format.separator: {shown(said)} cannot separate columns")
        return said, "as said"
    if declared:
        return declared, "the first line says so"
    fits = {separator: _fit(sample, separator) for separator in SEPARATORS}
    best = max(SEPARATORS, key=fits.__getitem__)
    share, width = fits[best][1:]
    if width == 1:
        return best, "there is one column only"
    return best, f"{share:.0%} of the first rows have the header's {width} cells with it"


def _fit(sample: list[str], separator: str) -> tuple[bool, float, int]:
    """How well a separator fits: does it split the header, share of rows of its width, its width.

    The header decides first, because names of columns rarely hold a separator and texts often do.
    """
    try:
        records = [r for r in islice(csv.reader(sample, delimiter=separator), _SAMPLE_LINES) if r]
    except csv.Error:
        return False, 0.0, 1
    if not records:
        return False, 0.0, 1
    width = len(records[0])
    # The last record may be cut off where the sample ends.
    rows = records[1:-1] or records[1:]
    share = sum(len(row) == width for row in rows) / len(rows) if rows else 1.0
    return width > 1, share, width
