"""Would this definition take these files? The files read with it, writing nothing, to find out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from features.clock import DAY
from features.definition import Definition
from features.facts import LeadVersion
from features.quality import LATEST, record_problems, text_problem
from features.sources import Format, Source
from features.store.files.cells import Mapped
from features.store.files.joining import open_join
from features.store.files.load import RowReader
from features.store.files.profiles import ROWS_READ, FileProfile
from features.store.files.tables import Row

_CHUNK = 5_000
_END = LATEST - 1
_HORIZONS = (7, 14, 30, 60, 90, 180, 365)
_HORIZONS_IN_HISTORY = 4
"""Cohorts whose horizon has passed must be left to learn from and to be judged by."""
_CLOSED_NEEDED = 30
_ROWS_OF_OTHERS = 50_000
"""Rows of files that do not describe leads; the leads' file is read as far as the guess looked."""


@dataclass(slots=True)
class Rehearsal:
    """What reading the files showed.

    `problems` counts rows by file and column; `opened` and `closed` are the instants of leads;
    `strangers` counts rows, by file, about leads that the leads' file does not have.
    """

    problems: dict[str, Counter[str]] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)
    opened: dict[str, int] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    strangers: Counter[str] = field(default_factory=Counter)

    def warnings(self) -> list[str]:
        """What cannot be helped by another guess."""
        told = [
            f"{file}: {rows} rows are about leads that are not in the leads' file and will be rejected"
            for file, rows in self.strangers.items()
        ]
        for file, columns in self.problems.items():
            told += [
                f"{file}: {times} of {self.rows[file]} rows will be rejected because of {column}"
                for column, times in columns.items()
            ]
        return told

    def timing(self, has_events: bool) -> dict[str, object]:
        """A horizon in which most of the leads that close have closed, if the history is long enough."""
        spans = [
            (closed - self.opened[lead]) / DAY
            for lead, closed in self.closed.items()
            if lead in self.opened
        ]
        history = (max(self.opened.values()) - min(self.opened.values())) / DAY if spans else 0.0
        if len(spans) >= _CLOSED_NEEDED:
            half, most = np.quantile(spans, (0.5, 0.9)).tolist()
            possible = [
                days for days in _HORIZONS if half <= days <= history / _HORIZONS_IN_HISTORY
            ]
            if possible:
                horizon = next((days for days in possible if days >= most), possible[-1])
                return {"horizon_days": horizon, "cohorts": {"every_days": max(1, horizon // 3)}}
        hours = 24 if has_events else 0
        return {"horizon_days": None, "cohorts": {"after_opening_hours": hours}}


def rehearse(definition: Definition, files: Sequence[FileProfile]) -> Rehearsal:
    """Read the files as an import would, as far as the guess looked.

    Args:
        definition: with a source for each file that is to be read.
        files: the files that were looked at.
    """
    shown = Rehearsal()
    by_name = {file.path.name: file for file in files}
    for source in definition.sources:
        file = by_name[source.file]
        joined = [open_join(by_name[join.file].path, join, Format()) for join in source.join]
        reader = RowReader(definition, source, file.table, joined, _END)
        rows = (row for chunk in file.table.chunks(_CHUNK) for row in chunk.rows)
        told = islice(rows, ROWS_READ if source.opens_leads else _ROWS_OF_OTHERS)
        while part := list(islice(told, _CHUNK)):
            _listen(shown, definition, source, reader, part)
    return shown


def _listen(
    shown: Rehearsal, definition: Definition, source: Source, reader: RowReader, rows: list[Row]
) -> None:
    problems = shown.problems.setdefault(source.file, Counter())
    shown.rows[source.file] += len(rows)
    for one in reader(rows):
        problems.update({p.field for p in one.problems} | _refused(one, definition, reader))
        for fact in one.records:
            if isinstance(fact, LeadVersion):
                before = shown.opened.get(fact.lead, fact.occurred_at)
                shown.opened[fact.lead] = min(before, fact.occurred_at)
            elif fact.lead not in shown.opened:
                shown.strangers[source.file] += 1
        for deal in one.deals:
            if deal.lead not in shown.opened:
                shown.strangers[source.file] += 1
            elif source.outcome and source.outcome.at:
                shown.closed[deal.lead] = deal.occurred_at


def _refused(one: Mapped, definition: Definition, reader: RowReader) -> set[str]:
    """The columns because of which the store would refuse what the mapping lets through."""
    # The mapping judges rows that hold several facts itself.
    found = {
        reader.mapper.named_by_column(problem, fact, one.where).field
        for fact in one.records[:1]
        for problem in record_problems(fact, definition, _END, one.where)
    }
    reasons = {"reason" for deal in one.deals if deal.reason and text_problem(deal.reason)}
    return found | reasons
