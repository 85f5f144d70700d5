"""How fast is a file of features scored, and explained, and in how much memory? Beside LightGBM itself.

`python -m benchmarks.batch --rows 1000000 --json` makes a model and a Parquet file, then scores the file
once for each key, in a process of its own, one thread each: Parquet in, Parquet out. Rule: what is
compared reads, selects and writes by the same code, and differs in who says the numbers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Says = Callable[[Floats], dict[str, NDArray[Any]]]

NUMBERS, CATEGORIES = 60, 15
NAMES = [f"number_{i}" for i in range(NUMBERS)] + [f"category_{i}" for i in range(CATEGORIES)]
LESSON_ROWS = 60_000
GROUP_ROWS = 20_000
"""Rows made, read, scored and written at once: what memory is needed does not depend on the file."""

SHOWN = 5
"""Reasons a row; the others are summed."""

KEYS = ("booster_predict", "ours_predict", "pred_contrib", "ours_reasons")


def made(rows: int, rng: np.random.Generator) -> Floats:
    """Leads as a matrix: 60 numbers (counts, amounts, measures) and 15 categories, with gaps."""
    numbers = rng.normal(size=(rows, NUMBERS))
    numbers[:, :20] = rng.poisson(2.0, (rows, 20))
    numbers[:, 20:30] = np.round(np.exp(numbers[:, 20:30]), 3)
    numbers[rng.random(numbers.shape) < 0.15] = np.nan
    levels = 3 + 2 * np.arange(CATEGORIES)
    categories = np.floor(rng.random((rows, CATEGORIES)) * levels)
    categories[rng.random(categories.shape) < 0.1] = np.nan
    return np.column_stack([numbers, categories])


def outcomes(matrix: Floats, rng: np.random.Generator) -> Floats:
    """Who of them bought, about one in twenty: 1 or 0, shape (n,)."""
    known = np.nan_to_num(matrix)
    weights = np.random.default_rng(1).normal(size=NUMBERS) * 0.2
    curved = np.sin(known[:, 3]) * known[:, 40] + 0.5 * (known[:, 50] > 1) * known[:, 10]
    odds = known[:, :NUMBERS] @ weights + curved + np.isin(known[:, 70], [1, 5, 9]) - 4.5
    return (rng.random(len(matrix)) < 1 / (1 + np.exp(-odds))).astype(float)


def write_model(path: Path, seed: int) -> None:
    """Learn 300 trees of 31 leaves from rows of their own."""
    import lightgbm as lgb

    rng = np.random.default_rng([seed, 0])
    matrix = made(LESSON_ROWS, rng)
    table = lgb.Dataset(
        matrix,
        outcomes(matrix, rng),
        feature_name=NAMES,
        categorical_feature=list(range(NUMBERS, NUMBERS + CATEGORIES)),
    )
    parameters = {"objective": "binary", "num_leaves": 31, "learning_rate": 0.05, "seed": seed}
    parameters |= {"num_threads": 1, "verbosity": -1, "deterministic": True}
    path.write_text(lgb.train(parameters, table, 300).model_to_string(), encoding="utf-8")


def write_leads(path: Path, rows: int, seed: int) -> None:
    """A Parquet file of that many leads: numbers as float64, categories as codes, gaps as nulls."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = [pa.float64()] * NUMBERS + [pa.int16()] * CATEGORIES
    schema = pa.schema(list(zip(NAMES, kinds, strict=True)))
    rng = np.random.default_rng([seed, 1])
    with pq.ParquetWriter(path, schema) as file:
        for begin in range(0, rows, GROUP_ROWS):
            matrix = made(min(GROUP_ROWS, rows - begin), rng)
            columns = [
                pa.array(matrix[:, i], from_pandas=True).cast(kind) for i, kind in enumerate(kinds)
            ]
            file.write_table(pa.table(columns, schema=schema))


def groups(path: Path, rows: int) -> Iterator[Floats]:
    """The first rows of a file of leads, a group at a time, as matrices; nulls are NaN."""
    import pyarrow.parquet as pq

    left = rows
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(GROUP_ROWS, use_threads=False):
            many = min(left, len(batch))
            matrix = np.empty((many, batch.num_columns))
            for i, column in enumerate(batch.columns):
                matrix[:, i] = column.to_numpy(zero_copy_only=False)[:many]
            yield matrix
            left -= many
            if left == 0:
                return


def score(source: Path, sink: Path, rows: int, says: Says) -> None:
    """Parquet in, Parquet out, group by group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    for matrix in groups(source, rows):
        table = pa.table(says(matrix))
        writer = writer or pq.ParquetWriter(sink, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def reasons(shares: Floats) -> dict[str, NDArray[Any]]:
    """Each row: raw score, strongest columns with what they add, the sum of the others, the base."""
    each = shares[:, :-1]
    strong = np.argpartition(-np.abs(each), SHOWN, axis=1)[:, :SHOWN]
    told = np.take_along_axis(each, strong, axis=1)
    order = np.argsort(-np.abs(told), axis=1)
    strong, told = (np.take_along_axis(one, order, axis=1) for one in (strong, told))
    total = each.sum(axis=1)
    found: dict[str, NDArray[Any]] = {"raw": total + shares[:, -1], "base": shares[:, -1]}
    for i in range(SHOWN):
        found[f"reason_{i + 1}"] = strong[:, i].astype(np.int16)
        found[f"adds_{i + 1}"] = told[:, i]
    return found | {"others_add": total - told.sum(axis=1)}


def sayer(key: str, model: Path) -> Says:
    """Who says the numbers, ready to say them."""
    text = model.read_text(encoding="utf-8")
    if key.startswith("ours"):
        from models.forest_engine import ENGINE
        from models.trees import Trees

        trees = Trees(text)
        if not ENGINE.wait() or trees.forest is None:
            raise SystemExit(f"there is no compiled code to measure: {ENGINE.trouble}")
        if key == "ours_predict":
            return lambda matrix: {"raw": trees.raw(matrix)}
        return lambda matrix: reasons(trees.contributions(matrix))
    import lightgbm as lgb

    booster = lgb.Booster(model_str=text)
    if key == "booster_predict":
        return lambda matrix: {"raw": booster.predict(matrix, raw_score=True, num_threads=1)}
    return lambda matrix: reasons(booster.predict(matrix, pred_contrib=True, num_threads=1))


def measure(key: str, place: Path, rows: int) -> dict[str, float]:
    """Score in this process; what it took."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    says = sayer(key, place / "model.txt")
    wall, cpu = time.perf_counter(), time.process_time()
    score(place / "leads.parquet", place / f"{key}.parquet", rows, says)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "rows": rows,
        "rows_per_s": round(rows / wall, 1),
        "rows_per_cpu_s": round(rows / cpu, 1),
        "peak_mb": round(peak_mb(), 1),
    }


def peak_mb() -> float:
    """Most memory this program ever held. Not `ru_maxrss`, which counts what it was forked from too."""
    said = Path("/proc/self/status").read_text(encoding="ascii")
    return int(said.partition("VmHWM:")[2].split()[0]) / 1024


def _in_a_process_of_its_own(key: str, place: Path, rows: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.batch", "--measure", key]
    command += ["--place", str(place), "--rows", str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{key}: {done.stderr.strip()[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(place: Path, rows: int, sample: int, seed: int) -> dict[str, Any]:
    """All keys, each in a process of its own, over one model and one file."""
    _say(f"making a model and {rows:,} rows")
    write_model(place / "model.txt", seed)
    write_leads(place / "leads.parquet", rows, seed)
    found: dict[str, Any] = {"threads": 1, "columns": len(NAMES), "rows": rows}
    for key in KEYS:
        found[key] = _in_a_process_of_its_own(
            key, place, min(rows, sample) if key == "pred_contrib" else rows
        )
        _say(f"{key}: {found[key]}")
    found["predict_ratio"] = _ratio(found, "ours_predict", "booster_predict")
    found["reasons_ratio"] = _ratio(found, "ours_reasons", "pred_contrib")
    return found


def _ratio(found: dict[str, Any], ours: str, theirs: str) -> float:
    """By seconds of the processor: on shared cores the clock on the wall measures the neighbours."""
    return round(found[ours]["rows_per_cpu_s"] / found[theirs]["rows_per_cpu_s"], 2)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--sample", type=int, default=5_000, help="rows for pred_contrib")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--measure", choices=KEYS, help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.measure:
        print(json.dumps(measure(said.measure, said.place, said.rows)))
        return
    with tempfile.TemporaryDirectory(prefix="batch-") as place:
        found = compare(Path(place), said.rows, said.sample, said.seed)
    if said.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
