"""What is a model? Columns, a raw score, a calibration, and the definition it was learned with.

`raw` is log-odds and orders the queue; `probability` is calibrated, is shown to people, and is never
0 or 1. A model is immutable; recalibrating makes another model around the same learner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalog import Catalog, FeatureSpec
from features.definition import Definition
from features.frames import FeatureFrame
from features.pipeline import build_catalog
from models.blend import Blend
from models.calibrators import Calibrator, logit
from models.encoder import Encoder

Floats = NDArray[np.float64]


_LEAST_STRETCH = 0.1


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of n rows; all arrays of shape (n,).

    Attributes:
        raw: log-odds before calibration.
        probability: calibrated.
        lower, upper: where the true probability lies nine times in ten, as far as another sample of
            leads would move it and the learner's two parts disagree; None where not measured.
        leads_like_this: of how many leads such a probability would be the win rate known as well.
    """

    raw: Floats
    probability: Floats
    lower: Floats | None = None
    upper: Floats | None = None
    leads_like_this: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """One fact as a model reads it.

    Attributes:
        fact: its name, such as `event:webinar`.
        columns: positions of the columns made of it.
        told_by: for each of them, the feature whose words say what it says.
    """

    fact: str
    columns: tuple[int, ...]
    told_by: tuple[FeatureSpec, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """Everything a model says of n rows.

    Attributes:
        scores: of each row.
        shares: what each column adds to the raw score, shape (n, columns).
        base: what they add to, in log-odds.
        unseen: of each row, the categories whose label the model has not learned.
    """

    scores: Scores
    shares: Floats
    base: float
    unseen: list[list[str]]


@dataclass(frozen=True)
class PropensityModel:
    """A scorer.

    Attributes:
        definition: the lead definition it was learned with; features are made with no other.
        encoder: which columns it reads, and how categories are coded.
        learner: what gives log-odds.
        calibrator: log-odds -> probability.
        about: what is said about it: data window, horizon, figures, warnings (JSON values).
        digest: of its bundle; empty while it has none.
    """

    definition: Definition
    encoder: Encoder
    learner: Blend
    calibrator: Calibrator
    about: Mapping[str, Any] = field(default_factory=dict)
    digest: str = ""

    @cached_property
    def catalog(self) -> Catalog:
        """Every feature of the definition, whether the model reads it or not."""
        return build_catalog(self.definition)

    @cached_property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """The features the model reads, in its order."""
        by_name = {spec.name: spec for spec in self.catalog}
        return tuple(by_name[name] for name in self.encoder.names)

    @cached_property
    def facts(self) -> tuple[Grouped, ...]:
        """The facts that the model reads in the order of their names, with the columns made of each."""
        columns: dict[str, list[int]] = {}
        for i, spec in enumerate(self.specs):
            columns.setdefault(spec.fact, []).append(i)
        answers = {spec.fact: spec for spec in self.catalog if spec.kind == "category"}
        return tuple(
            Grouped(
                fact=fact,
                columns=tuple(of),
                # A rank says less than the answer that was ranked.
                told_by=tuple(
                    answers.get(fact, self.specs[i])
                    if self.specs[i].unit is None
                    else self.specs[i]
                    for i in of
                ),
            )
            for fact, of in sorted(columns.items())
        )

    @cached_property
    def columns_in_turn(self) -> tuple[NDArray[np.int64], ...]:
        """The first column of each fact, then the second of each, and so on, shape (facts,) each.

        Where a fact has no more, the number of columns stands.
        """
        nothing, most = len(self.specs), max((len(fact.columns) for fact in self.facts), default=0)
        return tuple(
            np.array([(*f.columns, *[nothing] * most)[turn] for f in self.facts], dtype=np.int64)
            for turn in range(most)
        )

    @property
    def horizon_days(self) -> float | None:
        """The promise is about this many days; None: until the lead closes."""
        return self.definition.horizon_days

    def score(self, frame: FeatureFrame) -> Scores:
        """Score rows; a row's score does not depend on the others in the frame."""
        return self._scores(*self.learner.judged(self.encoder.matrix(frame)))

    def told(self, frame: FeatureFrame) -> Told:
        """Everything that is said of rows: `score` and `contributions`, the rows encoded once."""
        matrix = self.encoder.matrix(frame)
        return self._told(matrix, self.encoder.unseen(frame, matrix))

    def told_of(self, rows: Sequence[Mapping[str, str | float | None]]) -> Told:
        """`told` of the frame of which these are the `rows`; at its best with a few."""
        return self._told(*self.encoder.encoded(rows))

    def _told(self, matrix: Floats, unseen: list[list[str]]) -> Told:
        raw, variance, shares, base = self.learner.told(matrix)
        return Told(self._scores(raw, variance), shares, base, unseen)

    def _scores(self, raw: Floats, variance: Floats | None) -> Scores:
        spread = self.learner.spread
        if variance is None or spread is None:
            return Scores(raw, self.calibrator.apply(raw))
        n, aside = len(raw), spread.reach * np.sqrt(variance)
        # A calibrator gives a score the same bits whoever is asked about beside it.
        three = self.calibrator.apply(np.concatenate([raw, raw - aside, raw + aside]))
        probability, lower, upper = three[:n], three[n : 2 * n], three[2 * n :]
        odds = logit(three[n:])
        # The variance of the log-odds of a rate p seen in n leads is 1 / (n p (1 − p)); calibration
        # stretches log-odds, and a step of it hides how uncertain they are.
        stretched = np.maximum((odds[n:] - odds[:n]) / (2.0 * aside), _LEAST_STRETCH)
        like = 1.0 / (variance * stretched**2 * probability * (1.0 - probability))
        return Scores(raw, probability, lower, upper, np.minimum(like, spread.leads or np.inf))

    def raw(self, frame: FeatureFrame) -> Floats:
        """Log-odds before calibration, shape (n,)."""
        return self.learner.raw(self.encoder.matrix(frame))

    def contributions(self, frame: FeatureFrame) -> tuple[Floats, float]:
        """What each column adds to the raw score, shape (n, columns), and the base they add to.

        base + the sum over columns = raw, to 1e-9.
        """
        return self.learner.contributions(self.encoder.matrix(frame))

    def recalibrated(self, calibrator: Calibrator, about: Mapping[str, Any]) -> PropensityModel:
        """The same learner, byte for byte, with another calibration."""
        return replace(self, calibrator=calibrator, about=about, digest="")
