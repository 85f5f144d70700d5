"""How good are the probabilities on real data, forward in time (or in folds where there is no time)?

    python -m benchmarks.quality [--data DIR] [--peers] [--only SET] [--json]

Forward: the newest 25 % by time are the test and a date is never split. Grouped: five seeded folds,
rows that say the same kept together and counted once. With `--peers` others learn from the same rows
and columns and are judged on the same rows. A table goes to stderr, the last line of stdout is one
JSON object; the data come from `PROPENSITY_DATA` (../shared/data). See docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Said, against, shown, table
from benchmarks.peers import PEERS, Answer, Peer, task_of
from benchmarks.peers.automl import autogluon, installed
from benchmarks.sets import EXAMPLES, SETS, History, Sets, absent, data_argument, read_named
from training.about import warnings_of
from training.config import TrainConfig
from training.judge import Judged, judge
from training.learn import learn

__all__ = ["EXAMPLES", "SETS", "main", "measure"]

Floats = NDArray[np.float64]


def measure(
    name: str,
    data: Path,
    scratch: Path,
    config: TrainConfig,
    peers: Mapping[str, Peer] | None = None,
    sets: Sets = SETS,
) -> dict[str, Any]:
    """Import one set, learn from it and judge; the figures as plain data.

    Args:
        name: of the set.
        data: the directory with the sets' folders.
        scratch: an empty directory.
        config: the choices of training.
        peers: who else learns from it; None for nobody.
        sets: the sets there are.
    """
    history = read_named(name, data, scratch, config, sets)
    ours, judged, seconds = _ours(history, config)
    found = {
        **shown(ours),
        "split": "grouped" if history.grouped else "forward",
        "training_seconds": round(seconds, 1),
        "warnings": warnings_of(history.definition, judged),
    }
    if peers is not None:
        found["peers"] = {"ours": {**shown(ours), "training_seconds": round(seconds, 2)}}
        found["peers"].update(_peers(history, peers, ours, config.seed))
    return found


def _ours(history: History, config: TrainConfig) -> tuple[Said, Judged, float]:
    matured, definition = history.matured, history.definition
    started = time.perf_counter()
    models = [learn(matured, split.lesson, definition, config).model for split in history.splits]
    seconds = time.perf_counter() - started
    judged = judge(matured, history.splits, models, config.seed)
    return _said(history, judged.raw, judged.probability), judged, seconds


def _said(history: History, raw: Floats, probability: Floats) -> Said:
    """What was said of the judged rows, those that say the same once."""
    kept = history.counted_once()
    rows = history.judged[kept]
    return Said(raw[kept], probability[kept], history.matured.y[rows], history.matured.lead[rows])


def _peers(history: History, peers: Mapping[str, Peer], ours: Said, seed: int) -> dict[str, Any]:
    found = {}
    for name, peer in peers.items():
        try:
            answers = [peer(task_of(history.matured, split, seed)) for split in history.splits]
        except subprocess.CalledProcessError as error:
            # A run of hours is not lost to one peer that fell over in its own process.
            print(f"{name} failed: {str(error.stderr)[-2_000:]}", file=sys.stderr)
            continue
        said = _said(history, *_together(answers))
        found[name] = {
            **shown(said),
            "training_seconds": round(sum(answer.training_seconds for answer in answers), 2),
            "ours_minus_this": against(ours, said, seed),
        }
    return found


def _together(answers: Sequence[Answer]) -> tuple[Floats, Floats]:
    raw = np.concatenate([answer.raw for answer in answers])
    return raw, np.concatenate([answer.probability for answer in answers])


def _chosen_peers(chosen: argparse.Namespace) -> Mapping[str, Peer] | None:
    if not chosen.peers:
        return None
    if chosen.autogluon_seconds <= 0:
        return PEERS
    if not installed(chosen.autogluon_python):
        print(f"without AutoGluon: {chosen.autogluon_python} does not have it", file=sys.stderr)
        return PEERS
    return {**PEERS, "autogluon": autogluon(chosen.autogluon_python, chosen.autogluon_seconds)}


def _parser(sets: Sets) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data_argument(parser)
    parser.add_argument("--only", choices=sorted(sets), action="append", help="only this set")
    parser.add_argument("--peers", action="store_true", help="show others beside ours")
    parser.add_argument(
        "--autogluon-seconds", type=float, default=300.0, help="for each lesson; 0 leaves it out"
    )
    parser.add_argument(
        "--autogluon-python", default=sys.executable, help="the Python that has AutoGluon"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="no table on stderr unless --peers")
    return parser


def main(arguments: Sequence[str] | None = None, sets: Sets = SETS) -> int:
    """Measure the sets that were asked for."""
    chosen = _parser(sets).parse_args(arguments)
    if absent(chosen.data):
        return 2
    peers, config = _chosen_peers(chosen), TrainConfig(seed=chosen.seed)
    found: dict[str, Any] = {}
    for name in chosen.only or sets:
        with tempfile.TemporaryDirectory() as scratch:
            found[name] = measure(name, chosen.data, Path(scratch), config, peers, sets)
        if chosen.peers or not chosen.json:
            print(table(name, found[name]), file=sys.stderr, flush=True)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
