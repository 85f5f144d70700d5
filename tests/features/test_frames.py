"""Do columns keep their values when rows are taken, stacked, named and coded anew?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from bits import rows
from hypothesis import given
from hypothesis import strategies as st

from features.frames import Category, FeatureFrame, concatenate, take

LABELS = st.lists(st.none() | st.text(max_size=3), max_size=8)
NUMBERS = st.floats(width=64)


@st.composite
def frames(draw: st.DrawFn, n: int | None = None) -> FeatureFrame:
    """A frame of one number and one category column."""
    n = draw(st.integers(0, 6)) if n is None else n
    numbers = draw(st.lists(NUMBERS, min_size=n, max_size=n))
    labels = draw(
        st.lists(st.none() | st.sampled_from(["a", "b", "ü", ""]), min_size=n, max_size=n)
    )
    columns = {"size": np.array(numbers, dtype=np.float64), "city": Category.of(labels)}
    return FeatureFrame(tuple(f"lead {i}" for i in range(n)), np.arange(n), columns)


def _cells(frame: FeatureFrame) -> list[object]:
    return [*zip(frame.lead_ids, frame.as_of.tolist(), rows(frame), strict=True)]


@given(LABELS)
def test_a_category_gives_back_its_labels(labels: list[str | None]) -> None:
    assert Category.of(labels).labels() == labels


@given(LABELS)
def test_levels_are_sorted_and_do_not_depend_on_the_order_of_the_labels(
    labels: list[str | None],
) -> None:
    levels = Category.of(labels).levels
    assert list(levels) == sorted(set(labels) - {None}, key=str)
    assert Category.of(labels[::-1]).levels == levels


def test_labels_outside_given_levels_are_not_known() -> None:
    assert Category.of(["b", "c", None, "a"], levels=["b", "a"]).codes.tolist() == [0, -1, -1, 1]


@given(LABELS, st.lists(st.text(max_size=3), max_size=5, unique=True))
def test_recoding_keeps_the_labels_that_the_other_levels_have(
    labels: list[str | None], levels: list[str]
) -> None:
    codes = Category.of(labels).recoded(levels)
    again = [levels[code] if code >= 0 else None for code in codes.tolist()]
    assert again == [label if label in levels else None for label in labels]


def test_taking_rows_gives_those_rows_and_minus_one_is_not_known() -> None:
    at = np.array([2, -1, 0, 2])
    taken = take(Category.of(["x", None, "y"]), at)
    assert isinstance(taken, Category)
    assert taken.labels() == ["y", None, "x", "y"]
    numbers = take(np.array([1.0, 2.0, 3.0]), at)
    assert isinstance(numbers, np.ndarray)
    np.testing.assert_array_equal(numbers, [3.0, math.nan, 1.0, 3.0])


def test_nothing_can_be_taken_from_an_empty_column_but_not_known() -> None:
    nothing = np.array([-1, -1])
    labels = take(Category.of([], levels=["a"]), nothing)
    assert isinstance(labels, Category)
    assert labels.labels() == [None, None]
    assert labels.levels == ("a",)
    numbers = take(np.array([]), nothing)
    assert isinstance(numbers, np.ndarray)
    assert np.isnan(numbers).all()


@given(frames(), st.data())
def test_a_frame_takes_rows_with_their_leads_and_instants(
    frame: FeatureFrame, data: st.DataObject
) -> None:
    positions = st.lists(st.integers(0, len(frame) - 1)) if len(frame) else st.just([])
    at = data.draw(positions)
    taken = frame.take(np.array(at, dtype=np.int64))
    assert _cells(taken) == [_cells(frame)[i] for i in at]


@given(st.lists(frames(), min_size=1, max_size=4))
def test_frames_below_each_other_hold_all_their_rows_in_order(parts: list[FeatureFrame]) -> None:
    whole = concatenate(parts)
    assert _cells(whole) == [cell for part in parts for cell in _cells(part)]
    assert len(whole) == sum(map(len, parts))


@given(frames())
def test_a_frame_made_of_its_rows_is_the_same_frame(frame: FeatureFrame) -> None:
    kinds = {"size": "number", "city": "category"}
    plain = [frame.row(i) for i in range(len(frame))]
    again = FeatureFrame.of_rows(plain, kinds, frame.lead_ids, frame.as_of)
    assert [again.row(i) for i in range(len(frame))] == plain
    assert list(again.columns) == list(kinds)
    np.testing.assert_array_equal(again.columns["size"], frame.columns["size"])
    assert again.lead_ids == frame.lead_ids
    assert again.as_of.tolist() == frame.as_of.tolist()


@given(frames(n=1))
def test_a_row_holds_what_json_can_hold(frame: FeatureFrame) -> None:
    row = frame.row(0)
    assert all(value is None or isinstance(value, str | float) for value in row.values())
    assert not any(isinstance(value, float) and math.isnan(value) for value in row.values())


def test_a_name_that_is_absent_from_a_row_is_not_known_and_one_too_many_is_left_out() -> None:
    frame = FeatureFrame.of_rows(
        [{"city": "x"}, {"size": 2.0, "colour": "red"}], {"size": "number", "city": "category"}
    )
    assert [frame.row(i) for i in range(2)] == [
        {"size": None, "city": "x"},
        {"size": 2.0, "city": None},
    ]
    assert frame.lead_ids == ("", "")
    assert frame.as_of.tolist() == [0, 0]


@pytest.mark.parametrize("number", [0.0, -0.0, 5e-324, 1e308, math.inf])
def test_a_number_keeps_its_bits_through_a_row(number: float) -> None:
    frame = FeatureFrame(("a",), np.array([0]), {"size": np.array([number])})
    again = FeatureFrame.of_rows([frame.row(0)], {"size": "number"})
    assert rows(again) == rows(frame)
