"""Run AutoGluon on two tables, in a Python of its own; called by `benchmarks.peers.automl`.

    python autogluon_alone.py DIRECTORY SECONDS

Imports nothing of this project: AutoGluon wants other versions of pandas and scikit-learn than we do.
Reads `lesson.csv`, `asked.csv` and `kinds.json` in the directory, writes `answer.json` there.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pandas as pd
from autogluon.tabular import TabularPredictor

WON = "won"


def main(directory: Path, seconds: float) -> None:
    """Fit with the preset `best_quality` for log loss, and answer."""
    kinds = json.loads((directory / "kinds.json").read_text())
    lesson, asked = (_read(directory / f"{name}.csv", kinds) for name in ("lesson", "asked"))
    started = time.perf_counter()
    try:
        predictor = _fitted(lesson, directory / "models", seconds)
    except AssertionError as error:
        # Where its rehearsal of stacking found no time for a single model, 1.6 cannot go on.
        print(f"once more without the rehearsal: {error}", file=sys.stderr)
        predictor = _fitted(lesson, directory / "more", seconds, dynamic_stacking=False)
    taken = time.perf_counter() - started
    probability = predictor.predict_proba(asked, as_multiclass=False)
    models = predictor.model_names()
    answer = {"probability": probability.tolist(), "seconds": taken, "models": models}
    (directory / "answer.json").write_text(json.dumps(answer))


def _fitted(lesson: pd.DataFrame, place: Path, seconds: float, **more: bool) -> TabularPredictor:
    predictor = TabularPredictor(
        WON, problem_type="binary", eval_metric="log_loss", path=str(place)
    )
    return predictor.fit(lesson, presets="best_quality", time_limit=seconds, **more)


def _read(path: Path, kinds: dict[str, str]) -> pd.DataFrame:
    # `None` and `NA` are labels here; only an empty cell is missing.
    table = pd.read_csv(path, dtype=kinds, keep_default_na=False, na_values=[""])
    return table.astype({name: "category" for name, kind in kinds.items() if kind == "str"})


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
