"""All learn from the same draw and are judged on the same rows, whatever its size."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_sets import Tiny

from benchmarks.learning_curve import COMPANY, LEARNERS, Company, curve, draw_leads, main
from benchmarks.sets import History
from training.config import TrainConfig


def test_leads_are_drawn_whole_until_there_are_enough_rows() -> None:
    lead = np.array([0, 0, 0, 1, 2, 2, 5, 5, 5, 5, 7])
    for size in range(1, 12):
        for seed in range(20):
            drawn = draw_leads(lead, size, np.random.default_rng(seed))
            rows = np.isin(lead, drawn).sum()
            last = (lead == drawn[-1]).sum()
            assert len(set(drawn)) == len(drawn)
            assert rows - last < size <= rows


def test_all_is_drawn_when_all_is_asked_for() -> None:
    lead = np.repeat(np.arange(6), 2)
    assert sorted(draw_leads(lead, 12, np.random.default_rng(0))) == list(range(6))


def test_a_size_that_the_lesson_does_not_hold_has_no_point(dated: History) -> None:
    points = curve(dated, TrainConfig(), 1, [100, 449, 10_000])["outcomes"]
    assert list(points) == ["100", "449"]


def test_the_same_seeds_draw_the_same_curve(dated: History) -> None:
    assert curve(dated, TrainConfig(), 2, [50]) == curve(dated, TrainConfig(), 2, [50])


def test_more_outcomes_bring_the_base_rate_no_further_and_a_learner_far(dated: History) -> None:
    """Means of five draws; a gain of .05 nats is more than six of their standard errors."""
    points = curve(dated, TrainConfig(), 5, [20, 449])["outcomes"]
    few, many = (points[size]["logistic_regression"]["log_loss"] for size in ("20", "449"))
    assert few["mean"] - many["mean"] > 0.05
    error = np.hypot(few["standard_error"], many["standard_error"])
    assert few["mean"] - many["mean"] > 2 * error


def test_the_command_prints_a_point_for_every_size_of_every_set(
    tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(tiny.data), "--seeds", "2", "--most", "100"]
    names = ("dated", "undated", COMPANY)
    assert main(arguments, tiny.sets, names, Company(leads=700, events=3_000)) == 0
    told = capsys.readouterr()
    found = json.loads(told.out.splitlines()[-1])
    assert set(found) == set(names)
    assert found["undated"]["split"] == "grouped"
    for name in names:
        assert name in told.err
        assert list(found[name]["outcomes"]) == ["20", "50", "100"]
        for point in found[name]["outcomes"].values():
            assert set(point) == {"ours", *LEARNERS}
            for learner in LEARNERS:
                assert point[learner]["seeds"] == 2
                assert point[learner]["log_loss"]["mean"] > 0
                assert point[learner]["log_loss"]["standard_error"] is not None
            assert point["ours"] is None or 1 <= point["ours"]["seeds"] <= 2
