"""Rows that several models scored: only those of one model are compared, and the interval is wider."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracles import naive_metrics as naive

from models.calibrators import sigmoid
from training import metrics
from training.discrimination import fold_inflation

rows = st.lists(
    st.tuples(st.integers(-3, 3), st.integers(0, 1), st.integers(0, 4)), min_size=2, max_size=60
)


def scored(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds and outcomes of a perfectly calibrated model, about 18 % of them won."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(-1.8, 1.0, n)
    return raw, (rng.random(n) < sigmoid(raw)).astype(float)


@given(rows)
def test_in_folds_only_pairs_of_one_fold_are_compared(drawn: Any) -> None:
    raw, y, folds = (list(column) for column in zip(*drawn, strict=True))
    assume(0 < sum(y) < len(y))
    both = [
        fold
        for fold in set(folds)
        if {w for w, f in zip(y, folds, strict=True) if f == fold} == {0, 1}
    ]
    weights = [1.0 + i % 3 for i in range(len(y))]
    if not both:
        with pytest.raises(metrics.OneClassError, match="every fold"):
            metrics.auc_interval(raw, y, folds=folds, weights=weights)
        return
    area = metrics.auc_interval(raw, y, folds=folds, weights=weights)
    assert area.estimate == pytest.approx(naive.auc_within(raw, y, folds, weights), abs=1e-9)


def test_the_level_of_a_fold_does_not_enter_the_order_within_folds() -> None:
    raw, y = scored(1, 500)
    folds = np.arange(500) % 5
    moved = raw + 10.0 * folds
    assert metrics.auc_interval(moved, y, folds=folds) == metrics.auc_interval(raw, y, folds=folds)
    assert metrics.auc(moved, y) < metrics.auc(raw, y) - 0.1


def test_five_folds_widen_the_interval_by_one_half() -> None:
    """Nadeau and Bengio: a variance of 1/5 + 1/4 in place of 1/5."""
    assert fold_inflation(5) == pytest.approx(math.sqrt((1 / 5 + 1 / 4) / (1 / 5))) == 1.5
    raw, y = scored(2, 4_000)
    plain_area = metrics.auc_interval(raw, y)
    area = metrics.auc_interval(raw, y, folds=np.arange(4_000) % 5)
    ratio = (area.upper - area.lower) / (plain_area.upper - plain_area.lower)
    assert ratio == pytest.approx(1.5, abs=0.05)
    assert area.estimate == pytest.approx(plain_area.estimate, abs=0.005)
