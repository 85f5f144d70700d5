"""What is recorded about a model when it is trained? Plain data, for the card, lists and decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from features.clock import DAY, iso
from features.definition import Definition
from features.frames import Category, Column
from models.propensity import PropensityModel
from training.config import TrainConfig
from training.dataset import Dataset
from training.fit import calendar_columns
from training.judge import Judged
from training.learn import Learned
from training.proxies import Audit

_TELLING_ROWS = 1_000


def about_model(
    definition: Definition,
    dataset: Dataset,
    learned: Learned,
    judged: Judged,
    config: TrainConfig,
    now: int,
    told: Sequence[str] = (),
    audit: Audit | None = None,
) -> dict[str, Any]:
    """Everything that is kept about a model, as JSON values.

    Args:
        definition: the agreement it was learned with.
        dataset: all rows, matured or not.
        learned: the model and how it was arrived at.
        judged: its figures.
        config: the choices of the run.
        now: the present instant.
        told: warnings about the facts and deals themselves.
        audit: which features give sensitive attributes away, and how each group fares.
    """
    matured = dataset.matured()
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
        "data": about_data(dataset, definition),
        "judged": judged.to_json(),
        "learner": about_learner(learned, matured),
        "calibration": about_calibration(learned, now),
        "answers": answers_given(matured, definition),
        "left_out": left_out,
        "proxies": None
        if audit is None
        else {"sentences": list(audit.sentences()), **audit.to_json()},
        "warnings": [*warnings_of(definition, judged), *told],
        "config": config.to_json(),
        "versions": {name: version(name) for name in ("lightgbm", "numpy", "scikit-learn")},
    }


def about_data(dataset: Dataset, definition: Definition) -> dict[str, Any]:
    """How many rows there were to learn from, from when through when, and which they were."""
    matured = dataset.matured()
    dated = definition.time == "dated" and len(matured) > 0
    return {
        "rows": len(matured),
        "leads": len(np.unique(matured.lead)),
        "wins": int(matured.y.sum()),
        "base_rate": float(matured.y.mean()) if len(matured) else None,
        "from": iso(int(matured.as_of.min())) if dated else None,
        "through": iso(int(matured.as_of.max())) if dated else None,
        "labels": dataset.reasons(),
        "fingerprint": dataset.fingerprint,
    }


def about_calibration(learned: Learned, now: int) -> dict[str, Any]:
    """Which calibrator came with the booster, and why."""
    fit = learned.calibration
    return {
        "name": fit.name,
        "reason": fit.reason,
        "wins": fit.wins,
        "calibrated_at": iso(now),
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


def about_learner(learned: Learned, matured: Dataset) -> dict[str, Any]:
    """What was chosen, by which losses, and how much each column moves a score."""
    chosen, choice, blend = learned.chosen, learned.choice, learned.model.learner
    return {
        "kind": "agreed" if chosen is None else "blend",
        "weight": blend.weight,
        "leaves": chosen.leaves if chosen is not None and blend.trees is not None else 0,
        "trees": chosen.trees if chosen is not None and blend.trees is not None else 0,
        "half_life_days": choice.half_life / DAY if choice and choice.half_life else None,
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
    # Compiled code and LightGBM differ in the last digits; a bundle must not depend on who was asked.
    means = np.round(means, 9)
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
