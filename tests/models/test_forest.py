"""Compiled trees say what LightGBM says, whatever was learned or is asked; or leave it to LightGBM."""

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
    raw = np.full(len(matrix), np.nan)
    ENGINE.kernel.write_told(matrix, forest, raw, shares)
    assert raw.tobytes() == raw_of(forest, matrix).tobytes(), "said on the way"
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


def test_a_split_between_known_and_not_known_has_no_finite_threshold() -> None:
    rng = np.random.default_rng(5)
    known = rng.random(400) < 0.5
    matrix = rng.normal(size=(400, COLUMNS))
    matrix[:, 0] = np.where(known, matrix[:, 0], np.nan)
    table = lgb.Dataset(matrix, known.astype(float))
    booster = lgb.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, table, 3)
    assert re.search(r"threshold=.*\binf\b", booster.model_to_string())
    odd = np.repeat([[np.nan], [np.inf], [-np.inf], [0.0]], COLUMNS, axis=1)
    expected = booster.predict(odd, raw_score=True)
    assert raw_of(forest_of(booster), odd).tobytes() == expected.tobytes()


def test_paths_with_more_columns_than_one_pass_of_the_quadrature_are_exact() -> None:
    """A chain: each split cuts off one leaf by a column of its own."""
    rng, columns = np.random.default_rng(6), 40
    matrix = (rng.random((6000, columns)) < 0.03).astype(float)
    target = 100 * 0.85 ** np.array([np.argmax(np.append(row, 1.0)) for row in matrix])
    parameters = {"objective": "regression", "num_leaves": 41, "min_data_in_leaf": 1}
    parameters |= {"verbosity": -1, "num_threads": 1, "learning_rate": 1.0, "min_data_in_bin": 1}
    booster = lgb.train(parameters, lgb.Dataset(matrix, target), 2)
    forest = forest_of(booster)
    assert len(forest.passes) == 5, "two trees, of more than 16 and more than 32 columns on a path"
    some = matrix[:60]
    shares, expected = shares_of(forest, some), booster.predict(some, pred_contrib=True)
    # LightGBM itself loses digits where paths are long; what adds up is ours.
    np.testing.assert_allclose(shares, expected, atol=1e-7, rtol=0)
    np.testing.assert_allclose(shares.sum(axis=1), raw_of(forest, some), atol=1e-11, rtol=0)


def test_trees_with_more_leaves_than_a_word_has_bits_are_walked() -> None:
    lesson = Lesson(1, 3000, 0.1, 40, {"objective": "binary", "num_leaves": 200}, 4)
    lesson.parameters["min_data_in_leaf"] = 1
    assert not forest_of(learned(lesson)).narrow
    check(lesson)


def test_only_zeros_may_be_taken_for_missing() -> None:
    parameters = {"objective": "binary", "num_leaves": 31, "zero_as_missing": True}
    lesson = Lesson(2, 2000, 0.1, 5, parameters, 20)
    booster = learned(lesson)
    kinds = re.findall(r"decision_type=(.*)", booster.model_to_string())
    assert {"4", "6"} <= set(" ".join(kinds).split()), "zero goes left, and zero goes right"
    check(lesson)


def test_no_rows_have_no_scores_and_no_reasons(booster: lgb.Booster) -> None:
    forest = forest_of(booster)
    assert raw_of(forest, np.empty((0, COLUMNS))).shape == (0,)
    assert shares_of(forest, np.empty((0, COLUMNS))).shape == (0, COLUMNS + 1)


def test_a_row_says_the_same_in_a_block_of_any_size(booster: lgb.Booster) -> None:
    forest = forest_of(booster)
    matrix = rows_like(np.random.default_rng(8), 400, 0.1, 6)
    whole, shares = raw_of(forest, matrix), shares_of(forest, matrix)
    for size in (1, 2, 24, 25, 127, 128, 129, 300):
        assert raw_of(forest, matrix[7 : 7 + size]).tobytes() == whole[7 : 7 + size].tobytes()
    assert shares_of(forest, matrix[9:10]).tobytes() == shares[9:10].tobytes()


UNSUPPORTED = {
    "linear leaves": {"linear_tree": True},
    "averaged trees": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    "three classes": {"objective": "multiclass", "num_class": 3},
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_only_lightgbm_understands_is_left_to_it(name: str) -> None:
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(200, 3))
    parameters = {"objective": "binary", "verbosity": -1, "num_threads": 1} | UNSUPPORTED[name]
    booster = lgb.train(parameters, lgb.Dataset(matrix, matrix[:, 0] > 0), 3)
    trees = Trees(booster.model_to_string())
    assert trees.forest is None
    expected = booster.predict(matrix, raw_score=True, num_threads=1)
    assert trees.raw(matrix).tobytes() == expected.tobytes()


def test_a_booster_without_trees_is_left_to_lightgbm(booster: lgb.Booster) -> None:
    assert read_forest(booster.model_to_string(num_iteration=0, start_iteration=20)) is None


def test_contributions_are_lightgbms_where_rows_were_miscounted(booster: lgb.Booster) -> None:
    text = booster.model_to_string()
    count = re.search(r"leaf_count=(\d+)", text)
    assert count is not None
    first = count[1]
    other = str((int(first) + 1) % 10 ** len(first)).zfill(len(first))
    trees = Trees(text.replace(f"leaf_count={first}", f"leaf_count={other}", 1))
    assert trees.forest is not None
    assert not trees.forest.explains
    matrix = rows_like(np.random.default_rng(8), 30, 0.1, 6)
    expected = lgb.Booster(model_str=trees.text).predict(matrix, pred_contrib=True)
    assert trees.contributions(matrix).tobytes() == expected.tobytes()
    assert trees.raw(matrix).tobytes() == booster.predict(matrix, raw_score=True).tobytes()


DAMAGE = st.sampled_from(["cut", "drop", "double", "swap", "digit", "letter"])


@given(kind=DAMAGE, place=st.floats(0, 1, exclude_max=True), width=st.integers(1, 40))
@settings(max_examples=300, deadline=None)
def test_a_damaged_text_is_refused_or_scores_without_a_crash(
    booster: lgb.Booster, kind: str, place: float, width: int
) -> None:
    text = booster.model_to_string()
    text = text[: text.index("end of trees") + 20]
    at = int(place * len(text))
    piece = text[at : at + width]
    damaged = {
        "cut": text[:at],
        "drop": text[:at] + text[at + width :],
        "double": text[:at] + piece + text[at:],
        "swap": text[:at] + piece[::-1] + text[at + width :],
        "digit": text[:at] + str(width % 10) + text[at + 1 :],
        "letter": text[:at] + "e" + text[at + 1 :],
    }[kind]
    try:
        forest = read_forest(damaged)
    except BundleError:
        return
    if forest is None:
        return
    # What passes for a model is one: every row has a score, and shares that belong to it.
    matrix = odd_rows(np.random.default_rng(0), 40, 6)[:, : len(forest.columns)]
    if len(forest.columns) == COLUMNS:
        raw = raw_of(forest, matrix)
        assert np.isfinite(raw).all()
        if forest.explains:
            most = 1e-12 * len(forest.trees) * max(1.0, float(np.abs(forest.leaves).max()))
            total = shares_of(forest, matrix).sum(axis=1)
            np.testing.assert_allclose(total, raw, atol=most, rtol=0)


@pytest.mark.parametrize(
    ("said", "instead", "message"),
    [
        ("tree\n", "twee\n", "does not begin as LightGBM's do"),
        ("num_leaves=12", "num_leaves=99", "12 leaves|entries|numbers"),
        ("left_child=1", "left_child=0", "hang together"),
        ("feature_names=c0", "feature_names=c0 c9", "names 7 columns"),
        ("split_feature=", "split_feature=9", "column that there is not"),
        ("leaf_value=", "leaf_value=nan ", "has"),
        ("decision_type=", "decision_typo=", "decision_type"),
        ("Tree=1\n", "Tree=7\n", "does not begin where it should"),
    ],
)
def test_damage_is_named(booster: lgb.Booster, said: str, instead: str, message: str) -> None:
    text = booster.model_to_string()
    damaged = text.replace(said, instead, 1)
    assert damaged != text
    longer = len(instead) - len(said)
    if "Tree=0" in text[: text.index(said)]:
        sizes = re.search(r"tree_sizes=(\d+)", damaged)
        assert sizes is not None
        whole = f"tree_sizes={int(sizes[1]) + longer}"
        damaged = damaged.replace(sizes[0], whole, 1) if said != "Tree=1\n" else damaged
    with pytest.raises(BundleError, match=message):
        read_forest(damaged)


def test_a_tree_that_runs_in_a_circle_is_refused(booster: lgb.Booster) -> None:
    text = booster.model_to_string()
    left = re.search(r"left_child=(.*)", text)
    right = re.search(r"right_child=(.*)", text)
    assert left is not None
    assert right is not None
    # A split and one below it change places: it hangs below itself, and all are still named once.
    sides = [one[1].split(" ") for one in (left, right)]
    places = {word: (side, i) for side in (0, 1) for i, word in enumerate(sides[side])}
    upper, lower = next((i, word) for word, (_, i) in places.items() if i > 0 and word[0] != "-")
    (a, i), (b, j) = places[str(upper)], places[lower]
    sides[a][i], sides[b][j] = lower, str(upper)
    swapped = text.replace(left[0], "left_child=" + " ".join(sides[0]), 1)
    swapped = swapped.replace(right[0], "right_child=" + " ".join(sides[1]), 1)
    with pytest.raises(BundleError, match="runs in a circle"):
        read_forest(swapped)
