"""How good is what was learned, on rows it has not seen? One set of figures, and what to warn of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import iso
from models.propensity import PropensityModel
from training.dataset import Dataset
from training.metrics import Evaluation, OneClassError, evaluate_predictions
from training.splits import Bounds, Split

Floats = NDArray[np.float64]

FEW_OUTCOMES = 100
"""Won leads, or others, below which figures are warned of as few."""


@dataclass(frozen=True)
class Judged:
    """Figures on judged rows, and the rows' scores for pictures.

    Attributes:
        how: in a sentence, which rows judged.
        bounds: where the pieces began; None without time.
        figures: None when the judged rows hold only wins or only losses.
        raw, probability, y: what was said and what happened, shape (n,).
        warnings: for the card and the reader.
    """

    how: str
    bounds: Bounds | None
    figures: Evaluation | None
    raw: Floats
    probability: Floats
    y: NDArray[np.int64]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain data, without the rows."""
        figures = None if self.figures is None else self.figures.to_json()
        if figures is not None:
            figures.pop("gain")
        return {
            "how": self.how,
            "bounds": None if self.bounds is None else asdict(self.bounds),
            "figures": figures,
        }

    def metrics(self) -> dict[str, float]:
        """The figures that a run is compared by."""
        if self.figures is None:
            return {}
        return {
            "auc": self.figures.auc.estimate,
            "log_loss": self.figures.log_loss,
            "log_loss_base_rate": self.figures.base_rate_log_loss,
            "brier": self.figures.brier,
            "ece": self.figures.ece,
            "ece_debiased": self.figures.debiased_ece.root,
            "observed_over_expected": self.figures.observed_over_expected.estimate,
            "base_rate": self.figures.base_rate,
            "judged_rows": float(self.figures.n),
        }


def judge(
    matured: Dataset, splits: Sequence[Split], models: Sequence[PropensityModel], seed: int
) -> Judged:
    """Score every split's judging rows with its own model, and gather the figures.

    Args:
        matured: rows with known labels.
        splits: one forward, or one a fold.
        models: what was learned from each.
        seed: of the resampling where there are few leads.
    """
    rows = np.concatenate([split.judge.rows for split in splits])
    weight = np.concatenate([split.judge.weight for split in splits])
    scored = [
        model.score(matured.frame.take(split.judge.rows))
        for split, model in zip(splits, models, strict=True)
    ]
    raw = np.concatenate([scores.raw for scores in scored])
    probability = np.concatenate([scores.probability for scores in scored])
    y = matured.y[rows]
    how, bounds = _how(splits), splits[0].bounds
    try:
        figures = evaluate_predictions(
            raw,
            probability,
            y,
            matured.lead[rows],
            weights=weight,
            seed=seed,
            folds=_fold_of_each(splits) if bounds is None else None,
        )
    except OneClassError as error:
        return Judged(how, bounds, None, raw, probability, y, (f"Not judged: {error}",))
    return Judged(
        how,
        bounds,
        figures,
        raw,
        probability,
        y,
        tuple(warnings_of_figures(figures, dated=bounds is not None)),
    )


def _fold_of_each(splits: Sequence[Split]) -> NDArray[np.int64]:
    """Whose model scored each judged row: raw scores of two models do not compare."""
    return np.repeat(np.arange(len(splits)), [len(split.judge) for split in splits])


def _how(splits: Sequence[Split]) -> str:
    bounds = splits[0].bounds
    if bounds is None:
        return f"Judged in {len(splits)} seeded folds, rows that say the same kept together:"
    return f"Judged forward in time, on rows from {iso(bounds.judge_from)} on:"


def warnings_of_figures(figures: Evaluation, *, dated: bool = True) -> list[str]:
    """What must be known before these figures are believed."""
    found = []
    if not figures.discrimination.found:
        found.append(figures.discrimination.reason)
    ratio = figures.observed_over_expected
    if not ratio.lower <= 1.0 <= ratio.upper:
        cure = (
            "the level has moved since the calibration. Recalibrate as soon as newer outcomes are in."
            if dated
            else "more outcomes are needed to set the level."
        )
        found.append(
            f"{ratio.estimate:.2f} times as many won as it said ({ratio.lower:.2f} to "
            f"{ratio.upper:.2f}): {cure}"
        )
    # Rows of one lead repeat each other: leads are counted, as many won as among the rows.
    if min(figures.wins, figures.n - figures.wins) * figures.leads < FEW_OUTCOMES * figures.n:
        found.append(
            f"Few outcomes: {figures.wins} won of {figures.n} judged rows of {figures.leads} leads."
        )
    return found
