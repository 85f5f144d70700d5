"""What did the rehearsal show? Log loss and calibration of the three, week by week and in all.

Every open lead counts once a week, as often as somebody could have looked at it; leads that have become
one are one piece of evidence. Outcomes come from the whole history, read after the last week; weeks
whose horizon is not over by its end are not judged. Where the true probabilities are known – the
simulated company – what is said is held against those too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import iso
from features.definition import Definition
from features.facts import Queries
from features.store.engine import Store
from features.store.merges import Numbering, known_families
from features.store.outcomes import load_outcomes
from training.dataset import newest_cutoff
from training.labels import label
from training.loop.act import Look
from training.loop.rehearse import Rehearsal, Week
from training.metrics import auc, log_loss, paired_log_loss_difference
from training.reliability import debiased_ece, ece

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NAMES = ("ours", "frozen", "retrain_15d")

TrueChances = Callable[[Sequence[str], Ints], Floats]
"""Of leads at instants, shape (n,); NaN where there is none."""


@dataclass(frozen=True)
class Judged:
    """All rows of a rehearsal, in the order in which they were scored; arrays of shape (n,).

    Attributes:
        week: the number of the week.
        lead: a number per lead; leads that have become one share it.
        y: 1 won, 0 not won, −1 not known by the end of the history.
        said: of each of `NAMES`.
        truth: the true probability; None where nobody knows it.
    """

    week: Ints
    lead: Ints
    y: Ints
    said: dict[str, Floats]
    truth: Floats | None

    def known(self) -> Ints:
        """The rows whose outcome is known."""
        return np.flatnonzero(self.y >= 0)


def judged(
    history: Store,
    definition: Definition,
    rehearsal: Rehearsal,
    truth: TrueChances | None = None,
) -> Judged:
    """Hold what was said against what came of it, as far as the history goes."""
    played = [(i, week) for i, week in enumerate(rehearsal.weeks) if week.said]
    names = list(dict.fromkeys(lead for _, week in played for lead in week.leads))
    position = {name: i for i, name in enumerate(names)}
    leads = [lead for _, week in played for lead in week.leads]
    lead = np.array([position[name] for name in leads], dtype=np.int64)
    week_of = np.concatenate([np.full(len(week.leads), i) for i, week in played] or [lead])
    as_of = np.concatenate([np.full(len(week.leads), week.at) for _, week in played] or [lead])
    cutoff = newest_cutoff(history)
    with history.read() as connection:
        deals = load_outcomes(connection, names, cutoff)
        number = Numbering(known_families(connection, cutoff)).of(names)
    y = label(Queries(lead, as_of), deals, definition, cutoff).y
    none = np.zeros(0)
    said = {
        name: np.concatenate([week.said[name] for _, week in played] or [none]) for name in NAMES
    }
    return Judged(week_of, number[lead], y, said, None if truth is None else truth(leads, as_of))


def figures(found: Judged, rehearsal: Rehearsal, seed: int = 0) -> dict[str, Any]:
    """Log loss, calibration error and changes of model of each of the three, as plain content."""
    here = found.known()
    y, lead = found.y[here], found.lead[here]
    result: dict[str, Any] = {}
    for name in NAMES:
        p = found.said[name][here]
        result[name] = {
            "log_loss": round(log_loss(p, y), 5),
            "ece": round(ece(p, y), 5),
            "debiased_error": _rounded(debiased_ece(p, y, groups=lead).root),
            "auc": _rounded(auc(p, y)),
            "mean_said": round(float(p.mean()), 5),
            "model_changes": rehearsal.changes[name],
            **_against_truth(found, name, here),
        }
    for name in NAMES[1:]:
        gap = paired_log_loss_difference(
            found.said["ours"][here], found.said[name][here], y, lead, seed=seed
        )
        result[name]["ours_minus_this"] = {
            "difference": round(gap.difference, 5),
            "interval": [round(gap.lower, 5), round(gap.upper, 5)],
        }
    return {
        **result,
        "rows": len(here),
        "leads": len(np.unique(lead)),
        "observed": round(float(y.mean()), 5),
        "weeks": len(rehearsal.weeks),
        "from": iso(rehearsal.weeks[0].at),
        "through": iso(rehearsal.weeks[-1].at),
    }


def _against_truth(found: Judged, name: str, here: Ints) -> dict[str, float]:
    """How far from the true probabilities: by bands, and the log loss with the luck taken out."""
    if found.truth is None:
        return {}
    p, q = found.said[name][here], found.truth[here]
    known = np.flatnonzero(np.isfinite(q))
    p, q = p[known], q[known]
    bands = np.array_split(np.argsort(p, kind="stable"), 20)
    gaps = [float(np.mean(p[band] - q[band])) ** 2 for band in bands]
    expected = -(q * np.log(p) + (1 - q) * np.log1p(-p))
    return {
        "error_to_truth": round(float(np.sqrt(np.mean(gaps))), 5),
        "log_loss_by_truth": round(float(expected.mean()), 5),
    }


def _rounded(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None


def by_week(found: Judged, rehearsal: Rehearsal) -> list[dict[str, Any]]:
    """What a picture of each week needs: counts, what came, what each said, what the loop did."""
    rows = []
    for i, week in enumerate(rehearsal.weeks):
        here = np.flatnonzero((found.week == i) & (found.y >= 0))
        y = found.y[here]
        told = {
            name: {
                "said": _rounded(found.said[name][here].mean()) if len(here) else None,
                "log_loss": _rounded(log_loss(found.said[name][here], y)) if len(here) else None,
            }
            for name in NAMES
        }
        rows.append(
            {
                "at": iso(week.at),
                "leads": len(week.leads),
                "judged": len(here),
                "observed": _rounded(y.mean()) if len(here) else None,
                **told,
                "look": None if week.look is None else week.look.to_json(),
            }
        )
    return rows


def told_changes(weeks: Sequence[Week]) -> list[tuple[str, Look]]:
    """The looks at which something was decided, with their day."""
    return [
        (iso(week.at)[:10], week.look)
        for week in weeks
        if week.look is not None and week.look.decision is not None
    ]
