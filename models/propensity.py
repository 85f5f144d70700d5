"""What is a model? Columns, a raw score, a calibration, and the definition it was learned with.

`raw` is log-odds and orders the queue; `probability` is calibrated, is shown to people, and is never
0 or 1. A model is immutable; recalibrating makes another model around the same booster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalog import Catalog, FeatureSpec
from features.definition import Definition
from features.frames import FeatureFrame
from features.pipeline import build_catalog
from models.calibrators import Calibrator
from models.encoder import Encoder
from models.trees import Trees

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of n rows: log-odds and calibrated probabilities, both of shape (n,)."""

    raw: Floats
    probability: Floats


@dataclass(frozen=True)
class PropensityModel:
    """A scorer.

    Attributes:
        definition: the lead definition it was learned with; features are made with no other.
        encoder: which columns it reads, and how categories are coded.
        trees: the boosted trees, giving log-odds.
        calibrator: log-odds -> probability.
        about: what is said about it: data window, horizon, figures, warnings (JSON values).
        digest: of its bundle; empty while it has none.
    """

    definition: Definition
    encoder: Encoder
    trees: Trees
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

    @property
    def horizon_days(self) -> float | None:
        """The promise is about this many days; None: until the lead closes."""
        return self.definition.horizon_days

    def score(self, frame: FeatureFrame) -> Scores:
        """Score rows; a row's score does not depend on the others in the frame."""
        raw = self.raw(frame)
        return Scores(raw, self.calibrator.apply(raw))

    def raw(self, frame: FeatureFrame) -> Floats:
        """Log-odds before calibration, shape (n,)."""
        return self.trees.raw(self.encoder.matrix(frame))

    def contributions(self, frame: FeatureFrame) -> tuple[Floats, float]:
        """What each column adds to the raw score, shape (n, columns), and the base they add to.

        base + the sum over columns = raw, to 1e-9.
        """
        shares = self.trees.contributions(self.encoder.matrix(frame))
        base = float(shares[0, -1]) if len(shares) else 0.0
        return shares[:, :-1], base

    def recalibrated(self, calibrator: Calibrator, about: Mapping[str, Any]) -> PropensityModel:
        """The same booster, byte for byte, with another calibration."""
        return replace(self, calibrator=calibrator, about=about, digest="")
