"""What would a company's CRM export look like if we knew every lead's true probability of winning?

`simulate` writes the files a user would export – `leads.csv`, `answers.csv`, `events.csv`,
`stages.csv`, `deals.csv` – with the lead definition that reads them, and beside them the truth, which
no model may see. The same settings give the same bytes; memory does not grow with the number of leads.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from features.clock import SECOND, iso
from features.errors import InputError
from training.simulated import tables, traces, words
from training.simulated.courses import Block
from training.simulated.records import Known, deals, stage_changes
from training.simulated.truth import SETTINGS, Truth, write_settings
from training.simulated.versions import lead_versions
from training.simulated.world import BLOCK, DAY_S, START, World

__all__ = ["DEFINITION", "Summary", "Truth", "World", "simulate"]

DEFINITION = Path(__file__).parent / "simulated" / "definition.yaml"
"""The simulated company's lead definition, as it is copied beside the files."""

HORIZON_DAYS = 90
"""The horizon of `truth.parquet`, which is that of the definition."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """What came out: rows as written, those that the export holds twice counted twice.

    `open_at_end` counts the leads that are truly open, `truth_mean` is the mean of `p_won` over the
    open rows of the truth; `change` is the day on which the process changed.
    """

    start: str
    change: str
    end: str
    leads: int
    versions: int
    answers: int
    events: int
    stages: int
    deals: int
    won: int
    lost: int
    off_merit: int
    open_at_end: int
    truth_rows: int
    truth_mean: float

    def __str__(self) -> str:
        return (
            f"{self.leads:,} leads from {self.start} to {self.end}: {self.events:,} events, "
            f"{self.answers:,} answers, {self.deals:,} deals ({self.won:,} won), {self.open_at_end:,} "
            f"open at the end; mean true probability {self.truth_mean:.1%}; a change on {self.change}"
        )


def simulate(
    directory: Path,
    *,
    leads: int = 20_000,
    events: int = 400_000,
    years: float = 2.0,
    start: datetime = START,
    seed: int = 0,
    truth_every_days: float = 30.0,
    progress: Progress | None = None,
) -> Summary:
    """Write a simulated company into a directory.

    Beside the CRM's files it holds `definition.yaml`, `simulation.json` (written last: its presence
    says that the rest is whole) and `truth.parquet`: a row for every lead that is or seems open every
    `truth_every_days` after the start, with `open` (truly), `seems_open` (as far as is recorded),
    `p_won` and `p_off_merit` within 90 days. `Truth.of(directory)` answers for any other instant.

    Args:
        directory: created when missing; files of an earlier simulation are replaced.
        leads: how many leads come in over the years.
        events: about how many engagement events; within a few percent.
        years: how long the company is watched.
        start: the first midnight, UTC.
        seed: everything drawn follows from it and the numbers above.
        truth_every_days: the grid of the truth.
        progress: called with the leads done and their number, from 0 to all.

    Raises:
        InputError: a setting is outside its range, or the directory cannot be written.
    """
    world = World(leads=leads, events=events, years=years, start=start, seed=seed)
    if truth_every_days <= 0:
        raise InputError(f"truth_every_days must be above 0, got {truth_every_days}")
    told = progress or (lambda _done, _total: None)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / SETTINGS).unlink(missing_ok=True)
        shutil.copyfile(DEFINITION, directory / "definition.yaml")
        summary = _write(directory, world, truth_every_days, told)
        write_settings(directory, world, asdict(summary))
    except OSError as error:
        raise InputError(f"the simulated company cannot be written: {error}") from error
    return summary


def _write(directory: Path, world: World, every_days: float, told: Progress) -> Summary:
    """All files, block by block."""
    truth, truth_sum = Truth(world), 0.0
    ids: Counter[str] = Counter()
    tally: Counter[str] = Counter()
    scale = traces.event_scale(world, truth.calendar)
    told(0, world.leads)
    with ExitStack() as stack:
        files = _Files(directory, stack)
        for block in range(world.blocks):
            drawn: Block = truth.block(block)
            closed = _write_facts(files, drawn, scale, ids)
            tally.update(words.OUTCOMES[code] for code in closed["code"].tolist())
            grid = truth.grid(block, every_days, HORIZON_DAYS * DAY_S)
            files.write("truth", tables.truth(block, grid))
            truth_sum += float(grid["p_won"][grid["open"]].sum())
            tally["truth"] += int(grid["open"].sum())
            tally["open"] += drawn.course.open_at_end
            told(min((block + 1) * BLOCK, world.leads), world.leads)
    return _summary(world, files.rows, tally, truth_sum)


class _Files:
    """The files being written, each opened with its first table; `rows` counts what they hold."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory, self.stack = directory, stack
        self.rows: dict[str, int] = {}
        self._writers: dict[str, Any] = {}

    def write(self, name: str, table: pa.Table) -> None:
        """Append to `NAME.csv`, or to `truth.parquet`."""
        if name not in self._writers:
            self._writers[name] = self.stack.enter_context(self._open(name, table.schema))
        self._writers[name].write_table(table)
        self.rows[name] = self.rows.get(name, 0) + table.num_rows

    def _open(self, name: str, schema: pa.Schema) -> Any:
        if name == "truth":
            return pyarrow.parquet.ParquetWriter(str(self.directory / "truth.parquet"), schema)
        options = pyarrow.csv.WriteOptions(quoting_style="none")
        path = str(self.directory / f"{name}.csv")
        return pyarrow.csv.CSVWriter(path, schema, write_options=options)


def _write_facts(files: _Files, block: Block, scale: float, ids: Counter[str]) -> tables.Columns:
    """The five files of the CRM for one block of leads; gives the block's deals back."""
    known = Known.of(block)
    files.write("leads", lead_versions(block, known))
    rows: dict[str, tables.Columns] = {
        "answers": traces.answers(block, known),
        "events": traces.events(block, known, scale),
        "stages": stage_changes(block, known),
        "deals": deals(block, known),
    }
    rng = block.rng(8)
    for name, (letter, as_table) in tables.ROWS.items():
        count = len(rows[name]["lead"])
        numbers = tables.numbered(letter, ids[name] + np.arange(count), 9)
        table = as_table(block.number, numbers, rows[name])
        files.write(name, tables.doubled(rng, table))
        ids[name] += count
    return rows["deals"]


def _summary(
    world: World, rows: Mapping[str, int], tally: Counter[str], truth_sum: float
) -> Summary:
    return Summary(
        start=iso(world.start_s * SECOND),
        change=iso((world.start_s + world.change_day * DAY_S) * SECOND),
        end=iso(world.end_s * SECOND),
        leads=world.leads,
        versions=rows["leads"],
        answers=rows["answers"],
        events=rows["events"],
        stages=rows["stages"],
        deals=rows["deals"],
        won=tally["won"],
        lost=tally["lost"],
        off_merit=tally["junk"] + tally["duplicate"],
        open_at_end=tally["open"],
        truth_rows=rows["truth"],
        truth_mean=round(truth_sum / max(tally["truth"], 1), 6),
    )
