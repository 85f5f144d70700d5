"""How is a file scored? Row by row in its order, a chunk at a time, into a CSV for people.

A file is read as an import would read it. Rows that hold what the definition's first lead source maps
are scored from what they say; rows that only name stored leads, from the store. A bad row gets its
reason instead of a score. Spreadsheets run cells that begin like a formula, so such texts are quoted.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

from features.clock import iso
from features.definition import Definition
from features.errors import InputError, Problem, PropensityError
from features.quality import record_problems, text_problem
from features.sources import Format
from features.store.engine import Store
from features.store.files.cells import Mapped
from features.store.files.checks import column_problems
from features.store.files.joining import open_join
from features.store.files.load import RowReader
from features.store.files.reading import open_table
from features.store.files.tables import BadRow, Row, Table
from models.forest_engine import ENGINE
from serving.scoring import Ask, LeadScore, Occasion, Result, Scorer, score

CHUNK = 1_000
"""Rows scored at once; memory holds no more."""

_WORTH_COMPILING = 2**20
"""Bytes of a file whose rows earn what loading compiled code costs; LightGBM scores meanwhile."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")

COLUMNS = (
    "line",
    "lead",
    "probability",
    "raw",
    "route",
    "reasons",
    "warnings",
    "as_of",
    "model",
    "score_id",
    "error",
)

Line = tuple[int, Ask | PropensityError]
"""Where a row begins in its file, and what is asked about it, or why nothing can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileScored:
    """What became of a file: its rows, how many were scored, and why others were not."""

    rows: int
    scored: int
    refused: Mapping[str, int]
    routes: Mapping[str, int]


def score_file(
    store: Store,
    scorer: Scorer,
    path: Path,
    out: IO[str],
    occasion: Occasion,
    *,
    as_of: int | None = None,
    lead_column: str | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> FileScored:
    """Score every row of a CSV or Parquet file.

    Args:
        store: where stored leads are, and the ledger is written.
        scorer: what scores.
        path: the file.
        out: where the scores go, as CSV; opened with `newline=""`.
        occasion: when and with how many reasons.
        as_of: the instant the scores speak for; the present one by default.
        lead_column: the column with the ids of stored leads; given, rows are not read as facts.
        progress: told the share of the file (0 to 1) that was read.

    Raises:
        InputError: the file cannot be read, or has neither what a lead source maps nor lead ids.
    """
    if path.is_file() and path.stat().st_size >= _WORTH_COMPILING:
        ENGINE.begin()
    instant = occasion.now if as_of is None else as_of
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    routes: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for lines, share in _lines(scorer.agreed, path, instant, occasion.now, lead_column):
        results = _scored(store, scorer, lines, occasion)
        for (line, ask), result in zip(lines, results, strict=True):
            lead = ask.lead if isinstance(ask, Ask) else ""
            writer.writerow(_row(line, lead, result))
            if isinstance(result, LeadScore):
                routes[result.route] += 1
            else:
                refused[result.message] += 1
        progress(share)
    scored, lost = routes.total(), refused.total()
    return FileScored(
        rows=scored + lost, scored=scored, refused=dict(refused.most_common(20)), routes=routes
    )


def guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula.

    >>> guarded("=1+1"), guarded("-2"), guarded("Contoso")
    ("'=1+1", "'-2", 'Contoso')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def _scored(
    store: Store, scorer: Scorer, lines: Sequence[Line], occasion: Occasion
) -> list[Result]:
    found = iter(score(store, scorer, [a for _, a in lines if isinstance(a, Ask)], occasion))
    return [next(found) if isinstance(ask, Ask) else ask for _, ask in lines]


def _lines(
    definition: Definition, path: Path, as_of: int, now: int, lead_column: str | None
) -> Iterator[tuple[list[Line], float]]:
    """The file's rows as questions, chunk by chunk, with the share read so far."""
    source = next((s for s in definition.sources if s.opens_leads), None)
    table = open_table(path, source.format if source else Format())
    missing: Sequence[Problem] = ()
    if lead_column is None and source is not None:
        fresh = source.model_copy(update={"outcome": None})
        joined = [open_join(path.parent / j.file, j, source.format) for j in source.join]
        missing = column_problems(fresh, table, joined)
        if not missing:
            reader = RowReader(definition, fresh, table, joined, now)
            return _described(definition, reader, table, as_of, now)
    column = lead_column or (source.lead if source and source.lead else "lead")
    if column not in table.columns:
        raise InputError(
            f"{path.name} has neither what the definition maps nor a column {column!r}",
            hint="Name the column with the ids of stored leads with --lead-column.",
            problems=missing,
        )
    return _named(table, list(table.columns).index(column), as_of)


def _named(table: Table, at: int, as_of: int) -> Iterator[tuple[list[Line], float]]:
    """Rows that name stored leads."""
    for chunk in table.chunks(CHUNK):
        asked = [(row, _ask_by_id(row.cells[at].strip(), as_of)) for row in chunk.rows]
        yield _in_order(asked, chunk.bad), chunk.share


def _described(
    definition: Definition, reader: RowReader, table: Table, as_of: int, now: int
) -> Iterator[tuple[list[Line], float]]:
    """Rows that say all that is known about their lead."""
    for chunk in table.chunks(CHUNK):
        mapped = reader(chunk.rows)
        asked = [(one.row, _ask_by_facts(one, reader, definition, as_of, now)) for one in mapped]
        yield _in_order(asked, chunk.bad), chunk.share


def _in_order(
    asked: Sequence[tuple[Row, Ask | PropensityError]], bad: Sequence[BadRow]
) -> list[Line]:
    unread = ((one.row, _told([one.problem])) for one in bad)
    every = sorted(chain(asked, unread), key=lambda pair: pair[0].number)
    return [(row.line, ask) for row, ask in every]


def _ask_by_id(lead: str, as_of: int) -> Ask | PropensityError:
    if not lead:
        return InputError("the row names no lead")
    if wrong := text_problem(lead):
        return InputError(f"the lead's id {wrong}")
    return Ask(lead, as_of)


def _ask_by_facts(
    one: Mapped, reader: RowReader, definition: Definition, as_of: int, now: int
) -> Ask | PropensityError:
    problems = one.problems or [
        reader.mapper.named_by_column(problem, record, one.where)
        for record in one.records
        for problem in record_problems(record, definition, now, one.where)
    ]
    if problems:
        return _told(problems)
    if not one.records:
        return InputError("the row is empty")
    return Ask(one.records[0].lead, as_of, tuple(one.records))


def _told(problems: Sequence[Problem]) -> InputError:
    return InputError("; ".join(f"{p.field}: {p.message}" for p in problems), problems=problems)


def _row(line: int, lead: str, result: Result) -> list[str | float | int]:
    if not isinstance(result, LeadScore):
        blank = [""] * (len(COLUMNS) - 3)
        return [line, guarded(lead), *blank, guarded(result.message)]
    reasons = "; ".join(
        f"{r['label']}: {r['words']} ({r['log_odds']:+.2f})" for r in result.reasons
    )
    return [
        line,
        guarded(lead),
        result.probability,
        result.raw,
        guarded(result.route),
        guarded(reasons),
        guarded("; ".join(caveat.message for caveat in result.caveats)),
        iso(result.as_of),
        result.model,
        result.score_id if result.score_id is not None else "",
        "",
    ]
