"""What do the boosted trees say? A strict reader of LightGBM's text model.

LightGBM scores a matrix whose columns are in the wrong order without a word, so nobody but the
encoder, which orders columns by name, may hand one over; and it aborts the process on a corrupt
text, so a text is read only after its digest was checked (`models.bundle`).

Compiled code answers once it is ready (`models.forest_engine`), with the same bits for raw scores and
contributions equal to within rounding. LightGBM answers before, and for what is beyond that code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.forest import Forest, read_forest
from models.forest_engine import ENGINE, Kernel, plain

Floats = NDArray[np.float64]

_FEW = 512
"""Rows up to which one thread is faster than waking the others."""


@dataclass(frozen=True)
class Trees:
    """A fitted booster as its text."""

    text: str = field(repr=False)

    @cached_property
    def _booster(self) -> Any:
        import lightgbm as lgb  # where compiled code is ready, a scoring host need not wait for it

        _ = self.forest  # a damaged text is refused before it can do harm
        return lgb.Booster(model_str=_without_notes(self.text))

    @cached_property
    def forest(self) -> Forest | None:
        """The tables that compiled code reads; None where only LightGBM understands the text.

        Raises:
            BundleError: the text is damaged.
        """
        return read_forest(self.text)

    @cached_property
    def columns(self) -> list[str]:
        """The names of the columns, in the order in which they must come; read off the text."""
        lines = (line for line in self.text.splitlines() if line.startswith("feature_names="))
        return next(lines, "").removeprefix("feature_names=").split()

    def raw(self, matrix: Floats) -> Floats:
        """Log-odds of shape (n,) for a matrix of shape (n, columns).

        Raises:
            ValueError: the matrix has another number of columns.
        """
        self._require_width(matrix)
        raw: Floats
        if ENGINE.kernel is not None and self.forest is not None:
            raw = np.empty(len(matrix))
            ENGINE.kernel.write_raw(plain(matrix), self.forest, raw)
        else:
            raw = self._booster.predict(matrix, raw_score=True, num_threads=_threads(matrix))
        return raw

    def contributions(self, matrix: Floats) -> Floats:
        """Exact Shapley contributions, shape (n, columns + 1); the last is the base.

        They add up to `raw` (Lundberg et al. 2020, path-dependent TreeSHAP).

        Raises:
            ValueError: the matrix has another number of columns.
        """
        self._require_width(matrix)
        if self._explainer() is not None:
            return self.told(matrix)[1]
        if len(matrix) == 0:
            return np.empty((0, len(self.columns) + 1))  # LightGBM would divide by zero
        shares: Floats = self._booster.predict(
            matrix, pred_contrib=True, num_threads=_threads(matrix)
        )
        return shares

    def told(self, matrix: Floats) -> tuple[Floats, Floats]:
        """`raw` and `contributions` at the price of the latter.

        Raises:
            ValueError: the matrix has another number of columns.
        """
        kernel = self._explainer()
        if kernel is None or self.forest is None:
            return self.raw(matrix), self.contributions(matrix)
        self._require_width(matrix)
        raw, shares = np.empty(len(matrix)), np.empty((len(matrix), len(self.columns) + 1))
        kernel.write_told(plain(matrix), self.forest, raw, shares)
        return raw, shares

    def _explainer(self) -> Kernel | None:
        """Compiled code that explains; None where LightGBM does."""
        explains = self.forest is not None and self.forest.explains
        return ENGINE.kernel if explains else None

    def importance(self) -> dict[str, float]:
        """Total gain by column."""
        gains = self._booster.feature_importance("gain")
        return dict(zip(self.columns, map(float, gains), strict=True))

    def _require_width(self, matrix: Floats) -> None:
        if matrix.ndim != 2 or matrix.shape[1] != len(self.columns):
            raise ValueError(
                f"the trees read {len(self.columns)} columns, the table has shape {matrix.shape}"
            )


def _without_notes(text: str) -> str:
    """All that scores. LightGBM reads its notes on the training out of bounds where one is cut short."""
    trees, mark, _ = text.partition("\nend of trees\n")
    return trees + mark


def _threads(matrix: Floats) -> int:
    return 1 if len(matrix) <= _FEW else 0
