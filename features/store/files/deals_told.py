"""Which deals does an export tell? The rows of one file, read as an import would; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from features.definition import Definition
from features.errors import DefinitionError, InputError, Problem
from features.sources import Source
from features.store.files.checks import column_problems, mapping_problems
from features.store.files.joining import open_join
from features.store.files.load import CHUNK_ROWS, RowReader
from features.store.files.mapping import SOURCE_LENGTH
from features.store.files.reading import open_table
from features.store.outcomes import Deal


@dataclass(frozen=True, slots=True)
class Told:
    """The deals of an export, the source of all of them, and what is wrong with other rows."""

    deals: tuple[Deal, ...]
    source: str
    problems: tuple[Problem, ...]


def deals_told(
    definition: Definition,
    path: Path,
    now: int,
    *,
    mapping: str | None = None,
    source: str | None = None,
) -> Told:
    """The deals that a file tells.

    Args:
        definition: its `sources` say what the rows mean.
        path: the file.
        now: the present instant.
        mapping: the file as the definition calls it; by default as the path does.
        source: under which source the deals are in the store; by default as an import of the file.

    Raises:
        DefinitionError: the mapping does not fit the definition or the file.
        InputError: the definition maps no such file, or the file cannot be read.
    """
    if problems := mapping_problems(definition):
        raise DefinitionError("the sources do not hold together", problems=problems)
    mapped_as = _mapping(definition, mapping or path.name)
    whose = source or mapped_as.file[-SOURCE_LENGTH:]
    table = open_table(path, mapped_as.format, PurePath(mapped_as.file).name)
    joined = [open_join(path.parent / j.file, j, mapped_as.format) for j in mapped_as.join]
    if problems := column_problems(mapped_as, table, joined):
        raise DefinitionError("columns are missing", problems=problems)
    reader = RowReader(definition, mapped_as, table, joined, now)
    deals: list[Deal] = []
    wrong: list[Problem] = []
    for chunk in table.chunks(CHUNK_ROWS):
        wrong += [bad.problem for bad in chunk.bad]
        for mapped in reader(chunk.rows):
            told = () if mapped.problems else mapped.deals
            deals += [replace(deal, source=whose) for deal in told]
            wrong += mapped.problems
    return Told(tuple(deals), whose, tuple(wrong))


def _mapping(definition: Definition, name: str) -> Source:
    ending = [source for source in definition.sources if source.outcome is not None]
    for source in ending:
        if name in (source.file, PurePath(source.file).name):
            return source
    raise InputError(
        f"the definition has no source of outcomes called {name!r}",
        hint=f"Name one with --mapping: {', '.join(s.file for s in ending) or 'there is none'}.",
    )
