"""Does the benchmark of the alarm measure what it says, and does the alarm keep its promises there?"""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.alarms import CHANGE, company, drawn, first_alarms, main, truthful, wrong
from training.loop.alarms import TWO_YEARS


def test_a_shift_begins_in_the_week_it_is_said_to() -> None:
    run = drawn(400, odds=0.5)(np.random.default_rng(0))
    off = np.bincount(run.week, weights=run.won) / np.bincount(run.week, weights=run.said)
    assert off[:CHANGE].mean() == pytest.approx(1.0, abs=0.03)
    assert off[CHANGE:].mean() < 0.7
    assert len(off) == TWO_YEARS


def test_a_run_that_was_found_before_anything_was_wrong_was_not_found() -> None:
    found = wrong(drawn(40, odds=0.2), 6, 0)
    first = first_alarms(drawn(40, odds=0.2), 6, 0)
    assert found["found_share"] == np.mean((first >= CHANGE) & np.isfinite(first))
    assert found["median_weeks"] >= 1


@pytest.mark.slow
def test_the_alarm_keeps_its_promises(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", "40", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["false_alarm_share"] <= 0.03
    assert found["false_alarms"]["25_per_week"]["share"] <= 0.03
    assert found["shift_065_100_per_week"]["median_weeks"] <= 13
    assert found["shift_065_100_per_week"]["found_share"] >= 0.9
    assert found["slope_06_100_per_week"]["median_weeks"] <= 13
    assert found["weekly_z_false_alarm_share"] > 0.9
    assert set(found) >= {"cumulative_z_false_alarm_share", "shift_065_25_per_week"}


@pytest.mark.slow
def test_the_true_probabilities_of_simulated_companies_raise_no_alarm() -> None:
    """At most 2 in 100; one of twelve by chance less often than one in four, two once in fifty."""
    found = truthful(company, 12, 0)
    assert found["share"] <= 1 / 12
