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
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike

from training.discrimination import Gain
from training.drives import Shape, Swarm
from training.intervals import checked_floats, checked_outcomes
from training.learning_curve import LearningCurve
from training.reliability import ReliabilityBin
from training.wrong_where import Part

WON, LOST, INK, FAINT = "#0f766e", "#c2410c", "#1f2937", "#d1d5db"
_DPI = 120
_MOST_BARS = 20
_MOST_LETTERS = 46
_JITTER = 0.36


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


def plot_reliability(
    bins: Sequence[ReliabilityBin], path: Path, together: Sequence[ReliabilityBin] | None = None
) -> Path:
    """Promised against observed, each band with its interval, and how many leads stand behind it.

    Args:
        bins: at least one band, from `reliability_bins`.
        path: where the PNG goes; folders are made.
        together: the same bands with intervals that hold all at once; drawn as the shaded band.

    Returns:
        The path.
    """
    figure = _figure(5.4, 5.6)
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    said = np.array([band.predicted for band in bins])
    seen = np.array([band.observed for band in bins])
    lower = np.array([band.lower for band in bins])
    upper = np.array([band.upper for band in bins])
    shaded = bins if together is None else together
    low, high = (np.array([getattr(b, end) for b in shaded]) for end in ("lower", "upper"))
    reach = float(min(1.0, 1.1 * max(said.max(), high.max())))
    top.plot([0, reach], [0, reach], color=INK, linewidth=1, linestyle="--", label="as promised")
    words = "95 % each" if together is None else "95 % all at once"
    top.fill_between(said, low, high, color=WON, alpha=0.14, linewidth=0, label=words)
    gaps = np.clip([seen - lower, upper - seen], 0, None)
    top.errorbar(said, seen, yerr=gaps, color=WON, fmt="o", capsize=3, label="observed, 95 % each")
    top.set_xlim(0, reach)
    top.set_ylim(0, reach)
    top.legend(frameon=False, loc="upper left")
    _tidy(top, "When we said so much, how much came?", "", "observed win rate")
    below.bar(said, [band.n for band in bins], width=reach / 60, color=INK)
    below.set_ylim(bottom=0)
    _tidy(below, "", "probability shown", "rows")
    for axis in (top.xaxis, top.yaxis, below.xaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0 if reach > 0.1 else 1))
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
    figure = _figure(5.4, 6.4)
    left, right = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    share, caught = np.array(gain.share), np.array(gain.captured)
    left.plot([0, base_rate, 1], [0, 1, 1], color=FAINT, label="perfect order")
    left.plot([0, 1], [0, 1], color=FAINT, linestyle="--", label="chance")
    left.plot(share, caught, color=WON, label="model")
    left.legend(frameon=False, loc="lower right")
    _tidy(left, "Wins caught by working the best first", "", "share of wins")
    worked = share > 0
    right.plot(share[worked], caught[worked] / share[worked], color=WON)
    right.axhline(1.0, color=FAINT, linestyle="--")
    right.set_ylim(bottom=0)
    _tidy(right, "Lift", "share of leads worked", "times the base rate")
    return _write(figure, path)


def plot_line(
    points: Sequence[tuple[float, float]],
    path: Path,
    *,
    columns: Sequence[tuple[float, str]] = (),
    levels: Sequence[tuple[float, str]] = (),
    marks: Sequence[tuple[float, str]] = (),
) -> Path:
    """A line with its dots, and named levels across it.

    Args:
        points: x and y, at least one.
        path: where the PNG goes.
        columns: x and its label.
        levels: y and its label.
        marks: y of a dashed line and what it is called.

    Returns:
        The path.
    """
    figure = _figure(6.4, 3.2)
    axes = figure.subplots()
    axes.plot(*zip(*points, strict=True), color=WON, marker="o", markersize=3)
    for at, label in marks:
        axes.axhline(at, color=LOST, linestyle="--", linewidth=1, label=label)
    axes.set_xticks([x for x, _ in columns], [label for _, label in columns])
    axes.set_yticks([y for y, _ in levels], [label for _, label in levels])
    if marks:
        axes.legend(frameon=False)
    _tidy(axes, "", "", "")
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
    figure = _figure(5.4, 3.6)
    axes = figure.subplots()
    edges = np.linspace(0.0, max(float(p.max()), 1e-3), bins + 1)
    for outcome, colour, words in ((0.0, LOST, "not won"), (1.0, WON, "won")):
        own = p[won == outcome]
        if own.size:
            weights = np.full(own.size, 1.0 / own.size)
            label = f"{words} ({own.size:,})"
            axes.hist(own, edges.tolist(), weights=weights, color=colour, alpha=0.55, label=label)
    axes.legend(frameon=False, loc="upper right")
    _tidy(axes, "Scores by outcome", "probability shown", "share of the outcome's leads")
    return _write(figure, path)


def plot_learning_curve(curve: LearningCurve, path: Path) -> Path:
    """Log loss by how many leads were learned from: each draw, their mean, and the base rate.

    Args:
        curve: from `learning_curve`.
        path: where the PNG goes.

    Returns:
        The path.
    """
    figure = _figure(5.4, 3.8)
    axes = figure.subplots()
    points = [point for point in curve.points if point.losses]
    leads = [point.leads for point in points]
    mean = np.array([point.mean for point in points])
    ends = [[min(point.losses) for point in points], [max(point.losses) for point in points]]
    reach = np.abs(np.array(ends) - mean)
    axes.errorbar(leads, mean, yerr=reach, color=WON, fmt="o-", capsize=3, label="mean and range")
    axes.axhline(curve.base_rate, color=LOST, linestyle="--", label="always the base rate")
    if leads:
        axes.set_xscale("log")
        axes.set_xticks(leads, [f"{n:,}" for n in leads])
        axes.minorticks_off()
    axes.legend(frameon=False, loc="upper right")
    _tidy(axes, "Would more deals help?", "leads learned from", "log loss, later rows")
    return _write(figure, path)


def plot_swarm(swarm: Swarm, path: Path, seed: int = 0) -> Path:
    """What each column adds to the scores of some rows: a dot a row, coloured by its value.

    Args:
        swarm: from `drives.swarm`.
        path: where the PNG goes.
        seed: of the dots' places across their line, which mean nothing.

    Returns:
        The path.
    """
    rows, k = swarm.shares.shape
    figure = _figure(5.4, 1.3 + 0.52 * k)
    axes = figure.subplots()
    aside = np.random.default_rng(seed).uniform(-_JITTER, 0.1, rows)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    dots = None
    for line in range(k):
        shares, ranks = swarm.shares[:, line], swarm.ranks[:, line]
        known = ~np.isnan(ranks)
        height = k - 1 - line + aside
        axes.scatter(shares[~known], height[~known], s=7, color="#9ca3af", linewidths=0)
        dots = axes.scatter(
            shares[known],
            height[known],
            s=7,
            c=ranks[known],
            cmap="viridis_r",
            vmin=0,
            vmax=1,
            linewidths=0,
        )
        _name(axes, swarm.labels[line], k - 1 - line + 0.2)
    axes.set_yticks([])
    axes.set_ylim(-0.6, k - 0.35)
    if dots is not None:
        bar = figure.colorbar(dots, ax=axes, location="bottom", aspect=40, pad=0.02)
        bar.set_ticks([0, 1], labels=["low value", "high value"])
    _tidy(axes, "What each column adds (a dot a row)", "log-odds; grey: a label, or not known", "")
    return _write(figure, path)


def _name(axes: Axes, text: str, height: float) -> None:
    """A line's name above it, from the left edge: room for it on a narrow screen, too."""
    at = axes.get_yaxis_transform()
    axes.text(0.01, height, _short(text), transform=at, fontsize=9, color=INK, va="bottom")


def _short(text: str) -> str:
    # Names are other people's text: a dollar sign must not start a formula.
    cut = text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…"
    return cut.replace("$", r"\$")


def plot_shapes(shapes: Sequence[Shape], path: Path) -> Path:
    """The additive part's curves and levels, each with two standard deviations to either side.

    Args:
        shapes: from `drives.drives`; at most six are drawn.
        path: where the PNG goes.

    Returns:
        The path.
    """
    shown = [shape for shape in shapes if shape.levels][:6]
    figure = _figure(5.4, 1.0 + 2.1 * max(1, len(shown)))
    panels = figure.subplots(max(1, len(shown)), 1, squeeze=False)[:, 0]
    for axes, shape in zip(panels, shown, strict=False):
        (_curve if shape.numeric else _levels)(axes, shape)
        names = ("", "log-odds") if shape.numeric else ("log-odds", "")
        _tidy(axes, _short(shape.label), *names)
    return _write(figure, path)


def _curve(axes: Axes, shape: Shape) -> None:
    at = [float(level.at) for level in shape.levels if level.at is not None]
    value = np.array([level.log_odds for level in shape.levels])
    error = np.array([level.error for level in shape.levels])
    axes.fill_between(at, value - 2 * error, value + 2 * error, color=WON, alpha=0.14, linewidth=0)
    axes.plot(at, value, color=WON)
    axes.axhline(0.0, color=INK, linewidth=0.8)


def _levels(axes: Axes, shape: Shape) -> None:
    ranked = sorted(shape.levels, key=lambda level: -abs(level.log_odds))[:8]
    ranked.sort(key=lambda level: level.log_odds)
    axes.errorbar(
        [level.log_odds for level in ranked],
        np.arange(len(ranked)),
        xerr=[2 * level.error for level in ranked],
        color=WON,
        fmt="o",
        capsize=3,
    )
    axes.set_yticks(np.arange(len(ranked)), [_short(str(level.at)[:24]) for level in ranked])
    axes.axvline(0.0, color=INK, linewidth=0.8)


def plot_ratios(parts: Sequence[Part], against: float, path: Path) -> Path:
    """Observed over expected by part, on a log scale, with the ratio after borrowing strength.

    Args:
        parts: at least one, in the order in which they are drawn, from the top.
        against: what they are held against.
        path: where the PNG goes.

    Returns:
        The path.
    """
    figure = _figure(4.6, 1.2 + 0.3 * len(parts))
    axes = figure.subplots()
    low, high = 0.2, 5.0
    for line, part in enumerate(reversed(parts)):
        colour = LOST if part.q is not None and part.verdict else WON
        ends = np.clip([part.ratio.lower, part.ratio.upper], low, high)
        axes.plot(ends, [line, line], color=colour, linewidth=1.6)
        axes.plot(np.clip(part.ratio.estimate, low, high), line, "o", color=colour, markersize=5)
        axes.plot(np.clip(part.shrunk, low, high), line, "|", color=INK, markersize=11)
    axes.axvline(against, color=INK, linewidth=0.8, linestyle="--")
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_xticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"])
    axes.set_ylim(-0.6, len(parts) - 0.4)
    axes.minorticks_off()
    names = [_short(part.name[:28]) for part in reversed(parts)]
    axes.set_yticks(np.arange(len(parts)), names)
    _tidy(axes, "Observed ÷ expected wins", "● counted, 95 % each   | borrowing strength", "")
    return _write(figure, path)
