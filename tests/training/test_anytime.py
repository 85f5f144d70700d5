"""Does the interval cover the truth at all looks together, and do so many rows show a difference?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from training.anytime import PLANNED, POWER, anytime_interval, reach, rows_to_show


def test_it_covers_the_truth_at_all_weekly_looks_of_two_years_together() -> None:
    """100 rows a week; an ordinary interval leaves the truth out at some look in a third of all runs."""
    rng = np.random.default_rng(0)
    runs, weeks, weekly = 400, 104, 100
    won = rng.binomial(weekly, 0.1, (runs, weeks)).cumsum(axis=1)
    n = np.arange(1, weeks + 1) * weekly
    rate = won / n
    off = np.abs(rate - 0.1) / np.sqrt(rate * (1 - rate) / n)
    wide = np.array([reach(int(rows)) for rows in n])
    left_out = float((off > wide).any(axis=1).mean())
    assert left_out <= 0.05
    assert float((off > norm.ppf(0.975)).any(axis=1).mean()) > 0.25


def test_it_is_narrowest_about_where_that_was_planned() -> None:
    widths = {n: reach(n) for n in (50, 500, PLANNED, 50_000, 5_000_000)}
    assert min(widths, key=widths.get) == PLANNED  # type: ignore[arg-type]
    assert widths[PLANNED] / norm.ppf(0.975) == pytest.approx(1.55, abs=0.01)
    found = anytime_interval(0.2, 0.01, PLANNED)
    assert found.upper - 0.2 == pytest.approx(0.01 * widths[PLANNED])


def test_so_many_rows_show_the_difference_with_the_chance_that_is_said() -> None:
    rows = rows_to_show(0.02, 0.03, 400)
    assert rows is not None
    error = 0.03 * math.sqrt(400 / rows)
    drawn = np.random.default_rng(1).normal(0.02, error, 4_000)
    assert np.mean(np.abs(drawn) > reach(rows) * error) == pytest.approx(POWER, abs=0.03)
    assert rows_to_show(0.0, 0.03, 400) is None
    assert rows_to_show(0.02, math.inf, 400) is None
    assert rows_to_show(1e-9, 0.03, 400) is None
