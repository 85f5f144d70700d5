"""What do other files add to a row? Texts replaced first, then columns looked up by a key.

Lookup files are held in memory: they are lists of products, accounts or people, not of events.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from features.sources import Format, Join
from features.store.files.reading import open_table
from features.store.files.styles import Styles, styles_of
from features.store.files.tables import Row, Table

_CHUNK = 10_000


@dataclass(slots=True)
class Lookup:
    """A joined file: key -> the cells of its columns.

    `columns` are the ones it adds; `key` is the column of the source that is looked up, at
    `position` there. `missed` counts the keys that were not found.
    """

    label: str
    key: str
    position: int
    columns: Sequence[str]
    styles: Styles
    rows: Mapping[str, list[str]]
    repeated: int = 0
    missed: Counter[str] = field(default_factory=Counter)

    def cells(self, row: Row) -> list[str]:
        """The cells that this file adds to a row; blank ones where its key is not there."""
        key = row.cells[self.position].strip()
        found = self.rows.get(key)
        if found is None:
            if key and (key in self.missed or len(self.missed) < _CHUNK):
                self.missed[key] += 1
            return [""] * len(self.columns)
        return found


def open_join(path: Path, join: Join, said: Format) -> Table:
    """The joined file; separator and encoding are its own, and therefore guessed."""
    own = said.model_copy(update={"separator": None, "encoding": None})
    return open_table(path, own, join.file)


def added_columns(join: Join, table: Table, present: Sequence[str]) -> list[str]:
    """The columns a join adds: the ones it names, or all that the source does not have itself."""
    if join.columns is not None:
        return list(join.columns)
    return [column for column in table.columns if column not in present and column != join.keys[1]]


def build_lookup(
    join: Join,
    table: Table,
    present: Sequence[str],
    wanted: tuple[Sequence[str], Sequence[str]],
    said: Format,
) -> Lookup:
    """Read a joined file.

    Args:
        join: what is looked up.
        table: the open file.
        present: the columns that the row has already, in order.
        wanted: the columns that will be read as numbers, and as dates.
        said: the format of the source.
    """
    columns = added_columns(join, table, present)
    left, right = join.keys
    position = list(present).index(left)
    names = list(table.columns)
    chosen, at = [names.index(column) for column in columns], names.index(right)
    numbers, dates = ([c for c in kind if c in columns] for kind in wanted)
    rows: dict[str, list[str]] = {}
    repeated = 0
    for chunk in table.chunks(_CHUNK):
        for row in chunk.rows:
            key = row.cells[at].strip()
            repeated += key in rows
            rows.setdefault(key, [row.cells[i] for i in chosen])
    rows.pop("", None)
    styles = styles_of(table, numbers, dates, said)
    return Lookup(table.label, left, position, columns, styles, rows, repeated)


class Enricher:
    """Adds to each row what the definition says: replaced texts, then joined columns.

    Args:
        columns: the file's own columns.
        replaced: column -> text -> the text meant.
        lookups: the joined files, in order.
    """

    def __init__(
        self,
        columns: Sequence[str],
        replaced: Mapping[str, Mapping[str, str]],
        lookups: Sequence[Lookup],
    ) -> None:
        names = list(columns)
        self._replaced = [(names.index(column), texts) for column, texts in replaced.items()]
        self._lookups = lookups

    def __call__(self, row: Row) -> Row:
        """The row with everything that belongs to it."""
        if not self._replaced and not self._lookups:
            return row
        cells = list(row.cells)
        for position, texts in self._replaced:
            text = cells[position].strip()
            cells[position] = texts.get(text, cells[position])
        whole = Row(row.number, row.line, cells)
        for lookup in self._lookups:
            cells += lookup.cells(whole)
        return whole
