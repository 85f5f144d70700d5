"""Odoo's scoring gives the published figures, and says nothing where Odoo says nothing.

The vectors were reckoned by others with another implementation; 91.67, 50.00 and 98.39 also stand in
pull requests of Odoo itself.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.peers.odoo import FrequencyTable, odoo, odoo_tenths
from benchmarks.peers.task import Task
from features.frames import Category, Column, FeatureFrame

STAGES = ["S1", "S2", "S3"]


@pytest.fixture
def countries() -> FrequencyTable:
    """Four won; five lost in S1, one in S2; BE 3 won and 1 lost, FR 1 and 5."""
    table = FrequencyTable(STAGES)
    for country in ("BE", "BE", "BE", "FR"):
        table.count({"country": country}, "S3", won=True)
    for country in ("BE", "FR", "FR", "FR", "FR"):
        table.count({"country": country}, "S1", won=False)
    table.count({"country": "FR"}, "S2", won=False)
    return table


@pytest.mark.parametrize(
    ("stage", "country", "percent"),
    [
        ("S1", "BE", 73.66),
        ("S1", "FR", 17.63),
        ("S1", None, 40.20),
        ("S2", "BE", 93.94),
        ("S2", "FR", 54.27),
        ("S2", None, 78.85),
    ],
)
def test_the_published_example_of_countries_and_stages_is_met(
    countries: FrequencyTable, stage: str, country: str | None, percent: float
) -> None:
    values = {} if country is None else {"country": country}
    assert countries.percent(values, stage) == percent


def test_a_won_lead_set_back_is_scored_by_its_own_win_until_it_is_taken_back() -> None:
    table = FrequencyTable(STAGES)
    table.count({}, "S3", won=True)
    assert table.percent({}, "S1") == 91.67
    table.count({}, "S3", won=True, times=-1)
    assert table.percent({}, "S1") == 50.00


def test_six_wins_and_no_loss_promise_98_percent() -> None:
    table = FrequencyTable(["S1", "S2"])
    for _ in range(6):
        table.count({}, "S2", won=True)
    assert table.percent({}, "S1") == 98.39


def test_nothing_is_promised_before_anything_was_counted() -> None:
    assert FrequencyTable(STAGES).percent({"country": "BE"}, "S1") is None


def test_a_value_never_counted_says_as_little_as_none(countries: FrequencyTable) -> None:
    assert countries.percent({"country": "NL"}, "S1") == countries.percent({}, "S1")


def test_no_promise_is_certain() -> None:
    table = FrequencyTable(["new", "won"])
    for _ in range(50_000):
        table.count({"country": "BE"}, "won", won=True)
    assert table.percent({"country": "BE"}, "new") == 99.99


def _task(columns: dict[str, Column], y: list[int]) -> Task:
    n = len(y)
    frame = FeatureFrame(("",) * n, np.zeros(n, dtype=np.int64), columns)
    return Task(frame, np.array(y), np.ones(n), (), frame, 0)


def test_what_is_yes_or_no_is_a_field_as_a_category_is() -> None:
    y = [1, 1, 1, 0, 0, 0] * 20
    for column in (np.array(y, dtype=np.float64), Category.of(["ab"[won] for won in y])):
        probability = odoo(_task({"attr_told": column}, y)).probability
        assert probability[0] > 0.9 > 0.1 > probability[3]


def test_numbers_are_fields_only_when_they_were_cut_into_tenths() -> None:
    number = np.arange(200.0)
    y = [1 if value >= 100 else 0 for value in number]
    seldom = np.where(number >= 195, number, 0.0)
    task = _task({"attr_employees": number}, y)
    assert odoo(_task({"attr_calls": seldom}, y)).probability == pytest.approx(np.full(200, 0.5))
    assert odoo(task).probability == pytest.approx(np.full(200, 0.5))
    probability = odoo_tenths(task).probability
    assert len(np.unique(probability[:100])) == len(np.unique(probability[100:])) == 1
    # Each tenth holds 20 leads of one sort: (20.1 / 101) against (0.1 / 101), the prior even.
    assert probability[150] == pytest.approx(20.1 / 20.2, abs=5e-5)


def test_the_rank_of_an_answer_does_not_count_the_answer_twice() -> None:
    y = [1, 1, 1, 0] * 10 + [0, 0, 0, 1] * 10
    answers = Category.of(["best"] * 40 + ["worst"] * 40)
    rank = np.array([1.0] * 40 + [0.0] * 40)
    once = odoo_tenths(_task({"bant_need": answers}, y)).probability
    both = odoo_tenths(_task({"bant_need": answers, "bant_need_sales": rank}, y)).probability
    assert both.tolist() == once.tolist()


def test_what_is_empty_says_nothing() -> None:
    labels = Category.of(["a", "a", "a", "b", "b", "b", None, None])
    task = _task({"attr_source": labels}, [1, 1, 0, 0, 0, 1, 1, 0])
    assert odoo(task).probability[6:] == pytest.approx([0.5, 0.5])
