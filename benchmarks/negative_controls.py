"""Where there is nothing to find, how often is something claimed?

    python -m benchmarks.negative_controls [--data DIR] [--seeds 20] [--rows 4000] [--only SET] [--json]

Two sorts of nothing: maven, whose outcomes were drawn by lot, and every set with its labels shuffled
over the leads. Rows, times and columns stay, so what judges is as far forward in time as ever. Each
seed draws the leads, the labels and the learner's own chances anew. A perfect procedure claims in none
(the claim needs the AUC's 95 % interval above .5 *and* a log loss better than the base rate's) and its
interval covers .5 in 19 of 20 on average; maven's draws share leads, so there the seeds agree more than
20 fresh ones would. A table goes to stderr, the last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.sets import SETS, History, Sets, absent, data_argument, read_named
from features.definition import Definition
from features.errors import NotEnoughEvidenceError
from training.config import TrainConfig
from training.dataset import Dataset
from training.intervals import wilson_interval
from training.judge import judge
from training.learn import learn
from training.metrics import Evaluation
from training.run import plan

UNSHUFFLED = "maven_crm"
"""The set whose own labels are a lot's."""


@dataclass(frozen=True)
class Verdict:
    """What one run said of nothing: whether it claimed to tell leads apart, and its AUC's interval."""

    claimed: bool
    auc: float
    lower: float
    upper: float

    @classmethod
    def of(cls, figures: Evaluation) -> Verdict:
        """From the figures that a training would show."""
        area = figures.auc
        return cls(figures.discrimination.found, area.estimate, area.lower, area.upper)

    @property
    def covers(self) -> bool:
        """Whether the interval holds .5, which is the truth."""
        return self.lower <= 0.5 <= self.upper


def one_row_a_lead(dataset: Dataset, rows: int, rng: np.random.Generator) -> Dataset:
    """A random row of each of at most so many random leads, in the rows' own order."""
    order = rng.permutation(len(dataset))
    first = order[np.unique(dataset.lead[order], return_index=True)[1]]
    return dataset.take(np.sort(rng.permutation(first)[:rows]))


def shuffled(dataset: Dataset, rng: np.random.Generator) -> Dataset:
    """The same rows with labels that belong to other leads; one row a lead is presumed.

    With several rows a lead, how many there are would still tell how it ended.
    """
    if len(np.unique(dataset.lead)) < len(dataset):
        raise ValueError("Labels are shuffled over leads, so each lead may have one row only.")
    return replace(dataset, y=rng.permutation(dataset.y))


def verdict(matured: Dataset, definition: Definition, config: TrainConfig) -> Verdict | None:
    """Learn and judge as a training does; None when it declined to learn or could not judge."""
    try:
        splits = plan(matured, definition, config)
        models = [learn(matured, split.lesson, definition, config).model for split in splits]
    except NotEnoughEvidenceError:
        return None
    figures = judge(matured, splits, models, config.seed).figures
    return None if figures is None else Verdict.of(figures)


def control(
    history: History, config: TrainConfig, seeds: int, rows: int, shuffle: bool
) -> dict[str, Any]:
    """Over the seeds: how often something was claimed and how often the interval covered .5."""
    verdicts = []
    for seed in range(seeds):
        rng = np.random.default_rng([seed, rows])
        drawn = one_row_a_lead(history.matured, rows, rng)
        drawn = shuffled(drawn, rng) if shuffle else drawn
        verdicts.append(verdict(drawn, history.definition, replace(config, seed=seed)))
    judged = [one for one in verdicts if one is not None]
    covered = sum(one.covers for one in judged)
    share = wilson_interval(covered, len(judged))
    return {
        "labels": "shuffled" if shuffle else "as they are",
        "seeds": seeds,
        "declined": seeds - len(judged),
        "claimed": sum(one.claimed for one in judged),
        "covered": covered,
        "covered_share_interval": [round(share.lower, 4), round(share.upper, 4)],
        "auc": [round(one.auc, 4) for one in judged],
    }


def _controls(
    name: str, history: History, config: TrainConfig, seeds: int, rows: int, unshuffled: str
) -> dict[str, Any]:
    found = {f"{name}_shuffled": control(history, config, seeds, rows, shuffle=True)}
    if name == unshuffled:
        found[name] = control(history, config, seeds, rows, shuffle=False)
    return found


def _line(name: str, found: Mapping[str, Any]) -> str:
    judged, area = found["seeds"] - found["declined"], found["auc"] or [math.nan]
    return (
        f"{name}: claimed in {found['claimed']} of {judged}, AUC's interval covers .5 in "
        f"{found['covered']}; AUC {min(area):.3f} to {max(area):.3f}"
    )


def main(
    arguments: Sequence[str] | None = None, sets: Sets = SETS, unshuffled: str = UNSHUFFLED
) -> int:
    """Run the controls that were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data_argument(parser)
    parser.add_argument("--only", choices=sorted(sets), action="append", help="only this set")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rows", type=int, default=4_000, help="at most so many leads of a set")
    parser.add_argument("--json", action="store_true", help="no lines on stderr")
    chosen = parser.parse_args(arguments)
    if absent(chosen.data):
        return 2
    found: dict[str, Any] = {}
    for name in chosen.only or sets:
        with tempfile.TemporaryDirectory() as scratch:
            history = read_named(name, chosen.data, Path(scratch), TrainConfig(), sets)
        controls = _controls(name, history, TrainConfig(), chosen.seeds, chosen.rows, unshuffled)
        found.update(controls)
        if not chosen.json:
            for which, figures in controls.items():
                print(_line(which, figures), file=sys.stderr, flush=True)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
