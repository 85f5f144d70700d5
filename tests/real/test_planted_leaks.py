"""A column that knows the outcome, planted into each real set, is caught; nothing honest is named.

Each kind of plant is what happens in companies: a status with a twentieth of mistakes, an amount that
only winners have, a level that is only entered when the contract is there, the date of the close. The
columns of a set are given meaningless names as well, because names must convict nobody.
"""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from features.clock import to_instant
from features.definition import Definition, read_definition
from features.frames import Category, Column
from features.store.engine import Store
from features.store.files.load import load
from features.store.migrate import upgrade
from training.dataset import Dataset, build_dataset, newest_cutoff
from training.delay import DAY, NEVER
from training.leakage import probe_leakage
from training.probe import find_leakage, late_values

pytestmark = pytest.mark.real_data

ROOT = Path(__file__).resolve().parents[2]
NOW = to_instant(datetime(2026, 1, 1, tzinfo=UTC))
SETS = [
    "salvirt_b2b",
    "x_education",
    "maven_crm",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("bank_additional", "bpi2012")),
]
CLOSE_DATES = ("maven_crm", pytest.param("bpi2012", marks=pytest.mark.slow))
"""The sets that say when a lead closed; in the others it closes where it begins."""


@cache
def known(name: str) -> tuple[Definition, Dataset, dict[str, float]]:
    """The definition, all rows with their outcome, and what was filled in late."""
    data = Path(os.environ.get("PROPENSITY_DATA", ROOT / ".." / "shared" / "data"))
    if not data.is_dir():
        pytest.skip(f"the real data sets are not at {data}; set PROPENSITY_DATA")
    definition = read_definition(ROOT / "examples" / name / "definition.yaml")
    with TemporaryDirectory() as scratch:
        store = Store(f"sqlite:///{scratch}/facts.db")
        upgrade(store)
        load(store, definition, now=NOW, rejects=Path(scratch) / "no", directory=data / name)
        cutoff = newest_cutoff(store)
        rows = build_dataset(store, definition, cutoff, most_leads=10**6, seed=0).matured()
        late = late_values(store, definition, cutoff)
        store.close()
    return definition, rows, late


def named_meaninglessly(rows: Dataset) -> dict[str, Column]:
    return {f"c{i}": column for i, column in enumerate(rows.frame.columns.values())}


def copy_with_mistakes(y: np.ndarray, rng: np.random.Generator) -> Column:
    return np.where(rng.random(len(y)) < 0.05, 1 - y, y).astype(float)


def amount_of_winners(y: np.ndarray, rng: np.random.Generator) -> Column:
    return np.where(y == 1, rng.lognormal(7, 1, len(y)), np.nan)


def level_of_the_end(y: np.ndarray, rng: np.random.Generator) -> Column:
    """Three levels that say nothing, and one that three winners of five get when they sign."""
    signed = (y == 1) & (rng.random(len(y)) < 0.6)
    return Category(np.where(signed, 3, rng.integers(0, 3, len(y))), ("a", "b", "c", "d"))


PLANTS = [copy_with_mistakes, amount_of_winners, level_of_the_end]


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
@pytest.mark.parametrize("name", SETS)
def test_a_planted_column_is_caught_and_nothing_else(name: str, plant) -> None:
    _, rows, _ = known(name)
    columns = named_meaninglessly(rows)
    columns["planted"] = plant(rows.y, np.random.default_rng(1))
    findings = probe_leakage(columns, rows.y, groups=rows.lead)
    assert {finding.column for finding in findings} == {"planted"}
    assert findings[0].blocking


@pytest.mark.parametrize("name", CLOSE_DATES)
def test_the_planted_date_of_the_close_is_caught_and_nothing_else(name: str) -> None:
    _, rows, _ = known(name)
    ended = np.where(rows.follow.ended == NEVER, np.nan, rows.follow.ended / DAY)
    columns = named_meaninglessly(rows)
    # As a date attribute reads: days before the as-of, so a date to come is negative; no time of day.
    columns["planted"] = -np.floor(ended)
    findings = probe_leakage(columns, rows.y, groups=rows.lead, ended_days=ended)
    assert [(finding.column, finding.blocking) for finding in findings] == [("planted", True)]


@pytest.mark.parametrize("name", SETS)
def test_no_honest_column_is_named_with_all_that_the_store_knows(name: str) -> None:
    definition, rows, late = known(name)
    assert find_leakage(rows, definition, late=late) == ()


@pytest.mark.parametrize("name", SETS)
def test_shuffled_outcomes_accuse_nobody(name: str) -> None:
    definition, rows, _ = known(name)
    for seed in range(3):
        shuffled = np.random.default_rng(seed).permutation(rows.y)
        assert find_leakage(replace(rows, y=shuffled), definition) == ()
