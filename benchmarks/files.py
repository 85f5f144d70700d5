"""How fast does `propensity score` score a file, all of the way: Parquet to scores, reasons, ledger?

`python -m benchmarks.files --rows 100000 --json` makes an installation (300 trees of 31 leaves and an
additive part, 75 attributes) and a Parquet file of leads, and runs the command on a tenth of the rows
and on all, each in a process of its own: memory must not depend on the rows. `benchmarks.batch`
compares the kernel alone with LightGBM; here is all that a user waits for.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.batch import peak_mb
from benchmarks.serving.company import as_attributes, make_company

_GROUP = 20_000


def write_file(path: Path, rows: int, seed: int) -> None:
    """A Parquet file of that many leads with their attributes, a group at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    draw, writer = np.random.default_rng([seed, 7]), None
    for begin in range(0, rows, _GROUP):
        many = min(_GROUP, rows - begin)
        leads = [{"lead": f"F-{begin + i}", **as_attributes(draw)} for i in range(many)]
        table = pa.Table.from_pylist(leads)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def measure(home: Path, file: Path) -> dict[str, float]:
    """Run the command in this process; what it took."""
    from propensity import main

    os.environ["PROPENSITY_DATA_DIR"] = str(home)
    before, wall, cpu = _stored(home), time.perf_counter(), time.process_time()
    sys.argv = ["propensity", "score", str(file), "--output", f"{file}.scores.parquet", "--json"]
    sys.stdout, told = sys.stderr, sys.stdout
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.stdout = told
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    import pyarrow.parquet as pq

    rows = pq.read_metadata(f"{file}.scores.parquet").num_rows
    return {
        "rows": rows,
        "rows_per_s": round(rows / wall, 1),
        "rows_per_cpu_s": round(rows / cpu, 1),
        "peak_mb": round(peak_mb(), 1),
        "ledger_kb_per_row": round((_stored(home) - before) / rows / 1024, 2),
    }


def _stored(home: Path) -> int:
    """Bytes of the database and of what is still in its log."""
    return sum(path.stat().st_size for path in home.glob("propensity.db*"))


def compare(place: Path, rows: int, seed: int) -> dict[str, Any]:
    """A tenth of the rows and all of them, each in a process of its own."""
    home = place / "home"
    home.mkdir()
    _say("making an installation")
    make_company(home, reads_files=True)
    found: dict[str, Any] = {"threads": 1, "columns": 75}
    for key, many in (("tenth", max(1, rows // 10)), ("all", rows)):
        file = place / f"{key}.parquet"
        write_file(file, many, seed)
        command = [sys.executable, "-m", "benchmarks.files", "--measure", str(file)]
        done = subprocess.run(
            [*command, "--home", str(home)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"{key}: {done.stderr.strip()[-2000:]}")
        found[key] = json.loads(done.stdout.splitlines()[-1])
        _say(f"{key}: {found[key]}")
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object on the last line")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.measure:
        print(json.dumps(measure(said.home, said.measure)))
        return
    with tempfile.TemporaryDirectory(prefix="files-") as place:
        found = compare(Path(place), said.rows, said.seed)
    if said.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
