"""How good is the learner after 20, 50, 100 … outcomes, beside the base rate and two plain peers?

    python -m benchmarks.learning_curve [--data DIR] [--seeds 5] [--only SET] [--json]

What judges is fixed: the newest rows, or – without time – every fold. From the rest a seeded draw takes
whole leads until the outcomes are together (one outcome is one row whose label is known), and all
learn from the same ones. Means are over the seeds, with the standard error of what the draw changes.
A table goes to stderr, the last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import mean_and_error
from benchmarks.peers import PEERS, Answer, task_of
from benchmarks.peers.task import watch
from benchmarks.sets import (
    SETS,
    History,
    Sets,
    absent,
    data_argument,
    only_leads,
    read_named,
    simulated_set,
)
from features.errors import NotEnoughEvidenceError
from training.config import TrainConfig
from training.learn import learn
from training.metrics import auc, log_loss
from training.splits import Split

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

OUTCOMES = (20, 50, 100, 300, 1_000, 3_000)
COMPANY = "simulated_company"
NAMES = ("salvirt_b2b", "x_education", "bank_additional_without_macro", COMPANY)
LEARNERS = ("base_rate", "logistic_regression", "lightgbm")


@dataclass(frozen=True)
class Company:
    """How large the simulated company is: its leads in two years, and about how many events."""

    leads: int = 6_000
    events: int = 60_000
    seed: int = 5


def curve(
    history: History, config: TrainConfig, seeds: int, outcomes: Sequence[int] = OUTCOMES
) -> dict[str, Any]:
    """For each number of outcomes, every learner's mean log loss over the seeds; null where none.

    Args:
        history: the set.
        config: the choices of training.
        seeds: how many draws of each size.
        outcomes: the sizes; those larger than what a lesson holds are left out.
    """
    most = min(len(split.lesson.everything) for split in history.splits)
    points = {}
    for size in outcomes:
        if size <= most:
            drawn = [_tried(history, config, size, seed) for seed in range(seeds)]
            points[str(size)] = _summary(drawn)
    return {
        "split": "grouped" if history.grouped else "forward",
        "n_test": len(history.judged),
        "judged_base_rate": round(float(_truth(history)[0].mean()), 4),
        "outcomes": points,
    }


def draw_leads(lead: Ints, size: int, rng: np.random.Generator) -> Ints:
    """Leads in a random order until their rows are at least so many.

    Args:
        lead: shape (n,), the lead of each row.
        size: how many rows, at most n.
        rng: of the draw.
    """
    leads, rows = np.unique(lead, return_counts=True)
    order = rng.permutation(len(leads))
    needed = int(np.searchsorted(np.cumsum(rows[order]), size)) + 1
    return leads[order[:needed]]


def _tried(
    history: History, config: TrainConfig, size: int, seed: int
) -> dict[str, dict[str, float] | None]:
    """Log loss and AUC of every learner after one draw; None for one that declined."""
    rng = np.random.default_rng([seed, size])
    drawn = []
    for split in history.splits:
        leads = draw_leads(history.matured.lead[split.lesson.everything.rows], size, rng)
        drawn.append(_with_folds(only_leads(split, history.matured, leads)))
    y, weight = _truth(history)
    said: dict[str, list[Answer] | None] = {"ours": _ours(history, drawn, config)}
    for name in LEARNERS:
        said[name] = [PEERS[name](task_of(history.matured, split, seed)) for split in drawn]
    return {name: _figures(answers, y, weight) for name, answers in said.items()}


def _with_folds(split: Split) -> Split:
    """Without the folds that the draw has left nothing in to fit or to hold out."""
    folds = split.lesson.folds
    full = [fold for fold in folds if min(len(fold.fit), len(fold.calibrate)) > 0]
    return replace(split, lesson=replace(split.lesson, folds=tuple(full) or folds))


def _ours(history: History, splits: Sequence[Split], config: TrainConfig) -> list[Answer] | None:
    """What our learner says of the judged rows; None when the outcomes are too few for it."""
    matured, said = history.matured, []
    for split in splits:
        try:
            with watch() as taken:
                model = learn(matured, split.lesson, history.definition, config).model
        except NotEnoughEvidenceError:
            return None
        scores = model.score(matured.frame.take(split.judge.rows))
        said.append(Answer(scores.probability, taken.seconds, scores.raw))
    return said


def _truth(history: History) -> tuple[Ints, Floats]:
    weight = np.concatenate([split.judge.weight for split in history.splits])
    return history.matured.y[history.judged], weight


def _figures(answers: Sequence[Answer] | None, y: Ints, weight: Floats) -> dict[str, float] | None:
    if answers is None:
        return None
    probability = np.concatenate([answer.probability for answer in answers])
    raw = np.concatenate([answer.raw for answer in answers])
    return {"log_loss": log_loss(probability, y, weight), "auc": auc(raw, y, weight)}


def _summary(drawn: Sequence[Mapping[str, dict[str, float] | None]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    ours = [one["ours"] for one in drawn]
    for name in drawn[0]:
        theirs = [one[name] for one in drawn]
        kept = [figures for figures in theirs if figures is not None]
        if not kept:
            found[name] = None
            continue
        found[name] = {
            "log_loss": mean_and_error([figures["log_loss"] for figures in kept]),
            "auc": mean_and_error([figures["auc"] for figures in kept]),
            "seeds": len(kept),
        }
        pairs = [
            (a, b) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None
        ]
        if name != "ours" and pairs:
            gaps = [a["log_loss"] - b["log_loss"] for a, b in pairs]
            found[name]["ours_minus_this"] = mean_and_error(gaps)
    return found


def _table(name: str, found: Mapping[str, Any]) -> str:
    who = ("ours", *LEARNERS)
    lines = [f"{name}: {found['split']}, log loss ± standard error over the draws"]
    lines.append("  outcomes  " + "".join(learner.rjust(22) for learner in who))
    for size, figures in found["outcomes"].items():
        cells = (_cell(figures[learner]).rjust(22) for learner in who)
        lines.append(f"  {int(size):>8,}  " + "".join(cells))
    return "\n".join(lines)


def _cell(figures: Mapping[str, Any] | None) -> str:
    if figures is None:
        return "–"
    error = figures["log_loss"]["standard_error"]
    return f"{figures['log_loss']['mean']:.4f} ± " + ("–" if error is None else f"{error:.4f}")


def main(
    arguments: Sequence[str] | None = None,
    sets: Sets = SETS,
    names: Sequence[str] = NAMES,
    company: Company | None = None,
) -> int:
    """Draw the curves that were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data_argument(parser)
    parser.add_argument("--only", choices=sorted(names), action="append", help="only this set")
    parser.add_argument("--seeds", type=int, default=5, help="draws of each size")
    parser.add_argument("--most", type=int, default=OUTCOMES[-1], help="no more outcomes than this")
    parser.add_argument("--json", action="store_true", help="no table on stderr")
    chosen = parser.parse_args(arguments)
    if absent(chosen.data):
        return 2
    config, found = TrainConfig(), {}
    outcomes = [size for size in OUTCOMES if size <= chosen.most]
    for name in chosen.only or names:
        with tempfile.TemporaryDirectory() as scratch:
            history = _read(name, chosen.data, Path(scratch), config, sets, company or Company())
        found[name] = curve(history, config, chosen.seeds, outcomes)
        if not chosen.json:
            print(_table(name, found[name]), file=sys.stderr, flush=True)
    print(json.dumps(found))
    return 0


def _read(
    name: str, data: Path, scratch: Path, config: TrainConfig, sets: Sets, company: Company
) -> History:
    if name != COMPANY:
        return read_named(name, data, scratch, config, sets)
    return simulated_set(
        scratch, config, leads=company.leads, events=company.events, seed=company.seed
    )


if __name__ == "__main__":
    sys.exit(main())
