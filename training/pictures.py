"""Which pictures belong to a report? Drawn into a directory, each with the words that say what it shows.

Whoever cannot see a picture must learn from its words what it is there for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.propensity import PropensityModel
from training.discrimination import Gain, cumulative_gain
from training.drives import swarm
from training.evidence import Evidence
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
from training.reliability import ReliabilityBin
from training.report import Report
from training.wrong_where import Part, Where

MOST_PARTS = 14
"""Of one dimension; those named are always among them."""


@dataclass(frozen=True)
class Picture:
    """A drawn picture: which, where its PNG is, and what it shows, in words."""

    name: str
    path: Path
    words: str


def draw_all(
    directory: Path, model: PropensityModel, report: Report, evidence: Evidence | None
) -> dict[str, Picture]:
    """Draw every picture there is something to draw for.

    Args:
        directory: where the PNG files go, named as the pictures are.
        model: the model.
        report: its report.
        evidence: the rows of the report; None: pictures of single rows are left out.

    Returns:
        Name -> picture: `importance`, `shapes`, `reliability`, `lift`, `scores`, `swarm`,
        `learning_curve`, and `where_0`, `where_1`, … one for each dimension.
    """
    found = [_importance(directory, report), *_shapes(directory, report)]
    if report.figures is not None:
        found.append(_reliability(directory, report.figures, report))
        found += _rows(directory, report.figures, evidence)
    if report.where is not None:
        found += _where(directory, report.where)
    if evidence is not None and (dots := swarm(model, evidence.rows.frame)) is not None:
        path = plot_swarm(dots, directory / "swarm.png")
        words = (
            f"What each of the {len(dots.labels)} columns that move scores most adds, in log-odds, a "
            f"dot for each of {len(dots.shares)} rows. The largest: {dots.labels[0]}."
        )
        found.append(Picture("swarm", path, words))
    if report.curve is not None:
        path = plot_learning_curve(report.curve, directory / "learning_curve.png")
        found.append(Picture("learning_curve", path, report.curve.sentence))
    return {picture.name: picture for picture in found}


def _importance(directory: Path, report: Report) -> Picture:
    columns = report.drives.columns
    path = plot_importance({c.name: c.size for c in columns}, directory / "importance.png")
    return Picture("importance", path, "Mean absolute contribution of each column, in log-odds.")


def _shapes(directory: Path, report: Report) -> list[Picture]:
    shapes = [shape for shape in report.drives.shapes if shape.levels]
    if not shapes:
        return []
    names = ", ".join(shape.label for shape in shapes)
    words = f"What the additive part says by value, with two standard deviations, of: {names}."
    return [Picture("shapes", plot_shapes(shapes, directory / "shapes.png"), words)]


def _reliability(directory: Path, figures: dict[str, Any], report: Report) -> Picture:
    bins = [ReliabilityBin(**band) for band in figures["bins"]]
    together = None if report.together is None else [ReliabilityBin(**b) for b in report.together]
    path = plot_reliability(bins, directory / "reliability.png", together)
    first, last = bins[0], bins[-1]
    words = (
        f"Said against happened in {len(bins)} bands with intervals, and how many rows each holds: "
        f"from said {first.predicted:.1%}, happened {first.observed:.1%} to said {last.predicted:.1%}, "
        f"happened {last.observed:.1%}. The table has every band."
    )
    return Picture("reliability", path, words)


def _rows(directory: Path, figures: dict[str, Any], evidence: Evidence | None) -> list[Picture]:
    """Pictures that need each row, or a curve over them."""
    if evidence is None:
        return []
    gain: Gain = cumulative_gain(evidence.raw, evidence.rows.y)
    fifth = gain.captured[round(0.2 * (len(gain.captured) - 1))]
    lift = plot_gain(gain, float(evidence.rows.y.mean()), directory / "lift.png")
    scores = plot_scores(evidence.probability, evidence.rows.y, directory / "scores.png")
    return [
        Picture(
            "lift",
            lift,
            f"Wins caught by working the best-scored leads first: the first fifth holds {fifth:.0%} of "
            "the wins; and how many times the base rate that is.",
        ),
        Picture(
            "scores",
            scores,
            "How the probabilities of those who bought and of those who did not are spread; the less "
            f"they overlap, the better they are told apart (AUC {figures['auc']['estimate']:.2f}).",
        ),
    ]


def _where(directory: Path, where: Where) -> list[Picture]:
    dimensions = list(dict.fromkeys(part.dimension for part in where.parts))
    found = []
    for number, dimension in enumerate(dimensions):
        parts = shown_of(where, dimension)
        path = plot_ratios(parts, where.against, directory / f"where_{number}.png")
        off = [
            f"{part.name}: {part.verdict}" for part in parts if part.q is not None and part.verdict
        ]
        words = f"Observed over expected wins by {dimension.lower()}, with intervals. "
        words += f"Off beyond noise: {'; '.join(off)}." if off else "None is off beyond noise."
        found.append(Picture(f"where_{number}", path, words))
    return found


def shown_of(where: Where, dimension: str) -> list[Part]:
    """The parts of a dimension that are shown: those named, and the largest; in their order."""
    own = [part for part in where.parts if part.dimension == dimension]
    ranked = sorted(own, key=lambda part: (part not in where.named, -part.rows))[:MOST_PARTS]
    kept = {*map(id, ranked), *(id(part) for part in own if part in where.named)}
    return [part for part in own if id(part) in kept]
