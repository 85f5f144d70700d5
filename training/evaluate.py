"""How good is a model, on everything that is known today? Its report, and the picture book to it.

Rule: it looks and decides nothing. What a comparison with the champion says here is what `promote`
would say; only `promote` acts on it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from features.errors import NotEnoughEvidenceError, NotFoundError
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.evidence import Evidence, evidence_today
from training.learning_curve import LearningCurve, config_of, learning_curve
from training.pictures import draw_all
from training.promote import paired_verdict
from training.report import Report, report_of
from training.report_page import report_page
from training.splits import Fold, Lesson, Split, grouped_splits, pieces
from training.unseen import bounds_of, matured_rows
from training.verdicts import Verdict


@dataclass(frozen=True)
class Evaluated:
    """A model, its report, and the rows that the report speaks of."""

    model: PropensityModel
    report: Report
    evidence: Evidence | None

    def page(self) -> str:
        """The report as one file of HTML, pictures included."""
        with TemporaryDirectory() as scratch:
            pictures = draw_all(Path(scratch), self.model, self.report, self.evidence)
            return report_page(self.report, pictures)


def evaluate(
    workspace: Workspace,
    name: str,
    *,
    seed: int = 0,
    curve: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Evaluated:
    """Hold what a model says against the outcomes it has not learned from, as known today.

    Args:
        workspace: the installation.
        name: champion, previous, newest or the first digits of a digest.
        seed: of the resampling where there are few leads.
        curve: whether to learn again and again for a learning curve; it takes as long as about ten
            trainings.
        progress: told how it goes.
    """
    model = workspace.registry.load(name)
    progress("reading facts and outcomes")
    evidence = evidence_today(workspace, model, seed)
    progress("comparing with the other model")
    against = None if evidence is None else other_model(workspace, model, seed)
    progress("taking the outcomes apart")
    report = report_of(model, evidence, seed=seed, against=against)
    if curve:
        found = curve_of(workspace, model, progress)
        report = report if found is None else report.with_curve(found)
    return Evaluated(model, report, evidence)


def other_model(
    workspace: Workspace, model: PropensityModel, seed: int
) -> tuple[str, Verdict] | None:
    """The comparison that is open: of a challenger with the champion, or of it with the newest model.

    None where there is no other model, or nothing to compare on.
    """
    champion, newest = workspace.registry.champion_digest(), _newest(workspace)
    if champion is None:
        return None
    try:
        if model.digest != champion:
            verdict = paired_verdict(workspace, model.digest, champion, seed)
            return f"Against the champion {champion[:12]}", verdict
        if newest is not None and newest != champion:
            verdict = paired_verdict(workspace, newest, champion, seed)
            return f"The newest model {newest[:12]} against it", verdict
    except NotEnoughEvidenceError:
        return None
    return None


def _newest(workspace: Workspace) -> str | None:
    try:
        return workspace.registry.find("newest")
    except NotFoundError:
        return None


def curve_of(
    workspace: Workspace, model: PropensityModel, progress: Callable[[str], None] = lambda _: None
) -> LearningCurve | None:
    """A model's learning curve on the pieces it was trained and judged on; None where it has none.

    Without time the first fold stands for all: what it holds out judges.
    """
    config, bounds = config_of(dict(model.about["config"])), bounds_of(model)
    try:
        matured = matured_rows(workspace, model.definition)
        if bounds is not None:
            fit, calibrate, judge = pieces(matured, bounds)
            split = Split(Lesson((Fold(fit, calibrate),)), judge, bounds)
        elif model.definition.time == "none" and model.about["judged"]["figures"] is not None:
            split = grouped_splits(matured, config)[0]
        else:
            return None
    except NotEnoughEvidenceError:
        return None
    return learning_curve(matured, split, model.definition, config, progress)
