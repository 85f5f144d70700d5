"""Datasets made by hand: rows, leads, instants and outcomes, without any store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features.frames import Category, Column, FeatureFrame
from training.dataset import Dataset


def dataset_of(
    lead: Sequence[int],
    as_of: Sequence[int],
    y: Sequence[int] | NDArray[np.int64],
    columns: Mapping[str, Column] | None = None,
    cutoff: int = 2**60,
) -> Dataset:
    """Rows of leads called `L0`, `L1` …; without columns there is one that numbers the rows."""
    number = np.arange(len(lead), dtype=np.float64)
    frame = FeatureFrame(
        tuple(f"L{i}" for i in lead),
        np.asarray(as_of, dtype=np.int64),
        columns if columns is not None else {"row": number},
    )
    reason = np.where(np.asarray(y) == 1, 0, 2)
    return Dataset(
        frame, np.asarray(lead, dtype=np.int64), np.asarray(y, dtype=np.int64), reason, cutoff
    )


def labels(values: Sequence[str | None]) -> Category:
    """A category column."""
    return Category.of(values)
