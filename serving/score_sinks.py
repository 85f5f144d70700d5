"""Where do a file's scores go? Into a CSV for people, or into Parquet for programs, a chunk at a time.

Spreadsheets run cells that begin like a formula, so a CSV's texts are quoted. Nobody runs the cells of
Parquet: texts stay as they are there, numbers and times are what they are, and reasons are a list.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Protocol

from features.clock import iso
from features.errors import InputError
from features.spreadsheets import guarded
from serving.lead_score import LeadScore, Result

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

COLUMNS = (
    "line",
    "lead",
    "probability",
    "raw",
    "route",
    "reasons",
    "warnings",
    "as_of",
    "model",
    "score_id",
    "error",
)

Scored = tuple[int, str, Result]
"""Where a row begins in its file, its lead (blank where it names none), and what became of it."""


class Sink(Protocol):
    """Takes scores in the order of their file."""

    def write(self, scored: Sequence[Scored]) -> None:
        """Write the next rows."""


@contextmanager
def open_sink(path: Path) -> Iterator[Sink]:
    """A sink for a file: Parquet where its name ends in .parquet, CSV else.

    Raises:
        InputError: Parquet is wanted, and pyarrow is not installed.
    """
    if path.suffix == ".parquet":
        sink = ParquetSink(path)
        try:
            yield sink
        finally:
            sink.close()
    else:
        with path.open("w", encoding="utf-8", newline="") as out:
            yield CsvSink(out)


class CsvSink:
    """Rows of `COLUMNS` as CSV.

    Args:
        out: opened with `newline=""`.
    """

    def __init__(self, out: IO[str]) -> None:
        self._writer = csv.writer(out)
        self._writer.writerow(COLUMNS)

    def write(self, scored: Sequence[Scored]) -> None:
        """Write the next rows."""
        self._writer.writerows(_cells(*one) for one in scored)


def _cells(line: int, lead: str, result: Result) -> list[str | float | int]:
    if not isinstance(result, LeadScore):
        blank = [""] * (len(COLUMNS) - 3)
        return [line, guarded(lead), *blank, guarded(result.message)]
    reasons = "; ".join(
        f"{r['label']}: {r['words']} ({r['log_odds']:+.2f})" for r in result.reasons
    )
    return [
        line,
        guarded(lead),
        result.probability,
        result.raw,
        guarded(result.route),
        guarded(reasons),
        guarded("; ".join(caveat.message for caveat in result.caveats)),
        iso(result.as_of),
        result.model,
        result.score_id if result.score_id is not None else "",
        "",
    ]


class ParquetSink:
    """Rows of `COLUMNS` as Parquet; what a row has not is null.

    Raises:
        InputError: pyarrow is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow as pa
            from pyarrow.parquet import ParquetWriter
        except ImportError as error:
            raise InputError(
                f"{path.name} is to be a Parquet file, and pyarrow, which writes it, is not installed",
                hint="Install the extra: pip install 'propensity[train]'; or write a .csv.",
            ) from error
        reason = [(name, pa.string()) for name in ("fact", "label", "words")]
        kinds = {
            "line": pa.int64(),
            "probability": pa.float64(),
            "raw": pa.float64(),
            "reasons": pa.list_(pa.struct([*reason, ("log_odds", pa.float64())])),
            "warnings": pa.list_(pa.string()),
            "as_of": pa.timestamp("us", tz="UTC"),
            "score_id": pa.int64(),
        }
        schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
        self._writer: Any = ParquetWriter(path, schema)

    def write(self, scored: Sequence[Scored]) -> None:
        """Write the next rows."""
        import pyarrow as pa

        rows = [_fields(*one) for one in scored]
        self._writer.write_table(pa.Table.from_pylist(rows, schema=self._writer.schema))

    def close(self) -> None:
        """Nothing comes any more."""
        self._writer.close()


def _fields(line: int, lead: str, result: Result) -> dict[str, Any]:
    if not isinstance(result, LeadScore):
        return {"line": line, "lead": lead or None, "error": result.message}
    return {
        "line": line,
        "lead": lead,
        "probability": result.probability,
        "raw": result.raw,
        "route": result.route,
        "reasons": list(result.reasons),
        "warnings": [caveat.message for caveat in result.caveats],
        "as_of": _EPOCH + timedelta(microseconds=result.as_of),
        "model": result.model,
        "score_id": result.score_id,
    }
