"""What is a lead of which a request says nothing but its attributes, and nothing odd? A row, in one go.

Everything that is not an attribute is the same for all such leads of a kind: `features.pipeline` says it
once, of a lead without attributes, and each request only fills in its own. Rule: whoever is read here has
the row, to the bit, that the same facts have in the pipeline; whatever might not is left to the pipeline,
and whatever might be wrong to `features.quality`, which says what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.definition import Attribute, Definition
from features.demographics import attribute_columns
from features.facts import Kind, LeadVersion, Queries, Value
from features.gather import FactsBuilder
from features.pipeline import compute_features
from features.plans import planned
from features.quality import is_plain, text_problem
from serving.standing import Standing, standings

JUST_BEFORE = 1
"""Microseconds: what is known at an instant was recorded before it."""

Row = dict[str, str | float | None]

_KINDS: tuple[Kind, ...] = ("prospect", "client")
_SOME_DAY = 1_000_000_000_000_000
"""Any instant does: a lead that was opened just before the as-of has the same row at each."""

_LARGEST = 1e18
"""Numbers from here on may have been written as integers that are too long."""

_READY = frozenset({float, type(None)})
"""Types of values that are in a row as they are."""


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
class Labels:
    """One category.

    Attributes:
        column: its column; None: it is none.
        words: what the words that the definition lists are read as.
        is_open: whether others are labels too.
    """

    column: str | None
    words: Mapping[str, str | None]
    is_open: bool


@dataclass(frozen=True, slots=True)
class _Group:
    """Attributes that are numbers to a model: numbers, or switches.

    Attributes:
        names: of the attributes that are columns, and `columns` what those are called.
        others: of those that are none.
        types: that their values may have.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    others: tuple[str, ...]
    types: frozenset[type]

    def read(self, attributes: Mapping[str, Value]) -> Iterable[tuple[str, float | None]] | None:
        """The columns; None where it takes a closer look whether each value may be."""
        get = attributes.get
        values: list[Any] = [*map(get, self.names), *map(get, self.others)]
        types = set(map(type, values))
        if not types <= self.types or max(map(abs, filter(None, values)), default=0) >= _LARGEST:
            return None
        if types - _READY:
            values = [None if value is None else float(value) for value in values]
        return zip(self.columns, values, strict=False)  # the others come last


@dataclass(frozen=True, slots=True)
class PlainLeads:
    """Reads leads by one definition.

    Attributes:
        bare: by kind, a lead without attributes.
        known: the names of all attributes.
        dates: attributes whose meaning depends on the as-of.
        numbers, switches, categories: attributes.
    """

    bare: Mapping[str, PlainLead]
    known: frozenset[str]
    dates: tuple[str, ...]
    numbers: _Group
    switches: _Group
    categories: Mapping[str, Labels]

    def read(self, kind: str, attributes: Mapping[str, Value]) -> PlainLead | None:
        """The lead; None where it takes a closer look to know what it is, or whether it may be."""
        get = attributes.get
        if not attributes.keys() <= self.known or any(get(name) is not None for name in self.dates):
            return None
        numbers, switches = self.numbers.read(attributes), self.switches.read(attributes)
        if numbers is None or switches is None:
            return None
        bare = self.bare[kind]
        row = bare.row.copy()
        row.update(numbers)
        row.update(switches)
        for name, labels in self.categories.items():
            if (value := get(name)) is not None and not _label(row, labels, value):
                return None
        return PlainLead(row, bare.standing)


@planned
def plain_leads(definition: Definition) -> PlainLeads:
    """What reads leads by this definition."""
    column = {name: column for name, column, _ in attribute_columns(definition)}
    of_type = {sort: [a for a in definition.attributes if a.type == sort] for sort in _SORTS}
    return PlainLeads(
        bare={kind: _bare(definition, kind) for kind in _KINDS},
        known=frozenset(attribute.name for attribute in definition.attributes),
        dates=tuple(attribute.name for attribute in of_type["date"]),
        numbers=_group(of_type["number"], column, float, int),
        switches=_group(of_type["boolean"], column, bool),
        categories={
            a.name: Labels(
                column=column.get(a.name),
                words={value: value for value in a.values or ()} | dict.fromkeys(a.unanswered),
                is_open=a.values is None,
            )
            for a in of_type["category"]
        },
    )


_SORTS = ("number", "boolean", "category", "date")


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
    attributes: Sequence[Attribute], column: Mapping[str, str], *types: type
) -> _Group:
    names = [attribute.name for attribute in attributes]
    features = tuple(name for name in names if name in column)
    return _Group(
        names=features,
        columns=tuple(column[name] for name in features),
        others=tuple(name for name in names if name not in column),
        types=frozenset({*types, type(None)}),
    )


def _label(row: Row, labels: Labels, value: object) -> bool:
    """Put a category's label into its column; False where it may be none."""
    if not isinstance(value, str):
        return False
    if value in labels.words:
        label = labels.words[value]
    elif labels.is_open and (is_plain(value) or not text_problem(value)):
        label = value
    else:
        return False
    if labels.column is not None:
        row[labels.column] = label
    return True
