"""A blend is the weighted sum of its parts, its reasons add up to it, and hostile files are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from models_made import made_model

from features.errors import BundleError
from models.blend import Blend, Rates, Spread, by_rates

NOT_A_NUMBER = float("nan")


def made() -> tuple[Blend, np.ndarray]:
    """The made company's learner, whose trees read its cities by their rates, and its rows."""
    model = made_model().model
    return model.learner, model.encoder.matrix(made_model().frame)


@pytest.mark.parametrize("weight", [0.0, 0.25, 0.5, 1.0])
def test_raw_is_the_weighted_sum_of_the_parts_and_the_shift(weight: float) -> None:
    learner, matrix = made()
    assert learner.linear is not None
    assert learner.trees is not None
    blend = replace(learner, weight=weight, shift=0.7)
    for i in range(0, len(matrix), 7):
        row = matrix[i : i + 1]
        linear, trees = float(learner.linear.raw(row)[0]), float(learner.trees.raw(row)[0])
        expected = 0.7 + weight * linear + (1 - weight) * trees
        assert blend.raw(row)[0] == pytest.approx(expected, abs=1e-12)


def test_all_the_weight_on_a_part_is_that_part_alone_to_the_bit() -> None:
    learner, matrix = made()
    assert learner.linear is not None
    assert learner.trees is not None
    one = replace(learner, weight=1.0, shift=0.0)
    assert one.raw(matrix).tobytes() == learner.linear.raw(matrix).tobytes()
    assert replace(one, trees=None).raw(matrix).tobytes() == one.raw(matrix).tobytes()
    none = replace(learner, weight=0.0, shift=0.0)
    assert none.raw(matrix).tobytes() == learner.trees.raw(matrix).tobytes()
    assert Blend.of_trees(learner.trees).raw(matrix).tobytes() == none.raw(matrix).tobytes()


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_contributions_and_the_base_add_up_to_raw(weight: float) -> None:
    learner, matrix = made()
    blend = replace(learner, weight=weight, shift=-0.3)
    shares, base = blend.contributions(matrix)
    assert np.abs(shares.sum(axis=1) + base - blend.raw(matrix)).max() < 1e-9
    assert blend.contributions(matrix[:0])[0].shape == (0, matrix.shape[1])


def test_a_row_scores_the_same_bits_alone_and_among_others() -> None:
    learner, matrix = made()
    alone = [learner.raw(matrix[i : i + 1]).tobytes() for i in range(len(matrix))]
    assert b"".join(alone) == learner.raw(matrix).tobytes()
    turned = learner.raw(matrix[::-1])[::-1]
    assert turned.tobytes() == learner.raw(matrix).tobytes()


def test_the_variance_is_that_of_the_terms_and_what_the_parts_disagree_about() -> None:
    learner, matrix = made()
    assert learner.linear is not None
    blend = replace(learner, spread=Spread(0.2, 3.0, 1.7))
    variance = blend.judged(matrix)[1]
    assert variance is not None
    for i in (0, 5, 100):
        total = sum(
            float(term.variance(matrix[i : i + 1, j])[0])
            for j, term in enumerate(learner.linear.terms)
        )
        row, w = matrix[i : i + 1], learner.weight
        apart = float(learner.linear.raw(row)[0] - learner.trees.raw(row)[0])
        assert variance[i] == pytest.approx(0.2 + 3.0 * total + w * (1 - w) * apart**2)
    alone = replace(blend, weight=1.0).judged(matrix)[1]
    assert alone == pytest.approx(0.2 + 3.0 * learner.linear.variance(matrix))
    assert replace(learner, spread=None).judged(matrix)[1] is None
    assert replace(learner, linear=None, weight=0.0).judged(matrix)[1] is None


# Rates


def test_rates_are_looked_up_and_what_is_not_known_or_new_has_its_own() -> None:
    rates = Rates((-1.0, 0.5, 2.0), -0.25)
    codes = np.array([0.0, 2.0, 1.0, np.nan, 3.0, 99.0])
    assert rates.of(codes).tolist() == [-1.0, 2.0, 0.5, -0.25, -0.25, -0.25]


def test_only_the_columns_with_rates_are_read_by_them_and_the_matrix_is_left_alone() -> None:
    matrix = np.array([[0.0, 1.0], [np.nan, 0.0]])
    kept = matrix.copy()
    read = by_rates(matrix, ["a", "b"], {"b": Rates((5.0, 6.0), 7.0)})
    assert read[:, 1].tolist() == [6.0, 5.0]
    assert read[0, 0] == 0.0
    assert np.isnan(read[1, 0])
    assert matrix.tobytes() == kept.tobytes()


# JSON


def test_json_gives_it_back_to_the_last_bit() -> None:
    learner, matrix = made()
    assert learner.trees is not None
    rates = {"attr_city": Rates((0.1, 1 / 3, -2.0), 1e-17)}
    learner = replace(learner, rates=rates)
    text = json.dumps(learner.to_json())
    assert learner.trees is not None
    again = Blend.from_json(json.loads(text), learner.trees.text)
    assert again.to_json() == learner.to_json()
    assert again.raw(matrix).tobytes() == learner.raw(matrix).tobytes()
    before, after = learner.judged(matrix)[1], again.judged(matrix)[1]
    assert before is not None
    assert after is not None
    assert before.tobytes() == after.tobytes()


def test_the_additive_part_alone_needs_no_trees() -> None:
    learner, matrix = made()
    alone = replace(learner, trees=None, weight=1.0)
    again = Blend.from_json(json.loads(json.dumps(alone.to_json())), "")
    assert again.trees is None
    assert again.raw(matrix).tobytes() == alone.raw(matrix).tobytes()


def _set(key: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content | {key: value}


def _spread(**given: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content | {"spread": content["spread"] | given}


HOSTILE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "nothing": lambda content: None,
    "a list": lambda content: [content],
    "a text": lambda content: "blend",
    "empty": lambda content: {},
    "linear a number": _set("linear", 4),
    "linear a text": _set("linear", "x"),
    "no linear": _set("linear", None),
    "weight above 1": _set("weight", 1.5),
    "weight below 0": _set("weight", -0.1),
    "weight not a number": _set("weight", NOT_A_NUMBER),
    "weight nothing": _set("weight", None),
    "shift infinite": _set("shift", float("inf")),
    "shift of 400 digits": _set("shift", 10**400),
    "rates a list": _set("rates", [1]),
    "rates without missing": _set("rates", {"attr_city": {"values": [0.0]}}),
    "rates not numbers": _set("rates", {"attr_city": {"values": [NOT_A_NUMBER], "missing": 0.0}}),
    "rates infinite": _set("rates", {"attr_city": {"values": [], "missing": float("inf")}}),
    "spread a number": _set("spread", 1.0),
    "spread with more": _spread(more=1.0),
    "spread without all": _set("spread", {"constant": 1.0}),
    "spread of words": _spread(constant="much"),
    "spread not a number": _spread(factor=NOT_A_NUMBER),
    "spread negative": _spread(constant=-1.0),
    "reach infinite": _spread(reach=float("inf")),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_learner_is_refused(name: str) -> None:
    learner, _ = made()
    assert learner.trees is not None
    with pytest.raises(BundleError):
        Blend.from_json(HOSTILE[name](learner.to_json()), learner.trees.text)


def test_a_part_that_has_a_weight_must_be_there() -> None:
    learner, _ = made()
    assert learner.trees is not None
    with pytest.raises(BundleError, match="lacks a part"):
        Blend.from_json(learner.to_json(), "")


def test_parts_that_read_different_columns_are_refused() -> None:
    learner, _ = made()
    assert learner.trees is not None
    content = learner.to_json()
    content["linear"]["terms"].reverse()
    with pytest.raises(BundleError, match="different columns"):
        Blend.from_json(content, learner.trees.text)
