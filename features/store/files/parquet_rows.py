"""Which rows does a Parquet file hold? Its typed cells as the text that a CSV would write for them.

Numbers have decimal points, times are ISO 8601 (with a zone where the column has one) and a null is
an empty cell, so that one mapping serves both sorts of file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from features.errors import InputError
from features.store.files.tables import Chunk, Row, unique_names


class ParquetTable:
    """A Parquet file, read a batch at a time.

    Args:
        path: the file.
        label: how to call it in messages.

    Raises:
        InputError: it is no Parquet file, or pyarrow is not installed.
    """

    unit = "row"

    def __init__(self, path: Path, label: str) -> None:
        self.label = label
        self._file = _opened(path, label)
        names, renamed = unique_names([str(name) for name in self._file.schema_arrow.names])
        self.columns: Sequence[str] = names
        self.guesses: Mapping[str, str] = {"columns": "; ".join(renamed)} if renamed else {}

    def chunks(self, size: int) -> Iterator[Chunk]:
        """All rows from the first on, `size` rows a chunk."""
        total = max(self._file.metadata.num_rows, 1)
        done = 0
        rows: list[Row] = []
        for batch in self._file.iter_batches(batch_size=size):
            columns = [_texts(batch.column(i)) for i in range(batch.num_columns)]
            for cells in zip(*columns, strict=True):
                done += 1
                rows.append(Row(done, done, list(cells)))
                if len(rows) == size:
                    yield Chunk(rows, share=done / total)
                    rows = []
        if rows:
            yield Chunk(rows)


def _opened(path: Path, label: str) -> Any:
    try:
        from pyarrow.lib import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InputError(
            f"{label} is a Parquet file, and pyarrow, which reads it, is not installed",
            hint="Install the extra: pip install 'propensity[train]'; or convert the file to CSV.",
        ) from error
    try:
        # Read ahead, it would keep what was read until the file is closed.
        return ParquetFile(path, pre_buffer=False)
    except (ArrowException, OSError) as error:
        raise InputError(f"{label} cannot be read as Parquet: {error}") from error


def _texts(column: Any) -> list[str]:
    """One column's cells as text; blank for null and NaN."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind):
        # Nanoseconds do not fit a cell's microseconds; what is cut off orders nothing here.
        zone = "UTC" if kind.tz else None
        column = column.cast(pa.timestamp("us", tz=zone), safe=False).cast(pa.string())
    to_text = _writer(pa.types, kind)
    return ["" if cell is None else to_text(cell) for cell in column.to_pylist()]


def _writer(types: Any, kind: Any) -> Callable[[Any], str]:
    if types.is_floating(kind):
        return _float_text
    if types.is_boolean(kind):
        return lambda cell: "true" if cell else "false"
    if types.is_binary(kind) or types.is_large_binary(kind):
        return lambda cell: cell.decode("utf-8", errors="replace")
    return str


def _float_text(value: float) -> str:
    """Whole numbers without `.0`: a key column with gaps is often stored as floats."""
    if value != value:
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
