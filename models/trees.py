"""What do the boosted trees say? A strict reader of LightGBM's text model.

LightGBM scores a matrix whose columns are in the wrong order without a word, so nobody but the
encoder, which orders columns by name, may hand one over; and it aborts the process on a corrupt
text, so a text is read only after its digest was checked (`models.bundle`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_FEW = 512
"""Rows up to which one thread is faster than waking the others."""


@dataclass(frozen=True)
class Trees:
    """A fitted booster as its text."""

    text: str = field(repr=False)

    @cached_property
    def _booster(self) -> lgb.Booster:
        return lgb.Booster(model_str=self.text)

    @cached_property
    def columns(self) -> list[str]:
        """The names of the columns, in the order in which they must come; read off the text."""
        lines = (line for line in self.text.splitlines() if line.startswith("feature_names="))
        return next(lines, "").removeprefix("feature_names=").split()

    def raw(self, matrix: Floats) -> Floats:
        """Log-odds of shape (n,) for a matrix of shape (n, columns)."""
        threads = 1 if len(matrix) <= _FEW else 0
        raw: Floats = self._booster.predict(matrix, raw_score=True, num_threads=threads)
        return raw

    def contributions(self, matrix: Floats) -> Floats:
        """Exact Shapley contributions, shape (n, columns + 1); the last is the base.

        They add up to `raw` (Lundberg et al. 2020, path-dependent TreeSHAP).
        """
        if len(matrix) == 0:
            return np.empty((0, len(self.columns) + 1))  # LightGBM would divide by zero
        threads = 1 if len(matrix) <= _FEW else 0
        shares: Floats = self._booster.predict(matrix, pred_contrib=True, num_threads=threads)
        return shares

    def importance(self) -> dict[str, float]:
        """Total gain by column."""
        gains = self._booster.feature_importance("gain")
        return dict(zip(self.columns, map(float, gains), strict=True))
