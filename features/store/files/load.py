"""How do files get into the store? Source by source, chunk by chunk, good rows kept and bad ones named.

A chunk is one transaction and facts are idempotent, so an import that was killed is simply run again.
Everything that can be known beforehand (missing files and columns, a mapping that does not fit the
definition) stops the import before its first row.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from features.definition import Definition
from features.errors import DefinitionError, InputError, Problem
from features.facts import LeadVersion, Record
from features.sources import Source
from features.store.consent import ERASED
from features.store.engine import Store
from features.store.files.cells import Columns, Mapped
from features.store.files.checks import column_problems, mapping_problems, typed_columns
from features.store.files.dates import time_zone
from features.store.files.joining import Enricher, Lookup, build_lookup, open_join
from features.store.files.mapping import RowMapper
from features.store.files.opening import opening_of
from features.store.files.reading import open_table
from features.store.files.rejects import Rejects
from features.store.files.report import FileReport, LoadReport
from features.store.files.styles import Styles, styles_of
from features.store.files.tables import BadRow, Row, Table
from features.store.ingest import IngestReport
from features.store.outcomes import Deal
from features.store.placing import follow_versions
from features.store.recording import record_deals, record_facts

CHUNK_ROWS = 10_000

Progress = Callable[[str, int, float], None]
"""Called after each chunk: the file, its rows so far, and the share of it that was read (0 to 1)."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A source with its open files."""

    source: Source
    table: Table
    joined: tuple[Table, ...]


def load(
    store: Store,
    definition: Definition,
    *,
    now: int,
    rejects: Path,
    directory: Path | None = None,
    files: Mapping[str, Path] | None = None,
    progress: Progress | None = None,
    chunk_rows: int = CHUNK_ROWS,
) -> LoadReport:
    """Import the files that a definition names.

    Args:
        store: where the facts go.
        definition: its `sources` say what the rows mean.
        now: the present instant; facts from the future are problems.
        rejects: a directory; `<file>.rejects.csv` in it gets the rows of which nothing was taken.
        directory: where the files lie. Left out, only `files` are read.
        files: the file as the definition calls it -> where it lies instead.
        progress: told after each chunk.
        chunk_rows: rows a transaction; the result does not depend on it.

    Raises:
        DefinitionError: the mapping does not fit the definition or the files (all problems).
        InputError: files are missing or cannot be read (all of them).
    """
    if problems := mapping_problems(definition):
        raise DefinitionError("the sources do not hold together", problems=problems)
    opened = _open_all(definition, _locate(definition, directory, files or {}))
    reports = []
    for position, one in enumerate(opened):
        path = rejects / _rejects_name([o.source for o in opened], position)
        loading = _Loading(store, definition, one, now)
        reports.append(loading.run(path, chunk_rows, progress or (lambda *_: None)))
    return LoadReport(tuple(reports))


def _locate(
    definition: Definition, directory: Path | None, files: Mapping[str, Path]
) -> dict[str, Path]:
    """Where each source's file lies, and those it joins; files to be left out are not in it."""
    named = {source.file for source in definition.sources}
    joined = {join.file for source in definition.sources for join in source.join}
    if strange := sorted(set(files) - named - joined):
        raise InputError(
            f"the definition has no source for {', '.join(strange)}",
            hint=f"Its sources are {', '.join(sorted(named | joined)) or 'none'}.",
        )
    if not named:
        raise DefinitionError(
            "the definition has no sources", hint="`propensity init FILE…` writes them."
        )
    wanted = named if directory else set(files) & named
    beside_them = {j.file for s in definition.sources if s.file in wanted for j in s.join}
    beside = directory or next((path.parent for path in files.values()), Path())
    return {name: files.get(name, beside / name) for name in wanted | beside_them}


def _open_all(definition: Definition, paths: Mapping[str, Path]) -> list[_Opened]:
    """All sources with their files, or everything that is wrong with any of them."""
    opened: list[_Opened] = []
    unreadable: list[Problem] = []
    problems: list[Problem] = []
    for source in definition.sources:
        if source.file not in paths:
            continue
        try:
            table = open_table(paths[source.file], source.format, PurePath(source.file).name)
            joined = tuple(open_join(paths[j.file], j, source.format) for j in source.join)
        except InputError as error:
            unreadable.append(Problem(source.file, "(file)", "", f"{error.message} {error.hint}"))
            continue
        problems += column_problems(source, table, joined)
        opened.append(_Opened(source, table, joined))
    if unreadable:
        raise InputError("nothing was imported: files cannot be read", problems=unreadable)
    if problems:
        raise DefinitionError("nothing was imported: columns are missing", problems=problems)
    return opened


def _rejects_name(sources: Sequence[Source], position: int) -> str:
    """A name of its own for each source, also where two read the same file."""
    name = PurePath(sources[position].file).name
    earlier = sum(PurePath(source.file).name == name for source in sources[:position])
    return f"{name}.rejects.csv" if not earlier else f"{name}.{earlier + 1}.rejects.csv"


class RowReader:
    """The rows of one file as facts: how its columns are written is settled once, at the beginning.

    Args:
        definition: what the facts may say.
        source: what the rows mean.
        table: the open file; `joined`: the files it joins, in the source's order.
        joined: see `table`.
        now: the present instant; later facts are problems.
    """

    def __init__(
        self,
        definition: Definition,
        source: Source,
        table: Table,
        joined: Sequence[Table],
        now: int,
    ) -> None:
        opened = _Opened(source, table, tuple(joined))
        styles, self.lookups = _prepared(opened, typed_columns(source, definition))
        zone = time_zone(source.format.timezone, f"sources.{source.file}.format.timezone")
        names = [*table.columns, *(c for lookup in self.lookups for c in lookup.columns)]
        columns = Columns(names, source.format.unanswered, styles, zone)
        opening = opening_of(source, table, styles, zone)
        where = f"{table.label} {table.unit}"
        self._enriched = Enricher(table.columns, source.replace, self.lookups)
        self.mapper = RowMapper(definition, source, columns, opening, where, now)
        self.guesses = {**table.guesses, **styles.guesses}
        self.warnings = list(styles.warnings)

    def __call__(self, rows: Sequence[Row]) -> list[Mapped]:
        """What each row gives; rows come in the file's order, each once."""
        return [self.mapper(self._enriched(row)) for row in rows]


class _Loading:
    """The import of one source: its rows mapped, written and reported."""

    def __init__(self, store: Store, definition: Definition, opened: _Opened, now: int) -> None:
        self._store = store
        self._definition = definition
        self._now = now
        self._table = opened.table
        self._reader = RowReader(definition, opened.source, opened.table, opened.joined, now)
        self._mapper = self._reader.mapper
        self.report = FileReport(
            opened.source.file,
            guesses=self._reader.guesses,
            warnings=self._reader.warnings,
        )

    def run(self, rejects: Path, chunk_rows: int, progress: Progress) -> FileReport:
        """Import all rows."""
        report = self.report
        with Rejects(rejects, self._table.columns) as rejected:
            for chunk in self._table.chunks(chunk_rows):
                with _not_collecting():
                    mapped = self._reader(chunk.rows)
                    self._write(mapped)
                every: list[Mapped | BadRow] = [*chunk.bad, *mapped]
                for one in sorted(every, key=lambda item: item.row.number):
                    self._tell(one, rejected)
                progress(report.file, report.rows, chunk.share)
            report.rejects = rejected.path
        report.warnings += _about(self._reader.lookups)
        return report

    def _write(self, mapped: Sequence[Mapped]) -> None:
        """One transaction; what the store refuses becomes a problem of its row."""
        facts = [(one, fact) for one in mapped for fact in one.records]
        deals = [(one, deal) for one in mapped for deal in one.deals]
        if not facts and not deals:
            return
        with self._store.write() as connection:
            ingested = record_facts(connection, [f for _, f in facts], self._definition, self._now)
            versions = {fact.lead for _, fact in facts if isinstance(fact, LeadVersion)}
            follow_versions(connection, versions)
            closed = record_deals(connection, [d for _, d in deals], self._definition, self._now)
        self._refused(ingested, facts)
        self._refused(closed, deals)

    def _refused(
        self,
        done: IngestReport,
        facts: Sequence[tuple[Mapped, Record]] | Sequence[tuple[Mapped, Deal]],
    ) -> None:
        self.report.added += done.added
        self.report.unchanged += done.unchanged
        for position, problems in done.problems.items():
            one, fact = facts[position]
            named = [self._mapper.named_by_column(p, fact, one.where) for p in problems]
            # Two fields of a fact may come from one column.
            one.problems = list(dict.fromkeys([*one.problems, *named]))

    def _tell(self, one: Mapped | BadRow, rejected: Rejects) -> None:
        """Count a row, and put it aside where there is something wrong with it."""
        report = self.report
        report.rows += 1
        problems = [one.problem] if isinstance(one, BadRow) else one.problems
        if problems:
            report.rejected += 1
            report.note(problems)
            if any(problem.message == ERASED for problem in problems):
                return  # or the row of rejects would bring the person back to our disk
            own = (
                one.row.cells[: len(self._table.columns)]
                if isinstance(one, Mapped)
                else one.row.cells
            )
            rejected.add(one.row._replace(cells=own), problems)
        elif isinstance(one, Mapped):
            report.skipped += not one.records and not one.deals
            if one.left_open is not None:
                report.note_open(one.left_open)


@contextmanager
def _not_collecting() -> Iterator[None]:
    """Let no cycles be looked for: rows and facts have none, and looking took 29 % of an import."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _prepared(opened: _Opened, wanted: tuple[list[str], list[str]]) -> tuple[Styles, list[Lookup]]:
    """How the columns are written, and the joined files as lookups."""
    source, table = opened.source, opened.table
    numbers, dates = ([c for c in kind if c in table.columns] for kind in wanted)
    own = styles_of(table, numbers, dates, source.format)
    present = list(table.columns)
    lookups: list[Lookup] = []
    by_column = dict(own.by_column)
    for join, other in zip(source.join, opened.joined, strict=True):
        lookup = build_lookup(join, other, present, wanted, source.format)
        present += lookup.columns
        by_column |= lookup.styles.by_column
        lookups.append(lookup)
    return Styles(by_column, own.guesses, own.warnings), lookups


def _about(lookups: Sequence[Lookup]) -> list[str]:
    """What was odd about the joined files."""
    said = []
    for lookup in lookups:
        said += [f"{lookup.label}: {warning}" for warning in lookup.styles.warnings]
        if lookup.repeated:
            said.append(
                f"{lookup.label}: {lookup.repeated} keys are there twice; the first row counts"
            )
        if lookup.missed:
            most = ", ".join(repr(key) for key, _ in lookup.missed.most_common(5))
            rows = lookup.missed.total()
            said.append(f"{lookup.label}: {rows} rows found no {lookup.key} there, such as {most}")
    return said
