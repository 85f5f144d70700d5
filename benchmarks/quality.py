"""How good are the probabilities on real data, forward in time (or in folds where there is no time)?

    python -m benchmarks.quality [--data DIR] [--only SET] [--json]

Every set goes the way a user's data goes: `examples/<set>/definition.yaml`, import into an empty
store, features, leakage probe, learning, judging. Forward: the newest 25 % by time are the test and a
date is never split. Grouped: five seeded folds, rows that say the same kept together and counted
once. The last line is one JSON object; the data come from `PROPENSITY_DATA` (../shared/data).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from features.clock import to_instant
from features.store.files.load import load
from features.store.migrate import upgrade
from models.workspace import Workspace
from training.config import TrainConfig
from training.dataset import Dataset, build_dataset
from training.judge import judge
from training.learn import learn
from training.metrics import Evaluation, evaluate_predictions
from training.run import look_for_leakage, newest_cutoff, plan, warnings_of
from training.splits import Split, row_groups

EXAMPLES = Path(__file__).parent.parent / "examples"
SETS = {
    "salvirt_b2b": "salvirt_b2b/definition.yaml",
    "x_education": "x_education/definition.yaml",
    "bank_additional": "bank_additional/definition.yaml",
    "bank_additional_without_macro": "bank_additional/definition_without_macro.yaml",
    "maven_crm": "maven_crm/definition.yaml",
    "bpi2012": "bpi2012/definition.yaml",
}


def measure(name: str, data: Path, scratch: Path, config: TrainConfig) -> dict[str, Any]:
    """Import one set, learn from it and judge; the figures as plain data."""
    definition_path = EXAMPLES / SETS[name]
    workspace = Workspace.of(
        {"PROPENSITY_DATA_DIR": str(scratch), "PROPENSITY_DEFINITION": str(definition_path)}
    )
    upgrade(workspace.store)
    definition = workspace.definition()
    now = to_instant(datetime.now(UTC))
    directory = data / Path(SETS[name]).parent
    load(workspace.store, definition, now=now, rejects=scratch / "rejects", directory=directory)
    matured = build_dataset(
        workspace.store,
        definition,
        newest_cutoff(workspace.store),
        most_leads=config.most_leads,
        seed=config.seed,
    ).matured()
    look_for_leakage(matured, definition, config)
    splits = plan(matured, definition, config)
    started = time.perf_counter()
    models = [learn(matured, split.lesson, definition, config).model for split in splits]
    seconds = time.perf_counter() - started
    judged = judge(matured, splits, models, config.seed)
    figures = _counted_once(matured, splits, judged.raw, judged.probability)
    return {
        **_shown(figures),
        "split": "grouped" if definition.time == "none" else "forward",
        "training_seconds": round(seconds, 1),
        "warnings": warnings_of(definition, judged),
    }


def _counted_once(
    matured: Dataset, splits: Sequence[Split], raw: np.ndarray, probability: np.ndarray
) -> Evaluation:
    """Figures over the judged rows; in folds, rows that say the same and ended alike count once."""
    rows = np.concatenate([split.judge.rows for split in splits])
    y = matured.y[rows]
    kept = np.arange(len(rows))
    if splits[0].bounds is None:
        kept = np.unique(row_groups(matured)[rows] * 2 + y, return_index=True)[1]
    return evaluate_predictions(raw[kept], probability[kept], y[kept], matured.lead[rows][kept])


def _shown(figures: Evaluation) -> dict[str, Any]:
    return {
        "auc": round(figures.auc.estimate, 4),
        "auc_interval": [round(figures.auc.lower, 4), round(figures.auc.upper, 4)],
        "log_loss": round(figures.log_loss, 4),
        "base_rate_log_loss": round(figures.base_rate_log_loss, 4),
        "brier": round(figures.brier, 4),
        "ece": round(figures.ece, 4),
        "ece_debiased": round(figures.debiased_ece.root, 4),
        "o_e": round(figures.observed_over_expected.estimate, 4),
        "base_rate": round(figures.base_rate, 4),
        "n_test": figures.n,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the sets that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("PROPENSITY_DATA", "../shared/data"))
    )
    parser.add_argument("--only", choices=sorted(SETS), action="append", help="only this set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="nothing but the JSON object")
    chosen = parser.parse_args(arguments)
    if not chosen.data.is_dir():
        print(f"error: {chosen.data} is not there; name the data with --data DIR", file=sys.stderr)
        return 2
    found: dict[str, Any] = {}
    for name in chosen.only or SETS:
        with tempfile.TemporaryDirectory() as scratch:
            found[name] = measure(name, chosen.data, Path(scratch), TrainConfig(seed=chosen.seed))
        if not chosen.json:
            figures = {
                key: found[name][key] for key in ("split", "auc", "log_loss", "o_e", "n_test")
            }
            print(f"{name}: {figures}", file=sys.stderr)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
