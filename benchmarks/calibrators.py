"""What does each calibrator cost, and save, by the number of outcomes it is fitted on?

    python -m benchmarks.calibrators [--runs 60] [--most 20000] [--json]

Log loss above that of the true probabilities, times 1e-4, averaged over draws. The raw scores of 18 %
won leads are right, over-confident by a slope of 1.6, or bent so that no formula fits. `ladder` is
`training.calibrate.fit_calibrator`, and `ladder, no tables` the same held below 900 wins. Means of two
calibrators are over the same draws; `±` is a standard error. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from models.calibrators import Calibrator, Identity, sigmoid
from training import calibrate
from training.calibrate import fit_calibrator
from training.fitters import FITTERS

Floats = NDArray[np.float64]
SIZES = (100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000)
POPULATION = np.random.default_rng(99).normal(-1.85, 1.1, 50_000)


def bent(raw: Floats) -> Floats:
    """True log-odds that no straight line and no beta curve reaches: flat, steep, and flat again."""
    return -1.1 + 1.6 * np.tanh(2.2 * (raw + 1.2)) + 0.15 * raw


Curve = Callable[[Floats], Floats]
CASES: dict[str, tuple[Curve, Curve]] = {
    "right": (lambda z: z, lambda z: z),
    "over-confident by 1.6": (lambda z: 1.6 * z + 0.8, lambda z: z),
    "not logistic": (lambda z: z, bent),
}
"""For each case the raw score and the true log-odds of a lead, both from what is drawn for it."""

KINDS = ("identity", "offset", "platt", "beta", "isotonic", "venn_abers")


def excess(calibrator: Calibrator, case: str) -> float:
    """Expected log loss above that of the truth, over the population, without noise of outcomes."""
    score, truth = CASES[case]
    p, q = sigmoid(truth(POPULATION)), calibrator.apply(score(POPULATION))
    return float(np.mean(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))))


def draw(n: int, case: str, seed: int) -> tuple[Floats, Floats]:
    """Raw scores and outcomes of n leads."""
    score, truth = CASES[case]
    rng = np.random.default_rng(seed)
    z = rng.normal(-1.85, 1.1, n)
    return score(z), (rng.random(n) < sigmoid(truth(z))).astype(np.float64)


def fitted(raw: Floats, won: Floats, seed: int) -> dict[str, Calibrator]:
    """Every kind of calibrator, and the ladder with and without tables, on the same leads."""
    ones = np.ones(len(raw))
    found = {
        kind: Identity() if kind == "identity" else FITTERS[kind](raw, won, ones, Identity())
        for kind in KINDS
    }
    found["ladder"] = fit_calibrator(raw, won, seed=seed).calibrator
    formulas = tuple(rung for rung in calibrate.RUNGS if rung[1] not in ("isotonic", "venn_abers"))
    with patch.object(calibrate, "RUNGS", formulas):
        found["ladder, no tables"] = fit_calibrator(raw, won, seed=seed).calibrator
    return found


def measure(case: str, n: int, runs: int) -> dict[str, Any]:
    """Mean excess of each calibrator × 1e-4, its standard error, and what the ladder chose."""
    table: dict[str, list[float]] = {}
    chosen: dict[str, int] = {}
    for seed in range(runs):
        raw, won = draw(n, case, seed)
        for name, calibrator in fitted(raw, won, seed).items():
            table.setdefault(name, []).append(1e4 * excess(calibrator, case))
            if name == "ladder":
                chosen[calibrator.kind] = chosen.get(calibrator.kind, 0) + 1
    return {
        "case": case,
        "n": n,
        "wins": round(float(sigmoid(CASES[case][1](POPULATION)).mean()) * n),
        "runs": runs,
        "excess": {name: float(np.mean(drawn)) for name, drawn in table.items()},
        "error": {
            name: float(np.std(drawn, ddof=1) / np.sqrt(runs)) for name, drawn in table.items()
        },
        "chosen": chosen,
    }


def main() -> None:
    """Measure all, print tables and the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--most", type=int, default=max(SIZES))
    parser.add_argument("--json", action="store_true", help="only the JSON line")
    given = parser.parse_args()
    found = []
    for case in CASES:
        for n in (size for size in SIZES if size <= given.most):
            found.append(measure(case, n, given.runs))
            if not given.json:
                _tell(found[-1], first=n == SIZES[0])
    print(json.dumps({"excess_times_10000": found}))


def _tell(row: dict[str, Any], first: bool) -> None:
    if first:
        print(
            f"\n{row['case']}\n{'n':>7} {'wins':>6} " + " ".join(f"{k:>12}" for k in row["excess"])
        )
    figures = [
        f"{mean:6.1f} ±{error:4.1f}"
        for mean, error in zip(row["excess"].values(), row["error"].values(), strict=True)
    ]
    print(f"{row['n']:>7} {row['wins']:>6} " + " ".join(f"{x:>12}" for x in figures), row["chosen"])


if __name__ == "__main__":
    main()
