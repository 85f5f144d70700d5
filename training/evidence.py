"""Which rows can speak about a model, and what did it say of them?

Rule: only rows that the scorer of the row has not learned from. A trained model is shown by the rows
that judged it; later by all matured rows it has not seen, as they are known then. A recalibrated one
that has seen them all is shown by what its like would have said on the way, forward in time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.clock import iso
from features.errors import NotEnoughEvidenceError
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.dataset import Dataset
from training.forward import LEAST_WINS, Forward, said_following, said_forward
from training.judge import Judged
from training.splits import Split
from training.unseen import (
    Unseen,
    after_boosters,
    as_trained,
    calibrated_through,
    comparable,
    judged_as,
    matured_rows,
    newer,
    raw_unseen,
    wait_of,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Evidence:
    """Rows with outcomes, and what was said of them before they were known.

    Attributes:
        rows: n rows with known labels.
        raw, probability: what was said, shape (n,).
        weight: how many rows each stands for, shape (n,).
        folds: by which model each row was scored, shape (n,); None for one model.
        how: in a sentence, which rows these are.
    """

    rows: Dataset
    raw: Floats
    probability: Floats
    weight: Floats
    folds: Ints | None
    how: str

    def __len__(self) -> int:
        return len(self.rows)


def evidence_of_training(matured: Dataset, splits: Sequence[Split], judged: Judged) -> Evidence:
    """The rows that judged a training, one split after the other, as `judge` scored them."""
    return Evidence(
        matured.take(np.concatenate([split.judge.rows for split in splits])),
        judged.raw,
        judged.probability,
        np.concatenate([split.judge.weight for split in splits]),
        None
        if judged.bounds is not None
        else np.repeat(np.arange(len(splits)), [len(split.judge) for split in splits]),
        judged.how,
    )


def evidence_on_the_way(unseen: Unseen, raw: Floats, forward: Forward) -> Evidence:
    """What calibrations made on the way said of the rows that came after each of them."""
    here = np.flatnonzero(forward.step >= 0)
    rows = unseen.take(here)
    how = how_forward(forward) if len(here) else NOT_YET
    return Evidence(rows.dataset, raw[here], forward.said[here], rows.weight, None, how)


def evidence_today(workspace: Workspace, model: PropensityModel, seed: int = 0) -> Evidence | None:
    """All matured rows the model has not learned from, as known today; None without any.

    Of leads that a refit has learned from, the model that was judged speaks in its stead.
    """
    try:
        if not comparable(model):
            return None
        matured = matured_rows(workspace, model.definition)
    except NotEnoughEvidenceError:
        return None
    after = after_boosters(matured, model)
    if after is None:
        return None
    raw = raw_unseen(workspace, model, after.dataset, matured)
    found = _as_it_is(after, raw, model) or _on_the_way(after, raw, model, seed)
    if found is None or "refit" not in model.about:
        return found
    who = judged_as(model)[:12]
    how = f"Leads that it has learned from are said by the model {who}, which has not. {found.how}"
    return replace(found, how=how)


def _as_it_is(after: Unseen, raw: Floats, model: PropensityModel) -> Evidence | None:
    """Rows that are new to its calibration, too; None without any."""
    unseen = newer(after, model)
    if unseen is None:
        return None
    rows = unseen.dataset
    left = raw[after.dataset.as_of > calibrated_through(model)]
    how = f"Matured rows it has not learned from, from {iso(int(rows.as_of.min()))} on:"
    if model.definition.time != "dated":
        how = "Matured rows it has not learned from:"
    return Evidence(rows, left, model.calibrator.apply(left), unseen.weight, None, how)


def _on_the_way(after: Unseen, raw: Floats, model: PropensityModel, seed: int) -> Evidence | None:
    """A recalibrated model has seen them all: its like, each made of what was known before."""
    start, wait = as_trained(model), wait_of(model)
    forward = said_forward(raw, after, start, wait, seed)
    if model.about["calibration"].get("memory") and forward.waited:
        forward = said_following(raw, after, start, wait, forward)
    found = evidence_on_the_way(after, raw, forward)
    return found if len(found) else None


NOT_YET = (
    f"The calibration has not been judged forward in time: there are no {LEAST_WINS} won and "
    f"{LEAST_WINS} other leads to fit an earlier one to, with later outcomes to judge it."
)


def how_forward(forward: Forward) -> str:
    """In a sentence, which rows a walk through time has spoken of, and with what."""
    fitted = (
        "whose outcomes were known at the row's instant"
        if forward.waited
        else "fitted on earlier cohorts of other leads, without waiting until all outcomes were known"
    )
    return (
        f"Judged forward in time as a recalibrated model: every row from {iso(int(forward.began[0]))} "
        f"on is said by the newest of {len(forward.began)} calibrations of this booster {fitted}. The "
        f"calibration that ships is the next of them; it is fitted on all of these outcomes, so nothing "
        f"is left to judge it:"
    )
