"""Judging scores each row with the model that has not seen it, by weight, and says what to beware of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from model_cases import office, simulated
from trained_company import CONFIG, END, trained_company

from models.calibrators import Offset
from training.dataset import Dataset, build_dataset, newest_cutoff
from training.judge import Judged, judge
from training.metrics import evaluate_predictions
from training.splits import Lesson, Piece, Split, forward_split


@pytest.fixture(scope="module")
def matured() -> Dataset:
    workspace = trained_company().read_only()
    cutoff = newest_cutoff(workspace.store)
    dataset = build_dataset(
        workspace.store, workspace.definition(), cutoff, most_leads=10**6, seed=0
    )
    workspace.store.close()
    return dataset.matured()


@pytest.fixture(scope="module")
def split(matured: Dataset) -> Split:
    return forward_split(matured, simulated().model.definition, CONFIG)


@pytest.fixture(scope="module")
def judged(matured: Dataset, split: Split) -> Judged:
    return judge(matured, [split], [simulated().model], 0)


def test_figures_are_those_of_the_judging_rows_by_weight_and_lead(
    matured: Dataset, split: Split, judged: Judged
) -> None:
    rows = split.judge.rows
    scores = simulated().model.score(matured.frame.take(rows))
    assert judged.raw.tobytes() == scores.raw.tobytes()
    assert judged.probability.tobytes() == scores.probability.tobytes()
    assert judged.y.tolist() == matured.y[rows].tolist()
    assert judged.figures == evaluate_predictions(
        scores.raw,
        scores.probability,
        matured.y[rows],
        matured.lead[rows],
        weights=split.judge.weight,
    )
    assert set(split.judge.weight.tolist()) > {1.0}


def test_the_trained_model_reports_the_same_figures_in_its_bundle(judged: Judged) -> None:
    said = trained_company().model().about["judged"]
    assert said == judged.to_json()
    assert said["figures"]["auc"]["estimate"] == judged.metrics()["auc"]


def test_metrics_are_plain_numbers_and_the_same_as_the_figures(judged: Judged) -> None:
    assert judged.figures is not None
    metrics = judged.metrics()
    assert all(isinstance(value, float) for value in metrics.values())
    assert metrics["log_loss"] == judged.figures.log_loss
    assert metrics["observed_over_expected"] == judged.figures.observed_over_expected.estimate
    assert metrics["judged_rows"] == judged.figures.n


def test_each_fold_is_scored_by_its_own_model(matured: Dataset) -> None:
    everyone = np.arange(len(matured))
    halves = [everyone[::2], everyone[1::2]]
    splits = [Split(Lesson(()), Piece.plain(half), None) for half in halves]
    model = simulated().model
    models = [model, replace(model, calibrator=Offset(-2.0))]
    found = judge(matured, splits, models, 0)
    expected = [
        m.score(matured.frame.take(half)).probability
        for m, half in zip(models, halves, strict=True)
    ]
    assert found.probability.tobytes() == np.concatenate(expected).tobytes()
    assert found.bounds is None
    assert found.how.startswith("Judged in 2 seeded folds")


def test_judging_rows_of_one_outcome_are_said_to_judge_nothing(
    matured: Dataset, split: Split
) -> None:
    lost = replace(matured, y=np.zeros_like(matured.y))
    found = judge(lost, [split], [simulated().model], 0)
    assert found.figures is None
    assert found.metrics() == {}
    assert found.to_json()["figures"] is None
    assert found.warnings[0].startswith("Not judged: All ")


def test_a_level_that_has_moved_is_warned_of_with_its_interval(
    matured: Dataset, split: Split
) -> None:
    model = simulated().model
    shifted = replace(model, calibrator=Offset(2.0))
    warnings = judge(matured, [split], [shifted], 0).warnings
    assert any("times as many won as it said" in warning for warning in warnings)
    assert any("Recalibrate" in warning for warning in warnings)


def test_no_discrimination_and_few_outcomes_are_warned_of(matured: Dataset, split: Split) -> None:
    guess = np.random.default_rng(0).permutation(matured.y)
    found = judge(replace(matured, y=guess), [split], [simulated().model], 0)
    assert any(warning.startswith("No discrimination") for warning in found.warnings)
    few = replace(split, judge=Piece.plain(split.judge.rows[:200]))
    wins = int(matured.y[few.judge.rows].sum())
    warnings = judge(matured, [few], [simulated().model], 0).warnings
    leads = len(np.unique(matured.lead[few.judge.rows]))
    assert f"Few outcomes: {wins} won of 200 judged rows of {leads} leads." in warnings


def test_a_model_that_is_right_and_tells_leads_apart_is_warned_of_nothing() -> None:
    case = office()
    n = 6_000
    rows = np.random.default_rng(1).integers(0, len(case.frame), n)
    frame = case.frame.take(rows)
    y = (np.random.default_rng(2).random(n) < case.model.score(frame).probability).astype(int)
    dataset = Dataset(frame, np.arange(n), y, np.where(y == 1, 0, 2), END)
    everyone = Piece.plain(np.arange(n))
    found = judge(dataset, [Split(Lesson(()), everyone, None)], [case.model], 0)
    assert found.warnings == ()
