"""Which rows can speak about a model, and what did it say of them?

Rule: only rows that the scorer of the row has not learned from. A trained model is shown by the rows
that judged it; later by all matured rows it has not seen, as they are known then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.clock import iso
from features.errors import NotEnoughEvidenceError
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.dataset import Dataset
from training.judge import Judged
from training.splits import Split
from training.unseen import unseen_rows

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


def evidence_today(workspace: Workspace, model: PropensityModel) -> Evidence | None:
    """All matured rows the model has not learned from, as known today; None without any."""
    try:
        unseen = unseen_rows(workspace, model)
    except NotEnoughEvidenceError:
        return None
    if unseen is None:
        return None
    rows = unseen.dataset
    scores = model.score(rows.frame)
    how = f"Matured rows it has not learned from, from {iso(int(rows.as_of.min()))} on:"
    if model.definition.time != "dated":
        how = "Matured rows it has not learned from:"
    return Evidence(rows, scores.raw, scores.probability, unseen.weight, None, how)
