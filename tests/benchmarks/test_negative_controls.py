"""Labels are shuffled and nothing else; a claim is counted where there is one to make."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_sets import Tiny

from benchmarks.negative_controls import control, main, one_row_a_lead, shuffled
from benchmarks.sets import History
from features.frames import Category
from training.config import TrainConfig


def test_shuffling_moves_labels_and_nothing_else(dated: History) -> None:
    before = dated.matured
    after = shuffled(before, np.random.default_rng(0))
    assert after.frame is before.frame
    assert after.y.sum() == before.y.sum()
    assert (after.y != before.y).mean() == pytest.approx(0.5, abs=0.08)


def test_shuffled_labels_know_nothing_of_the_columns(dated: History) -> None:
    """Win rates of the sources, 600 leads, .55 apart before; .25 is five standard errors."""
    source = dated.matured.frame.columns["attr_source"]
    assert isinstance(source, Category)
    drawn = shuffled(dated.matured, np.random.default_rng(1))

    def spread(y: np.ndarray) -> float:
        return float(np.ptp([y[source.codes == code].mean() for code in np.unique(source.codes)]))

    assert spread(dated.matured.y) > 0.4
    assert spread(drawn.y) < 0.25


def test_labels_of_leads_with_several_rows_are_not_shuffled(dated: History) -> None:
    twice = dated.matured.take(np.repeat(np.arange(10), 2))
    with pytest.raises(ValueError, match="one row only"):
        shuffled(twice, np.random.default_rng(0))


def test_a_draw_holds_each_lead_once_and_keeps_the_order(dated: History) -> None:
    several = dated.matured.take(np.repeat(np.arange(100), 3))
    drawn = one_row_a_lead(several, 40, np.random.default_rng(0))
    assert len(drawn) == len(np.unique(drawn.lead)) == 40
    assert np.all(np.diff(drawn.lead) > 0)
    assert len(one_row_a_lead(several, 1_000, np.random.default_rng(0))) == 100


def test_what_is_there_is_claimed_and_its_interval_leaves_out_one_half(dated: History) -> None:
    found = control(dated, TrainConfig(), 2, 600, shuffle=False)
    assert found["labels"] == "as they are"
    assert (found["claimed"], found["covered"], found["declined"]) == (2, 0, 0)
    assert min(found["auc"]) > 0.65


def test_what_cannot_be_learned_from_claims_nothing(undated: History) -> None:
    """Three leads are too few for five folds."""
    found = control(undated, TrainConfig(), 2, 3, shuffle=True)
    assert (found["claimed"], found["covered"], found["declined"]) == (0, 0, 2)
    assert found["auc"] == []


def test_the_command_controls_every_set_and_the_one_without_signal_twice(
    tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three seeds of two shuffled sets: a claim in any has a chance of less than 2.5 % each."""
    arguments = ["--data", str(tiny.data), "--seeds", "3", "--rows", "200"]
    assert main(arguments, tiny.sets, unshuffled="dated") == 0
    told = capsys.readouterr()
    found = json.loads(told.out.splitlines()[-1])
    assert set(found) == {"dated", "dated_shuffled", "undated_shuffled"}
    for name, figures in found.items():
        assert name in told.err
        assert figures["seeds"] == 3
        assert len(figures["auc"]) == 3 - figures["declined"]
        assert 0 <= figures["covered"] <= len(figures["auc"])
    assert found["dated_shuffled"]["claimed"] + found["undated_shuffled"]["claimed"] <= 1
