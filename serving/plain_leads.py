"""What is a lead of which a request says nothing but its attributes, and nothing odd? A row, in one go.

Everything that is not an attribute is the same for all such leads of a kind: `features.pipeline` says
it once, of a lead without attributes, and each request only fills in its own. Rule: whoever is read here
has the row, to the bit, that the same facts have in the pipeline; whatever might not is left to the
pipeline, and whatever might be wrong to `features.quality`, which says what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.definition import Attribute, Definition
from features.demographics import attribute_columns
from features.facts import Kind, LeadVersion, Queries, Value
from features.gather import FactsBuilder
from features.pipeline import compute_features
from features.plans import planned
from features.quality import LONGEST_TEXT, text_problem
from serving.standing import Standing, standings

JUST_BEFORE = 1
"""Microseconds: what is known at an instant was recorded before it."""

Cell = str | float | None
Row = dict[str, Cell]

_KINDS: tuple[Kind, ...] = ("prospect", "client")

_SOME_DAY = 1_000_000_000_000_000
"""Any instant does: a lead that was opened just before the as-of has the same row at each."""

_LARGEST = 1e18
"""Numbers from here on may have been written as integers that are too long."""

_NUMBERS = frozenset({float, int, type(None)})
_SWITCHES = frozenset({bool, type(None)})
_TEXTS = frozenset({str, type(None)})


@dataclass(frozen=True, slots=True)
class PlainLead:
    """A lead that is all attributes.

    Attributes:
        row: its features by name, in the catalogue's order.
        standing: where it stands.
    """

    row: Row
    standing: Standing


@dataclass(frozen=True, slots=True)
class _Group:
    """Attributes that are read alike.

    Attributes:
        names: of those that are columns, and then of those that are none.
        columns: what the former are called.
        cells: what values are in a row, in their order; None where one of them may be wrong.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Callable[[list[Any]], Sequence[Cell] | None]

    def read(self, attributes: Mapping[str, Value]) -> Iterable[tuple[str, Cell]] | None:
        """The columns; None where it takes a closer look whether each value may be."""
        cells = self.cells([*map(attributes.get, self.names)])
        return None if cells is None else zip(self.columns, cells, strict=False)


@dataclass(frozen=True, slots=True)
class _Listed:
    """A category of which the definition lists words.

    Attributes:
        column: its column; None: it is none.
        words: what they are read as.
        is_open: whether other words may be said too.
    """

    column: str | None
    words: Mapping[str, str | None]
    is_open: bool

    def fill(self, row: Row, said: object) -> bool:
        """Put a word into its column; False where it takes a closer look whether it may be said."""
        if not isinstance(said, str):
            return False
        is_listed = said in self.words
        if not is_listed and (not self.is_open or text_problem(said)):
            return False
        if self.column is not None:
            row[self.column] = self.words[said] if is_listed else said
        return True


@dataclass(frozen=True, slots=True)
class PlainLeads:
    """Reads leads by one definition.

    Attributes:
        bare: by kind, a lead without attributes.
        known: the names of all attributes.
        dates: attributes whose meaning depends on the as-of.
        groups: all others, but for those that are `listed`.
    """

    bare: Mapping[str, PlainLead]
    known: frozenset[str]
    dates: tuple[str, ...]
    groups: tuple[_Group, ...]
    listed: Mapping[str, _Listed]

    def read(self, kind: str, attributes: Mapping[str, Value]) -> PlainLead | None:
        """The lead; None where it takes a closer look to know what it is, or whether it may be."""
        get = attributes.get
        if not attributes.keys() <= self.known or any(get(name) is not None for name in self.dates):
            return None
        bare = self.bare[kind]
        row = bare.row.copy()
        for group in self.groups:
            if (cells := group.read(attributes)) is None:
                return None
            row.update(cells)
        for name, listed in self.listed.items():
            if (said := get(name)) is not None and not listed.fill(row, said):
                return None
        return PlainLead(row, bare.standing)


@planned
def plain_leads(definition: Definition) -> PlainLeads:
    """What reads leads by this definition."""
    columns = {name: column for name, column, _ in attribute_columns(definition)}
    of_type: dict[str, list[Attribute]] = {}
    for attribute in definition.attributes:
        is_listed = attribute.values is not None or attribute.unanswered
        sort = "listed" if attribute.type == "category" and is_listed else attribute.type
        of_type.setdefault(sort, []).append(attribute)
    how = {"number": _as_numbers, "boolean": _as_switches, "category": _as_texts}
    return PlainLeads(
        bare={kind: _bare(definition, kind) for kind in _KINDS},
        known=frozenset(attribute.name for attribute in definition.attributes),
        dates=tuple(attribute.name for attribute in of_type.get("date", ())),
        groups=tuple(
            _group(of_type[sort], columns, cells) for sort, cells in how.items() if sort in of_type
        ),
        listed={
            attribute.name: _Listed(
                column=columns.get(attribute.name),
                words={value: value for value in attribute.values or ()}
                | dict.fromkeys(attribute.unanswered),
                is_open=attribute.values is None,
            )
            for attribute in of_type.get("listed", ())
        },
    )


def _bare(definition: Definition, kind: Kind) -> PlainLead:
    """A lead of which only the kind is known, as the pipeline sees it."""
    opened_at = _SOME_DAY - JUST_BEFORE
    lead = LeadVersion(lead="", occurred_at=opened_at, recorded_at=opened_at, kind=kind)
    facts = FactsBuilder.of_records(definition, [lead]).build()
    query = Queries.at(np.zeros(1, dtype=np.int64), _SOME_DAY)
    (row,) = compute_features(facts, query, definition).rows()
    (standing,) = standings(facts, query, definition)
    return PlainLead(row, standing)


def _group(
    attributes: Sequence[Attribute],
    columns: Mapping[str, str],
    cells: Callable[[list[Any]], Sequence[Cell] | None],
) -> _Group:
    names = [attribute.name for attribute in attributes]
    features = [name for name in names if name in columns]
    others = [name for name in names if name not in columns]
    return _Group((*features, *others), tuple(columns[name] for name in features), cells)


def _as_numbers(values: list[Any]) -> Sequence[Cell] | None:
    types = set(map(type, values))
    if not types <= _NUMBERS or max(map(abs, filter(None, values)), default=0.0) >= _LARGEST:
        return None
    if int in types:
        return [None if value is None else float(value) for value in values]
    return values


def _as_switches(values: list[Any]) -> Sequence[Cell] | None:
    if not _SWITCHES.issuperset(map(type, values)):
        return None
    return [None if value is None else float(value) for value in values]


def _as_texts(values: list[Any]) -> Sequence[Cell] | None:
    if not _TEXTS.issuperset(map(type, values)):
        return None
    said = [*filter(None, values)]
    together = "".join(said)
    if (
        together.isascii()
        and "\x00" not in together
        and max(map(len, said), default=0) <= LONGEST_TEXT
    ):
        return values
    return None if any(map(text_problem, said)) else values
