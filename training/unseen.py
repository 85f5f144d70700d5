"""Which matured rows has a model not learned from? Only those may judge it, or compare it.

Rule: a booster has seen what it was fitted, stopped and chosen on, and every other row of those leads; a
recalibration has seen every row up to its last as-of. Rows that are left stand, by weight, for all
rows of their time (Horvitz and Thompson 1952).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import to_instant
from features.definition import Definition
from models.calibrators import Calibrator, Identity, calibrator_from_json
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.config import TrainConfig
from training.dataset import Dataset, build_dataset, known_outcomes, newest_cutoff
from training.splits import Bounds, pieces

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Unseen:
    """Matured rows that a model has not learned from, and how many rows each stands for."""

    dataset: Dataset
    weight: Floats

    def __len__(self) -> int:
        return len(self.dataset)

    def take(self, rows: NDArray[np.int64]) -> Unseen:
        """Only these rows."""
        return Unseen(self.dataset.take(rows), self.weight[rows])


def unseen_rows(workspace: Workspace, *models: PropensityModel) -> Unseen | None:
    """The matured rows that none of these models has learned from; None when there are none.

    Neither its booster nor its calibrator: rows that a calibration was fitted on are seen too.
    """
    rows = rows_after_boosters(workspace, *models)
    return None if rows is None else newer(rows, *models)


def newer(rows: Unseen, *models: PropensityModel) -> Unseen | None:
    """Those of the rows that no recalibration of these models has learned from; None without any."""
    since = max(calibrated_through(model) for model in models)
    left = np.flatnonzero(rows.dataset.as_of > since)
    return rows.take(left) if len(left) else None


def rows_after_boosters(workspace: Workspace, *models: PropensityModel) -> Unseen | None:
    """The matured rows that no booster of these models has learned from; None when there are none.

    Models without time, or with another lead definition than the first, share no such rows.
    """
    if not comparable(*models):
        return None
    return after_boosters(matured_rows(workspace, models[0].definition), *models)


def after_boosters(dataset: Dataset, *models: PropensityModel) -> Unseen | None:
    """Those of the matured rows that no booster of these models has learned from; None without any.

    Args:
        dataset: all matured rows of the definition that the models share.
        models: dated, or learned from nothing.
    """
    weight = weight_for(dataset, *models)
    rows = np.flatnonzero(weight > 0)
    return Unseen(dataset.take(rows), weight[rows]) if len(rows) else None


def comparable(*models: PropensityModel) -> bool:
    """Whether these models can share rows that none has learned from: one definition, with time."""
    dated = all(learned_nothing(model) or _limits(model) is not None for model in models)
    return dated and len({model.definition.hash for model in models}) == 1


def learned_nothing(model: PropensityModel) -> bool:
    """Whether the model was agreed on and not learned: then every row is new to it."""
    return bool(model.about.get("data", {}).get("rows") == 0)


def is_agreed(model: PropensityModel) -> bool:
    """Whether the model is what is agreed, moved by few outcomes or none: nothing has judged it."""
    return bool(model.about.get("learner", {}).get("kind") == "agreed")


def bounds_of(model: PropensityModel) -> Bounds | None:
    """Where the model's pieces began; None when it has learned from all rows, or from none."""
    limits = _limits(model)
    return None if limits is None else Bounds(**limits)


def _limits(model: PropensityModel) -> dict[str, Any] | None:
    return dict(model.about["judged"]["bounds"] or {}) or None


def weight_for(dataset: Dataset, *models: PropensityModel) -> Floats:
    """How many rows each row stands for where all these boosters are judged, shape (n,); 0 if not."""
    bounds = [found for model in models if (found := bounds_of(model)) is not None]
    return standing_for(dataset, bounds)


def standing_for(dataset: Dataset, bounds: Sequence[Bounds]) -> Floats:
    """One over each row's chance to judge all these models, shape (n,); 0 where it does not.

    With one seed a lead that judges the model which is harder to judge judges the others too, so the
    chances are nested; with several they are independent.
    """
    by_seed: dict[int, Floats] = {}
    for bound in bounds:
        judge, one = pieces(dataset, bound)[2], np.zeros(len(dataset))
        one[judge.rows] = judge.weight
        other = by_seed.get(bound.seed, one)
        by_seed[bound.seed] = np.where((one > 0) & (other > 0), np.maximum(one, other), 0.0)
    stands = np.ones(len(dataset))
    for one in by_seed.values():
        stands = stands * one
    return stands


def raw_unseen(
    workspace: Workspace, model: PropensityModel, rows: Dataset, matured: Dataset
) -> Floats:
    """Log-odds of rows that did not teach who says them, shape (n,).

    Of the leads that a refit has learned from, the model that was judged speaks in its stead, on the
    level of the refit; of what became of them after it was made, the refit itself, as it was shown.

    Args:
        workspace: the installation.
        model: any model.
        rows: n rows that the booster of the model, or of the one that was judged, has not learned from.
        matured: all rows that could be learned from; leads are numbered as in `rows`.
    """
    raw = model.raw(rows.frame)
    again = model.about.get("refit")
    if again is None:
        return raw
    learned = np.unique(matured.lead[matured.as_of <= again["through_instant"]])
    made = to_instant(datetime.fromisoformat(again["at"]))
    seen = np.flatnonzero(np.isin(rows.lead, learned) & (rows.as_of < made))
    if len(seen):
        judged = workspace.registry.load(again["judged"])
        raw[seen] = judged.raw(rows.frame.take(seen)) + again["level"]
    return raw


def judged_as(model: PropensityModel) -> str:
    """The digest of the model that was judged: of a refit the one it comes from, else its own."""
    again = model.about.get("refit")
    return model.digest if again is None else str(again["judged"])


def wait_of(model: PropensityModel) -> int:
    """After how long an outcome is known, in microseconds; 0 where the promise has no horizon."""
    return model.definition.outcome_wait


def calibrated_through(model: PropensityModel) -> int:
    """The last as-of that a *re*calibration of the model has learned from; far back without one."""
    return int(model.about["calibration"].get("through_instant", np.iinfo(np.int64).min))


def calibrated_at(model: PropensityModel) -> int:
    """When the model was *re*calibrated: no deal recorded later was learned from.

    Far back without a recalibration, and never for one that has not kept it.
    """
    calibration = model.about["calibration"]
    if "through_instant" not in calibration:
        return int(np.iinfo(np.int64).min)
    at = calibration.get("calibrated_at")
    return int(np.iinfo(np.int64).max) if at is None else to_instant(datetime.fromisoformat(at))


def as_trained(model: PropensityModel) -> Calibrator:
    """The calibrator that came with the booster: it has seen none of the rows that judge it.

    A model recalibrated by an early version has not kept it: then what the booster says itself.
    """
    calibration = model.about["calibration"]
    if "as_trained" in calibration:
        return calibrator_from_json(calibration["as_trained"])
    return Identity() if "through_instant" in calibration else model.calibrator


def matured_rows(workspace: Workspace, definition: Definition) -> Dataset:
    """All rows whose outcome is known by the newest deal there is.

    Raises:
        NotEnoughEvidenceError: there are no deals, or no row has matured.
    """
    cutoff = newest_cutoff(workspace.store)
    config = TrainConfig()
    dataset = build_dataset(
        workspace.store, definition, cutoff, most_leads=config.most_leads, seed=config.seed
    )
    return known_outcomes(dataset)
