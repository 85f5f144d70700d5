"""Is a column named when it moved and, without any change, hardly ever?"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from features.catalog import FeatureSpec
from features.frames import Category, Column, FeatureFrame
from training.loop.drift import FALSE_NAMES, cells, moved, stability, volumes

LETTERS = ("a", "b", "c", "d")


def spec(name: str, kind: Literal["number", "category"]) -> FeatureSpec:
    return FeatureSpec(
        name=name,
        kind=kind,
        fact=name,
        label=name.title(),
        phrase="{value}",
        missing="not known",
    )


SPECS = (spec("size", "number"), spec("letter", "category"))


def frame(rng: np.random.Generator, n: int, shift: float = 0.0, first: float = 0.4) -> FeatureFrame:
    size = np.where(rng.random(n) < 0.2, np.nan, rng.normal(shift, 1.0, n))
    letter = rng.choice(4, n, p=[first, *([(1 - first) / 3] * 3)])
    columns: dict[str, Column] = {"size": size, "letter": Category(letter, LETTERS)}
    return FeatureFrame(("",) * n, np.zeros(n, dtype=np.int64), columns)


def test_without_any_change_a_page_names_a_column_once_in_a_hundred() -> None:
    """Three or more of 60 by chance less often than 1 in 30 (Poisson, mean .6)."""
    named = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        found = moved(frame(rng, 300), frame(rng, 900), SPECS, {}, {})
        named += any(column.is_beyond_noise for column in found)
    assert named <= 2


@pytest.mark.parametrize(
    ("changed", "name"), [({"shift": 0.8}, "size"), ({"first": 0.7}, "letter")]
)
def test_a_column_that_moved_is_named_first_and_the_other_is_not(
    changed: dict[str, float], name: str
) -> None:
    rng = np.random.default_rng(1)
    found = moved(frame(rng, 500), frame(rng, 500, **changed), SPECS, {}, {"letter": 0.1})
    assert found[0].name == name
    assert [column.is_beyond_noise for column in found] == [True, False]
    assert {c.name: c.unseen for c in found} == {"size": None, "letter": 0.1}
    assert found[0].missing_then == pytest.approx(0.2 if name == "size" else 0.0, abs=0.06)


def test_the_distance_is_that_of_the_books_and_no_cell_is_lost() -> None:
    one, other = np.array([100, 50, 50]), np.array([60, 70, 70])
    then, now = ((x + 0.5) / (x + 0.5).sum() for x in (one, other))
    by_hand = sum((b - a) * np.log(b / a) for a, b in zip(then, now, strict=True))
    distance, allowed = stability(one, other, FALSE_NAMES)
    assert distance == pytest.approx(by_hand)
    assert allowed > 0
    before = Category(np.array([0, 1, -1] * 20), ("x", "y"))
    after = Category(np.array([0, 1, 2, -1] * 10), ("y", "x", "new"))
    counted = cells(before, after)
    assert [c.sum() for c in counted] == [60, 40]
    # Missing, x, y; the label nobody had seen is a cell of its own.
    assert sorted(counted[0].tolist()) == [0, 20, 20, 20]


def test_empty_columns_have_not_moved() -> None:
    nothing = np.full(50, np.nan)
    assert stability(*cells(nothing, nothing), FALSE_NAMES) == (0.0, 0.0)


def test_a_week_is_unusual_beside_the_half_year_before_it_and_never_the_first_ones() -> None:
    rng = np.random.default_rng(2)
    counts = rng.poisson(200, 30).tolist()
    counts[20] = 20
    found = volumes([str(i) for i in range(30)], counts)
    assert [one.week for one in found if one.is_unusual] == ["20"]
    assert all(one.low is None for one in found[:8])
