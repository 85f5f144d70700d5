"""How the learner weighs its parts, forgets and keeps its level, and what it says of very few rows."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.special import expit, logit
from small_datasets import dataset_of, labels
from worlds import DEFINITION, world

from features.clock import DAY
from features.definition import parse_definition
from features.errors import NotEnoughEvidenceError
from features.frames import Column
from training.choose import preferred
from training.config import TrainConfig
from training.dataset import Dataset
from training.fit import Rows, weighted_log_loss
from training.learn import TO_LEAVE_THE_AVERAGE, WEIGHTS, Learned, learn, learn_little
from training.splits import Fold, Lesson, Piece, grouped_lesson

QUICK = TrainConfig(leaves=(2, 4), most_trees=120, folds=3, learning_rate=0.1)
AGREED_ON = parse_definition(DEFINITION.to_yaml() + "expected_win_rate: 0.25\n")


def learned(dataset: Dataset, config: TrainConfig = QUICK) -> Learned:
    everyone = np.arange(len(dataset))
    return learn(dataset, grouped_lesson(everyone, everyone, config), DEFINITION, config)


@cache
def additive() -> Learned:
    return learned(world(1_200, 0).dataset)


@cache
def together() -> Learned:
    return learned(world(3_000, 0, interaction=2.5).dataset)


# The weight


def test_the_even_average_is_preferred() -> None:
    assert WEIGHTS[0] == 0.5
    choice = additive().choice
    assert choice is not None
    assert choice.weight == additive().model.learner.weight == 0.5
    assert choice.losses["blend"] <= max(choice.losses["linear"], choice.losses["trees"])


def test_where_columns_act_together_the_weight_goes_to_the_trees() -> None:
    choice = together().choice
    assert choice is not None
    assert choice.weight < 0.5
    assert choice.losses["linear"] - choice.losses["trees"] > 0.05
    assert together().model.learner.weight == choice.weight


def test_the_losses_are_those_of_what_was_said_of_held_out_rows() -> None:
    dataset = world(1_200, 0).dataset
    everyone = np.arange(len(dataset))
    order = np.concatenate(
        [fold.calibrate.rows for fold in grouped_lesson(everyone, everyone, QUICK).folds]
    )
    choice, y = additive().choice, dataset.y[order].astype(np.float64)
    assert choice is not None
    ones, zeros = np.ones(len(y)), np.zeros(len(y), dtype=np.int64)
    held = Rows(np.zeros((len(y), 0)), y, ones, order, zeros)
    assert choice.losses["blend"] == pytest.approx(weighted_log_loss(choice.raw, held), abs=1e-12)
    by_hand = -np.mean(np.log(np.where(y == 1, expit(choice.raw), expit(-choice.raw))))
    assert choice.losses["blend"] == pytest.approx(by_hand, abs=1e-9)
    chosen = additive().chosen
    assert chosen is not None
    assert choice.losses["trees"] == pytest.approx(chosen.log_loss, abs=1e-12)


def test_four_errors_must_speak_for_another_weight() -> None:
    """Of the same blends, one error would be left sooner than four: what the constant is for."""
    assert TO_LEAVE_THE_AVERAGE == 4.0
    rng = np.random.default_rng(0)
    truth = rng.normal(size=400)
    y = (rng.random(400) < expit(truth)).astype(np.float64)
    rows = Rows(np.zeros((400, 0)), y, np.ones(400), np.arange(400), np.zeros(400, np.int64))
    blends = [weight * truth + (1 - weight) * 0.2 * truth for weight in (0.5, 1.0)]
    taken = [preferred(blends, rows, errors) for errors in (0.0, 1.0, 1e3)]
    assert taken == [1, 1, 0]


# Half-lives and the level


def drifting(
    n: int = 2_400, seed: int = 0, turned: bool = True, fall: float = 0.0
) -> tuple[Dataset, Lesson]:
    """Two years of leads; what size says turns round half-way, or does not; the held level may fall."""
    rng = np.random.default_rng(seed)
    as_of = np.sort(rng.integers(0, 730, n)) * DAY
    size = rng.normal(size=n)
    late = as_of > 365 * DAY
    slope = np.where(late & turned, -1.5, 1.5)
    level = -0.5 - fall * (np.arange(n) >= int(0.8 * n))
    y = (rng.random(n) < expit(slope * size + level)).astype(np.int64)
    columns: dict[str, Column] = {
        "attr_size": size,
        "attr_colour": labels(["red", "blue"] * (n // 2)),
        "attr_noise": rng.normal(size=n),
    }
    dataset = dataset_of(range(n), as_of.tolist(), y, columns)
    until = int(0.8 * n)
    fit, held = Piece.plain(np.arange(until)), Piece.plain(np.arange(until, n))
    return dataset, Lesson((Fold(fit, held),))


def of_drift(turned: bool, half_lives: tuple[float, ...]) -> Learned:
    dataset, lesson = drifting(turned=turned)
    return learn(dataset, lesson, DEFINITION, replace(QUICK, half_lives=half_lives))


def test_a_past_that_no_longer_holds_is_forgotten_and_one_that_does_is_kept() -> None:
    choice = of_drift(True, (0.05,)).choice
    assert choice is not None
    assert choice.half_life == pytest.approx(0.05 * 0.98 * 730 * DAY, rel=0.02)
    never = of_drift(True, ()).choice
    assert never is not None
    assert never.half_life is None
    assert choice.losses["blend"] < never.losses["blend"] - 0.02
    steady = of_drift(False, (0.05,)).choice
    assert steady is not None
    assert steady.half_life is None


def test_without_time_there_is_nothing_to_forget() -> None:
    choice = additive().choice
    assert choice is not None
    assert choice.half_life is None
    assert additive().model.learner.shift == 0.0


def test_the_refit_is_not_moved_where_nothing_corrects_its_level() -> None:
    found = of_drift(False, ())
    assert found.model.calibrator.kind == "identity"
    assert found.model.learner.shift == 0.0


def test_the_refit_keeps_the_level_that_the_calibrator_was_fitted_to() -> None:
    dataset, lesson = drifting(turned=False, fall=1.5)
    found = learn(dataset, lesson, DEFINITION, QUICK)
    assert found.model.calibrator.kind != "identity"
    held = lesson.folds[0].calibrate
    assert found.choice is not None
    assert found.model.learner.shift != 0.0
    raw = found.model.raw(dataset.frame.take(held.rows))
    level = np.mean(expit(found.choice.raw))
    assert np.mean(expit(raw)) == pytest.approx(level, abs=1e-9)


# Uncertainty, and very few rows


def test_a_learned_model_knows_how_uncertain_it_is_and_more_rows_make_it_less_so() -> None:
    fresh = world(500, 99)
    widths = []
    for n in (300, 1_200, 4_800):
        model = additive().model if n == 1_200 else learned(world(n, 1).dataset).model
        scores = model.score(fresh.frame)
        assert scores.lower is not None
        assert scores.upper is not None
        assert ((scores.lower < scores.probability) & (scores.probability < scores.upper)).all()
        widths.append(float(np.mean(scores.upper - scores.lower)))
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0] / 1.5


def test_a_model_of_no_rows_says_the_expected_rate_and_is_neither_tried_nor_calibrated() -> None:
    none = dataset_of([], [], [], {"bant_agreed": np.zeros(0)})
    questions = parse_definition(
        AGREED_ON.to_yaml() + "bant: {budget: [{name: budget, answers: [Much, Little]}]}\n"
    )
    found = learn_little(none, questions, QUICK)
    assert (found.trials, found.chosen, found.choice) == ((), None, None)
    assert found.calibration.calibrator.kind == "identity"
    assert found.calibration.n == 0
    frame = dataset_of([0], [0], [0], {"bant_agreed": np.zeros(1)}).frame
    assert found.model.raw(frame) == pytest.approx([logit(0.25)], abs=1e-9)


def test_below_the_least_wins_the_additive_part_alone_learns_and_above_both_do() -> None:
    dataset = world(400, 3).dataset
    rare = np.flatnonzero(dataset.y == 1)
    for wins, both in ((19, False), (20, True)):
        kept = np.sort(np.r_[rare[:wins], np.flatnonzero(dataset.y == 0)])
        some = dataset.take(kept)
        some = replace(some, lead=np.arange(len(kept)))
        everyone = np.arange(len(kept))
        lesson = grouped_lesson(everyone, everyone, QUICK)
        found = learn(some, lesson, AGREED_ON, QUICK)
        assert (found.chosen is not None) is both
        assert (found.choice is not None) is both
        if not both:
            with pytest.raises(NotEnoughEvidenceError, match="19 won") as caught:
                learn(some, lesson, DEFINITION, QUICK)
            assert "expected_win_rate" in caught.value.hint


def test_with_nothing_agreed_nothing_is_said_of_few_rows() -> None:
    with pytest.raises(NotEnoughEvidenceError):
        learn_little(world(10, 0).dataset, DEFINITION, QUICK)
