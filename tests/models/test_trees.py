"""Trees give a row the same bits alone as among many, and contributions that add up to its score."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest

from features.errors import BundleError
from models import trees as module
from models.forest_engine import Engine
from models.trees import Trees

RNG = np.random.default_rng(4)
NAMES = ["a_size", "b_colour", "c_noise"]


def table(n: int) -> np.ndarray:
    size = np.where(RNG.random(n) < 0.1, np.nan, RNG.normal(size=n))
    colour = np.where(RNG.random(n) < 0.1, np.nan, RNG.integers(0, 4, n))
    return np.column_stack([size, colour, RNG.normal(size=n)])


@pytest.fixture(scope="module")
def booster() -> lgb.Booster:
    matrix = table(800)
    odds = np.nan_to_num(matrix[:, 0]) + (matrix[:, 1] == 2) - 1
    y = RNG.random(800) < 1 / (1 + np.exp(-odds))
    parameters = {"objective": "binary", "num_leaves": 5, "verbosity": -1, "seed": 1}
    parameters |= {"min_data_in_leaf": 10, "num_threads": 1, "deterministic": True}
    rows = lgb.Dataset(matrix, y.astype(float), feature_name=NAMES, categorical_feature=[1])
    return lgb.train(parameters, rows, num_boost_round=40)


@pytest.fixture(scope="module")
def trees(booster: lgb.Booster) -> Trees:
    return Trees(booster.model_to_string())


def test_raw_scores_are_those_of_the_booster_it_was_written_from(
    trees: Trees, booster: lgb.Booster
) -> None:
    matrix = table(300)
    assert trees.raw(matrix).tolist() == booster.predict(matrix, raw_score=True).tolist()


def test_columns_are_read_off_the_text_without_lightgbm(
    trees: Trees, booster: lgb.Booster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lgb, "Booster", None)
    assert Trees(trees.text).columns == booster.feature_name() == NAMES


def test_damage_is_not_shown_to_lightgbm_which_would_read_out_of_bounds(
    trees: Trees, booster: lgb.Booster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ENGINE", Engine())
    matrix, notes = table(50), trees.text.index("end of trees")
    for end in range(notes + 20, len(trees.text), 61):
        raw = Trees(trees.text[:end]).raw(matrix)  # a note on the training is cut short
        assert raw.tolist() == booster.predict(matrix, raw_score=True).tolist()
    for damaged in (trees.text[: notes // 2], trees.text.replace("left_child=", "left_child=99 ")):
        with pytest.raises(BundleError):
            Trees(damaged).raw(matrix)


def test_a_text_without_columns_has_none() -> None:
    assert Trees("tree\nno names here\n").columns == []


def test_a_row_has_the_same_bits_alone_and_in_a_batch_of_any_length(trees: Trees) -> None:
    # The batch is longer than the bound below which a single thread is used.
    matrix = table(module._FEW + 200)
    batch, shares = trees.raw(matrix), trees.contributions(matrix)
    alone = np.concatenate([trees.raw(matrix[i : i + 1]) for i in range(0, len(matrix), 7)])
    assert batch[::7].tobytes() == alone.tobytes()
    one = trees.contributions(matrix[5:6])
    assert shares[5].tobytes() == one[0].tobytes()
    assert trees.raw(matrix[:100]).tobytes() == batch[:100].tobytes()


def test_contributions_add_up_to_the_raw_score(trees: Trees) -> None:
    matrix = table(200)
    shares = trees.contributions(matrix)
    assert shares.shape == (200, 4)
    np.testing.assert_allclose(shares.sum(axis=1), trees.raw(matrix), atol=1e-9, rtol=0)
    assert np.ptp(shares[:, -1]) == 0, "the base is the same for all"


def test_no_rows_have_no_scores(trees: Trees) -> None:
    assert trees.raw(np.empty((0, 3))).shape == (0,)
    assert trees.contributions(np.empty((0, 3))).shape == (0, 4)


def test_importance_names_every_column_and_the_strongest_first(trees: Trees) -> None:
    gains = trees.importance()
    assert list(gains) == NAMES
    assert gains["a_size"] > gains["c_noise"] >= 0


def test_a_table_of_another_width_is_an_error_and_not_a_score(trees: Trees) -> None:
    for wrong in (np.zeros((2, 2)), np.zeros((2, 4)), np.zeros(3)):
        with pytest.raises(ValueError, match="read 3 columns, the table has shape"):
            trees.raw(wrong)
        with pytest.raises(ValueError, match="read 3 columns"):
            trees.contributions(wrong)


def test_the_text_is_not_shown_where_a_model_is_printed(trees: Trees) -> None:
    assert repr(trees) == "Trees()"
