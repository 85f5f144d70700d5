"""How good is the logistic regression that everybody writes in ten lines of scikit-learn?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.peers.base_rate import base_rate
from benchmarks.peers.task import Answer, Task, watch

NOT_KNOWN = "(none)"


def logistic_regression(task: Task) -> Answer:
    """Median and a flag where a number is missing, standardised; one-hot categories; C = 1.

    A category that is missing is a level of its own, one that is new is no level at all. A lesson
    with wins only or losses only gives the base rate.
    """
    if task.one_sided:
        return base_rate(task)
    lesson, asked = (_labelled(table) for table in task.tables())
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")),
    )
    pipeline = make_pipeline(columns, LogisticRegression(max_iter=2_000))
    with watch() as taken:
        pipeline.fit(lesson, task.y, logisticregression__sample_weight=task.weight)
    probability = np.asarray(pipeline.predict_proba(asked)[:, 1], dtype=np.float64)
    return Answer(probability, taken.seconds)


def _labelled(table: pd.DataFrame) -> pd.DataFrame:
    """The table with categories as text, and a label where there is none."""
    return pd.DataFrame(
        {
            name: column.astype(object).where(column.notna(), NOT_KNOWN)
            if isinstance(column.dtype, pd.CategoricalDtype)
            else column
            for name, column in table.items()
        }
    )
