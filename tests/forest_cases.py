"""Boosters of every kind that can be learned, and rows of every kind that can be asked about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
from hypothesis import strategies as st

NUMBERS, CATEGORIES = 4, 2
COLUMNS = NUMBERS + CATEGORIES

ODD_NUMBERS = [
    *(np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-35, -1e-35, 1e-36, -1e-36, 1.1e-35, -1.1e-35, 5e-324),
    *(1.0, 2.0, -1.0, 0.5, 1e300, -1e300),
]
ODD_CODES = [np.nan, -1.0, -0.5, -0.999, 0.0, 0.9, 1.0, 2.5, 31.0, 32.0, 33.0, 63.0, 64.0, 1e6, 2e9]
"""No code beyond 2^31: what LightGBM makes of such is not defined."""


@dataclass(frozen=True)
class Lesson:
    """What a booster is learned from."""

    seed: int
    rows: int
    gaps: float
    levels: int
    parameters: dict[str, Any]
    rounds: int


@st.composite
def lessons(draw: st.DrawFn) -> Lesson:
    """Lessons of a few dozen to a few hundred rows."""
    parameters = {
        "num_leaves": draw(st.sampled_from([2, 3, 5, 8, 31, 70])),
        "min_data_in_leaf": draw(st.sampled_from([1, 2, 10, 60])),
        "max_bin": draw(st.sampled_from([4, 15, 255])),
        "use_missing": draw(st.booleans()),
        "zero_as_missing": draw(st.booleans()),
        "max_cat_to_onehot": draw(st.sampled_from([1, 4, 64])),
        "min_data_per_group": draw(st.sampled_from([1, 20])),
        "cat_smooth": draw(st.sampled_from([0.0, 10.0])),
        "learning_rate": draw(st.sampled_from([0.01, 0.3])),
        "objective": draw(st.sampled_from(["binary", "regression"])),
        "feature_fraction": draw(st.sampled_from([0.4, 1.0])),
        "extra_trees": draw(st.booleans()),
        "path_smooth": draw(st.sampled_from([0.0, 1.0])),
    }
    if draw(st.booleans()):
        parameters["monotone_constraints"] = [1, -1, 0, 0, 0, 0]
    return Lesson(
        seed=draw(st.integers(0, 2**31)),
        rows=draw(st.sampled_from([5, 40, 300])),
        gaps=draw(st.sampled_from([0.0, 0.2])),
        levels=draw(st.sampled_from([2, 5, 40])),
        parameters=parameters,
        rounds=draw(st.sampled_from([1, 3, 12])),
    )


def learned(lesson: Lesson) -> lgb.Booster:
    """The booster of a lesson."""
    rng = np.random.default_rng(lesson.seed)
    matrix = rows_like(rng, lesson.rows, lesson.gaps, lesson.levels)
    signal = np.nan_to_num(matrix[:, 0]) + (matrix[:, 4] % 3 == 1) + rng.normal(size=lesson.rows)
    weight = rng.uniform(0.1, 3.0, lesson.rows)
    table = lgb.Dataset(
        matrix,
        (signal > 0.5).astype(float),
        weight=weight,
        categorical_feature=[NUMBERS, NUMBERS + 1],
        feature_name=[f"c{i}" for i in range(COLUMNS)],
    )
    fixed = {"verbosity": -1, "num_threads": 1, "seed": 1, "deterministic": True}
    return lgb.train(fixed | lesson.parameters, table, lesson.rounds)


def rows_like(rng: np.random.Generator, n: int, gaps: float, levels: int) -> np.ndarray:
    """Rows as a booster is learned from: numbers of several kinds, codes, gaps."""
    numbers = np.column_stack(
        [
            rng.normal(size=n),
            rng.poisson(1.0, n),
            rng.integers(-3, 4, n) / 2,
            np.where(rng.random(n) < 0.5, 0.0, rng.normal(size=n)),
        ]
    )
    matrix = np.column_stack([numbers, rng.integers(0, levels, (n, CATEGORIES))]).astype(float)
    matrix[rng.random(matrix.shape) < gaps] = np.nan
    return matrix


def odd_rows(rng: np.random.Generator, n: int, levels: int) -> np.ndarray:
    """Rows a third of whose cells are anything that a float can be."""
    matrix = rows_like(rng, n, 0.1, levels + 2)
    strange = np.column_stack(
        [
            rng.choice(ODD_CODES if column >= NUMBERS else ODD_NUMBERS, n)
            for column in range(COLUMNS)
        ]
    )
    return np.where(rng.random(matrix.shape) < 0.3, strange, matrix)
