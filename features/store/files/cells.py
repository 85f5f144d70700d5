"""How is one cell of a row read? Trimmed, blank where it says so, and every problem collected."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import TypeVar

from features.errors import Problem, shown
from features.facts import Record
from features.sources import Constant
from features.store.files.dates import instant
from features.store.files.styles import Styles
from features.store.files.tables import Row
from features.store.files.values import number
from features.store.outcomes import Deal

T = TypeVar("T")


@dataclass(slots=True)
class Mapped:
    """What one row gives: facts, a deal, what is wrong with it.

    `skipped` rows give nothing and are no mistake. `left_open` is an outcome that closes nothing.
    """

    row: Row
    where: str
    records: list[Record] = field(default_factory=list)
    deals: list[Deal] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: bool = False
    left_open: str | None = None

    def wrong(self, column: str, text: str, message: str) -> None:
        """Something is wrong in a column."""
        self.problems.append(Problem(self.where, column, shown(text) if text else "", message))


class Cell:
    """One column's cell in any row.

    Args:
        column: the column's name, for messages.
        position: where it stands in `Row.cells`.
        blank: texts that say nothing.
    """

    __slots__ = ("blank", "column", "position")

    def __init__(self, column: str, position: int, blank: Collection[str]) -> None:
        self.column = column
        self.position = position
        self.blank = frozenset(blank) | {""}

    def text(self, row: Row) -> str | None:
        """The trimmed text, or None where it says nothing."""
        text = row.cells[self.position].strip()
        return None if text in self.blank else text

    def read(self, into: Mapped, parse: Callable[[str], T]) -> T | None:
        """What the cell says, or None; a cell that does not parse is a problem."""
        text = into.row.cells[self.position].strip()
        return None if text in self.blank else self._parsed(text, into, parse)

    def required(self, into: Mapped, parse: Callable[[str], T]) -> T | None:
        """The same for a cell that must not be blank."""
        text = into.row.cells[self.position].strip()
        if text in self.blank:
            into.wrong(self.column, text, "must not be blank")
            return None
        return self._parsed(text, into, parse)

    def _parsed(self, text: str, into: Mapped, parse: Callable[[str], T]) -> T | None:
        try:
            return parse(text)
        except ValueError as error:
            into.wrong(self.column, text, str(error))
            return None


class Columns:
    """The columns of a source, joined ones included, and how they are written.

    Args:
        names: in the order of `Row.cells`.
        blank: texts that say nothing, in every column.
        styles: how numbers and dates are written.
        zone: the zone of times that name none.
    """

    def __init__(
        self, names: Sequence[str], blank: Collection[str], styles: Styles, zone: tzinfo
    ) -> None:
        self._position = {name: i for i, name in enumerate(names)}
        self._blank = frozenset(blank)
        self._styles = styles
        self._zone = zone

    def cell(self, column: str, blank: Collection[str] = ()) -> Cell:
        """A column, with further texts that say nothing in it."""
        return Cell(column, self._position[column], self._blank | frozenset(blank))

    def optional(self, column: str | None) -> Cell | None:
        """A column, or None where there is none."""
        return None if column is None else self.cell(column)

    def key(self, column: str) -> Cell:
        """A column of keys, of which any text but an empty one is one."""
        return Cell(column, self._position[column], ())

    def instant(self, column: str) -> Callable[[str], int]:
        """How to read this column's times."""
        day_first, zone = self._styles.of(column).day_first, self._zone
        return lambda text: instant(text, day_first, zone)

    def number(self, column: str) -> Callable[[str], float]:
        """How to read this column's numbers."""
        decimal = self._styles.of(column).decimal
        return lambda text: number(text, decimal)


class Moment:
    """A column of times that may be missing altogether.

    Args:
        columns: of the source.
        column: the column, or None.
    """

    def __init__(self, columns: Columns, column: str | None) -> None:
        self._cell = columns.optional(column)
        self._parse = columns.instant(column) if column else instant

    def read(self, into: Mapped) -> int | None:
        """The instant, or None where nothing is said."""
        return self._cell.read(into, self._parse) if self._cell else None

    def required(self, into: Mapped) -> int | None:
        """The same where something must be said."""
        return self._cell.required(into, self._parse) if self._cell else None


class Label:
    """A text that stands in a column or is the same in every row.

    Args:
        columns: of the source.
        said: the column's name or the constant.
    """

    def __init__(self, columns: Columns, said: str | Constant) -> None:
        self._constant = said.value if isinstance(said, Constant) else None
        self._cell = columns.cell(said) if isinstance(said, str) else None

    def text(self, row: Row) -> str | None:
        """The text, or None where nothing is said."""
        return self._cell.text(row) if self._cell else self._constant

    def required(self, into: Mapped) -> str | None:
        """The same where something must be said."""
        return self._cell.required(into, str) if self._cell else self._constant
