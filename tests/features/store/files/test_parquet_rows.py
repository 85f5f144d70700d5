"""Typed Parquet cells become the text that a CSV would hold; written here with pyarrow, real files."""

from __future__ import annotations

import sys
import tracemalloc
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.clock import to_instant
from features.errors import InputError
from features.sources import Format
from features.store.files.dates import instant
from features.store.files.parquet_rows import ParquetTable
from features.store.files.reading import open_table
from features.store.files.values import number

MOMENT = datetime(2025, 7, 1, 12, 30, 15, 250_000, tzinfo=UTC)


def cells(folder: Path, column: Any, size: int = 2) -> list[str]:
    path = folder / "t.parquet"
    pq.write_table(pa.table({"c": column}), path)
    table = open_table(path, Format())
    return [row.cells[0] for chunk in table.chunks(size) for row in chunk.rows]


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pa.array(["a", "", None, "ä;\n"]), ["a", "", "", "ä;\n"]),
        (pa.array([1, -5, None], pa.int64()), ["1", "-5", ""]),
        (pa.array([2**63], pa.uint64()), ["9223372036854775808"]),
        (pa.array([1.0, 0.1, float("nan"), None]), ["1", "0.1", "", ""]),
        (pa.array([-2.5e-7, 1e300]), ["-2.5e-07", "1e+300"]),
        (pa.array([0.5], pa.float32()), ["0.5"]),
        (pa.array([True, False, None]), ["true", "false", ""]),
        (pa.array([date(2025, 7, 1), None]), ["2025-07-01", ""]),
        (pa.array([Decimal("1234.50")]), ["1234.50"]),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
        (pa.array([b"caf\xc3\xa9", b"\xff"]), ["café", "\ufffd"]),
    ],
)  # fmt: skip
def test_every_type_is_written_as_text(tmp_path: Path, column: Any, texts: list[str]) -> None:
    assert cells(tmp_path, column) == texts


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "+05:30"])
def test_times_with_a_zone_keep_their_instant(tmp_path: Path, unit: str, zone: str) -> None:
    (text,) = cells(tmp_path, pa.array([MOMENT], pa.timestamp(unit, tz=zone)))
    assert instant(text, zone=timezone(timedelta(hours=9))) == to_instant(MOMENT)


def test_naive_times_take_the_zone_of_the_source(tmp_path: Path) -> None:
    (text,) = cells(tmp_path, pa.array([MOMENT.replace(tzinfo=None)], pa.timestamp("us")))
    assert instant(text, zone=timezone(timedelta(hours=2))) == to_instant(
        MOMENT - timedelta(hours=2)
    )


def test_nanoseconds_are_cut_off(tmp_path: Path) -> None:
    whole = to_instant(MOMENT)
    (text,) = cells(tmp_path, pa.array([whole * 1000 + 999], pa.timestamp("ns", tz="UTC")))
    assert instant(text) == whole


@given(st.lists(st.floats(allow_infinity=False, allow_nan=False), min_size=1, max_size=20))
def test_floats_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    texts = cells(tmp_path_factory.mktemp("floats"), pa.array(values, pa.float64()))
    assert [number(text) for text in texts] == values


@pytest.mark.parametrize("size", [1, 3, 100])
def test_rows_are_numbered_through_whatever_the_chunks(tmp_path: Path, size: int) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": range(10), "b": ["x"] * 10}), path, row_group_size=4)
    table = open_table(path, Format())
    chunks = list(table.chunks(size))
    rows = [row for chunk in chunks for row in chunk.rows]
    assert rows == [(i + 1, i + 1, [str(i), "x"]) for i in range(10)]
    assert max(len(chunk.rows) for chunk in chunks) <= size
    assert chunks[-1].share == 1.0


def test_repeated_and_blank_column_names_get_names_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([i]) for i in range(3)], ["a", "", "a"]), path)
    table = open_table(path, Format())
    assert list(table.columns) == ["a", "column 2", "a (2)"]
    assert next(iter(table.chunks(5))).rows[0].cells == ["0", "1", "2"]


def test_a_table_without_rows_has_none(tmp_path: Path) -> None:
    assert cells(tmp_path, pa.array([], pa.string())) == []


def test_a_file_that_only_begins_like_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1" + b"x" * 100)
    with pytest.raises(InputError, match=r"t\.parquet cannot be read as Parquet"):
        open_table(path, Format())


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1" + b"x" * 100)
    for name in [name for name in sys.modules if name.split(".")[0] == "pyarrow"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError) as caught:
        open_table(path, Format())
    assert "propensity[train]" in caught.value.hint


def test_memory_holds_a_chunk_and_not_the_file(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    line = "L000000;2026-05-01;" + "x" * 100 + "\n"
    path.write_text("id;at;text\n" + line * 60_000)  # 7 MB
    table = open_table(path, Format())
    tracemalloc.start()
    seen = sum(len(chunk.rows) for chunk in table.chunks(1_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen == 60_000
    # A row of three short texts takes about 500 bytes; two chunks may be alive at once.
    assert peak < 3_000_000


def test_memory_holds_no_more_of_a_long_file_than_of_a_short_one(tmp_path: Path) -> None:
    def held(groups: int) -> int:
        path = tmp_path / f"{groups}.parquet"
        with pq.ParquetWriter(path, pa.schema([("x", pa.float64())])) as file:
            for group in range(groups):
                numbers = np.random.default_rng(group).normal(size=5_000)
                file.write_table(pa.table({"x": numbers}))
        before = pa.total_allocated_bytes()
        chunks = ParquetTable(path, "long").chunks(1_000)
        return max(pa.total_allocated_bytes() - before for _ in chunks)

    assert held(40) < 2 * held(4)
