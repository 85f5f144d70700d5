"""How are the learner's two parts fitted to some rows, and summed?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.catalog import FeatureSpec
from models.blend import Blend, Rates, by_rates
from models.encoder import Encoder
from models.linear import Linear
from models.trees import Trees
from training.config import TrainConfig
from training.fit import Curve, Rows, fit_trees, watch_trees
from training.fit_linear import Prior, estimate_prior, fit_linear
from training.rates import level_rates, rates_in_time

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Parts:
    """What both parts are fitted with.

    Attributes:
        encoder, specs: the columns and their meaning.
        by_rate: categories that the trees read by their rates.
        gap: microseconds after its as-of at which a row's outcome is known; None without a horizon.
        rate: the agreed share of won rows, if there is one.
        config: the choices of the run.
    """

    encoder: Encoder
    specs: Sequence[FeatureSpec]
    by_rate: Sequence[str]
    gap: int | None
    rate: float | None
    config: TrainConfig

    def prior(self, rows: Rows) -> Prior:
        """What the additive part is shrunk to, and how much, as these rows make most likely."""
        return estimate_prior(rows, self.encoder, self.specs, self.rate, self.config.seed)

    def linear(self, rows: Rows, prior: Prior) -> Linear:
        """The additive part under a prior."""
        return fit_linear(rows, self.encoder, self.specs, prior)

    def trees(self, rows: Rows, leaves: int, trees: int) -> Blend:
        """So many trees, as a learner without an additive part."""
        rates = self._rates(rows)
        read = self._as_learned(rows)
        text = fit_trees(read, self.encoder, self.specs, leaves, trees, self.config, self.by_rate)
        return Blend(None, Trees(text), 0.0, rates=rates)

    def watched(self, rows: Rows, held: Rows, leaves: int) -> Curve:
        """How trees fitted to rows fare on held-out ones, tree by tree."""
        seen = held.reading(by_rates(held.matrix, self.encoder.names, self._rates(rows)))
        read = self._as_learned(rows)
        return watch_trees(read, seen, self.encoder, self.specs, leaves, self.config, self.by_rate)

    def blend(self, rows: Rows, prior: Prior, leaves: int, trees: int, weight: float) -> Blend:
        """Both parts, the trees only where they have a weight."""
        linear = self.linear(rows, prior)
        if weight == 1.0:
            return Blend(linear, None, 1.0)
        boosted = self.trees(rows, leaves, trees)
        return Blend(linear, boosted.trees, weight, rates=boosted.rates)

    def _levels(self) -> Mapping[int, int]:
        """Position of each column read by rate -> how many codes it has."""
        return {
            i: len(column.levels or ()) + bool(column.merged)
            for i, column in enumerate(self.encoder.columns)
            if column.name in self.by_rate
        }

    def _rates(self, rows: Rows) -> dict[str, Rates]:
        return {
            self.encoder.names[i]: level_rates(rows.matrix[:, i], rows.y, rows.weight, levels)
            for i, levels in self._levels().items()
        }

    def _as_learned(self, rows: Rows) -> Rows:
        """The rows as trees are fitted to them: rates as they were known at the time."""
        if not self.by_rate:
            return rows
        matrix = rows.matrix.copy()
        for i, levels in self._levels().items():
            matrix[:, i] = rates_in_time(rows.matrix[:, i], rows, levels, self.gap)
        return rows.reading(matrix)
