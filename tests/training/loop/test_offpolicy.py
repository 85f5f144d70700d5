"""Does the log of one order tell what another would have brought? Against loops, and a known truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.loop.offpolicy import Log, calibration_if_first, doubly_robust, ips, snips

ROWS = st.lists(
    st.tuples(
        st.booleans(),
        st.floats(0.05, 0.95),
        st.floats(0, 9),
        st.floats(0, 1, allow_subnormal=False),
        st.floats(0, 9),
        st.floats(0, 9),
    ),
    min_size=2,
    max_size=12,
)


@settings(max_examples=40)
@given(ROWS)
def test_all_three_are_what_plain_loops_add_up_to(
    rows: list[tuple[bool, float, float, float, float, float]],
) -> None:
    first, chance, reward, target, high, low = (list(column) for column in zip(*rows, strict=True))
    log = Log.of(first, chance, reward)
    total = weights = robust = 0.0
    for was, p, y, wanted, if_first, if_not in rows:
        w = wanted / p if was else (1 - wanted) / (1 - p)
        total += w * y
        weights += w
        guess = if_first if was else if_not
        robust += wanted * if_first + (1 - wanted) * if_not + w * (y - guess)
    n = len(rows)
    assert ips(log, target).interval.estimate == pytest.approx(total / n)
    assert ips(log, target).reached == pytest.approx(weights / n)
    found = doubly_robust(log, target, high, low)
    assert found.interval.estimate == pytest.approx(robust / n, abs=1e-9)
    steady = snips(log, target).interval.estimate
    if weights:
        assert steady == pytest.approx(total / weights)
    else:
        assert math.isnan(steady)


def world(n: int, rng: np.random.Generator) -> tuple[Log, np.ndarray, np.ndarray, float]:
    """A list explored by lot; a policy that puts the others first; what that would truly bring."""
    quality = rng.random(n)
    chance = np.where(quality > 0.7, 0.9, 0.1)
    first = rng.random(n) < chance
    worth = 0.1 + 0.6 * quality * np.where(first, 1.0, 0.3)
    target = np.where(quality < 0.3, 1.0, 0.0)
    truth = float(np.mean(0.1 + 0.6 * quality * np.where(target == 1, 1.0, 0.3)))
    return Log.of(first, chance, rng.random(n) < worth), target, quality, truth


def test_each_is_right_on_average_and_its_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(4)
    gaps: dict[str, list[float]] = {"ips": [], "snips": [], "doubly robust": []}
    covered = dict.fromkeys(gaps, 0)
    worlds = 300
    for _ in range(worlds):
        log, target, quality, truth = world(2_000, rng)
        guess = 0.1 + 0.5 * quality  # wrong by design: the logged chances make up for it
        for value in (
            ips(log, target),
            snips(log, target),
            doubly_robust(log, target, guess, guess),
        ):
            gaps[value.method].append(value.interval.estimate - truth)
            covered[value.method] += value.interval.contains(truth)
    for method, off in gaps.items():
        error = np.std(off) / np.sqrt(worlds)
        assert abs(np.mean(off)) < 4 * error, method
        assert 0.9 <= covered[method] / worlds <= 0.99, method
    naive = np.mean([np.mean(log.reward) - truth for log, _, _, truth in [world(9_000, rng)]])
    assert naive > 0.05


def test_what_had_no_chance_is_refused_and_what_it_cannot_tell_is_said() -> None:
    with pytest.raises(ValueError, match="could not stand"):
        Log.of([True], [0.0], [1.0])
    log = Log.of([True, False], [1.0, 0.0], [1.0, 0.0])
    assert ips(log, [0.0, 1.0]).reached == 0.0
    assert math.isnan(snips(log, [0.0, 1.0]).interval.estimate)


def test_a_low_band_that_is_hardly_ever_worked_is_judged_by_those_that_were() -> None:
    rng = np.random.default_rng(8)
    n = 60_000
    probability = np.where(np.arange(n) % 2, 0.05, 0.4)
    chance = np.where(probability > 0.1, 1.0, 0.1)
    first = rng.random(n) < chance
    won = rng.random(n) < probability * np.where(first, 1.0, 0.3)
    low, high = calibration_if_first(Log.of(first, chance, won), probability, (0.0, 0.1, 1.0))
    assert (low.leads, high.first) == (n // 2, n // 2)
    assert low.observed.contains(0.05)
    assert low.ratio == pytest.approx(1.0, abs=0.15)
    assert high.ratio == pytest.approx(1.0, abs=0.05)
