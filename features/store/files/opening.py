"""When was each row's lead opened? By a date, a month in a file kept in order, or a rank, if at all.

Each row is asked once and in the file's order, skipped rows too: a month's year depends on the rows
before it. A month's rows all get its first day, so that no split by time can part them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo

import numpy as np

from features.clock import DAY, to_instant
from features.sources import Months, Sequence, Source
from features.store.files.dates import instant, month_number
from features.store.files.styles import Styles
from features.store.files.tables import Table
from features.store.files.values import number

BEGINNING = to_instant(datetime(2000, 1, 1, tzinfo=UTC))
"""The date of what has none, and of the first in an order without dates."""
MINUTE = DAY // 24 // 60

_CHUNK = 10_000

Opening = Callable[[str], int]
"""The cell that tells -> the instant; raises `ValueError` with what is wrong for people."""


def opening_column(source: Source) -> str | None:
    """The column that tells when a row's lead was opened, if one does."""
    match source.opened_at:
        case Months(month=column) | Sequence(order=column):
            return column
        case column:
            return column


def opening_of(source: Source, table: Table, styles: Styles, zone: tzinfo) -> Opening:
    """How this source's rows tell when their leads were opened.

    Args:
        source: the mapping; `table`: its open file, read once more where only ranks are known.
        table: the open file.
        styles: how its columns are written.
        zone: the zone of times that name none.
    """
    match source.opened_at:
        case None:
            return lambda _: BEGINNING
        case Months():
            return _Months(source.opened_at.first_year, zone)
        case Sequence(order=column):
            return _ranks(table, column, styles)
        case column:
            day_first = styles.of(column).day_first
            return lambda text: instant(text, day_first, zone)


class _Months:
    """Steps a year whenever the month's number falls."""

    def __init__(self, first_year: int, zone: tzinfo) -> None:
        self._year = first_year
        self._month = 1
        self._zone = zone

    def __call__(self, text: str) -> int:
        month = month_number(text)
        if month < self._month:
            self._year += 1
        self._month = month
        return to_instant(datetime(self._year, month, 1, tzinfo=self._zone))


def _ranks(table: Table, column: str, styles: Styles) -> Opening:
    """One minute apart in the order of a number; equal numbers share an instant."""
    decimal = styles.of(column).decimal
    at = list(table.columns).index(column)
    every = np.fromiter(
        (
            _number_or_nan(row.cells[at], decimal)
            for chunk in table.chunks(_CHUNK)
            for row in chunk.rows
        ),
        dtype=np.float64,
    )
    ordered = np.unique(every[~np.isnan(every)])

    def opened(text: str) -> int:
        return BEGINNING + int(np.searchsorted(ordered, number(text, decimal))) * MINUTE

    return opened


def _number_or_nan(cell: str, decimal: str) -> float:
    try:
        return number(cell.strip(), "," if decimal == "," else ".")
    except ValueError:
        return float("nan")
