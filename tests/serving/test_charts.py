"""Are pictures drawn where the figures are? Bars add up, dots keep order, nothing leaves the frame."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import charts

log_odds = st.floats(min_value=-20, max_value=20)
shares = st.floats(min_value=0.0001, max_value=0.9999)


@given(log_odds, st.lists(log_odds, max_size=20))
def test_each_bar_begins_where_the_one_before_ended(base: float, steps: list[float]) -> None:
    bars = charts.waterfall(base, steps)
    assert len(bars) == len(steps) + 2
    at = bars[0].start
    for step, bar in zip(steps, bars[1:-1], strict=True):
        begun, ended = (
            (bar.start, bar.start + bar.length)
            if step >= 0
            else (bar.start + bar.length, bar.start)
        )
        # Coordinates are rounded to hundredths.
        assert begun == pytest.approx(at, abs=0.03)
        at = ended
    assert bars[-1].start == pytest.approx(at, abs=0.03)
    assert all(bar.start >= -0.01 and bar.start + bar.length <= 100.02 for bar in bars)


def test_a_score_without_reasons_is_two_marks_on_one_spot() -> None:
    assert charts.waterfall(-1.5, []) == [charts.Bar(0.0, 0.0), charts.Bar(0.0, 0.0)]


@given(st.lists(st.tuples(st.integers(0, 10**15), shares), min_size=2, max_size=50))
def test_a_history_keeps_time_to_the_right_and_probability_upwards(
    rows: list[tuple[int, float]],
) -> None:
    points = [charts.Point(at, p, "m") for at, p in sorted(rows)]
    chart = charts.history(points, [("Sales", 0.3)])
    if points[0].at == points[-1].at:
        assert chart is None
        return
    assert chart is not None
    xs, ys = [dot.x for dot in chart.dots], [dot.y for dot in chart.dots]
    assert xs == sorted(xs)
    assert chart.left <= min(xs) <= max(xs) <= chart.right
    assert 0 <= min(ys) <= max(ys) <= chart.bottom
    by_share = [y for _, y in sorted(zip((p.probability for p in points), ys, strict=True))]
    assert by_share == sorted(by_share, reverse=True)
    assert all(0 <= route.at <= chart.bottom for route in chart.routes)


def test_one_score_is_no_history() -> None:
    assert charts.history([charts.Point(1, 0.5, "m")], []) is None
    assert charts.history([], []) is None


def test_another_model_is_marked_where_it_begins() -> None:
    points = [charts.Point(i, 0.1, model) for i, model in enumerate("aabbba")]
    chart = charts.history(points, [])
    assert chart is not None
    assert [dot.fresh_model for dot in chart.dots] == [False, False, True, False, False, True]


def test_labels_of_routes_that_lie_close_do_not_overlap() -> None:
    points = [charts.Point(0, 0.1, "m"), charts.Point(9, 0.9, "m")]
    chart = charts.history(points, [("a", 0.5), ("b", 0.49), ("c", 0.02), ("d", 0.0)])
    assert chart is not None
    assert [mark.label for mark in chart.routes] == ["a", "c"]


@given(st.lists(st.tuples(shares, shares, shares), min_size=1, max_size=10))
def test_on_the_diagonal_what_was_said_happened(rows: list[tuple[float, float, float]]) -> None:
    bands = [charts.Band(p, p, *sorted((low, high)), 100) for p, low, high in rows]
    picture = charts.reliability(bands)
    width, height = picture.right - picture.left, picture.bottom - picture.top
    for whisker in picture.whiskers:
        across, up = (whisker.x - picture.left) / width, (picture.bottom - whisker.y) / height
        assert across == pytest.approx(up, abs=0.002)
        assert picture.top - 0.1 <= whisker.high <= whisker.low <= picture.bottom + 0.1
