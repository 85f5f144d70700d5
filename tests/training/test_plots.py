"""Plots are real pictures, made without global state, the same bytes for the same figures."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from models.calibrators import sigmoid
from training.discrimination import Gain, cumulative_gain
from training.plots import plot_gain, plot_importance, plot_reliability, plot_scores
from training.reliability import reliability_bins

RAW = np.random.default_rng(0).normal(-1.5, 1, 2000)
P = sigmoid(RAW)
Y = (np.random.default_rng(1).random(2000) < P).astype(float)

PLOTS: dict[str, Callable[[Path], Path]] = {
    "reliability": lambda path: plot_reliability(reliability_bins(RAW, P, Y), path),
    "gain": lambda path: plot_gain(cumulative_gain(RAW, Y), float(Y.mean()), path),
    "importance": lambda path: plot_importance({f"column_{i}": i / 10 for i in range(30)}, path),
    "scores": lambda path: plot_scores(P, Y, path),
}
ODD: dict[str, Callable[[Path], Path]] = {
    "one band": lambda path: plot_reliability(reliability_bins(RAW, P, Y, bins=1), path),
    "never won": lambda path: plot_reliability(reliability_bins(RAW, P, 0 * Y), path),
    "one lead": lambda path: plot_scores([0.5], [1], path),
    "all floor": lambda path: plot_scores([0.0, 0.0], [0, 0], path),
    "nothing matters": lambda path: plot_importance({}, path),
    "names with formulas": lambda path: plot_importance({"$x_{$": 1.0, "süß 日": 0.5}, path),
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
