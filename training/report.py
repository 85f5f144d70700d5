"""What does an analyst want to know of a model, in one page? Five questions, their answers, the figures.

Is there signal, is it calibrated, where is it wrong, what drives it, how many more outcomes would settle
what is undecided? Rule: plain data. What could not be measured is None and is said; nothing is made up
for it. `report_words` puts it on a terminal, `report_page` on a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from features.clock import iso
from models.calibrators import FLOOR, logit, sigmoid
from models.propensity import PropensityModel
from training.drives import Drives, drives
from training.enough import Enough, enough
from training.evidence import Evidence
from training.intervals import Interval, plain
from training.learning_curve import LearningCurve
from training.metrics import (
    Evaluation,
    OneClassError,
    evaluate_predictions,
    outcomes_needed,
    paired_log_loss_difference,
    reliability_bins,
)
from training.segments import dimensions_of
from training.verdicts import Verdict
from training.wrong_where import Where, where_wrong

JSON = dict[str, Any]


@dataclass(frozen=True)
class Report:
    """What is known about how good a model is.

    Attributes:
        model: `digest`, `name`, `promise`, `trained_at`, `time`, `calibration`.
        how: which rows speak.
        source: `evidence` (rows at hand), `training` (only its figures were kept) or `nothing`.
        rows: how many judge.
        span: first and last as-of of them, ISO; None without dates.
        figures: `Evaluation` as plain data; None where nothing could be judged.
        together: the bands of `figures["bins"]` with intervals that hold all at once, 95 %; None
            without rows at hand.
        where: None without rows at hand.
        drives: what moves scores.
        enough: how far the outcomes go.
        comparison: `against`, `decision`, `reason`, `evidence` of the challenger; None without one.
        curve: None unless asked for.
        warnings: what must be known first.
    """

    model: JSON
    how: str
    source: str
    rows: int
    span: tuple[str, str] | None
    figures: JSON | None
    together: tuple[JSON, ...] | None
    where: Where | None
    drives: Drives
    enough: Enough
    comparison: JSON | None
    curve: LearningCurve | None
    warnings: tuple[str, ...]

    def to_json(self) -> JSON:
        """As plain data; the model's digest alone under `model`, more of it under `about`."""
        return {
            "model": self.model["digest"],
            "about": self.model,
            "how": self.how,
            "source": self.source,
            "rows": self.rows,
            "span": None if self.span is None else list(self.span),
            "figures": self.figures,
            "bands_together": None if self.together is None else list(self.together),
            "where": None if self.where is None else self.where.to_json(),
            "drives": self.drives.to_json(),
            "enough": plain(self.enough),
            "comparison": plain(self.comparison),
            "learning_curve": None if self.curve is None else self.curve.to_json(),
            "warnings": list(self.warnings),
        }

    def with_curve(self, curve: LearningCurve) -> Report:
        """The same with a learning curve."""
        return replace(self, curve=curve)


def report_of(
    model: PropensityModel,
    evidence: Evidence | None,
    *,
    seed: int = 0,
    figures: Evaluation | None = None,
    against: tuple[str, Verdict] | None = None,
) -> Report:
    """Everything about a model that one page shows.

    Args:
        model: the model.
        evidence: rows it has not learned from; None: only the figures of its training are left.
        seed: of the resampling where there are few leads.
        figures: those of the evidence where they have been measured already.
        against: the name of the model it was compared with, and the verdict.
    """
    about = model.about
    if evidence is None:
        return _from_its_training(model, against)
    known, warnings = _known_figures(evidence, seed, figures)
    rows = evidence.rows
    won, lost = (len(np.unique(rows.lead[rows.y == outcome])) for outcome in (1, 0))
    rate = known.base_rate if known is not None else _expected_rate(model)
    level = None if known is None else known.observed_over_expected
    dated = model.definition.time == "dated"
    return Report(
        model=_model(model),
        how=evidence.how,
        source="evidence",
        rows=len(evidence),
        span=(iso(int(rows.as_of.min())), iso(int(rows.as_of.max()))) if dated else None,
        figures=None if known is None else known.to_json(),
        together=None if known is None else _together(evidence, len(known.bins)),
        where=None if known is None else _where(evidence, model),
        drives=drives(model, about["learner"].get("importance", {})),
        enough=replace(
            enough(won, lost, rate, level), more_for_signal=_more_for_signal(evidence, known, seed)
        ),
        comparison=_comparison(against),
        curve=None,
        warnings=(*warnings, *lasting(about["warnings"])),
    )


def _from_its_training(model: PropensityModel, against: tuple[str, Verdict] | None) -> Report:
    about = model.about
    figures, how = about["judged"]["figures"], about["judged"]["how"]
    wins, rows = (figures["wins"], figures["n"]) if figures else (0, 0)
    ratio = figures["observed_over_expected"] if figures else None
    known = ratio is not None and None not in ratio.values()
    level = Interval(**ratio) if ratio is not None and known else None
    rate = figures["base_rate"] if figures else _expected_rate(model)
    return Report(
        model=_model(model),
        how=how,
        source="training" if figures else "nothing",
        rows=0,
        span=None,
        figures=figures,
        together=None,
        where=None,
        drives=drives(model, about["learner"].get("importance", {})),
        enough=enough(wins, rows - wins, rate, level),
        comparison=_comparison(against),
        curve=None,
        warnings=tuple(about["warnings"]),
    )


def _model(model: PropensityModel) -> JSON:
    about, horizon = model.about, model.horizon_days
    until = "by the time they close" if horizon is None else f"within {horizon:g} days"
    return {
        "digest": model.digest,
        "name": about["name"],
        "promise": f"When it says 20 %, one in five such leads should buy {until}.",
        "trained_at": about["trained_at"],
        "time": model.definition.time,
        "calibration": about["calibration"]["name"],
    }


def _expected_rate(model: PropensityModel) -> float | None:
    rate = model.about["data"].get("base_rate") or model.definition.expected_win_rate
    return None if rate is None else float(rate)


def _known_figures(
    evidence: Evidence, seed: int, figures: Evaluation | None
) -> tuple[Evaluation | None, list[str]]:
    rows = evidence.rows
    try:
        known = figures or evaluate_predictions(
            evidence.raw,
            evidence.probability,
            rows.y,
            rows.lead,
            weights=evidence.weight,
            folds=evidence.folds,
            seed=seed,
        )
    except OneClassError as error:
        return None, [f"Not judged: {error}"]
    return known, []


def _together(evidence: Evidence, bands: int) -> tuple[JSON, ...]:
    """The same bands with intervals that all hold at once: Bonferroni, each at 1 − .05 / bands."""
    rows, weights = evidence.rows, evidence.weight
    level = 1 - 0.05 / max(bands, 1)
    found = reliability_bins(
        evidence.raw, evidence.probability, rows.y, level=level, groups=rows.lead, weights=weights
    )
    return tuple(plain(band) for band in found)


def _more_for_signal(evidence: Evidence, known: Evaluation | None, seed: int) -> int | None:
    """How many more leads would show a gain over the base rate, at the level that was right."""
    if known is None:
        return None
    if known.discrimination.found:
        return 0
    rows, weight = evidence.rows, evidence.weight
    odds = logit(np.clip(evidence.probability, FLOOR, 1 - FLOOR))
    said = sigmoid(odds + known.calibration.intercept.estimate)
    rate = np.full(len(rows), known.base_rate)
    gain = paired_log_loss_difference(said, rate, rows.y, rows.lead, seed=seed, weights=weight)
    return outcomes_needed(gain) or None if gain.difference < 0 else None


def _where(evidence: Evidence, model: PropensityModel) -> Where:
    rows = evidence.rows
    return where_wrong(
        evidence.probability,
        rows.y,
        rows.lead,
        dimensions_of(rows.frame, evidence.probability, model),
        evidence.weight,
    )


def _comparison(against: tuple[str, Verdict] | None) -> JSON | None:
    if against is None:
        return None
    name, verdict = against
    said = {"decision": verdict.decision, "reason": verdict.reason, "evidence": verdict.evidence}
    return {"against": name, **said}


def lasting(warnings: Sequence[str]) -> tuple[str, ...]:
    """Those of a training's warnings that newer outcomes do not answer: about dates, columns, deals.

    What was said of its figures is left out: the report has newer ones.
    """
    return tuple(
        warning
        for warning in warnings
        if not warning.startswith(("No discrimination", "Few outcomes", "Not judged"))
        and " times as many won as it said" not in warning
    )
