"""Plots are real pictures, made without global state, the same bytes for the same figures."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from features.frames import Category
from models.calibrators import sigmoid
from training.discrimination import Gain, cumulative_gain
from training.drives import Level, Shape, Swarm
from training.intervals import Interval
from training.learning_curve import LearningCurve, Point
from training.plots import (
    plot_gain,
    plot_importance,
    plot_learning_curve,
    plot_ratios,
    plot_reliability,
    plot_scores,
    plot_shapes,
    plot_swarm,
)
from training.reliability import reliability_bins
from training.wrong_where import Part, where_wrong

RAW = np.random.default_rng(0).normal(-1.5, 1, 2000)
P = sigmoid(RAW)
Y = (np.random.default_rng(1).random(2000) < P).astype(float)


def parts() -> list[Part]:
    """Three regions, one of them wrong."""
    region = np.random.default_rng(2).integers(0, 3, len(Y))
    won = np.where(region == 1, 1 - Y, Y)
    regions = {"Region": Category(region, ("north", "$south_{$", "east"))}
    return list(where_wrong(P, won, np.arange(len(Y)), regions).parts)


def swarm(labels: tuple[str, ...] = ("size", "$x_{$", "colour")) -> Swarm:
    """Contributions of three columns, the last of them a category."""
    rng = np.random.default_rng(3)
    ranks = rng.random((200, len(labels)))
    ranks[:, -1] = np.nan
    return Swarm(labels, rng.normal(size=(200, len(labels))), ranks)


NOTHING = Level(None, 0.0, 0.1)
CURVE = Shape("size", "Size", True, (Level(1.0, -0.3, 0.1), Level(9.0, 0.4, 0.2)), NOTHING)
LEVELS = Shape("colour", "$colour_{$", False, (Level("red", 0.2, 0.1),), NOTHING)
POINTS = (Point(0.1, 10, 2.0, ()), Point(0.4, 40, 9.0, (0.6, 0.5)), Point(1.0, 100, 20.0, (0.4,)))
LEARNED = LearningCurve(POINTS, 0.55, Interval(-0.1, -0.2, 0.0), "More may help.")

PLOTS: dict[str, Callable[[Path], Path]] = {
    "reliability": lambda path: plot_reliability(reliability_bins(RAW, P, Y), path),
    "gain": lambda path: plot_gain(cumulative_gain(RAW, Y), float(Y.mean()), path),
    "importance": lambda path: plot_importance({f"column_{i}": i / 10 for i in range(30)}, path),
    "scores": lambda path: plot_scores(P, Y, path),
    "bands at once": lambda path: plot_reliability(
        reliability_bins(RAW, P, Y), path, reliability_bins(RAW, P, Y, level=0.995)
    ),
    "ratios": lambda path: plot_ratios(parts(), 1.0, path),
    "swarm": lambda path: plot_swarm(swarm(), path),
    "shapes": lambda path: plot_shapes([CURVE, LEVELS], path),
    "learning curve": lambda path: plot_learning_curve(LEARNED, path),
}
ODD: dict[str, Callable[[Path], Path]] = {
    "one band": lambda path: plot_reliability(reliability_bins(RAW, P, Y, bins=1), path),
    "never won": lambda path: plot_reliability(reliability_bins(RAW, P, 0 * Y), path),
    "one lead": lambda path: plot_scores([0.5], [1], path),
    "all floor": lambda path: plot_scores([0.0, 0.0], [0, 0], path),
    "nothing matters": lambda path: plot_importance({}, path),
    "names with formulas": lambda path: plot_importance({"$x_{$": 1.0, "süß 日": 0.5}, path),
    "a curve of nothing": lambda path: plot_learning_curve(
        LearningCurve(POINTS[:1], 0.5, None, "Too few."), path
    ),
    "labels only": lambda path: plot_swarm(swarm(("colour",)), path),
    "no shapes": lambda path: plot_shapes([], path),
    "a long name": lambda path: plot_swarm(swarm(("long " * 40, "b")), path),
    "two points": lambda path: plot_gain(Gain((0.0, 1.0), (0.0, 1.0)), 1.0, path),
}


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_is_a_picture_with_something_in_it(name: str, tmp_path: Path) -> None:
    path = PLOTS[name](tmp_path / "new" / f"{name}.png")
    pixels = imread(path)
    assert pixels.shape[0] > 200
    assert pixels.shape[1] > 400
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0)) > 20


@pytest.mark.parametrize("name", PLOTS)
def test_the_same_figures_give_the_same_bytes(name: str, tmp_path: Path) -> None:
    first, second = (PLOTS[name](tmp_path / f"{turn}.png").read_bytes() for turn in "ab")
    assert first == second


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font:UserWarning")
@pytest.mark.parametrize("name", ODD)
def test_odd_evaluations_are_drawn_too(name: str, tmp_path: Path) -> None:
    assert imread(ODD[name](tmp_path / "odd.png")).size


def test_only_the_largest_of_many_columns_are_drawn(tmp_path: Path) -> None:
    few = plot_importance({f"column_{i}": 1.0 for i in range(20)}, tmp_path / "few.png")
    many = plot_importance({f"column_{i}": 1.0 for i in range(500)}, tmp_path / "many.png")
    assert imread(few).shape == imread(many).shape


def test_no_global_figure_is_left_behind() -> None:
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


def test_a_part_that_is_named_has_another_colour(tmp_path: Path) -> None:
    """The burnt orange of what is wrong is there only where something is."""
    wrong = imread(plot_ratios(parts(), 1.0, tmp_path / "wrong.png"))
    right = [part for part in parts() if not part.verdict]
    assert len(right) == 2
    fine = imread(plot_ratios(right, 1.0, tmp_path / "fine.png"))
    assert _orange(wrong) > 30
    assert _orange(fine) == 0


def _orange(pixels: np.ndarray) -> int:
    red, green, blue = (pixels[..., channel] for channel in range(3))
    return int(((red > 0.7) & (green < 0.35) & (blue < 0.2)).sum())


def test_bands_that_hold_all_at_once_are_shaded_wider(tmp_path: Path) -> None:
    bins, wide = reliability_bins(RAW, P, Y), reliability_bins(RAW, P, Y, level=0.9999)
    shaded = [
        _tinted(imread(plot_reliability(bins, tmp_path / f"{name}.png", together)))
        for name, together in (("each", bins), ("all", wide))
    ]
    assert shaded[1] > 1.3 * shaded[0]


def _tinted(pixels: np.ndarray) -> int:
    red, green = pixels[..., 0], pixels[..., 1]
    return int(((green - red > 0.05) & (red > 0.75)).sum())
