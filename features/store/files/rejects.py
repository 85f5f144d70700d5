"""Where do bad rows go? Into a CSV of their own: line, what is wrong, and the cells as they were.

The file is there only when there is something in it, and can be corrected and imported again; a text
that a spreadsheet would run as a formula has a quote before it, which must go then.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from features.errors import Problem
from features.spreadsheets import guarded
from features.store.files.tables import Row


class Rejects:
    """The rejects of one file, as a context; a file left by an earlier import is replaced.

    Args:
        path: where to write.
        columns: the columns of the source.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        self._columns = columns
        self._file: IO[str] | None = None
        self._writer: Any = None

    @property
    def path(self) -> Path | None:
        """The file, if anything was rejected."""
        return self._path if self._file else None

    def __enter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._file:
            self._file.close()

    def add(self, row: Row, problems: Sequence[Problem]) -> None:
        """A row of which nothing was taken."""
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Spreadsheets take UTF-8 for what it is only with a byte order mark.
            self._file = self._path.open("w", encoding="utf-8-sig", newline="", errors="replace")
            self._writer = csv.writer(self._file)
            self._writer.writerow(["line", "problems", *map(guarded, self._columns)])
        said = "; ".join(f"{p.field}: {p.message}" for p in problems)
        self._writer.writerow([row.line, guarded(said), *map(guarded, row.cells)])
