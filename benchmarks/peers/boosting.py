"""How good is LightGBM as it comes, and how good once isotonic regression has calibrated it?"""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.isotonic import IsotonicRegression

from benchmarks.peers.base_rate import base_rate
from benchmarks.peers.task import Answer, Task, watch

Floats = NDArray[np.float64]


def lightgbm(task: Task) -> Answer:
    """LightGBM with all its defaults (100 trees of 31 leaves), categories as categories."""
    if task.one_sided:
        return base_rate(task)
    lesson, asked = task.tables()
    with watch() as taken:
        fitted = _classifier(task).fit(lesson, task.y, sample_weight=task.weight)
    return Answer(_won(fitted, asked), taken.seconds)


def lightgbm_isotonic(task: Task) -> Answer:
    """The same, calibrated on rows it was not fitted on.

    With time: fitted on the earlier four fifths, calibrated on the later fifth. Without: scikit-learn's
    `CalibratedClassifierCV` over the folds that keep rows together which say the same.
    """
    if task.one_sided:
        return base_rate(task)
    return _later_fifth(task) if task.forward else _in_folds(task)


def _later_fifth(task: Task) -> Answer:
    lesson, asked = task.tables()
    ((earlier, later),) = task.folds
    isotonic = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    with watch() as taken:
        fitted = _classifier(task).fit(
            lesson.iloc[earlier], task.y[earlier], sample_weight=task.weight[earlier]
        )
        seen = _won(fitted, lesson.iloc[later])
        isotonic.fit(seen, task.y[later], sample_weight=task.weight[later])
    return Answer(isotonic.predict(_won(fitted, asked)), taken.seconds)


def _in_folds(task: Task) -> Answer:
    lesson, asked = task.tables()
    model = CalibratedClassifierCV(_classifier(task), method="isotonic", cv=list(task.folds))
    with watch() as taken:
        model.fit(lesson, task.y)
    return Answer(_won(model, asked), taken.seconds)


def _classifier(task: Task) -> lgb.LGBMClassifier:
    # What is not a default changes how it is reckoned, not what: the same model on any machine, with
    # as many threads as OpenMP gives to ours (n_jobs=0).
    return lgb.LGBMClassifier(
        random_state=task.seed, deterministic=True, force_row_wise=True, n_jobs=0, verbosity=-1
    )


def _won(model: lgb.LGBMClassifier | CalibratedClassifierCV, table: pd.DataFrame) -> Floats:
    return np.asarray(model.predict_proba(table)[:, 1], dtype=np.float64)
