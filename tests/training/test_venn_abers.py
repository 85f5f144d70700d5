"""Venn-Abers steps are two isotonic regressions for every score: here they are refitted, in loops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibrators import FLOOR, VennAbers
from training.venn_abers import fit_venn_abers


def isotonic_at(score: float, raw: list[float], won: list[float], weights: list[float]) -> float:
    """Pool adjacent violators over rows with weights, in plain loops; the value at one of the scores."""
    blocks: list[list[float]] = []  # lowest score, highest score, weight, won weight
    for place in sorted(set(raw)):
        here = [i for i in range(len(raw)) if raw[i] == place]
        mass = sum(weights[i] for i in here)
        wins = sum(weights[i] * won[i] for i in here)
        blocks.append([place, place, mass, wins])
        while len(blocks) > 1 and blocks[-2][3] / blocks[-2][2] >= blocks[-1][3] / blocks[-1][2]:
            _, top, mass, wins = blocks.pop()
            blocks[-1] = [blocks[-1][0], top, blocks[-1][2] + mass, blocks[-1][3] + wins]
    return next(wins / mass for low, top, mass, wins in blocks if low <= score <= top)


def naive(score: float, raw: list[float], won: list[float], weights: list[float]) -> float:
    """Refit twice with the lead among the others: once lost, once won (Vovk and Petej 2014)."""
    lost, bought = (
        isotonic_at(score, [*raw, score], [*won, label], [*weights, 1.0]) for label in (0.0, 1.0)
    )
    return min(max(bought / (1 - lost + bought), FLOOR), 1 - FLOOR)


# Few different scores make ties, halves make unequal weights.
rows = st.lists(
    st.tuples(
        st.integers(-6, 6).map(float) | st.floats(-9, 9),
        st.sampled_from([0.0, 1.0]),
        st.sampled_from([0.5, 1.0, 2.0]),
    ),
    min_size=1,
    max_size=25,
)


@settings(deadline=None, max_examples=150)
@given(rows, st.lists(st.floats(-12, 12), max_size=4))
def test_every_score_is_answered_as_by_two_refits(
    known: list[tuple[float, float, float]], asked: list[float]
) -> None:
    raw, won, weights = (list(column) for column in zip(*known, strict=True))
    between = [(a + b) / 2 for a, b in pairwise(sorted(raw))]
    scores = [*raw, *between, *asked, min(raw) - 1, max(raw) + 1]
    said = fit_venn_abers(*(np.array(column) for column in (raw, won, weights))).apply(scores)
    for score, answer in zip(scores, said, strict=True):
        assert answer == pytest.approx(naive(score, raw, won, weights), abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(rows)
def test_only_knots_that_move_something_are_kept(known: list[tuple[float, float, float]]) -> None:
    steps = fit_venn_abers(*(np.array(column) for column in zip(*known, strict=True)))
    knots = len(steps.knots_raw)
    if knots == 1:
        return
    around = sorted({*steps.knots_raw, -20.0, 20.0})
    inner = [(a + b) / 2 for a, b in pairwise(around)]
    assert len(set(steps.apply([*around, *inner]).tolist())) > knots / 2


def test_a_table_is_far_shorter_than_the_leads_it_was_made_from() -> None:
    rng = np.random.default_rng(0)
    raw = rng.normal(-1.85, 1.1, 20_000)
    won = (rng.random(20_000) < 1 / (1 + np.exp(-raw))).astype(float)
    assert len(fit_venn_abers(raw, won, np.ones(20_000)).knots_raw) < 1_000


def test_one_lead_says_little_and_many_say_much() -> None:
    alone = fit_venn_abers(np.zeros(1), np.ones(1), np.ones(1))
    # By hand: lost, it shares a step with the won one (1/2); won, both are won (1).
    assert alone == VennAbers((0.0,), (0.5,), (1.0,))
    assert alone.apply([0.0])[0] == pytest.approx(1 / 1.5)
    many = fit_venn_abers(np.zeros(999), np.ones(999), np.ones(999))
    assert many.apply([0.0])[0] == pytest.approx(1 / (1 - 0.999 + 1))


def test_rows_of_weight_nothing_say_nothing() -> None:
    raw, won = np.array([-1.0, 0.0, 1.0, 2.0]), np.array([0.0, 1.0, 0.0, 1.0])
    weights = np.array([1.0, 0.0, 1.0, 1.0])
    kept = weights > 0
    scores = np.linspace(-3, 3, 61)
    np.testing.assert_allclose(
        fit_venn_abers(raw, won, weights).apply(scores[scores != 0]),
        fit_venn_abers(raw[kept], won[kept], weights[kept]).apply(scores[scores != 0]),
        atol=1e-12,
    )
