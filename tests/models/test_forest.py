"""Compiled trees say what LightGBM says, whatever was learned and whatever is asked; or leave it to it."""

from __future__ import annotations

import re

import lightgbm as lgb
import numpy as np
import pytest
from forest_cases import COLUMNS, Lesson, learned, lessons, odd_rows, rows_like
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.errors import BundleError
from models.forest import Forest, read_forest
from models.forest_engine import ENGINE
from models.trees import Trees

LESSON = Lesson(
    seed=3,
    rows=400,
    gaps=0.1,
    levels=6,
    parameters={"objective": "binary", "num_leaves": 12, "min_data_in_leaf": 5},
    rounds=20,
)


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    assert ENGINE.wait(), ENGINE.trouble


@pytest.fixture(scope="module")
def booster() -> lgb.Booster:
    return learned(LESSON)


def forest_of(booster: lgb.Booster) -> Forest:
    found = read_forest(booster.model_to_string())
    assert found is not None
    return found


def raw_of(forest: Forest, matrix: np.ndarray) -> np.ndarray:
    raw = np.full(len(matrix), np.nan)
    ENGINE.kernel.write_raw(matrix, forest, raw)
    return raw


def shares_of(forest: Forest, matrix: np.ndarray) -> np.ndarray:
    shares = np.full((len(matrix), matrix.shape[1] + 1), np.nan)
    ENGINE.kernel.write_contributions(matrix, forest, shares)
    return shares


def check(lesson: Lesson) -> None:
    booster = learned(lesson)
    forest = forest_of(booster)
    matrix = odd_rows(np.random.default_rng(lesson.seed), 150, lesson.levels)
    raw = booster.predict(matrix, raw_score=True, num_threads=1)
    assert raw_of(forest, matrix).tobytes() == raw.tobytes(), "in blocks"
    assert raw_of(forest, matrix[:9]).tobytes() == raw[:9].tobytes(), "one by one"
    assert forest.explains
    shares = shares_of(forest, matrix[:40])
    expected = booster.predict(matrix[:40], pred_contrib=True, num_threads=1)
    np.testing.assert_allclose(shares, expected, atol=1e-9, rtol=0)
    np.testing.assert_allclose(shares.sum(axis=1), raw[:40], atol=1e-12, rtol=0)


@given(lessons())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_booster_says_the_same_of_every_row(lesson: Lesson) -> None:
    check(lesson)


@pytest.mark.slow
@given(lessons())
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_booster_of_very_many_says_the_same_of_every_row(lesson: Lesson) -> None:
    check(lesson)
