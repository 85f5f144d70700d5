"""How good is the scoring of the open-source CRM Odoo? A naive Bayes over counted categories.

Written anew from a description of what versions 17 and 18 compute; checked on published vectors
(`tests/benchmarks/test_odoo.py`). Left out: sales teams, each with a table of its own, and tags,
because no set has either; the update lead by lead, because counting all closed leads is its rebuild.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from benchmarks.peers.task import Answer, Task, watch
from features.frames import Category, Column

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
    ones say nothing. Numbers are left out. All leads stand in one stage, because rows are leads as
    they came in, not as they were closed.
    """
    return _scored(task, most_values=2)


def odoo_numbers(task: Task) -> Answer:
    """The same with numbers, which Odoo takes as one category per distinct value.

    Nothing hinders its user from choosing such fields. Ranks of answers are still left out: they
    would count an answer twice.
    """
    return _scored(task, most_values=len(task.y))


def _scored(task: Task, most_values: int) -> Answer:
    columns = task.lesson.columns.items()
    fields = [name for name, column in columns if _is_field(name, column, most_values)]
    table = FrequencyTable(["new", "won"])
    with watch() as taken:
        lesson = _leads({name: task.lesson.columns[name] for name in fields}, len(task.lesson))
        for values, won in zip(lesson, task.y.tolist(), strict=True):
            table.count(values, "new", bool(won))
    asked = _leads({name: task.asked.columns[name] for name in fields}, len(task.asked))
    percents = [table.percent(values, "new") or 0.0 for values in asked]
    return Answer(np.array(percents) / 100.0, taken.seconds)


def _is_field(name: str, column: Column, most_values: int) -> bool:
    if isinstance(column, Category):
        return True
    if name.startswith("bant_"):
        return False
    return len(np.unique(column[~np.isnan(column)])) <= most_values


def _leads(fields: Mapping[str, Column], rows: int) -> Iterable[Values]:
    """For each row the fields that are known, as text."""
    labels = {
        name: column.labels() if isinstance(column, Category) else _texts(column)
        for name, column in fields.items()
    }
    for row in range(rows):
        yield {name: text for name, column in labels.items() if (text := column[row]) is not None}


def _texts(column: Column) -> list[str | None]:
    assert not isinstance(column, Category)
    return [None if math.isnan(value) else repr(value) for value in column.tolist()]


def _expit(log_odds: float) -> float:
    small = math.exp(-abs(log_odds))
    return (small if log_odds < 0 else 1.0) / (1.0 + small)
