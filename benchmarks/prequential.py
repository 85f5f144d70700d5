"""Do the probabilities stay true while the world moves? Every call is predicted before it is known.

    python -m benchmarks.prequential [--data DIR] [--block 1000] [--delay 0] [--json]

The bank's calls in file order, which is time order: client columns only, the macro columns and the
duration left out, and month and weekday too (docs/decisions/0008). Calls 8,000 on are scored block by
block; the outcomes of a block are known at its end, or `--delay` calls later. Models are made anew
every 1,000 calls, calibrations at every block, from what is known then. The last line is one JSON
object; the data come from `PROPENSITY_DATA` (../shared/data).

`ours` averages two in log-odds, trusting each by its past log loss: `ours_without_mix`, the average of
linear and trees with the calibration of `training.memory`, and the same told of each call also how the
last 50 calls were mixed: whom one calls says much about the campaign that is running.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from benchmarks.bank_calls import CALLS, Calls, read_calls
from models.calibrators import Calibrator, Identity, logit
from training.decomposition import log_loss_rows
from training.fitters import fit_platt
from training.logistic import LogisticProblem, Prior, fit_logistic
from training.memory import TEMPER, follow_through
from training.metrics import auc, ece, log_loss, paired_log_loss_difference

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Scorer = Callable[[Floats], Floats]
"""Columns, shape (n, k), to log-odds, shape (n,)."""
Fit = Callable[[Floats, Floats], Scorer]
"""Columns, shape (n, k), oldest first, and outcomes, shape (n,), to what scores others."""

LATE = 6_000
"""The last so many calls, where the share that buys is ten times what it was at first."""

HALF_LIFE = 2_000
"""Calls after which an outcome counts half for the linear part; 1,000 to 4,000 gave about the same."""

RIDGE = 3.0
TREES = {
    "objective": "binary",
    "num_leaves": 8,
    "learning_rate": 0.05,
    "min_data_in_leaf": 50,
    "lambda_l2": 5.0,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 0,
    "verbose": -1,
}
ROUNDS = 200


@dataclass(frozen=True)
class Schedule:
    """When what is done, in calls from the first one on.

    Attributes:
        start: the first call that is scored.
        block: calls that are scored, and become known, together.
        delay: how many calls after its block's end an outcome is known.
        retrain: calls between two models.
    """

    start: int = 8_000
    block: int = 1_000
    delay: int = 0
    retrain: int = 1_000

    def looks(self, calls: int) -> Ints:
        """Where each block of the scored calls begins."""
        return np.arange(self.start, calls, self.block)

    def known_at(self, calls: int) -> Ints:
        """The first call that may be scored with what came of each call, shape (n,)."""
        to_start = (np.arange(calls) - self.start) // self.block + 1
        return np.asarray(self.start + to_start * self.block + self.delay)


def fit_trees(columns: Floats, y: Floats) -> Scorer:
    """Small trees, every outcome alike."""
    booster = lightgbm.train(TREES, lightgbm.Dataset(columns, y), ROUNDS)
    return lambda others: np.asarray(booster.predict(others, raw_score=True), dtype=np.float64)


def fit_linear(columns: Floats, y: Floats, half_life: float = np.inf) -> Scorer:
    """Ridge logistic regression, old outcomes counting less."""
    weights = 0.5 ** (np.arange(len(y))[::-1] / half_life)
    recent = weights > 1e-4
    design = np.column_stack([np.ones(len(y)), columns])[recent]
    ridge = np.full(design.shape[1], RIDGE)
    ridge[0] = 0.0
    prior = Prior(np.zeros_like(ridge), ridge)
    offset = np.zeros(len(design))
    problem = LogisticProblem(design, y[recent], weights[recent], prior, offset)
    beta = fit_logistic(problem)
    return lambda others: np.asarray(beta[0] + others @ beta[1:], dtype=np.float64)


def fit_recent(columns: Floats, y: Floats) -> Scorer:
    """Ridge logistic regression, outcomes counting half after `HALF_LIFE` calls."""
    return fit_linear(columns, y, HALF_LIFE)


def fit_blend(columns: Floats, y: Floats) -> Scorer:
    """The mean of the log-odds of linear, old outcomes counting less, and trees."""
    linear, trees = fit_recent(columns, y), fit_trees(columns, y)
    return lambda others: (linear(others) + trees(others)) / 2


def walk(calls: Calls, schedule: Schedule, fit: Fit) -> Floats:
    """Score every call from the start on by the newest model, each made of what was known."""
    n, known_at = len(calls.y), schedule.known_at(len(calls.y))
    raw = np.full(n, np.nan)
    scorer, made = None, -schedule.retrain
    for look in schedule.looks(n):
        if look - made >= schedule.retrain:
            known = known_at <= look
            scorer, made = fit(calls.columns[known], calls.y[known]), look
        here = slice(look, look + schedule.block)
        assert scorer is not None, "the first look makes a model"
        raw[here] = scorer(calls.columns[here])
    return raw


def by_block(raw: Floats, schedule: Schedule, calibrators: Sequence[Calibrator]) -> Floats:
    """Probabilities of the scored calls, each block by its own calibrator."""
    looks = schedule.looks(len(raw))
    return np.concatenate(
        [
            calibrator.apply(raw[look : look + schedule.block])
            for look, calibrator in zip(looks, calibrators, strict=True)
        ]
    )


def last_platt(raw: Floats, y: Floats, schedule: Schedule, last: int = 500) -> Floats:
    """Level and spread by the last so many outcomes of scored calls that are known."""
    known_at = schedule.known_at(len(y))
    calibrators: list[Calibrator] = []
    for look in schedule.looks(len(y)):
        known = np.flatnonzero((known_at <= look) & np.isfinite(raw))[-last:]
        weights = np.ones(len(known))
        fitted = fit_platt(raw[known], y[known], weights) if len(known) else Identity()
        calibrators.append(fitted)
    return by_block(raw, schedule, calibrators)


def followed(raw: Floats, y: Floats, schedule: Schedule) -> Floats:
    """Level and spread by as much of the past as has served best."""
    scored = np.arange(schedule.start, len(y))
    known_at, looks = schedule.known_at(len(y))[scored], schedule.looks(len(y))
    # Each look sees only what is known by then.
    path = follow_through(raw[scored], y[scored], scored, known_at, looks)
    return by_block(raw, schedule, [step.calibrator for step in path])


def trusted(ways: Sequence[Floats], y: Floats, schedule: Schedule) -> Floats:
    """The average of several ways in log-odds, weighed by what came of them as far as is known.

    Source: exponential weights (Vovk 1990), tempered as in `training.memory`.
    """
    known_at = schedule.known_at(len(y))[schedule.start :]
    log_odds, won = np.array([logit(p) for p in ways]), y[schedule.start :]
    losses, said = np.array([log_loss_rows(p, won) for p in ways]), np.empty(len(won))
    for look in schedule.looks(len(y)):
        lost = losses[:, known_at <= look].sum(axis=1)
        trust = np.exp(TEMPER * (lost.min() - lost))
        here = slice(look - schedule.start, look - schedule.start + schedule.block)
        said[here] = expit(trust @ log_odds[:, here] / trust.sum())
    return said


def recent_rate(y: Floats, schedule: Schedule, last: int = 1_000) -> Floats:
    """The share that bought of the last so many calls that are known."""
    known_at = schedule.known_at(len(y))
    said = np.empty(len(y) - schedule.start)
    for look in schedule.looks(len(y)):
        known = np.flatnonzero(known_at <= look)[-last:]
        said[look - schedule.start :] = np.clip(y[known].mean(), 1e-4, 1 - 1e-4)
    return said


def predictions(calls: Calls, schedule: Schedule) -> dict[str, Floats]:
    """What each way says of every scored call, shape (n - start,)."""
    y, scored = calls.y, slice(schedule.start, None)
    first = schedule.known_at(len(y)) <= schedule.start
    frozen = fit_trees(calls.columns[first], y[first])(calls.columns[scored])
    trees, linear = (walk(calls, schedule, fit) for fit in (fit_trees, fit_linear))
    without_mix = followed((trees + walk(calls, schedule, fit_recent)) / 2, y, schedule)
    with_mix = followed(walk(calls.with_mix(), schedule, fit_blend), y, schedule)
    return {
        "frozen": expit(frozen),
        "retrain": expit(trees[scored]),
        "retrain_platt500": last_platt(trees, y, schedule),
        "average_platt500": last_platt((trees + linear) / 2, y, schedule),
        "base_rate_1000": recent_rate(y, schedule),
        "ours_without_mix": without_mix,
        "ours": trusted([without_mix, with_mix], y, schedule),
    }


def measure(calls: Calls, schedule: Schedule) -> dict[str, Any]:
    """The figures of every way, and what ours saves, with intervals that take 1,000 calls as one."""
    started = time.perf_counter()
    said, y = predictions(calls, schedule), calls.y[schedule.start :]
    neighbours = np.arange(len(y)) // 1_000
    found: dict[str, Any] = {name: _figures(p, y) for name, p in said.items()}
    for name in set(said) - {"ours"}:
        gap = paired_log_loss_difference(said["ours"], said[name], y, neighbours, seed=0)
        found[name]["ours_minus_this"] = {
            "difference": round(gap.difference, 5),
            "interval": [round(gap.lower, 5), round(gap.upper, 5)],
        }
    settings = {"calls": len(y), "block": schedule.block, "delay": schedule.delay}
    return {**found, **settings, "seconds": round(time.perf_counter() - started, 1)}


def _figures(p: Floats, y: Floats) -> dict[str, Any]:
    return {
        "log_loss": round(log_loss(p, y), 4),
        "ece": round(ece(p, y), 4),
        "auc": round(auc(p, y), 4),
        "late": {
            "mean_predicted": round(float(p[-LATE:].mean()), 4),
            "observed": round(float(y[-LATE:].mean()), 4),
        },
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Go through the bank's calls once, as they came."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("PROPENSITY_DATA", "../shared/data"))
    )
    parser.add_argument("--block", type=int, default=1_000, help="calls scored together")
    parser.add_argument("--delay", type=int, default=0, help="calls until an outcome is known")
    parser.add_argument("--start", type=int, default=8_000, help="the first call that is scored")
    parser.add_argument("--json", action="store_true", help="nothing but the JSON object")
    chosen = parser.parse_args(arguments)
    if min(chosen.block, chosen.start) < 1 or chosen.delay < 0:
        parser.error("--block and --start must be at least 1, --delay at least 0")
    if chosen.delay >= chosen.start:
        parser.error("--delay must be below --start, or there is nothing to learn from at first")
    path = chosen.data / CALLS
    if not path.is_file():
        print(f"error: {path} is not there; name the data with --data DIR", file=sys.stderr)
        return 2
    schedule = Schedule(chosen.start, chosen.block, chosen.delay)
    found = measure(read_calls(path), schedule)
    if not chosen.json:
        for name, figures in found.items():
            print(f"{name}: {figures}", file=sys.stderr)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
