"""A design matrix has ramps between a number's knots, a column per level, and one for *not known*."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.bant import AGREED
from features.catalog import FeatureSpec
from models.encoder import EncodedColumn, Encoder
from training.design import Block, Design
from training.fit import Rows


def spec(name: str, monotone: Literal[-1, 0, 1] = 0, kind: str = "number") -> FeatureSpec:
    assert kind in ("number", "category")
    return FeatureSpec(
        name=name,
        kind="number" if kind == "number" else "category",
        fact=name,
        label=name,
        phrase="{value}",
        missing="?",
        monotone=monotone,
    )


def design_of(values: np.ndarray, name: str = "size") -> Design:
    n = len(values)
    rows = Rows(
        values.reshape(-1, 1), np.zeros(n), np.ones(n), np.arange(n), np.zeros(n, dtype=np.int64)
    )
    return Design.of(rows, Encoder((EncodedColumn(name),)), [spec(name)])


@given(
    knots=st.sets(st.integers(-50, 50), min_size=1, max_size=8).map(sorted),
    values=st.lists(st.floats(-80, 80) | st.just(float("nan")), min_size=1),
)
def test_ramps_times_increments_are_the_curve_through_their_sums(
    knots: list[int], values: list[float]
) -> None:
    block = Block("size", np.array(knots, dtype=np.float64), 0, 0)
    increments = np.random.default_rng(0).normal(size=block.width)
    heights = np.r_[0.0, np.cumsum(increments[:-1])]
    said = block.of(np.array(values)) @ increments
    for value, one in zip(values, said, strict=True):
        expected = increments[-1] if np.isnan(value) else np.interp(value, knots, heights)
        assert one == pytest.approx(expected, abs=1e-9)
    assert block.readings() @ increments == pytest.approx(np.r_[heights, increments[-1]])


def test_a_category_has_a_column_per_level_and_one_for_not_known() -> None:
    block = Block("team", None, 3, 0)
    assert block.of(np.array([0.0, 2.0, np.nan])).tolist() == [
        [1, 0, 0, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
    ]
    assert block.readings().tolist() == np.eye(4).tolist()


def test_numbers_of_few_values_have_a_knot_at_each_and_others_at_their_quantiles() -> None:
    few = design_of(np.array([3.0, 1.0, np.nan, 2.0, 1.0])).blocks[0].knots
    assert few is not None
    assert few.tolist() == [1, 2, 3]
    values = np.random.default_rng(0).normal(size=1_001)
    many = design_of(values).blocks[0].knots
    expected = np.quantile(values, [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
    assert many == pytest.approx(expected)


def test_where_most_rows_share_a_value_the_others_are_still_told_apart() -> None:
    values = np.r_[np.zeros(950), np.arange(1.0, 51.0)]
    knots = design_of(values).blocks[0].knots
    assert knots is not None
    assert (knots > 0).sum() >= 5


def test_a_column_that_nobody_knows_has_no_curve() -> None:
    design = design_of(np.full(5, np.nan))
    assert design.width == 1 + 1
    assert design.matrix(np.full((2, 1), np.nan)).tolist() == [[1, 1], [1, 1]]


def test_the_agreed_score_has_the_same_knots_whatever_the_rows_say() -> None:
    for values in (np.zeros(0), np.array([0.25] * 10), np.linspace(-1, 1, 500)):
        knots = design_of(values, AGREED).blocks[0].knots
        assert knots is not None
        assert knots.tolist() == [-1, -0.5, 0, 0.5, 1]


def test_only_the_ramps_of_what_is_monotone_are_bounded_by_0() -> None:
    encoder = Encoder(
        (
            EncodedColumn("up"),
            EncodedColumn("down"),
            EncodedColumn("free"),
            EncodedColumn("t", ("a",)),
        )
    )
    specs = [spec("up", 1), spec("down", -1), spec("free"), spec("t", kind="category")]
    matrix = np.column_stack([[0.0, 1.0, 2.0]] * 3 + [[0.0, 0.0, np.nan]])
    rows = Rows(matrix, np.zeros(3), np.ones(3), np.arange(3), np.zeros(3, dtype=np.int64))
    design = Design.of(rows, encoder, specs)
    free = -np.inf
    assert design.lower.tolist() == [free, 0, 0, free, *[free] * 8]
    assert (-design.upper).tolist() == [free, *[free] * 3, 0, 0, free, *[free] * 5]
    assert design.width == 12
    places = [(block.column, here.start, here.stop) for block, here in design.places()]
    assert places == [("up", 1, 4), ("down", 4, 7), ("free", 7, 10), ("t", 10, 12)]
    assert (
        design.spread_out(np.array([1.0, 2, 3, 4])).tolist()
        == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 2
    )
