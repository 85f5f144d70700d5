"""How is a file opened? As a CSV or a Parquet table, told apart by their first bytes."""

from __future__ import annotations

from pathlib import Path

from features.errors import InputError
from features.sources import Format
from features.store.files.csv_rows import CsvTable
from features.store.files.parquet_rows import ParquetTable
from features.store.files.tables import Table

_NOT_TABLES = {
    b"PK\x03\x04": "an Excel workbook or zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "a gzip archive",
}


def open_table(path: Path, said: Format, label: str | None = None) -> Table:
    """Open a file, whatever its name ends in.

    Args:
        path: a CSV or Parquet file.
        said: what is known about a CSV; the rest is guessed and told in `Table.guesses`.
        label: how to call the file in messages; its name, if left out.

    Raises:
        InputError: there is no such file, it is empty, or it is neither of the two.
    """
    label = label or path.name
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    if start == b"PAR1":
        return ParquetTable(path, label)
    for mark, what in _NOT_TABLES.items():
        if start.startswith(mark):
            raise InputError(
                f"{label} is {what}; only CSV and Parquet are read", hint="Save it as CSV first."
            )
    return CsvTable(path, label, said)
