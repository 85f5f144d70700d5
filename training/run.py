"""How does a model get trained? The story in ten calls; read this page first.

Rows with matured labels → a split that only looks forward → the leakage probe → learning on the older
rows → judging on the newest → a bundle of text → known to our database → catalogued in MLflow. What
was judged is what ships: the bundle is the very model that the figures speak of. Nothing here touches
the champion; `training.promote` does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from features.definition import Definition
from features.errors import NotEnoughEvidenceError
from models.bundle import write_bundle
from models.card import model_card
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.about import about_model, summary
from training.config import TrainConfig
from training.dataset import (
    Dataset,
    Progress,
    build_dataset,
    known_outcomes,
    newest_cutoff,
)
from training.day_zero import not_judged, nothing_known, plan, unknown_lead
from training.evidence import Evidence, evidence_of_training
from training.golden import golden_rows
from training.judge import Judged, judge
from training.leakage import refuse_leakage
from training.learn import Learned, learn, learn_little
from training.pictures import draw_all
from training.plots import plot_gain, plot_importance, plot_reliability, plot_scores
from training.probe import find_leakage, late_values
from training.proxies import Audit, audit_proxies, sensitive_values
from training.report import report_of
from training.report_page import report_page
from training.splits import Lesson, Split, grouped_lesson, row_groups
from training.timeliness import deal_warnings

_AUDITED_ROWS = 10_000


@dataclass(frozen=True)
class Trained:
    """What a training run made: the bundle's digest, the model, its figures, MLflow's run."""

    digest: str
    model: PropensityModel
    judged: Judged
    mlflow_run: str | None


@dataclass(frozen=True)
class Watching:
    """Who is told how it goes: steps in words, leads done, and warnings."""

    step: Callable[[str], None] = lambda _: None
    rows: Progress | None = None
    warn: Callable[[str], None] = lambda _: None


def train(
    workspace: Workspace, config: TrainConfig, *, now: int, watching: Watching | None = None
) -> Trained:
    """Train a model on all matured outcomes and register it as a challenger.

    Args:
        workspace: the installation.
        config: the choices of this run.
        now: the present instant, recorded as the bundle's creation.
        watching: told how it goes.

    Raises:
        NotEnoughEvidenceError: too few outcomes, or too short a history.
        LeakageError: a column knows the outcome; named, with what to do.
    """
    watching = watching or Watching()
    definition = workspace.definition()
    watching.step("reading facts and outcomes")
    dataset = _dataset(workspace, definition, config, now, watching)
    matured = dataset.matured()
    splits, told, audit = plan(matured, definition, config), list[str](), None
    if not splits:
        watching.step("scoring by what is agreed")
        learned = learn_little(matured, definition, config)
        judged = not_judged(matured, definition, config)
    else:
        watching.step("looking for columns that know the outcome")
        late = late_values(workspace.store, definition, dataset.cutoff)
        suspects = look_for_leakage(matured, definition, config, late)
        told = [*suspects, *_about_deals(workspace, definition, dataset, splits)]
        watching.step("learning")
        lessons = [learn(matured, one.lesson, definition, config, watching.step) for one in splits]
        watching.step("judging on rows it has not seen")
        judged = judge(matured, splits, [lesson.model for lesson in lessons], config.seed)
        audit = _audit(workspace, matured, splits, judged, config)
        dated = definition.time != "none"
        learned = lessons[0] if dated else _from_all(matured, definition, config)
    about = about_model(definition, dataset, learned, judged, config, now, told, audit)
    evidence = evidence_of_training(matured, splits, judged) if splits else None
    return _register(workspace, matured, learned, judged, evidence, about, now, watching)


def look_for_leakage(
    matured: Dataset,
    definition: Definition,
    config: TrainConfig,
    late: Mapping[str, float] | None = None,
) -> list[str]:
    """Raise when a column knows the outcome, unless the run was told to allow it.

    Args:
        matured: rows with known outcomes.
        definition: what the columns are made of.
        config: what a person has allowed.
        late: per attribute the share of values filled in after the close.

    Returns:
        What is suspicious and no proof, in sentences.

    Raises:
        LeakageError: naming every such column and what to do about it.
    """
    findings = find_leakage(
        matured, definition, late=late, allow=config.allow_leakage, seed=config.seed
    )
    refuse_leakage(findings)
    return [finding.message for finding in findings if not finding.blocking]


def _dataset(
    workspace: Workspace,
    definition: Definition,
    config: TrainConfig,
    now: int,
    watching: Watching,
) -> Dataset:
    """All rows, or none where nothing has closed yet and a win rate is agreed on."""
    try:
        dataset = build_dataset(
            workspace.store,
            definition,
            newest_cutoff(workspace.store),
            most_leads=config.most_leads,
            seed=config.seed,
            progress=watching.rows,
        )
        known_outcomes(dataset)
    except NotEnoughEvidenceError:
        if definition.expected_win_rate is None:
            raise
        return nothing_known(definition, now)
    return dataset


def _audit(
    workspace: Workspace,
    matured: Dataset,
    splits: Sequence[Split],
    judged: Judged,
    config: TrainConfig,
) -> Audit | None:
    """Which features give sensitive attributes away; None where none is named."""
    definition = workspace.definition()
    if not any(attribute.sensitive for attribute in definition.attributes):
        return None
    rows = np.concatenate([split.judge.rows for split in splits])
    some = np.arange(0, len(rows), max(len(rows) // _AUDITED_ROWS, 1))
    audited = matured.take(rows[some])
    sensitive = sensitive_values(workspace.store, definition, audited)
    return audit_proxies(
        audited, sensitive, definition, probability=judged.probability[some], seed=config.seed
    )


def _about_deals(
    workspace: Workspace, definition: Definition, dataset: Dataset, splits: Sequence[Split]
) -> list[str]:
    """What must be known about the deals before their labels are believed."""
    watched = [one.sentence() for split in splits for one in split.watched]
    return [*deal_warnings(workspace.store, definition, dataset.cutoff), *watched]


def _from_all(matured: Dataset, definition: Definition, config: TrainConfig) -> Learned:
    """The model that ships where there is no time: learned from all rows, judged by its folds."""
    lesson: Lesson = grouped_lesson(row_groups(matured), np.arange(len(matured)), config)
    return learn(matured, lesson, definition, config)


def _register(
    workspace: Workspace,
    matured: Dataset,
    learned: Learned,
    judged: Judged,
    evidence: Evidence | None,
    about: dict[str, Any],
    now: int,
    watching: Watching,
) -> Trained:
    watching.step("writing the bundle")
    golden = golden_rows(matured.frame)
    if len(golden) == 0:
        golden = unknown_lead(learned.model.definition, now)
    model = replace(learned.model, about=about)
    digest = write_bundle(
        model,
        workspace.bundles,
        created_at=now,
        origin="train",
        golden=golden,
        card=model_card(about),
    )
    workspace.registry.add(digest, summary(about))
    watching.step("cataloguing in MLflow")
    run = catalogue(workspace, digest, model, judged, "train", watching.warn, evidence)
    return Trained(digest, workspace.registry.load(digest), judged, run)


def catalogue(
    workspace: Workspace,
    digest: str,
    model: PropensityModel,
    judged: Judged | None,
    origin: str,
    warn: Callable[[str], None],
    evidence: Evidence | None = None,
) -> str | None:
    """Log a bundle as an MLflow run; None where there is no MLflow, or, with a warning, out of reach."""
    if not workspace.is_catalogued:
        return None
    # MLflow takes seconds to import and is only needed here.
    from training.tracking import TrackingError, log_run

    with tempfile.TemporaryDirectory() as scratch:
        pictures = Path(scratch)
        _draw(pictures, replace(model, digest=digest), judged, evidence)
        (pictures / "card.md").write_text(model_card(model.about), encoding="utf-8")
        try:
            return log_run(
                workspace.mlflow_uri,
                workspace.data_dir / "mlartifacts",
                workspace.bundles / digest,
                params=_params(model),
                metrics=judged.metrics() if judged is not None else {},
                tags={
                    "digest": digest,
                    "definition": model.definition.hash,
                    "fingerprint": model.about["data"]["fingerprint"],
                    "origin": origin,
                },
                pictures=pictures,
            )
        except TrackingError as error:
            warn(f"not catalogued in MLflow ({error}); the bundle and our database have it")
            return None


def _draw(
    directory: Path, model: PropensityModel, judged: Judged | None, evidence: Evidence | None
) -> None:
    """The pictures an analyst looks for; with the rows that judged, the page of `evaluate` as well."""
    if judged is not None and evidence is not None:
        report = report_of(model, evidence, figures=judged.figures)
        page = report_page(report, draw_all(directory, model, report, evidence))
        (directory / "evaluation.html").write_text(page, encoding="utf-8")
        return
    plot_importance(model.about["learner"]["importance"], directory / "importance.png")
    if judged is not None and judged.figures is not None:
        figures = judged.figures
        plot_reliability(figures.bins, directory / "reliability.png")
        plot_gain(figures.gain, figures.base_rate, directory / "lift.png")
        plot_scores(judged.probability, judged.y, directory / "scores.png")


def _params(model: PropensityModel) -> dict[str, Any]:
    about = model.about
    return {
        **{key: str(value) for key, value in about["config"].items()},
        "weight_of_additive_part": about["learner"]["weight"],
        "leaves": about["learner"]["leaves"],
        "trees": about["learner"]["trees"],
        "columns": about["learner"]["columns"],
        "calibration": about["calibration"]["name"],
        "horizon_days": str(about["horizon_days"]),
    }
