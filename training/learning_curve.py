"""Would more deals help? Log loss on the judged rows when learning from fewer of the leads.

Leads are drawn whole, and each draw's larger share contains its smaller ones. The judged rows stay the
same, so that differences are paired; nothing of them is learned from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.definition import Definition
from features.errors import NotEnoughEvidenceError
from models.calibrators import FLOOR
from training.config import TrainConfig
from training.dataset import Dataset
from training.decomposition import log_loss_rows
from training.intervals import Interval, clustered_error, group_codes, plain
from training.learn import learn
from training.metrics import base_rate_log_loss
from training.splits import Fold, Lesson, Piece, Split

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
DRAWS = 3
_BEFORE = 0.4
"""The share that all leads are held against: the last steps say what the next might bring."""


@dataclass(frozen=True)
class Point:
    """Learning from a share of the leads.

    Attributes:
        share: of the leads, in (0, 1].
        leads, wins: how many leads, and how many of them won (mean over draws).
        losses: log loss on the judged rows, one a draw; empty where there was too little to learn.
    """

    share: float
    leads: int
    wins: float
    losses: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean log loss over the draws; not a number without any."""
        return float(np.mean(self.losses)) if self.losses else math.nan


@dataclass(frozen=True)
class LearningCurve:
    """Log loss by how much was learned from.

    Attributes:
        points: from few to all leads.
        base_rate: log loss of always answering the judged rows' own win rate.
        change: log loss with all leads minus with 40 % of them; its interval knows of the leads that
            judge and of the draws. None where one could not be learned.
        sentence: would more deals help?
    """

    points: tuple[Point, ...]
    base_rate: float
    change: Interval | None
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return dict(plain(self))


def learning_curve(
    matured: Dataset,
    split: Split,
    definition: Definition,
    config: TrainConfig,
    progress: Callable[[str], None] = lambda _: None,
    draws: int = DRAWS,
) -> LearningCurve:
    """Learn again and again, from ever more of the lesson's leads, and judge each on the same rows.

    Args:
        matured: rows with known labels.
        split: which rows teach, and which judge.
        definition: the lead definition.
        config: as the model was trained; its seed draws the leads.
        progress: told what is being learned.
        draws: how many times each share but the last is drawn.
    """
    y, weight = matured.y[split.judge.rows].astype(np.float64), split.judge.weight
    points, rows = [], {}
    for share in SHARES:
        point, rows[share] = _point(
            matured, split, definition, config, share, 1 if share == 1 else draws, progress
        )
        points.append(point)
    change = None
    if rows[_BEFORE] and rows[1.0]:
        gap = np.mean(rows[1.0], axis=0) - np.mean(rows[_BEFORE], axis=0)
        by_leads = clustered(gap, weight, matured.lead[split.judge.rows])
        noise = draw_variance(points) / len(rows[_BEFORE])
        mean = float(np.average(gap, weights=weight))
        change = Interval.around(mean, math.sqrt(by_leads**2 + noise))
    return LearningCurve(tuple(points), base_rate_log_loss(y, weight), change, _sentence(change))


def _point(
    matured: Dataset,
    split: Split,
    definition: Definition,
    config: TrainConfig,
    share: float,
    draws: int,
    progress: Callable[[str], None],
) -> tuple[Point, list[Floats]]:
    judge = split.judge
    y, judged = matured.y[judge.rows].astype(np.float64), matured.frame.take(judge.rows)
    counts, rows = [], []
    for draw in range(draws):
        progress(f"learning from {100 * share:.0f} % of the leads ({draw + 1} of {draws})")
        lesson = some_of(
            split.lesson, matured.lead, share, np.random.default_rng([config.seed, draw])
        )
        taught = lesson.everything.rows
        won = np.unique(matured.lead[taught[matured.y[taught] == 1]])
        counts.append((len(np.unique(matured.lead[taught])), len(won)))
        if not _can_teach(lesson, matured):
            continue
        try:
            said = learn(matured, lesson, definition, config).model.score(judged).probability
        except NotEnoughEvidenceError:
            continue
        rows.append(log_loss_rows(np.clip(said, FLOOR, 1 - FLOOR), y))
    leads, wins = np.mean(counts, axis=0).tolist()
    losses = tuple(float(np.average(row, weights=judge.weight)) for row in rows)
    return Point(share, round(leads), wins, losses), rows


def some_of(lesson: Lesson, lead: Ints, share: float, rng: np.random.Generator) -> Lesson:
    """The lesson with a share of its leads, at least one, drawn whole; the same generator nests them.

    Args:
        lesson: what may be learned from.
        lead: of every row that the lesson's numbers point at.
        share: in (0, 1].
        rng: draws the order of the leads.
    """
    leads = rng.permutation(np.unique(lead[lesson.everything.rows]))
    kept = leads[: max(1, round(share * len(leads)))]

    def some(piece: Piece) -> Piece:
        here = np.isin(lead[piece.rows], kept)
        return Piece(piece.rows[here], piece.weight[here])

    return Lesson(tuple(Fold(some(fold.fit), some(fold.calibrate)) for fold in lesson.folds))


def _can_teach(lesson: Lesson, matured: Dataset) -> bool:
    """Whether every piece of it holds wins and losses."""
    pieces = [piece for fold in lesson.folds for piece in (fold.fit, fold.calibrate)]
    return all(len(np.unique(matured.y[piece.rows])) == 2 for piece in pieces)


def clustered(gap: Floats, weight: Floats, lead: Ints) -> float:
    """The standard error of a mean difference on judged rows, by leads."""
    mean = float(np.average(gap, weights=weight))
    return clustered_error(weight * (gap - mean) / weight.sum(), group_codes(lead, len(gap)))


def draw_variance(points: Sequence[Point]) -> float:
    """How much the draw of leads moves a log loss: the variance within shares, pooled; 0 of none."""
    several = [point.losses for point in points if len(point.losses) > 1]
    squares = sum(float(np.var(losses)) * len(losses) for losses in several)
    return squares / max(1, sum(len(losses) - 1 for losses in several))


def _sentence(change: Interval | None) -> str:
    if change is None:
        return (
            "Too few outcomes to learn from a part of them: more deals are needed to say anything."
        )
    said = (
        f"from {100 * _BEFORE:.0f} % of the leads to all of them the log loss changed by "
        f"{change.estimate:+.4f} ({change.lower:+.4f} to {change.upper:+.4f})"
    )
    if change.upper < 0:
        doubling = -change.estimate / math.log2(1 / _BEFORE)
        return (
            f"More deals should still help: {said}; twice as many may bring up to {doubling:.4f}."
        )
    if change.lower > 0:
        return (
            f"More deals of this kind do not help: {said}. Newer rows count more than more of them."
        )
    return (
        f"More deals are not seen to help: {said}. What else is known about leads may help more, or a "
        "recalibration."
    )


def config_of(recorded: dict[str, Any]) -> TrainConfig:
    """The choices a model was trained with, from what its bundle says."""
    known = {field.name for field in fields(TrainConfig)}
    kept = {key: value for key, value in recorded.items() if key in known}
    choices: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in kept.items()}
    return TrainConfig(**choices)
