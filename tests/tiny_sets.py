"""Two small sets of the tests' own, one with dates and one without, whose true chances are known."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.sets import History, read_named
from training.config import TrainConfig

SOURCES = {"fair": 0.9, "web": -0.4, "None": -1.2}
"""Source -> log-odds; one is called `None`, which is a label like any other."""

DEFINITION = """\
name: {name}
time: {time}
horizon_days: null
cohorts: {{after_opening_hours: 0}}
attributes:
  - {{name: source, type: category, group: source}}
  - {{name: employees, type: number, unit: people}}
  - {{name: newsletter, type: boolean}}
  - {{name: discount, type: number, known_late: true}}
sources:
  - file: leads.csv
    {keys}
    attributes: {{source: source, employees: employees, newsletter: newsletter, discount: discount}}
    outcome: {{column: status, won: [won], lost: [lost]{at}}}
"""


class Tiny(NamedTuple):
    """A directory of sets, and where their definitions are."""

    data: Path
    sets: Mapping[str, str]

    def history(self, name: str, scratch: Path) -> History:
        return read_named(name, self.data, scratch, TrainConfig(), self.sets)


def write_set(folder: Path, leads: int, seed: int, dated: bool) -> str:
    """Write a folder with `leads.csv` and its definition, whose path is given back."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    with (folder / "leads.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(
            ["id", "opened", "closed", "source", "employees", "newsletter", "discount", "status"]
        )
        for number in range(leads):
            source = str(rng.choice(list(SOURCES)))
            employees, newsletter = float(rng.normal(3, 1)), bool(rng.random() < 0.4)
            odds = SOURCES[source] + 0.8 * (employees - 3) + 0.5 * newsletter
            won = bool(rng.random() < 1 / (1 + np.exp(-odds)))
            opened = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=number)
            rows.writerow(
                [
                    f"L{number}",
                    opened.isoformat(),
                    (opened + timedelta(hours=6)).isoformat(),
                    source,
                    "" if rng.random() < 0.1 else f"{np.exp(employees):.0f}",
                    "yes" if newsletter else "no",
                    int(won),
                    "won" if won else "lost",
                ]
            )
    keys = "lead: id\n    opened_at: opened" if dated else "lead: id"
    text = DEFINITION.format(
        name=folder.name,
        time="dated" if dated else "none",
        keys=keys,
        at=", at: closed" if dated else "",
    )
    path = folder / "definition.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)
