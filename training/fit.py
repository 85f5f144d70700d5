"""How are trees fitted? LightGBM, deterministic, monotone where the definition ranks answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from features.catalog import FeatureSpec
from features.clock import DAY
from features.frames import Category, FeatureFrame
from models.encoder import Encoder
from training.config import TrainConfig

Floats = NDArray[np.float64]

_FEW_CELLS = 2_000_000
"""Below so many cells of a matrix one thread fits trees as fast as two, measured."""

_CALENDAR = 0.9


@dataclass(frozen=True)
class Rows:
    """Encoded rows.

    Attributes:
        matrix: shape (n, columns).
        y, weight: shape (n,).
        lead: a number per lead, shape (n,); rows of one lead are one piece of evidence.
        as_of: their instants, shape (n,).
    """

    matrix: Floats
    y: Floats
    weight: Floats
    lead: NDArray[np.int64]
    as_of: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64], weight: Floats) -> Rows:
        """These rows, with other weights."""
        return Rows(self.matrix[rows], self.y[rows], weight, self.lead[rows], self.as_of[rows])

    def reading(self, matrix: Floats) -> Rows:
        """The same rows, read otherwise."""
        return Rows(matrix, self.y, self.weight, self.lead, self.as_of)


@dataclass(frozen=True)
class Curve:
    """A fit that was watched: log-odds on the held-out rows after each number of trees."""

    held_out: list[Floats]

    def after(self, trees: int) -> Floats:
        """Log-odds after so many trees (or all there are), shape (n,)."""
        return self.held_out[min(trees, len(self.held_out)) - 1]


def telling_columns(frame: FeatureFrame) -> list[str]:
    """The columns that say something: not constant, and not the same as an earlier one."""
    seen: set[bytes] = set()
    names = []
    for name, column in frame.columns.items():
        values = column.codes if isinstance(column, Category) else column
        key = values.tobytes()
        different = values != values[0]
        if isinstance(column, Category) or not np.isnan(values).any():
            constant = not different.any()
        else:
            constant = bool(np.isnan(values).all())
        if not constant and key not in seen:
            seen.add(key)
            names.append(name)
    return names


def calendar_columns(frame: FeatureFrame) -> list[str]:
    """Columns that say what time it was rather than who the lead is: an index published monthly, say.

    Forward in time they take values no model has seen, and trees cannot extrapolate: on the bank
    calls five such columns cost .19 AUC. A number column is one when months of 30 days explain
    `_CALENDAR` of its variance over at least three months of 20 rows; see docs/decisions/0008.
    """
    month = frame.as_of // (30 * DAY)
    found, row = np.unique(month, return_inverse=True)
    if len(found) < 3 or len(frame) < 20 * len(found):
        return []
    return [
        name
        for name, column in frame.columns.items()
        if not isinstance(column, Category) and _explained(column, row) >= _CALENDAR
    ]


def _explained(values: Floats, group: NDArray[np.int64]) -> float:
    """The share of variance between groups, over the rows whose value is known."""
    known = np.isfinite(values)
    if known.sum() < 2 or np.ptp(values[known]) == 0:
        return 0.0
    value, group = values[known] - values[known].mean(), group[known]
    counts = np.bincount(group)
    means = np.bincount(group, weights=value) / np.maximum(counts, 1)
    return float((counts * means**2).sum() / (value**2).sum())


def fit_trees(
    rows: Rows,
    encoder: Encoder,
    specs: Sequence[FeatureSpec],
    leaves: int,
    trees: int,
    config: TrainConfig,
    as_numbers: Collection[str] = (),
) -> str:
    """Fit so many trees and give them as LightGBM's text.

    Args:
        rows: what to learn from.
        encoder: names and kinds of the matrix's columns.
        specs: the same columns' meaning, for the monotone ones.
        leaves: leaves per tree; 2 gives a model without interactions.
        trees: how many.
        config: learning rate and seed.
        as_numbers: categories that the matrix holds as numbers.
    """
    table = _dataset(rows, encoder, as_numbers)
    booster = lgb.train(_parameters(specs, leaves, config, rows), table, num_boost_round=trees)
    return _portable(booster.model_to_string())


def watch_trees(
    rows: Rows,
    held_out: Rows,
    encoder: Encoder,
    specs: Sequence[FeatureSpec],
    leaves: int,
    config: TrainConfig,
    as_numbers: Collection[str] = (),
) -> Curve:
    """Fit tree by tree while the held-out log loss gets better, with `config.patience`.

    The curve has at least one point: where no split helps, it is that of a tree without any.
    """
    table = _dataset(rows, encoder, as_numbers)
    booster = lgb.Booster(_parameters(specs, leaves, config, rows), table)
    curve: list[Floats] = []
    best, best_at = np.inf, 0
    for trees in range(1, config.most_trees + 1):
        if booster.update() and curve:
            break  # no split is left that helps
        before = curve[-1] if curve else 0.0
        step = booster.predict(
            held_out.matrix,
            raw_score=True,
            start_iteration=trees - 1,
            num_iteration=1,
            num_threads=_threads(held_out),
        )
        curve.append(before + step)
        loss = weighted_log_loss(curve[-1], held_out)
        if loss < best - 1e-6:
            best, best_at = loss, trees
        elif trees - best_at >= config.patience:
            break
    return Curve(curve)


def row_losses(raw: Floats, y: Floats) -> Floats:
    """Log loss of each row, shape (n,), from log-odds."""
    return np.logaddexp(0.0, raw) - y * raw


def weighted_log_loss(raw: Floats, rows: Rows) -> float:
    """Mean log loss of log-odds on rows."""
    return float(np.average(row_losses(raw, rows.y), weights=rows.weight))


def _dataset(rows: Rows, encoder: Encoder, as_numbers: Collection[str]) -> lgb.Dataset:
    return lgb.Dataset(
        rows.matrix,
        label=rows.y,
        weight=rows.weight,
        feature_name=encoder.names,
        categorical_feature=[i for i in encoder.categorical if encoder.names[i] not in as_numbers],
        free_raw_data=False,
    )


def _parameters(
    specs: Sequence[FeatureSpec], leaves: int, config: TrainConfig, rows: Rows
) -> dict[str, object]:
    return {
        "objective": "binary",
        "learning_rate": config.learning_rate,
        "num_leaves": leaves,
        "min_data_in_leaf": 20,
        "min_sum_hessian_in_leaf": 1.0,
        "lambda_l2": 10.0,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "cat_smooth": 20.0,
        "min_data_per_group": 20,
        "monotone_constraints": [spec.monotone for spec in specs],
        "max_bin": 127,
        "seed": config.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": _threads(rows),
        "verbosity": -1,
    }


def _threads(rows: Rows) -> int:
    """One where there is little to share out; 0 leaves it to OpenMP, which takes all cores.

    A tree of a few thousand rows is done in about a millisecond, in which threads meet some dozen times:
    each time all wait for the one that had to lend its core to another process.
    """
    return 1 if rows.matrix.size < _FEW_CELLS else 0


def _portable(text: str) -> str:
    """The text without the parameters' section, whose threads and paths say nothing of the model."""
    head, _, tail = text.partition("\nparameters:")
    return head + "\n" + tail.partition("end of parameters\n")[2].lstrip("\n") if tail else text
