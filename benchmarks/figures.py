"""Which figures stand beside each other? The same for our learner and for every peer, on the same rows.

A difference in log loss is paired and has its interval, rows of one lead taken as one: two figures
side by side say nothing about which is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.metrics import Lift, evaluate_predictions, lift_at, paired_log_loss_difference

Floats = NDArray[np.float64]
_HEAD = ("", "log loss", "ours − this", "AUC", "Brier", "cal. error", "slope", "O/E", "seconds")


@dataclass(frozen=True)
class Said:
    """Log-odds, probabilities, what happened and to whom: all of shape (n,)."""

    raw: Floats
    probability: Floats
    y: NDArray[np.int64]
    lead: NDArray[np.int64]


def shown(said: Said) -> dict[str, Any]:
    """The figures of one set of predictions, rounded; null where there is no such figure."""
    figures = evaluate_predictions(said.raw, said.probability, said.y, said.lead)
    line = figures.calibration
    # Where all are tied, a slope through differences between folds would say nothing.
    slope = math.nan if np.ptp(said.raw) == 0 else line.slope.estimate
    return {
        "auc": _rounded(figures.auc.estimate),
        "auc_interval": [_rounded(figures.auc.lower), _rounded(figures.auc.upper)],
        "log_loss": _rounded(figures.log_loss),
        "base_rate_log_loss": _rounded(figures.base_rate_log_loss),
        "brier": _rounded(figures.brier),
        "ece": _rounded(figures.ece),
        "ece_debiased": _rounded(figures.debiased_ece.root),
        "slope": _rounded(slope),
        "intercept": _rounded(line.intercept.estimate),
        "o_e": _rounded(figures.observed_over_expected.estimate),
        "lift_10": _lift(lift_at(0.1, said.raw, said.y)),
        "lift_20": _lift(lift_at(0.2, said.raw, said.y)),
        "base_rate": _rounded(figures.base_rate),
        "n_test": figures.n,
    }


def against(ours: Said, theirs: Said, seed: int) -> dict[str, Any]:
    """Our log loss minus theirs on the same rows, below 0 where ours is better, with its interval."""
    found = paired_log_loss_difference(
        ours.probability, theirs.probability, ours.y, ours.lead, seed=seed
    )
    return {
        "difference": _rounded(found.difference, 5),
        "interval": [_rounded(found.lower, 5), _rounded(found.upper, 5)],
        "leads": found.leads,
        "method": found.method,
    }


def table(name: str, found: Mapping[str, Any]) -> str:
    """A set's figures for people: a line each for our learner and the peers, if any were asked."""
    title = f"{name}: {found['split']}, {found['n_test']:,} judged, {found['base_rate']:.1%} won"
    rows = [_HEAD]
    for who, figures in found.get("peers", {"ours": found}).items():
        rows.append((who, *_cells(figures)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([title, *(f"  {line}" for line in lines)])


def _cells(figures: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = (figures[key] for key in ("auc", "brier", "ece_debiased", "slope", "o_e"))
    return (
        f"{figures['log_loss']:.4f}",
        _difference(figures.get("ours_minus_this")),
        *("–" if number is None else f"{number:.3f}" for number in numbers),
        f"{figures['training_seconds']:.1f}",
    )


def _difference(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    lower, upper = found["interval"]
    return f"{found['difference']:+.4f} ({lower:+.4f} to {upper:+.4f})"


def _lift(lift: Lift) -> dict[str, Any]:
    return {
        "lift": _rounded(lift.lift),
        "interval": [_rounded(lift.lift_lower), _rounded(lift.lift_upper)],
        "tied": lift.tied,
    }


def _rounded(number: float, digits: int = 4) -> float | None:
    return round(number, digits) if math.isfinite(number) else None


def mean_and_error(values: Sequence[float]) -> dict[str, float | None]:
    """Mean over draws and its standard error; null for the error of a single draw."""
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return {"mean": _rounded(float(np.mean(values)), 5), "standard_error": _rounded(error, 5)}
