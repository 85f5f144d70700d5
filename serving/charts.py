"""Where do bars and lines go? Coordinates for pictures that are drawn by the server as SVG.

Pictures repeat what stands beside them as text: nobody needs to see them to get a figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from serving.wording import on_day, percent

WIDTH, HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 92, 12, 28


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar on a scale from 0 to 100: where it begins, and how long it is."""

    start: float
    length: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across the chart with its label."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Dot:
    """One score in the chart; `fresh_model` when another model gave it than the one before."""

    x: float
    y: float
    label: str
    fresh_model: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """A history of probabilities: a line of dots, marks on both axes and at the routes' thresholds."""

    width: int
    height: int
    left: float
    right: float
    bottom: float
    line: str
    dots: Sequence[Dot]
    levels: Sequence[Mark]
    dates: Sequence[Mark]
    routes: Sequence[Mark]


def waterfall(base: float, steps: Sequence[float]) -> list[Bar]:
    """Bars that lead from the base to the raw score, each beginning where the one before ended.

    Args:
        base: log-odds before any reason.
        steps: what each reason adds, log-odds.

    Returns:
        One bar for the base's mark, one a step, one for the sum's mark; marks have no length.
    """
    edges = [base]
    for step in steps:
        edges.append(edges[-1] + step)
    low, high = min(edges), max(edges)
    scale = 100.0 / (high - low) if high > low else 0.0

    def place(log_odds: float) -> float:
        return round((log_odds - low) * scale, 2)

    bars = [Bar(place(base), 0.0)]
    for before, after in pairwise(edges):
        left, right = sorted((place(before), place(after)))
        bars.append(Bar(left, round(right - left, 2)))
    return [*bars, Bar(place(edges[-1]), 0.0)]


@dataclass(frozen=True, slots=True)
class Point:
    """A score in time: instant, probability, and which model gave it."""

    at: int
    probability: float
    model: str


def history(points: Sequence[Point], thresholds: Sequence[tuple[str, float]]) -> Chart | None:
    """The chart of a lead's probabilities.

    Args:
        points: oldest first.
        thresholds: a route's label and where it begins; only those inside the chart are drawn.

    Returns:
        None for fewer than two points: one dot is no history.
    """
    if len(points) < 2 or points[0].at == points[-1].at:
        return None
    top = _ceiling(max(point.probability for point in points))
    first, last = points[0].at, points[-1].at
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT

    def x(instant: float) -> float:
        return round(_LEFT + (instant - first) / (last - first) * (right - _LEFT), 1)

    def y(probability: float) -> float:
        return round(bottom - probability / top * (bottom - _TOP), 1)

    models = [None, *(point.model for point in points)]
    dots = [
        Dot(
            x(point.at),
            y(point.probability),
            f"{on_day(point.at)}: {percent(point.probability)}",
            models[i] is not None and models[i] != point.model,
        )
        for i, point in enumerate(points)
    ]
    return Chart(
        width=WIDTH,
        height=HEIGHT,
        left=_LEFT,
        right=right,
        bottom=bottom,
        line=" ".join(f"{dot.x},{dot.y}" for dot in dots),
        dots=dots,
        levels=[Mark(y(top * i / 4), f"{top * i / 4 * 100:g} %") for i in range(5)],
        dates=[
            Mark(x(at), on_day(at)) for at in (first, (first + last) / 2, last) for at in [int(at)]
        ],
        routes=_apart([Mark(y(at), label) for label, at in thresholds if 0 < at < top]),
    )


@dataclass(frozen=True, slots=True)
class Band:
    """Leads that were told about the same: what was said, what happened (95 % interval), how many."""

    predicted: float
    observed: float
    lower: float
    upper: float
    n: int


@dataclass(frozen=True, slots=True)
class Whisker:
    """A band in the picture: where it is, its interval, and its figures in words."""

    x: float
    y: float
    low: float
    high: float
    label: str


@dataclass(frozen=True, slots=True)
class Reliability:
    """Said against happened on the same scale; on the diagonal both are equal."""

    size: int
    left: float
    bottom: float
    top: float
    right: float
    whiskers: Sequence[Whisker]
    levels: Sequence[Mark]
    columns: Sequence[Mark]


def reliability(bands: Sequence[Band]) -> Reliability:
    """The picture of said against happened."""
    size, left, top = 320, 44.0, 28.0
    bottom, right = size - 40.0, size - 18.0
    ceiling = _ceiling(max(max(band.predicted, band.upper) for band in bands))

    def x(share: float) -> float:
        return round(left + share / ceiling * (right - left), 1)

    def y(share: float) -> float:
        return round(bottom - share / ceiling * (bottom - top), 1)

    ticks = [ceiling * i / 4 for i in range(5)]
    return Reliability(
        size=size,
        left=left,
        bottom=bottom,
        top=top,
        right=right,
        whiskers=[
            Whisker(
                x(band.predicted),
                y(band.observed),
                y(band.lower),
                y(band.upper),
                f"said {band.predicted:.1%}, happened {band.observed:.1%} "
                f"({band.lower:.1%} to {band.upper:.1%}), {band.n:,} rows",
            )
            for band in bands
        ],
        levels=[Mark(y(tick), f"{tick * 100:g} %") for tick in ticks],
        columns=[Mark(x(tick), f"{tick * 100:g} %") for tick in ticks],
    )


def _ceiling(highest: float) -> float:
    """The top of the axis: the first round figure that leaves the highest value inside."""
    return next(top for top in (0.04, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if highest <= top)


def _apart(marks: Sequence[Mark]) -> list[Mark]:
    """Marks whose labels do not overlap; of two that would, the upper one stays."""
    kept: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: mark.at):
        if not kept or mark.at - kept[-1].at >= 13:
            kept.append(mark)
    return kept
