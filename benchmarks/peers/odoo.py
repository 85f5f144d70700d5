"""How good is the scoring of the open-source CRM Odoo? A naive Bayes over counted categories.

Written anew from a description of what versions 17 and 18 compute; checked on published vectors
(`tests/benchmarks/test_odoo.py`). Left out: sales teams, each with a table of its own, and tags,
because no set has either; the update lead by lead, because counting all closed leads is its rebuild.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.task import Answer, Task, watch
from features.frames import Category, Column, FeatureFrame

SMOOTHING = 0.1
"""A cell is born with this in both counts, and never falls below it."""

STAGE = "stage"
Values = Mapping[str, str]


class FrequencyTable:
    """Won and lost counts of each value of each field, and how far lost leads got.

    Args:
        stages: all stages in order; a won lead counts as having been in every one of them.
    """

    def __init__(self, stages: Sequence[str]) -> None:
        self.stages = tuple(stages)
        self._cells: dict[str, dict[str, list[float]]] = defaultdict(dict)

    def count(self, values: Values, stage: str, won: bool, times: int = 1) -> None:
        """Count a closed lead; `times=-1` takes one back that was re-opened."""
        reached = self.stages if won else self.stages[: self.stages.index(stage) + 1]
        for field, value in (*values.items(), *((STAGE, name) for name in reached)):
            cell = self._cells[field].setdefault(value, [SMOOTHING, SMOOTHING])
            cell[won] = max(cell[won] + times, SMOOTHING)

    def percent(self, values: Values, stage: str) -> float | None:
        """The probability of an open lead in percent, to two decimals, from .01 to 99.99.

        None where nothing was counted yet: Odoo then leaves its field as it is.
        """
        first = self._cells[STAGE].get(self.stages[0])
        if first is None:
            return None
        log_odds = math.log(first[1] / first[0])
        reached = self._cells[STAGE].get(stage)
        if reached is not None:
            log_odds += math.log(reached[1] / first[1]) - math.log(reached[0] / first[0])
        log_odds += sum(self._evidence(field, value) for field, value in values.items())
        return min(max(round(100.0 * _expit(log_odds), 2), 0.01), 99.99)

    def _evidence(self, field: str, value: str) -> float:
        """Log of (its share among the won / its share among the lost); 0 for a value never counted."""
        cell = self._cells[field].get(value)
        if cell is None:
            return 0.0
        cells = self._cells[field].values()
        lost, won = sum(cell[0] for cell in cells), sum(cell[1] for cell in cells)
        return math.log(cell[1] / won) - math.log(cell[0] / lost)


def odoo(task: Task) -> Answer:
    """Count the lesson's leads and answer as Odoo would, with the fields its settings are made for.

    These are the attributes and the BANT answers that are categories, and what is yes or no; empty
    ones say nothing. Numbers are left out: Odoo would take each distinct value for a category. All
    leads stand in one stage, because rows are leads as they came in, not as they were closed.
    """
    return _scored(task, tenths=False)


def odoo_tenths(task: Task) -> Answer:
    """The same where somebody has cut the numbers into tenths beforehand, each a selection field.

    Ranks and other numbers made from answers are still left out: they would count an answer twice.
    """
    return _scored(task, tenths=True)


def _scored(task: Task, tenths: bool) -> Answer:
    table = FrequencyTable(["new", "won"])
    with watch() as taken:
        columns = task.lesson.columns
        fields = [name for name, column in columns.items() if _is_field(name, column, tenths)]
        cuts = {name: _cuts(columns[name]) for name in fields}
        for values, won in zip(_leads(task.lesson, fields, cuts), task.y.tolist(), strict=True):
            table.count(values, "new", bool(won))
    asked = _leads(task.asked, fields, cuts)
    percents = [table.percent(values, "new") or 0.0 for values in asked]
    return Answer(np.array(percents) / 100.0, taken.seconds)


Cuts = NDArray[np.float64] | None
"""Where a number is cut, upper ends included; None for a category."""


def _is_field(name: str, column: Column, tenths: bool) -> bool:
    if isinstance(column, Category):
        return True
    if name.startswith("bant_"):
        return False
    return tenths or len(np.unique(column[~np.isnan(column)])) <= 2


def _cuts(column: Column) -> Cuts:
    if isinstance(column, Category):
        return None
    known = column[~np.isnan(column)]
    values = np.unique(known)
    return values[:1] if len(values) <= 2 else np.unique(np.quantile(known, np.arange(1, 10) / 10))


def _leads(frame: FeatureFrame, fields: Sequence[str], cuts: Mapping[str, Cuts]) -> list[Values]:
    """For each row the fields that are known, as text."""
    labels = {name: _labels(frame.columns[name], cuts[name]) for name in fields}
    return [
        {name: text for name, column in labels.items() if (text := column[row]) is not None}
        for row in range(len(frame))
    ]


def _labels(column: Column, cuts: Cuts) -> list[str | None]:
    if isinstance(column, Category):
        return column.labels()
    assert cuts is not None, "a column is a number in the lesson and where it is asked about"
    tenth = np.searchsorted(cuts, column).tolist()
    return [
        None if math.isnan(value) else str(i)
        for i, value in zip(tenth, column.tolist(), strict=True)
    ]


def _expit(log_odds: float) -> float:
    small = math.exp(-abs(log_odds))
    return (small if log_odds < 0 else 1.0) / (1.0 + small)
