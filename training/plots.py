"""What do an evaluation's figures look like? PNG files for the model card and the run's record.

Rule: no picture without its uncertainty or its counts. Each function takes what was measured and a
path; nothing here measures. Figures are built as objects on the Agg canvas, never through pyplot,
whose global state is neither safe in threads nor ever freed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from training.discrimination import Gain
from training.intervals import checked_floats, checked_outcomes
from training.reliability import ReliabilityBin

WON, LOST, INK, FAINT = "#0f766e", "#c2410c", "#1f2937", "#d1d5db"
_DPI = 120
_MOST_BARS = 20


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _tidy(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)


def _write(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the writer's version in the file, the same figures give the same bytes.
    figure.savefig(path, format="png", dpi=_DPI, metadata={"Software": None})
    return path


def plot_reliability(bins: Sequence[ReliabilityBin], path: Path) -> Path:
    """Promised against observed, each band with its interval, and how many leads stand behind it.

    Args:
        bins: at least one band, from `reliability_bins`.
        path: where the PNG goes; folders are made.

    Returns:
        The path.
    """
    figure = _figure(6, 6)
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    said = np.array([band.predicted for band in bins])
    seen = np.array([band.observed for band in bins])
    lower = np.array([band.lower for band in bins])
    upper = np.array([band.upper for band in bins])
    reach = float(min(1.0, 1.1 * max(said.max(), upper.max())))
    top.plot([0, reach], [0, reach], color=FAINT, linestyle="--", label="as promised")
    top.fill_between(said, lower, upper, color=WON, alpha=0.12, linewidth=0)
    gaps = np.clip([seen - lower, upper - seen], 0, None)
    top.errorbar(said, seen, yerr=gaps, color=WON, fmt="o-", capsize=3, label="observed, 95 % each")
    top.set_xlim(0, reach)
    top.set_ylim(0, reach)
    top.legend(frameon=False, loc="upper left")
    _tidy(top, "When we said so much, how much came?", "", "observed win rate")
    below.bar(said, [band.n for band in bins], width=reach / 60, color=INK)
    _tidy(below, "", "probability shown", "leads")
    return _write(figure, path)


def plot_gain(gain: Gain, base_rate: float, path: Path) -> Path:
    """Share of wins caught and lift, by the share of leads worked, beside chance and perfection.

    Args:
        gain: from `cumulative_gain`.
        base_rate: share of leads that won, in (0, 1]; where a perfect order would be done.
        path: where the PNG goes.

    Returns:
        The path.
    """
    figure = _figure(10, 4.5)
    left, right = figure.subplots(1, 2)
    share, caught = np.array(gain.share), np.array(gain.captured)
    left.plot([0, base_rate, 1], [0, 1, 1], color=FAINT, label="perfect order")
    left.plot([0, 1], [0, 1], color=FAINT, linestyle="--", label="chance")
    left.plot(share, caught, color=WON, label="model")
    left.legend(frameon=False, loc="lower right")
    _tidy(left, "Wins caught by working the best first", "share of leads worked", "share of wins")
    worked = share > 0
    right.plot(share[worked], caught[worked] / share[worked], color=WON)
    right.axhline(1.0, color=FAINT, linestyle="--")
    right.set_ylim(bottom=0)
    _tidy(right, "Lift", "share of leads worked", "times the base rate")
    return _write(figure, path)


def plot_importance(importance: Mapping[str, float], path: Path) -> Path:
    """The columns that move scores most, as bars, largest on top; at most twenty.

    Args:
        importance: by name, a size at least 0, for example the mean absolute contribution.
        path: where the PNG goes.

    Returns:
        The path.
    """
    ranked = sorted(importance.items(), key=lambda item: (-item[1], item[0]))
    shown = ranked[:_MOST_BARS][::-1]
    figure = _figure(7, 1.2 + 0.28 * max(1, len(shown)))
    axes = figure.subplots()
    # Column names are other people's text: a dollar sign must not start a formula.
    names = [name.replace("$", r"\$") for name, _ in shown]
    axes.barh(np.arange(len(shown)), [size for _, size in shown], color=WON)
    axes.set_yticks(np.arange(len(shown)), names)
    left_out = len(ranked) - len(shown)
    title = "What moves the score" + (f" ({left_out} smaller not shown)" if left_out else "")
    _tidy(axes, title, "mean absolute contribution, log-odds", "")
    return _write(figure, path)


def plot_scores(probability: ArrayLike, y: ArrayLike, path: Path, bins: int = 40) -> Path:
    """Where winners and losers fall on the scale of probabilities, each as shares of their own.

    Args:
        probability: shape (n,), in [0, 1].
        y: shape (n,), 1 = won, 0 = not won; one class alone is drawn alone.
        path: where the PNG goes.
        bins: how many bars.

    Returns:
        The path.
    """
    won = checked_outcomes(y)
    p = checked_floats("probability", probability, len(won))
    figure = _figure(7, 4)
    axes = figure.subplots()
    edges = np.linspace(0.0, max(float(p.max()), 1e-3), bins + 1)
    for outcome, colour, words in ((0.0, LOST, "not won"), (1.0, WON, "won")):
        own = p[won == outcome]
        if own.size:
            weights = np.full(own.size, 1.0 / own.size)
            label = f"{words} ({own.size:,})"
            axes.hist(own, edges.tolist(), weights=weights, color=colour, alpha=0.55, label=label)
    axes.legend(frameon=False)
    _tidy(axes, "Scores by outcome", "probability shown", "share of the outcome's leads")
    return _write(figure, path)
