"""The preferred setting is left only for one that is better beyond the errors asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.choose import preferred
from training.fit import Rows


def held_rows(seed: int, n: int = 120, leads: int = 50) -> tuple[Rows, np.ndarray]:
    """Outcomes of true log-odds, rows sharing leads, at uneven weights."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-truth))).astype(np.float64)
    weight, lead = rng.uniform(0.2, 2, n), rng.integers(0, leads, n)
    return Rows(np.zeros((n, 1)), y, weight, lead, np.zeros(n, np.int64)), truth


def loss(raw: float, y: float) -> float:
    return float(np.log1p(np.exp(raw)) - y * raw)


def by_hand(said: list[np.ndarray], held: Rows, errors: float) -> int:
    """The same choice in plain loops."""
    total = sum(held.weight)
    n = len(held.y)
    means = [
        sum(held.weight[i] * loss(raw[i], held.y[i]) for i in range(n)) / total for raw in said
    ]
    best = min(range(len(said)), key=lambda k: means[k])
    for k, raw in enumerate(said):
        gap = means[k] - means[best]
        by_lead: dict[int, float] = {}
        for i in range(n):
            worse = loss(raw[i], held.y[i]) - loss(said[best][i], held.y[i])
            share = held.weight[i] / total
            lead = int(held.lead[i])
            by_lead[lead] = by_lead.get(lead, 0.0) + (worse - gap) * share
        leads = len(by_lead)
        error = (sum(v * v for v in by_lead.values()) * leads / (leads - 1)) ** 0.5
        if gap <= errors * error:
            return k
    return best


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    shifts=st.lists(st.floats(-1.5, 1.5), min_size=2, max_size=5),
    errors=st.sampled_from([0.0, 0.5, 1.0, 2.0, 4.0]),
)
def test_it_is_the_choice_of_a_plain_loop(seed: int, shifts: list[float], errors: float) -> None:
    held, truth = held_rows(seed)
    said = [truth * (1 + shift) + shift / 2 for shift in shifts]
    assert preferred(said, held, errors) == by_hand(said, held, errors)


@pytest.mark.parametrize("shift", [0.15, 0.3, 0.6, 1.2])
def test_the_preferred_is_left_only_beyond_the_errors_asked(shift: float) -> None:
    held, truth = held_rows(3)
    said = [truth + shift, truth]
    taken = [preferred(said, held, errors) for errors in np.linspace(0, 20, 200)]
    assert taken == sorted(taken, reverse=True), "the more it takes, the sooner it stays"
    assert taken[-1] == 0
    assert set(taken) <= {0, 1}


def test_how_many_errors_it_takes_depends_on_how_much_better_the_other_is() -> None:
    held, truth = held_rows(3)
    left = [
        sum(preferred([truth + s, truth], held, e) == 1 for e in np.linspace(0, 20, 200))
        for s in (0.3, 0.6, 1.2)
    ]
    assert left == sorted(left)
    assert left[-1] > 10


def test_settings_that_say_the_same_are_the_first() -> None:
    held, truth = held_rows(0)
    assert preferred([truth, truth.copy(), truth.copy()], held) == 0
    assert preferred([truth], held, 4.0) == 0


ASKED = np.linspace(0, 20, 200)


def test_several_rows_of_a_lead_are_one_piece_of_evidence() -> None:
    """Ten copies of every row leave the choice as it was, where each lead keeps its rows."""
    held, truth = held_rows(8, n=40, leads=10**6)
    said = [truth + 3.0, truth]
    once = [preferred(said, held, e) for e in ASKED]
    again = np.tile(np.arange(40), 10)
    many = held.take(again, held.weight[again])
    said_again = [raw[again] for raw in said]
    assert [preferred(said_again, many, e) for e in ASKED] == once
    apart = Rows(many.matrix, many.y, many.weight, np.arange(400), many.as_of)
    assert [preferred(said_again, apart, e) for e in ASKED] != once
