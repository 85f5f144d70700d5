"""Where do the pictures of a report go? Lines over weeks and shares, from figures that training wrote.

The report's JSON may come from another version than this one: a picture that is not as expected is left
out, because the table beside it holds its figures anyway.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from serving import charts
from serving.charts import HEIGHT, WIDTH, Chart, Dot, Mark, Reliability

_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 92, 12, 28


def line(picture: Mapping[str, Any]) -> Chart | None:
    """A line with its marks; None with fewer than two points, or where a figure is no number.

    Args:
        picture: `points` as (x, y, words), `levels` and `marks` as (y, label), `columns` as (x, label).
    """
    points: Sequence[Sequence[Any]] = picture.get("points", ())
    levels, marks = picture.get("levels", ()), picture.get("marks", ())
    xs = [point[0] for point in points]
    ys = [point[1] for point in points] + [level[0] for level in (*levels, *marks)]
    if len(points) < 2 or not all(map(_is_number, [*xs, *ys])):
        return None
    x = _scale(min(xs), max(xs), _LEFT, WIDTH - _RIGHT)
    y = _scale(min(ys), max(ys), HEIGHT - _BOTTOM, _TOP)
    dots = [Dot(x(at), y(value), str(words), False) for at, value, words in points]
    return Chart(
        width=WIDTH,
        height=HEIGHT,
        left=_LEFT,
        right=WIDTH - _RIGHT,
        bottom=HEIGHT - _BOTTOM,
        line=" ".join(f"{dot.x},{dot.y}" for dot in dots),
        dots=dots,
        levels=[Mark(y(at), str(label)) for at, label in levels],
        dates=[Mark(x(at), str(label)) for at, label in picture.get("columns", ())],
        routes=[Mark(y(at), str(label)) for at, label in marks],
    )


def reliability(picture: Mapping[str, Any]) -> Reliability | None:
    """Said against happened; None without bands."""
    bands = [charts.Band(**band) for band in picture.get("bands", ())]
    return charts.reliability(bands) if bands else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _scale(low: float, high: float, start: float, end: float) -> Any:
    """From [low, high] to [start, end], rounded; all to the start where both are the same."""
    width = (high - low) or 1.0
    return lambda value: round(start + (value - low) / width * (end - start), 1)
