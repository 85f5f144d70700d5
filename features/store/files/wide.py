"""What does a row that describes a lead say? Its attributes and, in columns of their own, answers.

Both append what they find to `Mapped`, problems included; they never raise.
"""

from __future__ import annotations

from collections.abc import Callable

from features.definition import UNKNOWN, Attribute, Definition, Question
from features.facts import Answer, Kind, LeadVersion, Value
from features.sources import Source
from features.store.files.about import About
from features.store.files.cells import Cell, Columns, Mapped
from features.store.files.values import boolean


class Versions:
    """A lead's attributes, one version a row."""

    def __init__(self, columns: Columns, source: Source, definition: Definition) -> None:
        self._attributes = [
            (name, *_reader(columns, column, definition.attribute_by_name[name]))
            for name, column in source.attributes.items()
        ]
        self._owner = columns.optional(source.owner)
        self._name = columns.optional(source.name)
        self._kind = columns.optional(source.kind.column) if source.kind else None
        clients = source.kind.client if source.kind else ()
        self._clients = {text.strip().casefold() for text in clients}

    def __call__(self, into: Mapped, about: About) -> None:
        """Append the version."""
        attributes: dict[str, Value] = {}
        for name, cell, parse in self._attributes:
            value = cell.read(into, parse)
            if value is not None:
                attributes[name] = value
        if about.opened is None:
            return
        recorded = about.opened if about.recorded is None else about.recorded
        into.records.append(
            LeadVersion(
                lead=about.lead,
                occurred_at=about.opened,
                recorded_at=recorded,
                attributes=attributes,
                kind=self._kind_of(into),
                owner=self._owner.text(into.row) if self._owner else None,
                name=self._name.text(into.row) if self._name else None,
                source=about.source,
            )
        )

    def _kind_of(self, into: Mapped) -> Kind:
        text = self._kind.text(into.row) if self._kind else None
        return "client" if text is not None and text.casefold() in self._clients else "prospect"


def _reader(
    columns: Columns, column: str, attribute: Attribute
) -> tuple[Cell, Callable[[str], Value]]:
    """The cell of an attribute, and how to read it."""
    cell = columns.cell(column, attribute.unanswered)
    match attribute.type:
        case "number":
            return cell, columns.number(column)
        case "boolean":
            return cell, boolean
        case "date":
            read = columns.instant(column)
            return cell, lambda text: float(read(text))
        case "category":
            spelling = _spelling(attribute.values or ())
            return cell, lambda text: spelling.get(text.casefold(), text)


def _spelling(levels: tuple[str, ...]) -> dict[str, str]:
    """Lower case -> the agreed spelling; levels that differ in case only stay apart."""
    folded = [level.casefold() for level in levels]
    return {low: level for low, level in zip(folded, levels, strict=True) if folded.count(low) == 1}


class Levels:
    """The texts of one question's answers."""

    def __init__(self, question: Question) -> None:
        self.name = question.name
        self._blank = frozenset(question.unanswered)
        self._spelling = _spelling(question.answers.sales)
        unknown = (*question.unknown, UNKNOWN)
        self._spelling.update((text.casefold(), UNKNOWN) for text in unknown)

    def level(self, text: str) -> str | None:
        """The level that a text means (itself, if none), or None: the question was not asked."""
        return None if text in self._blank else self._spelling.get(text.casefold(), text)


class WideAnswers:
    """Answers in columns of their own, given when the lead was opened."""

    def __init__(self, columns: Columns, source: Source, definition: Definition) -> None:
        self._questions = [
            (columns.cell(column), Levels(definition.question_by_name[name]))
            for name, column in source.answers.items()
        ]

    def __call__(self, into: Mapped, about: About) -> None:
        """Append the answers that were given."""
        if about.opened is None:
            return
        recorded = about.opened if about.recorded is None else about.recorded
        for cell, levels in self._questions:
            text = cell.text(into.row)
            level = None if text is None else levels.level(text)
            if level is not None:
                into.records.append(
                    Answer(
                        lead=about.lead,
                        question=levels.name,
                        answer=level,
                        occurred_at=about.opened,
                        recorded_at=recorded,
                        source=about.source,
                    )
                )
