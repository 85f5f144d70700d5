"""What is every peer given? The same rows and columns as our learner, and the same rows to answer for.

A peer sees the feature frame that our learner sees: no sensitive column, none filled in during the
sale. Only columns that are the same for all rows of the lesson are taken out; our learner's further
choices (columns that tell the calendar, rare levels) are its own and not handed on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.frames import Category, Column, FeatureFrame
from models.calibrators import FLOOR, logit
from training.dataset import Dataset
from training.splits import Split

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """Rows with outcomes to learn from, and rows to answer for.

    Attributes:
        lesson: n rows to learn from, only with columns that differ among them.
        y: shape (n,), 1 won, 0 not won.
        weight: shape (n,), how many rows each stands for.
        folds: pairs of positions in the lesson, to fit on and held out; one pair, the later fifth
            held out, where there is time.
        asked: m rows, with the same columns.
        seed: of whatever a peer draws.
    """

    lesson: FeatureFrame
    y: Ints
    weight: Floats
    folds: tuple[tuple[Ints, Ints], ...]
    asked: FeatureFrame
    seed: int

    @property
    def forward(self) -> bool:
        """Whether what is held out is later in time."""
        return len(self.folds) == 1

    @property
    def one_sided(self) -> bool:
        """Whether all outcomes are the same, so that most peers cannot be fitted."""
        return bool(self.y.min() == self.y.max())

    @property
    def rate(self) -> float:
        """Win rate of the lesson by weight, with half a win and half a loss added.

        Source: Krichevsky and Trofimov (1981); never 0 or 1, and at hundreds of rows the plain rate.
        """
        return float((self.weight @ self.y + 0.5) / (self.weight.sum() + 1.0))

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Lesson and asked rows for pandas: floats with NaN, categories with the lesson's levels."""
        learned, asked = {}, {}
        for name, column in self.lesson.columns.items():
            levels = _levels(column)
            learned[name] = _series(column, levels)
            asked[name] = _series(self.asked.columns[name], levels)
        return pd.DataFrame(learned), pd.DataFrame(asked)


@dataclass(frozen=True)
class Answer:
    """What a peer said of the asked rows, shape (m,), and the seconds it took to learn.

    `raw` orders; where a peer has nothing of the kind, its probability does.
    """

    probability: Floats
    training_seconds: float
    raw: Floats = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        # A peer that is certain and wrong would lose without bound; it is held to our own floor.
        object.__setattr__(self, "probability", np.clip(self.probability, FLOOR, 1 - FLOOR))
        if len(self.raw) == 0:
            object.__setattr__(self, "raw", logit(self.probability))


Peer = Callable[[Task], Answer]


def task_of(matured: Dataset, split: Split, seed: int) -> Task:
    """What a split gives a peer: all rows of its lesson, and its judging rows."""
    everything = split.lesson.everything
    lesson, asked = matured.frame.take(everything.rows), matured.frame.take(split.judge.rows)
    names = [name for name, column in lesson.columns.items() if _differs(column)]
    folds = tuple(
        (
            np.searchsorted(everything.rows, fold.fit.rows),
            np.searchsorted(everything.rows, fold.calibrate.rows),
        )
        for fold in split.lesson.folds
    )
    return Task(
        _only(lesson, names),
        matured.y[everything.rows],
        everything.weight,
        folds,
        _only(asked, names),
        seed,
    )


class Watch:
    """Seconds between the start and the end of a `with`."""

    seconds = 0.0


@contextmanager
def watch() -> Iterator[Watch]:
    """Take the time of what happens inside; it can be read afterwards."""
    taken, started = Watch(), time.perf_counter()
    yield taken
    taken.seconds = time.perf_counter() - started


def _only(frame: FeatureFrame, names: list[str]) -> FeatureFrame:
    return FeatureFrame(frame.lead_ids, frame.as_of, {name: frame.columns[name] for name in names})


def _differs(column: Column) -> bool:
    values = column.codes if isinstance(column, Category) else column
    known = values[~np.isnan(values)]
    return len(known) > 0 and (len(known) < len(values) or bool((known != known[0]).any()))


def _levels(column: Column) -> list[str]:
    if not isinstance(column, Category):
        return []
    return [column.levels[code] for code in np.unique(column.codes[column.codes >= 0]).tolist()]


def _series(column: Column, levels: list[str]) -> pd.Series:
    if not isinstance(column, Category):
        return pd.Series(column)
    return pd.Series(pd.Categorical.from_codes(column.recoded(levels), categories=levels))
