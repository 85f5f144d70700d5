"""Does the loop beat a frozen model, and one published anew every 15 days? Two histories replayed.

    python -m benchmarks.rehearse [--weeks 104] [--leads 5000] [--seed 0] [--no-bank] [--json]

Week by week through the real steps in a scratch installation (`training.loop.rehearse`): the simulated
company, whose level falls and whose process changes in the middle, and under `bank` the bank's calls
in file order, dealt out evenly over the thirty months they took, outcomes known a week after the call.
The last line is one JSON object with `ours`, `frozen` and `retrain_15d`.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bank_calls import CALLS, CATEGORIES
from features.clock import DAY, HOUR, iso
from models.workspace import Workspace
from serving import logs
from serving.queue_step import score_queue
from training.config import TrainConfig
from training.loop.policy import Policy
from training.loop.rehearse import Plan, rehearse
from training.loop.rehearsed import TrueChances, figures, judged, told_changes
from training.loop.stage import company, first_week, loop_of, scratch
from training.simulate import Truth, simulate

CONFIG = TrainConfig(leaves=(2, 4), most_trees=300)
"""Two shapes of trees instead of three, for all three contestants: the same model, in half the time."""

BEFORE_WEEKS = 52
"""Of the simulated company, before the first week: what the first model learns from."""

BANK_START = 1_209_600_000 * 1_000_000  # 2008-05-01T00:00:00Z, when the campaign began
BANK_DAYS = 913
BANK_DEFINITION = """\
name: bank_calls
horizon_days: 7
reporting_lag_days: 0
cohorts: {after_opening_hours: 1}
expected_win_rate: 0.08
attributes:
"""
BANK_SOURCE = """\
routes:
  - {name: call, label: Call, at_least: 0.15}
  - {name: wait, label: Wait, at_least: 0.0}
sources:
  - file: calls.csv
    lead: call
    opened_at: at
    recorded_at: at
    attributes: {}
"""


def simulated(
    weeks: int, leads: int, seed: int, place: Path, policy: Policy, told: bool
) -> dict[str, Any]:
    """The simulated company: a year of history, then so many weeks, then the wait for outcomes."""
    files = place / "files"
    years = (BEFORE_WEEKS + weeks + 17) * 7 / 365.25
    simulate(files, leads=leads, events=8 * leads, years=years, seed=seed, truth_every_days=10_000)
    truth = Truth.of(files)
    history = company(files, place / "history", now=_far())
    horizon = history.definition().horizon_days or 90.0

    def chances(names: Sequence[str], as_of: np.ndarray[Any, np.dtype[np.int64]]) -> Any:
        return truth.probability(names, as_of, horizon_days=horizon).won

    return _played(history, place, weeks, seed, policy, chances, told)


def bank(
    data: Path, share: int, seed: int, place: Path, policy: Policy, told: bool
) -> dict[str, Any]:
    """The bank's calls, every `share`-th: the first fifth is there at first, as in the yardstick."""
    files = place / "files"
    files.mkdir(parents=True)
    _write_bank(data / CALLS, files, share)
    history = company(files, place / "history", now=_far())
    weeks = (BANK_DAYS * 4 // 5) // 7 - 2
    return _played(history, place, weeks, seed, policy, None, told)


def _played(
    history: Workspace,
    place: Path,
    weeks: int,
    seed: int,
    policy: Policy,
    chances: TrueChances | None,
    told: bool,
) -> dict[str, Any]:
    definition = history.definition()
    plan = Plan(first_week(history.store, definition, weeks), weeks, seed, CONFIG)
    stage = scratch(place / "scratch", history.definition_path)
    loop = loop_of(stage, seed, policy, plan)
    began = time.perf_counter()
    done = rehearse(history.store, stage, loop, _score, plan, _say if told else lambda _: None)
    took = time.perf_counter() - began
    found = judged(history.store, definition, done, chances)
    result = figures(found, done, seed)
    if told:
        for day, look in told_changes(done.weeks):
            _say(f"{day} {look.action} {look.decision}: {look.reason} {look.also}")
    history.store.close()
    stage.store.close()
    return {**result, "seconds": round(took, 1)}


def _score(workspace: Workspace, now: int) -> object:
    return score_queue(workspace, now)


def _far() -> int:
    """After everything that these histories tell."""
    return BANK_START + 40 * 365 * DAY


def _write_bank(path: Path, files: Path, share: int) -> None:
    """The calls as leads that open when they are called and close within a week, and the definition."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter=";"))[::share]
    numbers = ("age", "campaign", "pdays", "previous")
    names = [*(f"c_{name}" for name in CATEGORIES), *numbers]
    with (files / "calls.csv").open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["call", "at", "closed", "outcome", *names])
        for i, row in enumerate(rows):
            at = BANK_START + int(BANK_DAYS * DAY * (i + 0.5) / len(rows))
            told = ["" if name == "pdays" and row[name] == "999" else row[name] for name in numbers]
            cells = [*(row[name] for name in CATEGORIES), *told]
            closed = iso(at + 7 * DAY - HOUR)
            out.writerow([f"C{i:06d}", iso(at), closed, row["y"], *cells])
    attributes = [f"  - {{name: c_{name}, type: category}}" for name in CATEGORIES]
    attributes += [f"  - {{name: {name}, type: number}}" for name in numbers]
    mapping = ", ".join(f"{name}: {name}" for name in names)
    source = BANK_SOURCE.replace("attributes: {}", f"attributes: {{{mapping}}}")
    closing = "column: outcome, won: ['yes'], lost: ['no'], at: closed, recorded_at: closed"
    source += f"    outcome: {{{closing}}}\n"
    text = BANK_DEFINITION + "\n".join(attributes) + "\n" + source
    (files / "definition.yaml").write_text(text, encoding="utf-8")


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Rehearse both histories."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weeks", type=int, default=104)
    parser.add_argument("--leads", type=int, default=5_000, help="of the simulated company")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bank-share", type=int, default=4, help="every so many-th of the calls")
    parser.add_argument("--no-bank", action="store_true")
    parser.add_argument("--no-company", action="store_true")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("PROPENSITY_DATA", "../shared/data"))
    )
    parser.add_argument("--json", action="store_true", help="nothing but the JSON object")
    chosen = parser.parse_args(arguments)
    policy, told = Policy(), not chosen.json
    logs.configure("WARNING")
    found: dict[str, Any] = {}
    if not chosen.no_company:
        with tempfile.TemporaryDirectory() as place:
            found = simulated(chosen.weeks, chosen.leads, chosen.seed, Path(place), policy, told)
    if not chosen.no_bank:
        if not (chosen.data / CALLS).is_file():
            _say(f"error: {chosen.data / CALLS} is not there; name the data with --data DIR")
            return 2
        with tempfile.TemporaryDirectory() as place:
            found["bank"] = bank(
                chosen.data, chosen.bank_share, chosen.seed, Path(place), policy, told
            )
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
