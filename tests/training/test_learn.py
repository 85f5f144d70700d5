"""What is learned depends on the lesson's rows alone, is the same each time, and stays simple."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.special import expit
from small_datasets import dataset_of, labels
from trained_company import CONFIG, END, trained_company

from features.clock import DAY
from features.definition import parse_definition
from features.errors import NotEnoughEvidenceError
from features.frames import Category
from features.pipeline import build_catalog
from models.encoder import EncodedColumn
from training.calibrate import fit_calibrator
from training.config import TrainConfig
from training.dataset import Dataset, build_dataset
from training.fit import row_losses
from training.learn import Learned, learn, told_by_rank
from training.splits import Lesson, Piece, Split, forward_split, grouped_lesson

DEFINITION = parse_definition(
    """
name: small
attributes:
  - {name: size, type: number}
  - {name: weight, type: number}
  - {name: colour, type: category}
  - {name: noise, type: number}
"""
)
QUICK = TrainConfig(leaves=(2, 4), most_trees=40, folds=3)


@cache
def simulated() -> tuple[Dataset, Split]:
    """The simulated company's rows, and how they are split."""
    workspace = trained_company().read_only()
    definition = workspace.definition()
    dataset = build_dataset(workspace.store, definition, END, most_leads=10**6, seed=0).matured()
    return dataset, forward_split(dataset, definition, CONFIG)


def learned(dataset: Dataset, lesson: Lesson, config: TrainConfig = CONFIG) -> Learned:
    return learn(dataset, lesson, trained_company().model().definition, config)


@cache
def from_the_company() -> Learned:
    dataset, split = simulated()
    return learned(dataset, split.lesson)


def trees_of(found: Learned) -> str:
    assert found.model.learner.trees is not None
    return found.model.learner.trees.text


def everything_of(found: Learned) -> tuple[object, ...]:
    return (
        found.model.learner.trees.text,
        found.model.encoder,
        found.model.calibrator,
        [(trial.leaves, trial.trees, trial.log_loss) for trial in found.trials],
    )


def made(n: int = 900, seed: int = 0, interaction: float = 0.0) -> Dataset:
    """Leads of whom the larger buy, and – with an interaction – those whose size suits their weight."""
    rng = np.random.default_rng(seed)
    size, weight = rng.normal(size=n), rng.normal(size=n)
    odds = (1 - interaction) * size + 3 * interaction * np.sign(size * weight) - 0.5
    columns = {
        "attr_size": size,
        "attr_weight": weight,
        "attr_colour": labels([["red", "blue", "green"][i] for i in rng.integers(0, 3, n)]),
        "attr_noise": rng.normal(size=n),
    }
    y = (rng.random(n) < expit(odds)).astype(np.int64)
    return dataset_of(range(n), [0] * n, y, columns)


def small(dataset: Dataset, config: TrainConfig = QUICK) -> Learned:
    everyone = np.arange(len(dataset))
    return learn(dataset, grouped_lesson(everyone, everyone, config), DEFINITION, config)


def test_the_bundle_holds_what_learning_the_same_rows_again_gives() -> None:
    """Trained through the store on another day, or here: the same bytes."""
    bundled = trained_company().model()
    assert from_the_company().model.learner.trees.text == bundled.learner.trees.text
    assert from_the_company().model.encoder == bundled.encoder
    assert from_the_company().model.calibrator == bundled.calibrator


def test_what_judges_has_no_part_in_what_is_judged() -> None:
    """Other outcomes, other facts, or no rows at all from the judging period on: the same bytes."""
    dataset, split = simulated()
    assert split.bounds is not None
    rng = np.random.default_rng(0)
    late = np.flatnonzero(dataset.as_of >= split.bounds.judge_from)
    y = dataset.y.copy()
    y[late] = rng.permutation(y[late])
    columns = {name: _scrambled(column, late) for name, column in dataset.frame.columns.items()}
    scrambled = replace(dataset, y=y, frame=replace(dataset.frame, columns=columns))
    assert everything_of(learned(scrambled, split.lesson)) == everything_of(from_the_company())
    assert (scrambled.y != dataset.y).sum() > 20


def _scrambled(column: np.ndarray | Category, rows: np.ndarray) -> np.ndarray | Category:
    if isinstance(column, Category):
        codes = column.codes.copy()
        codes[rows] = len(column.levels)
        return Category(codes, (*column.levels, "a label of the judging period only"))
    changed = column.copy()
    changed[rows] = changed[rows[::-1]]
    return changed


def test_rows_in_no_piece_have_no_part_either() -> None:
    dataset, split = simulated()
    used = np.concatenate([split.lesson.everything.rows, split.judge.rows])
    idle = np.setdiff1d(np.arange(len(dataset)), used)
    y = dataset.y.copy()
    y[idle] = 1 - y[idle]
    assert len(idle) > 100
    assert everything_of(learned(replace(dataset, y=y), split.lesson)) == everything_of(
        from_the_company()
    )


def test_the_leakage_of_a_single_fit_row_would_be_seen() -> None:
    """The two tests above compare bytes that do change when a row of the lesson does."""
    dataset, split = simulated()
    y = dataset.y.copy()
    y[split.lesson.folds[0].fit.rows[:1]] = 1 - y[split.lesson.folds[0].fit.rows[:1]]
    other = learned(replace(dataset, y=y), split.lesson)
    assert other.model.learner.trees.text != from_the_company().model.learner.trees.text


def test_weights_of_straddlers_enter_fit_choice_and_calibration() -> None:
    dataset, split = simulated()
    (fold,) = split.lesson.folds
    assert set(fold.fit.weight.tolist()) > {1.0}
    plain = Lesson((replace(fold, fit=Piece.plain(fold.fit.rows)),))
    assert trees_of(learned(dataset, plain)) != trees_of(from_the_company())
    unweighted = Lesson((replace(fold, calibrate=Piece.plain(fold.calibrate.rows)),))
    losses = [trial.log_loss for trial in learned(dataset, unweighted).trials]
    assert losses != [trial.log_loss for trial in from_the_company().trials]


# The choice


def test_the_simplest_setting_within_one_standard_error_is_taken() -> None:
    dataset, split = simulated()
    found = from_the_company()
    held = split.lesson.folds[0].calibrate
    y, lead = dataset.y[held.rows], dataset.lead[held.rows]
    assert [trial.leaves for trial in found.trials] == list(CONFIG.leaves)
    best = min(found.trials, key=lambda trial: trial.log_loss)
    allowed = [t for t in found.trials if _no_worse(t.raw, best.raw, y, held.weight, lead)]
    assert found.chosen is allowed[0]


def _no_worse(
    one: np.ndarray, best: np.ndarray, y: np.ndarray, weight: np.ndarray, lead: np.ndarray
) -> bool:
    """Whether the loss is at most one standard error higher, each lead's rows summed, in loops."""
    worse = row_losses(one, y) - row_losses(best, y)
    mean = float(np.average(worse, weights=weight))
    by_lead: dict[int, float] = {}
    for value, w, who in zip(worse, weight, lead, strict=True):
        by_lead[int(who)] = by_lead.get(int(who), 0.0) + w * (value - mean) / weight.sum()
    leads = len(by_lead)
    error = (sum(v * v for v in by_lead.values()) * leads / (leads - 1)) ** 0.5
    return mean <= error


def test_where_columns_just_add_up_stumps_are_enough() -> None:
    enough = replace(QUICK, most_trees=250)
    assert small(made(interaction=0.0), enough).chosen.leaves == 2


def test_a_more_complex_setting_that_is_better_by_less_than_its_error_is_not_taken() -> None:
    found = small(made(seed=0, interaction=0.15), replace(QUICK, most_trees=200))
    simple, complex_ = found.trials
    assert complex_.log_loss < simple.log_loss
    assert found.chosen is simple


def test_where_columns_act_together_more_leaves_are_taken() -> None:
    found = small(made(interaction=1.0))
    assert found.chosen.leaves == 4
    assert found.trials[0].log_loss - found.chosen.log_loss > 0.05


def test_the_number_of_trees_is_the_best_on_rows_unseen() -> None:
    found = small(made())
    for trial in found.trials:
        assert 1 <= trial.trees <= QUICK.most_trees
        again = float(np.mean(row_losses(trial.raw, _held_y(made()))))
        assert trial.log_loss == pytest.approx(again)
    assert len(found.model.learner.trees.text.split("Tree=")) - 1 == found.chosen.trees


def _held_y(dataset: Dataset) -> np.ndarray:
    everyone = np.arange(len(dataset))
    folds = grouped_lesson(everyone, everyone, QUICK).folds
    return dataset.y[np.concatenate([fold.calibrate.rows for fold in folds])]


def test_the_calibration_is_fitted_on_the_rows_held_out_by_leads() -> None:
    found = small(made())
    assert found.calibration.n == 900
    assert found.calibration.leads == 900
    assert found.calibration.wins == int(made().y.sum())
    assert found.calibration.calibrator == found.model.calibrator


def test_the_calibration_is_fitted_on_what_the_choice_said_of_unseen_rows_by_weight() -> None:
    dataset, split = simulated()
    held, found = split.lesson.folds[0].calibrate, from_the_company()
    again = fit_calibrator(
        found.choice.raw,
        dataset.y[held.rows],
        groups=dataset.lead[held.rows],
        weights=held.weight,
        seed=CONFIG.seed,
    )
    assert found.calibration == again


# The columns


def test_columns_that_say_nothing_twice_or_when_are_not_read() -> None:
    base = made()
    month = np.repeat(np.arange(9), 100) * 30 * DAY
    columns = {
        **base.frame.columns,
        "attr_noise": np.full(900, 4.0),
        "attr_weight": base.frame.columns["attr_size"].copy(),
    }
    dated = replace(base, frame=replace(base.frame, columns=columns, as_of=month))
    assert small(dated).model.encoder.names == ["attr_size", "attr_colour"]
    calendar = {**base.frame.columns, "attr_noise": month / DAY}
    timed = replace(base, frame=replace(base.frame, columns=calendar, as_of=month))
    assert small(timed).model.encoder.names == ["attr_size", "attr_weight", "attr_colour"]


def test_what_is_rare_among_the_lessons_rows_is_not_learned() -> None:
    base = made()
    colours = base.frame.columns["attr_colour"].labels()
    colours[:9] = ["mauve"] * 9
    columns = {**base.frame.columns, "attr_colour": labels(colours)}
    found = small(replace(base, frame=replace(base.frame, columns=columns)))
    by_name = {column.name: column for column in found.model.encoder.columns}
    assert by_name["attr_colour"] == EncodedColumn("attr_colour", ("blue", "green", "red"))


def test_ranked_answers_are_told_by_their_rank_alone() -> None:
    catalog = build_catalog(trained_company().model().definition)
    merged = told_by_rank(catalog)
    assert merged["bant_budget_status"] == ("approved", "planned", "looking for funds", "no budget")
    assert set(merged) == {
        f"bant_{name}"
        for name in (
            "budget_status",
            "decision_role",
            "need_level",
            "current_solution",
            "purchase_timeline",
        )
    }
    assert "attr_industry" not in merged
    columns = {column.name: column for column in from_the_company().model.encoder.columns}
    assert columns["bant_budget_status"].levels == ("unknown",)


def test_the_order_of_the_frames_columns_does_not_move_a_direction_to_another_column() -> None:
    rising = parse_definition(
        DEFINITION.to_yaml().replace("- name: weight", "- name: weight\n  monotone: 1")
    )
    dataset = made(interaction=0.5)
    turned = dict(reversed(list(dataset.frame.columns.items())))
    dataset = replace(dataset, frame=replace(dataset.frame, columns=turned))
    everyone = np.arange(len(dataset))
    config = replace(QUICK, leaves=(4,))
    model = learn(dataset, grouped_lesson(everyone, everyone, config), rising, config).model
    ladder = np.linspace(-3, 3, 60)
    flat = {name: np.zeros(60) for name in ("attr_noise", "attr_size")}
    columns = {**flat, "attr_weight": ladder, "attr_colour": labels(["red"] * 60)}
    frame = dataset_of(range(60), [0] * 60, [0] * 60, columns).frame
    assert (np.diff(model.raw(frame)) >= 0).all()
    falling = {**flat, "attr_size": -ladder, "attr_weight": 0 * ladder}
    other = replace(frame, columns={**falling, "attr_colour": columns["attr_colour"]})
    assert (np.diff(model.raw(other)) <= 0).any(), "size may do as it likes"


# Refusals


@pytest.mark.parametrize("wins", [0, 19, 881, 900])
def test_too_few_of_either_outcome_are_refused(wins: int) -> None:
    base = made()
    y = np.r_[np.ones(wins), np.zeros(900 - wins)].astype(np.int64)
    with pytest.raises(NotEnoughEvidenceError) as caught:
        small(replace(base, y=y))
    assert f"{wins} won and {900 - wins} not won leads" in caught.value.message
    assert "at least 20" in caught.value.message


def test_leads_that_nothing_tells_apart_are_refused() -> None:
    base = made()
    columns = {name: np.full(900, 1.0) for name in base.frame.columns}
    with pytest.raises(NotEnoughEvidenceError, match="nothing to tell them apart"):
        small(replace(base, frame=replace(base.frame, columns=columns)))


def test_rows_too_few_for_any_split_give_a_model_that_says_the_base_rate() -> None:
    base = made(45)
    y = np.arange(45) % 2
    found = small(replace(base, y=y))
    raw = found.model.raw(base.frame)
    assert np.abs(expit(raw) - y.mean()).max() < 0.15, "shrunk towards the base rate"


def test_steps_are_told_in_words() -> None:
    told: list[str] = []
    everyone = np.arange(900)
    learn(made(), grouped_lesson(everyone, everyone, QUICK), DEFINITION, QUICK, told.append)
    assert told[:2] == ["trying 2 leaves", "trying 4 leaves"]
    assert told[2] == "weighing the additive part against the trees"
    assert told[3].startswith("fitting ")
    assert told[4] == "measuring how uncertain it is"
