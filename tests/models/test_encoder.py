"""Columns are found by name, coded as learned, and what was not learned is *not known*."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import BundleError, InputError
from features.frames import Category, FeatureFrame
from models.encoder import MOST_LEVELS, EncodedColumn, Encoder


def frame(**columns: np.ndarray | Category) -> FeatureFrame:
    n = len(next(iter(columns.values())))
    return FeatureFrame(("",) * n, np.zeros(n, dtype=np.int64), columns)


def colours(*labels: str | None, levels: tuple[str, ...] | None = None) -> Category:
    return Category.of(labels, levels)


SIZE = np.array([1.5, np.nan, -0.0])
LEARNED = frame(size=SIZE, colour=colours("red", "blue", "red"))
ENCODER = Encoder.fit(LEARNED, ["colour", "size"])


def test_columns_come_in_the_encoders_order_whatever_the_frames() -> None:
    expected = [[1.0, 1.5], [0.0, np.nan], [1.0, -0.0]]
    np.testing.assert_array_equal(ENCODER.matrix(LEARNED), expected)
    turned = frame(other=SIZE, size=SIZE, colour=LEARNED.columns["colour"])
    np.testing.assert_array_equal(ENCODER.matrix(turned), expected)
    assert ENCODER.names == ["colour", "size"]
    assert ENCODER.categorical == [0]


@given(st.permutations(["red", "blue", "green"]), st.lists(st.sampled_from(["red", "blue", None])))
def test_a_label_has_its_code_however_the_frame_lists_its_levels(
    levels: list[str], labels: list[str | None]
) -> None:
    given_frame = frame(size=np.zeros(len(labels)), colour=colours(*labels, levels=tuple(levels)))
    code = {"blue": 0.0, "red": 1.0, None: np.nan}
    np.testing.assert_array_equal(
        ENCODER.matrix(given_frame)[:, 0], [code[label] for label in labels]
    )


def test_rare_levels_are_read_as_not_known_and_named_as_unseen() -> None:
    many = frame(colour=colours(*["red"] * 3, *["blue"] * 2, "pink", None))
    encoder = Encoder.fit(many, ["colour"], least=2)
    assert encoder.columns[0].levels == ("blue", "red")
    found = encoder.matrix(many)[:, 0]
    np.testing.assert_array_equal(found, [1, 1, 1, 0, 0, np.nan, np.nan])
    assert encoder.unseen(many, encoder.matrix(many)) == [[], [], [], [], [], ["colour"], []]


def test_merged_labels_share_a_code_of_their_own_and_are_not_unseen() -> None:
    answers = frame(budget=colours("yes", "no", "unknown", None, "other"))
    encoder = Encoder.fit(
        frame(budget=colours("yes", "no", "unknown")), ["budget"], merged={"budget": ["yes", "no"]}
    )
    assert encoder.columns == (EncodedColumn("budget", ("unknown",), ("no", "yes")),)
    np.testing.assert_array_equal(encoder.matrix(answers)[:, 0], [1, 1, 0, np.nan, np.nan])
    assert encoder.unseen(answers, encoder.matrix(answers)) == [[], [], [], [], ["budget"]]


@pytest.mark.parametrize(
    "wrong",
    [
        frame(size=SIZE),
        frame(size=SIZE, colour=SIZE),
        frame(size=colours("a", "b", "c"), colour=colours("a", "b", "c")),
    ],
    ids=["no such column", "a number for a category", "a category for a number"],
)
def test_a_frame_of_another_shape_is_refused_by_the_columns_name(wrong: FeatureFrame) -> None:
    with pytest.raises(InputError, match=r"a column (colour|size) that"):
        ENCODER.matrix(wrong)


def test_an_empty_frame_gives_an_empty_matrix() -> None:
    nobody = frame(size=np.zeros(0), colour=colours())
    assert ENCODER.matrix(nobody).shape == (0, 2)


levels = st.none() | st.lists(st.text(max_size=5), unique=True, max_size=4).map(tuple)


@given(
    st.lists(
        st.builds(
            lambda name, known, alike: EncodedColumn(name, known, () if known is None else alike),
            st.text(max_size=6),
            levels,
            st.lists(st.text(max_size=5), max_size=3).map(tuple),
        ),
        max_size=4,
    )
)
def test_an_encoder_comes_back_from_json_as_it_was(columns: list[EncodedColumn]) -> None:
    encoder = Encoder(tuple(columns))
    assert Encoder.from_json(json.loads(json.dumps(encoder.to_json()))) == encoder


@pytest.mark.parametrize(
    "content",
    [None, 3, [1], [{}], [{"name": "a"}], [{"name": "a", "levels": 5, "merged": []}]],
)
def test_what_is_no_encoder_is_refused(content: object) -> None:
    with pytest.raises(BundleError, match="columns cannot be read"):
        Encoder.from_json(content)


def test_of_a_category_with_too_many_labels_the_most_frequent_are_told_apart() -> None:
    many = [f"id{i}" for i in range(MOST_LEVELS + 50)]
    labels = [*many, *many[:10], *many[-5:]]
    frame = FeatureFrame(
        tuple(map(str, range(len(labels)))),
        np.zeros(len(labels), dtype=np.int64),
        {"attr_id": Category.of(labels)},
    )
    (column,) = Encoder.fit(frame, ["attr_id"], 1).columns
    assert column.levels is not None
    assert len(column.levels) == MOST_LEVELS
    assert {*many[:10], *many[-5:]} <= set(column.levels)
