"""How does a model get trained? The story in ten calls; read this page first.

Rows with matured labels → a split that only looks forward → the leakage probe → learning on the older
rows → judging on the newest → a bundle of text → known to our database → catalogued in MLflow. What
was judged is what ships: the bundle is the very model that the figures speak of. Nothing here touches
the champion; `training.promote` does.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from features.clock import iso
from features.definition import Definition
from features.errors import NotEnoughEvidenceError
from features.frames import Category, Column
from features.pipeline import build_catalog
from models.bundle import write_bundle
from models.card import model_card
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.config import TrainConfig
from training.dataset import (
    Dataset,
    Progress,
    build_dataset,
    known_outcomes,
    newest_cutoff,
)
from training.day_zero import not_judged, nothing_known, plan, unknown_lead
from training.fit import calendar_columns
from training.judge import Judged, judge
from training.leakage import probe_leakage, refuse_leakage
from training.learn import Learned, learn, learn_little
from training.plots import plot_gain, plot_importance, plot_reliability, plot_scores
from training.splits import Lesson, grouped_lesson, row_groups

GOLDEN_ROWS = 20
_TELLING_ROWS = 1_000


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
    splits = plan(matured, definition, config)
    if not splits:
        watching.step("scoring by what is agreed")
        learned = learn_little(matured, definition, config)
        judged = not_judged(matured, definition, config)
    else:
        watching.step("looking for columns that know the outcome")
        look_for_leakage(matured, definition, config)
        watching.step("learning")
        lessons = [learn(matured, one.lesson, definition, config, watching.step) for one in splits]
        watching.step("judging on rows it has not seen")
        judged = judge(matured, splits, [lesson.model for lesson in lessons], config.seed)
        dated = definition.time != "none"
        learned = lessons[0] if dated else _from_all(matured, definition, config)
    about = _about(definition, dataset, learned, judged, config, now)
    return _register(workspace, matured, learned, judged, about, now, watching)


def look_for_leakage(matured: Dataset, definition: Definition, config: TrainConfig) -> None:
    """Raise when a column knows the outcome, unless the run was told to allow it.

    Raises:
        LeakageError: naming every such column and what to do about it.
    """
    names = {spec.name: spec.name.removeprefix("attr_") for spec in build_catalog(definition)}
    columns = {names[name]: column for name, column in matured.frame.columns.items()}
    dated = [short for name, short in names.items() if name.startswith(("ev_", "bant_", "lead_"))]
    findings = probe_leakage(
        columns,
        matured.y,
        groups=matured.lead,
        dated=dated,
        allow=config.allow_leakage,
        seed=config.seed,
    )
    refuse_leakage(findings)


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


def _from_all(matured: Dataset, definition: Definition, config: TrainConfig) -> Learned:
    """The model that ships where there is no time: learned from all rows, judged by its folds."""
    lesson: Lesson = grouped_lesson(row_groups(matured), np.arange(len(matured)), config)
    return learn(matured, lesson, definition, config)


def _about(
    definition: Definition,
    dataset: Dataset,
    learned: Learned,
    judged: Judged,
    config: TrainConfig,
    now: int,
) -> dict[str, Any]:
    matured = dataset.matured()
    dated = definition.time == "dated"
    left_out = {
        "sensitive": [a.name for a in definition.attributes if a.sensitive],
        "filled in during the sale": [a.name for a in definition.attributes if a.known_late],
        "says what time it was, not who the lead is": calendar_columns(matured.frame),
        "allowed although the leakage probe named it": list(config.allow_leakage),
    }
    return {
        "name": definition.name,
        "horizon_days": definition.horizon_days,
        "time": definition.time,
        "trained_at": iso(now),
        "data": {
            "rows": len(matured),
            "leads": len(np.unique(matured.lead)),
            "wins": int(matured.y.sum()),
            "base_rate": float(matured.y.mean()) if len(matured) else None,
            "from": iso(int(matured.as_of.min())) if dated and len(matured) else None,
            "through": iso(int(matured.as_of.max())) if dated and len(matured) else None,
            "labels": dataset.reasons(),
            "fingerprint": dataset.fingerprint,
        },
        "judged": judged.to_json(),
        "learner": _learner(learned, matured),
        "calibration": {
            "name": learned.calibration.name,
            "reason": learned.calibration.reason,
            "wins": learned.calibration.wins,
            "calibrated_at": iso(now),
        },
        "answers": answers_given(matured, definition),
        "left_out": left_out,
        "warnings": warnings_of(definition, judged),
        "config": config.to_json(),
        "versions": {name: version(name) for name in ("lightgbm", "numpy", "scikit-learn")},
    }


def answers_given(matured: Dataset, definition: Definition) -> dict[str, dict[str, float]]:
    """Question -> answer -> how often it is given by leads that were asked, most frequent first.

    The asked-and-unknown level is among them. Questions that nobody was asked are left out.
    """
    found = {}
    for question in definition.questions:
        column = matured.frame.columns[f"bant_{question.name}"]
        said = Counter(label for label in _labels(column) if label is not None)
        if said:
            total = sum(said.values())
            found[question.name] = {level: n / total for level, n in said.most_common()}
    return found


def _labels(column: Column) -> list[str | None]:
    assert isinstance(column, Category), "answers are categories"
    return column.labels()


def _learner(learned: Learned, matured: Dataset) -> dict[str, Any]:
    chosen, choice, blend = learned.chosen, learned.choice, learned.model.learner
    return {
        "weight": blend.weight,
        "leaves": chosen.leaves if chosen is not None and blend.trees is not None else 0,
        "trees": chosen.trees if chosen is not None and blend.trees is not None else 0,
        "half_life": choice.half_life if choice is not None else None,
        "losses": choice.losses if choice is not None else {},
        "columns": len(learned.model.encoder.columns),
        "trials": [
            {"leaves": t.leaves, "trees": t.trees, "log_loss": t.log_loss} for t in learned.trials
        ],
        "importance": importance(learned.model, matured),
    }


def importance(model: PropensityModel, rows: Dataset) -> dict[str, float]:
    """How much each column moves a score: the mean of its absolute contribution, in log-odds.

    Over at most `_TELLING_ROWS` rows, evenly taken.
    """
    step = max(len(rows) // _TELLING_ROWS, 1)
    shares, _ = model.contributions(rows.frame.take(np.arange(0, len(rows), step)))
    means = np.abs(shares).mean(axis=0) if len(shares) else np.zeros(shares.shape[1])
    return dict(zip(model.encoder.names, means.tolist(), strict=True))


def warnings_of(definition: Definition, judged: Judged) -> list[str]:
    """What must be known before the figures are believed."""
    found = list(judged.warnings)
    if definition.time == "none":
        found.append(
            "Forward validation was impossible: the history has no dates. The figures come from "
            "seeded folds and say nothing about drift."
        )
    if definition.time == "ordered":
        found.append("The history has an order but no dates: forward in order, horizon unchecked.")
    if definition.time == "dated" and definition.horizon_days is None:
        found.append(
            "The promise has no horizon: only closed leads are judged, and rows learned from may "
            "have closed within the judging period."
        )
    return found


def _register(
    workspace: Workspace,
    matured: Dataset,
    learned: Learned,
    judged: Judged,
    about: dict[str, Any],
    now: int,
    watching: Watching,
) -> Trained:
    watching.step("writing the bundle")
    golden = matured.frame.take(np.arange(min(GOLDEN_ROWS, len(matured))))
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
    run = catalogue(workspace, digest, model, judged, "train", watching.warn)
    return Trained(digest, workspace.registry.load(digest), judged, run)


def summary(about: dict[str, Any]) -> dict[str, Any]:
    """The figures that a list of models shows."""
    figures = about["judged"]["figures"] or {}
    return {
        "name": about["name"],
        "trained_at": about["trained_at"],
        "calibration": about["calibration"]["name"],
        "rows": about["data"]["rows"],
        "wins": about["data"]["wins"],
        "auc": figures.get("auc", {}).get("estimate"),
        "log_loss": figures.get("log_loss"),
        "base_rate_log_loss": figures.get("base_rate_log_loss"),
        "observed_over_expected": figures.get("observed_over_expected", {}).get("estimate"),
        "warnings": about["warnings"],
    }


def catalogue(
    workspace: Workspace,
    digest: str,
    model: PropensityModel,
    judged: Judged | None,
    origin: str,
    warn: Callable[[str], None],
) -> str | None:
    """Log a bundle as an MLflow run; None, with a warning, when MLflow cannot be reached."""
    # MLflow takes seconds to import and is only needed here.
    from training.tracking import TrackingError, log_run

    with tempfile.TemporaryDirectory() as scratch:
        pictures = Path(scratch)
        _draw(pictures, model, judged)
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


def _draw(directory: Path, model: PropensityModel, judged: Judged | None) -> None:
    """The pictures an analyst looks for."""
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
