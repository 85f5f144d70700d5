"""How does a model come about? Try, choose the simplest that is as good, fit, calibrate.

Every choice is made on rows that the fit has not seen, and that are later where there is time. Of
settings whose held-out log loss differs by less than one standard error the simplest is taken
(Breiman et al. 1984). The booster is then fitted on all rows of the lesson, the calibrator on the
held-out scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.catalog import Catalog
from features.definition import UNKNOWN, Definition
from features.errors import NotEnoughEvidenceError
from features.facts import Ints
from features.pipeline import build_catalog
from models.encoder import Encoder
from models.propensity import PropensityModel
from models.trees import Trees
from training.calibrate import CalibrationFit, fit_calibrator
from training.config import TrainConfig
from training.dataset import Dataset
from training.fit import (
    Curve,
    Rows,
    calendar_columns,
    fit_trees,
    row_losses,
    telling_columns,
    watch_trees,
)
from training.intervals import clustered_error, group_codes
from training.splits import Lesson

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """One setting that was tried: its best number of trees and what it said of held-out rows."""

    leaves: int
    trees: int
    raw: Floats
    log_loss: float


@dataclass(frozen=True)
class Learned:
    """A model and how it was arrived at."""

    model: PropensityModel
    trials: tuple[Trial, ...]
    chosen: Trial
    calibration: CalibrationFit


def learn(
    dataset: Dataset,
    lesson: Lesson,
    definition: Definition,
    config: TrainConfig,
    progress: Callable[[str], None] | None = None,
) -> Learned:
    """Learn a model from the rows of a lesson, looking at no others.

    Raises:
        NotEnoughEvidenceError: too few wins or losses, or no column says anything.
    """
    everything = lesson.everything
    catalog = build_catalog(definition)
    encoder = _encoder(dataset.take(everything.rows), catalog, config)
    by_name = {spec.name: spec for spec in catalog}
    specs = tuple(by_name[name] for name in encoder.names)
    rows = _encoded(dataset, encoder)
    held = np.concatenate([fold.calibrate.rows for fold in lesson.folds])
    weight = np.concatenate([fold.calibrate.weight for fold in lesson.folds])
    trials = []
    for leaves in config.leaves:
        if progress is not None:
            progress(f"trying {leaves} leaves")
        curves = [
            watch_trees(
                rows.take(fold.fit.rows, fold.fit.weight),
                rows.take(fold.calibrate.rows, fold.calibrate.weight),
                encoder,
                specs,
                leaves,
                config,
            )
            for fold in lesson.folds
        ]
        trials.append(_best_length(curves, leaves, rows.y[held], weight))
    chosen = _simplest(trials, rows.y[held], weight, dataset.lead[held])
    if progress is not None:
        progress(f"fitting {chosen.trees} trees of {chosen.leaves} leaves")
    whole = rows.take(everything.rows, everything.weight)
    text = fit_trees(whole, encoder, specs, chosen.leaves, chosen.trees, config)
    calibration = fit_calibrator(
        chosen.raw, dataset.y[held], groups=dataset.lead[held], weights=weight, seed=config.seed
    )
    model = PropensityModel(definition, encoder, Trees(text), calibration.calibrator)
    return Learned(model, tuple(trials), chosen, calibration)


def _encoder(dataset: Dataset, catalog: Catalog, config: TrainConfig) -> Encoder:
    wins = int((dataset.y == 1).sum())
    if min(wins, len(dataset) - wins) < config.least_wins:
        raise NotEnoughEvidenceError(
            f"{wins} won and {len(dataset) - wins} not won rows to learn from; at least "
            f"{config.least_wins} of each are needed",
            hint="Import more closed deals, or wait for more cohorts to mature.",
        )
    calendar = set(calendar_columns(dataset.frame))
    names = [name for name in telling_columns(dataset.frame) if name not in calendar]
    if not names:
        raise NotEnoughEvidenceError(
            "every column is the same for all leads; there is nothing to tell them apart by",
            hint="Map more attributes, answers or events in the lead definition.",
        )
    return Encoder.fit(dataset.frame, names, config.rarest_level, told_by_rank(catalog))


def told_by_rank(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """For each category whose answers are ranked: the answers that its rank alone tells apart.

    The rank is monotone; with the answer as a category beside it, a better answer could still lower
    the score. What remains of the category is whether it was asked and whether there was an answer.
    """
    ranked = {spec.fact for spec in catalog if spec.monotone}
    return {
        spec.name: tuple(level for level in spec.levels if level != UNKNOWN)
        for spec in catalog
        if spec.kind == "category" and spec.fact in ranked and spec.levels is not None
    }


def _encoded(dataset: Dataset, encoder: Encoder) -> Rows:
    y = dataset.y.astype(np.float64)
    return Rows(encoder.matrix(dataset.frame), y, np.ones(len(y)))


def _best_length(curves: list[Curve], leaves: int, y: Floats, weight: Floats) -> Trial:
    """The number of trees with the lowest held-out log loss over all folds together."""
    best: Trial | None = None
    for trees in range(1, max(len(curve.held_out) for curve in curves) + 1):
        raw = np.concatenate([curve.after(trees) for curve in curves])
        loss = float(np.average(row_losses(raw, y), weights=weight))
        if best is None or loss < best.log_loss:
            best = Trial(leaves, trees, raw, loss)
    assert best is not None, "a curve has at least one point"
    return best


def _simplest(trials: list[Trial], y: Floats, weight: Floats, lead: Ints) -> Trial:
    """The first trial that is no more than one standard error worse than the best."""
    best = min(trials, key=lambda trial: trial.log_loss)
    codes = group_codes(lead, len(lead))
    share = weight / weight.sum()
    for trial in trials:
        worse = row_losses(trial.raw, y) - row_losses(best.raw, y)
        mean = float((worse * share).sum())
        if mean <= clustered_error((worse - mean) * share, codes):
            return trial
    return best
