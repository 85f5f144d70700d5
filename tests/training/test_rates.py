"""A level's rate is what was known of others before the row: never its own outcome, nor a later one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from small_datasets import dataset_of, labels
from worlds import learned_from

from features.definition import parse_definition
from features.frames import Column
from features.pipeline import build_catalog
from models.blend import Blend
from models.encoder import EncodedColumn, Encoder
from training.config import TrainConfig
from training.dataset import Dataset
from training.fit import Rows
from training.parts import Parts
from training.rates import MANY_LEVELS, level_rates, many_leveled, rates_in_time

WORTH = 20.0
"""How many rows of the rate of all a level's rate counts with: docs/decisions/0022."""


def drawn(
    seed: int, n: int, levels: int, span: int, timeless: bool = False
) -> tuple[np.ndarray, Rows]:
    """Codes, some not known, and rows of n/2 leads at uneven weights."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, levels, n).astype(np.float64)
    codes[rng.random(n) < 0.1] = np.nan
    as_of = np.full(n, 7) if timeless else rng.integers(0, span, n)
    rows = Rows(
        codes[:, None],
        rng.integers(0, 2, n).astype(np.float64),
        rng.uniform(0.2, 2.0, n),
        rng.integers(0, max(n // 2, 1), n),
        as_of.astype(np.int64),
    )
    return codes, rows


def rate_by_hand(codes: np.ndarray, rows: Rows, known: list[int], row: int) -> float:
    """The shrunk rate of a row's level among the rows whose outcome is known."""
    alike = [i for i in known if str(codes[i]) == str(codes[row])]
    all_seen = sum(rows.weight[i] for i in known)
    all_won = sum(rows.weight[i] * rows.y[i] for i in known)
    overall = (all_won + 0.5) / (all_seen + 1.0)
    won = sum(rows.weight[i] * rows.y[i] for i in alike) + WORTH * overall
    rate = won / (sum(rows.weight[i] for i in alike) + WORTH)
    return float(np.log(rate / (1 - rate)))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 60),
    span=st.integers(2, 40),
    gap=st.integers(1, 20),
)
def test_a_rows_rate_is_that_of_the_outcomes_known_before_it(
    seed: int, n: int, span: int, gap: int
) -> None:
    codes, rows = drawn(seed, n, 4, span)
    if rows.as_of.min() == rows.as_of.max():
        return  # another order, see below
    said = rates_in_time(codes, rows, 4, gap)
    for row in range(n):
        known = [i for i in range(n) if rows.as_of[i] + gap < rows.as_of[row]]
        assert said[row] == pytest.approx(rate_by_hand(codes, rows, known, row), abs=1e-9)


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), gap=st.integers(1, 20))
def test_neither_its_own_outcome_nor_one_known_later_moves_a_rows_rate(seed: int, gap: int) -> None:
    codes, rows = drawn(seed, 50, 3, 40)
    said = rates_in_time(codes, rows, 3, gap)
    for row in range(0, 50, 5):
        unknown = rows.as_of + gap > rows.as_of[row]
        assert unknown[row]
        flipped = replace(rows, y=np.where(unknown, 1 - rows.y, rows.y))
        assert rates_in_time(codes, flipped, 3, gap)[row] == said[row]


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_where_there_is_no_time_no_row_of_the_same_lead_is_counted(seed: int) -> None:
    codes, rows = drawn(seed, 50, 3, 40, timeless=True)
    said = rates_in_time(codes, rows, 3, gap=5)
    for lead in np.unique(rows.lead)[:8]:
        mine = rows.lead == lead
        flipped = replace(rows, y=np.where(mine, 1 - rows.y, rows.y))
        again = rates_in_time(codes, flipped, 3, gap=5)
        assert (again[mine] == said[mine]).all()


def test_other_outcomes_do_move_rates_so_the_flips_above_would_be_seen() -> None:
    codes, rows = drawn(0, 50, 3, 40)
    first = int(np.argmin(rows.as_of))
    y = rows.y.copy()
    y[first] = 1 - y[first]
    one, other = (rates_in_time(codes, r, 3, 1) for r in (rows, replace(rows, y=y)))
    assert (one != other).sum() > 30


def test_a_row_scored_later_is_read_by_all_outcomes() -> None:
    codes, rows = drawn(3, 80, 5, 40)
    rates = level_rates(codes, rows.y, rows.weight, 5)
    said = rates.of(codes)
    for row in range(80):
        expected = rate_by_hand(codes, rows, list(range(80)), row)
        assert said[row] == pytest.approx(expected, abs=1e-9)
    assert len(rates.values) == 5


def test_the_rates_are_those_of_the_last_row_of_all() -> None:
    """The two readings meet: a row after everything is known is read as a fresh one would be."""
    codes, rows = drawn(4, 60, 3, 30)
    codes[-1] = 1.0
    rows = replace(rows, as_of=np.r_[rows.as_of[:-1], 1_000])
    before = np.arange(59)
    rates = level_rates(codes[:-1], rows.y[before], rows.weight[before], 3)
    assert rates_in_time(codes, rows, 3, 10)[-1] == pytest.approx(rates.values[1], abs=1e-12)


def test_many_levels_and_segments_are_read_by_rates() -> None:
    many = tuple(f"l{i}" for i in range(MANY_LEVELS + 1))
    columns = (
        EncodedColumn("attr_many", many),
        EncodedColumn("attr_just_few", many[:-1]),
        EncodedColumn("attr_region", ("a", "b")),
        EncodedColumn("attr_size"),
    )
    assert many_leveled(Encoder(columns)) == ["attr_many"]
    assert many_leveled(Encoder(columns), ["attr_region", "attr_size"]) == [
        "attr_many",
        "attr_region",
    ]


# Noise of 2,000 levels

CITIES = parse_definition(
    """
name: cities
segments: [city]
attributes:
  - {name: city, type: category}
  - {name: noise, type: number}
"""
)
CONFIG = TrainConfig(leaves=(4,), most_trees=60, folds=3, rarest_level=1)


def made(seed: int, n: int, effect: np.ndarray) -> Dataset:
    """Leads in as many cities as there are effects, whose log-odds are −1 and their city's effect."""
    rng = np.random.default_rng(seed)
    city = rng.integers(0, len(effect), n)
    y = (rng.random(n) < expit(effect[city] - 1)).astype(np.int64)
    columns: dict[str, Column] = {
        "attr_city": labels([f"c{i}" for i in city]),
        "attr_noise": rng.normal(size=n),
    }
    return dataset_of(range(n), [0] * n, y, columns)


def test_trees_do_not_overfit_a_noise_category_of_nine_hundred_levels() -> None:
    """AUC on 4,000 fresh rows has a standard error of .01 where nothing tells: ±.035 is 3.5 of them.

    Were a row read by its own outcome the trees would tell the outcomes they learned from apart.
    """
    fresh, dataset = made(1, 4_000, np.zeros(900)), made(0, 4_000, np.zeros(900))
    trees, learned = _trees_alone(dataset)
    raw = trees.raw(learned.encoder.matrix(fresh.frame))
    assert abs(roc_auc_score(fresh.y, raw) - 0.5) < 0.035
    assert np.std(raw) < 0.35


def test_nor_does_the_whole_learner_of_three_hundred() -> None:
    """Log loss on fresh rows is at most .01 above that of the base rate; AUC as above."""
    fresh, dataset = made(1, 4_000, np.zeros(300)), made(0, 1_500, np.zeros(300))
    whole = learned_from(dataset, CONFIG, CITIES)
    assert abs(roc_auc_score(fresh.y, whole.raw(fresh.frame)) - 0.5) < 0.035
    probability = whole.score(fresh.frame).probability
    loss = -np.mean(np.where(fresh.y == 1, np.log(probability), np.log(1 - probability)))
    rate = dataset.y.mean()
    least = -np.mean(np.where(fresh.y == 1, np.log(rate), np.log(1 - rate)))
    assert loss < least + 0.01


def test_trees_find_a_category_of_nine_hundred_levels_that_does_tell() -> None:
    effect = 2 * np.random.default_rng(9).normal(size=900)
    fresh, dataset = made(1, 4_000, effect), made(0, 1900, effect)
    trees, learned = _trees_alone(dataset)
    raw = trees.raw(learned.encoder.matrix(fresh.frame))
    assert roc_auc_score(fresh.y, raw) > 0.65


def test_read_by_rates_told_by_their_own_outcomes_trees_would_overfit() -> None:
    """What the time order is for: the same rows, each read by all outcomes, its own among them."""
    dataset = made(0, 4_000, np.zeros(900))
    _, learned = _trees_alone(dataset)
    matrix = learned.encoder.matrix(dataset.frame)
    y, ones = dataset.y.astype(np.float64), np.ones(len(dataset))
    rows = Rows(matrix, y, ones, dataset.lead, dataset.as_of)
    own = level_rates(matrix[:, 0], y, ones, 900).of(matrix[:, 0])
    fair = rates_in_time(matrix[:, 0], rows, 900, 0)
    assert roc_auc_score(y, own) > 0.75
    assert abs(roc_auc_score(y, fair) - 0.5) < 0.04


def _trees_alone(dataset: Dataset) -> tuple[Blend, Parts]:
    encoder = Encoder.fit(dataset.frame, ["attr_city", "attr_noise"], 1, keep=["attr_city"])
    by_name = {spec.name: spec for spec in build_catalog(CITIES)}
    specs = [by_name[name] for name in encoder.names]
    parts = Parts(encoder, specs, ["attr_city"], 0, None, CONFIG)
    matrix = encoder.matrix(dataset.frame)
    y = dataset.y.astype(np.float64)
    rows = Rows(matrix, y, np.ones(len(y)), dataset.lead, dataset.as_of)
    return parts.trees(rows, 4, 60), parts
