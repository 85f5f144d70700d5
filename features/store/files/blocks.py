"""What does each block of a source make of a row? Versions, answers, events, stage changes, deals.

A block appends the facts it finds and the problems it meets to `Mapped`; it never raises. `fields`
says which column stands behind each field of its facts, so that problems can name columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from features.clock import DAY, iso
from features.definition import UNKNOWN, Attribute, Definition, Question
from features.facts import Answer, Event, Kind, LeadVersion, StageChange, Value
from features.sources import (
    AnswerRows,
    EventRows,
    Outcome,
    Source,
    StageRows,
    as_name,
)
from features.store.files.cells import Cell, Columns, Label, Mapped, Moment
from features.store.files.values import boolean
from features.store.outcomes import Deal, Ending

_LABELS_KEPT = 4096


@dataclass(slots=True)
class About:
    """Whom a row is about, and since when.

    `opened` is None where the row opens no lead or its date cannot be read; `ending` is how the row
    closes its lead, if it does.
    """

    lead: str
    source: str
    opened: int | None = None
    recorded: int | None = None
    ending: Ending | None = None


Block = Callable[[Mapped, About], None]


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


class _Levels:
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
            (columns.cell(column), _Levels(definition.question_by_name[name]))
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


class Happened:
    """When something in a row happened and was recorded, and under which id.

    Args:
        columns: of the source.
        said: the block of the source.
        optional: whether a blank time means that it did not happen, as in a row that also opens a
            lead; elsewhere it is a problem.
    """

    def __init__(
        self, columns: Columns, said: AnswerRows | EventRows | StageRows | Outcome, optional: bool
    ) -> None:
        self.at = Moment(columns, said.at)
        self._recorded = Moment(columns, said.recorded_at)
        self._id = columns.key(said.id) if said.id else None
        self._optional = optional

    def times(self, into: Mapped, about: About) -> tuple[int, int] | None:
        """`occurred_at` and `recorded_at`, or None: it did not happen, or a problem was noted."""
        occurred = self.at.read(into) if self._optional else self.at.required(into)
        return None if occurred is None else (occurred, self.recorded(into, about, occurred))

    def recorded(self, into: Mapped, about: About, occurred: int) -> int:
        """When it was recorded: its own column, else the row's, else when it happened."""
        own = self._recorded.read(into)
        if own is not None:
            return own
        return occurred if about.recorded is None else about.recorded

    def external_id(self, into: Mapped) -> str | None:
        """The id that the row gives, if it does."""
        return self._id.text(into.row) if self._id else None


class AnswerBlock:
    """One answer a row."""

    def __init__(
        self, columns: Columns, said: AnswerRows, definition: Definition, optional: bool
    ) -> None:
        self._question = Label(columns, said.question)
        self._column = said.question if isinstance(said.question, str) else "question"
        self._answer = columns.cell(said.answer)
        self._happened = Happened(columns, said, optional)
        self._names = list(definition.question_by_name)
        self._levels = {name: _Levels(q) for name, q in definition.question_by_name.items()}
        asked = {q.words.casefold(): self._levels[q.name] for q in definition.questions}
        self._by_label = {**asked, **self._levels}

    def __call__(self, into: Mapped, about: About) -> None:
        """Append the answer, if one was given."""
        label = self._question.required(into)
        times = self._happened.times(into, about)
        text = self._answer.text(into.row)
        if label is None or times is None or text is None:
            return
        levels = self._by_label.get(label.casefold()) or self._by_label.get(as_name(label))
        if levels is None:
            into.wrong(self._column, label, f"must be one of {self._names}")
            return
        if (level := levels.level(text)) is not None:
            into.records.append(
                Answer(
                    lead=about.lead,
                    question=levels.name,
                    answer=level,
                    occurred_at=times[0],
                    recorded_at=times[1],
                    source=about.source,
                    external_id=self._happened.external_id(into),
                )
            )


class EventBlock:
    """One event a row; a row that closes its lead by the same column is none."""

    def __init__(
        self, columns: Columns, said: EventRows, outcome: Outcome | None, optional: bool
    ) -> None:
        self._kind = Label(columns, said.kind)
        self._channel = Label(columns, said.channel) if said.channel is not None else None
        self._happened = Happened(columns, said, optional)
        self._closes = outcome is not None and outcome.column == said.kind
        self._ignored = frozenset(said.ignore)
        self._named = _namer(said.kinds)
        self._channel_named = _namer({})

    def __call__(self, into: Mapped, about: About) -> None:
        """Append the event."""
        if self._closes and about.ending is not None:
            return
        label = self._kind.required(into)
        if label is None or label in self._ignored or self._named(label) in self._ignored:
            return
        times = self._happened.times(into, about)
        channel = self._channel.text(into.row) if self._channel else None
        if times is not None:
            into.records.append(
                Event(
                    lead=about.lead,
                    kind=self._named(label),
                    occurred_at=times[0],
                    recorded_at=times[1],
                    channel=None if channel is None else self._channel_named(channel),
                    source=about.source,
                    external_id=self._happened.external_id(into),
                )
            )


class StageBlock:
    """One stage change a row; a row that closes its lead by the same column is none."""

    def __init__(
        self, columns: Columns, said: StageRows, outcome: Outcome | None, optional: bool
    ) -> None:
        self._stage = Label(columns, said.stage)
        self._happened = Happened(columns, said, optional)
        self._closes = outcome is not None and outcome.column == said.stage
        self._named = _namer(said.stages)

    def __call__(self, into: Mapped, about: About) -> None:
        """Append the stage change."""
        if self._closes and about.ending is not None:
            return
        label = self._stage.required(into)
        times = self._happened.times(into, about)
        if label is not None and times is not None:
            into.records.append(
                StageChange(
                    lead=about.lead,
                    stage=self._named(label),
                    occurred_at=times[0],
                    recorded_at=times[1],
                    source=about.source,
                    external_id=self._happened.external_id(into),
                )
            )


def _namer(mapped: Mapping[str, str]) -> Callable[[str], str]:
    """Label -> name: as mapped, else made from the label."""
    return lru_cache(_LABELS_KEPT)(lambda label: mapped.get(label) or as_name(label))


class DealBlock:
    """A deal, where the row closes its lead.

    A row without a closing time closes its lead a day after it was opened.
    """

    def __init__(self, columns: Columns, said: Outcome, now: int) -> None:
        self._column = said.column
        self._at = said.at
        self._cell = columns.cell(said.column)
        self._endings = closing_values(said)
        self._happened = Happened(columns, said, optional=False)
        self._amount = columns.optional(said.amount)
        self._number = columns.number(said.amount) if said.amount else float
        self._reason = columns.optional(said.reason)
        self._now = now

    def ending(self, into: Mapped) -> Ending | None:
        """How the row closes its lead; None, noting the text, where it does not."""
        text = self._cell.text(into.row)
        ending = None if text is None else self._endings.get(text.casefold())
        if ending is None:
            into.left_open = text or "(blank)"
        return ending

    def __call__(self, into: Mapped, about: About) -> None:
        """Append the deal, if there is one."""
        if about.ending is None:
            return
        amount = self._amount.read(into, self._number) if self._amount else None
        times = self._closed(into, about)
        if times is None:
            return
        if times[0] >= self._now:
            into.wrong(self._at or self._column, iso(times[0]), "a deal cannot close in the future")
        into.deals.append(
            Deal(
                lead=about.lead,
                ending=about.ending,
                occurred_at=times[0],
                recorded_at=times[1],
                amount=amount,
                reason=self._reason.text(into.row) if self._reason else None,
                source=about.source,
                external_id=self._happened.external_id(into),
            )
        )

    def _closed(self, into: Mapped, about: About) -> tuple[int, int] | None:
        if self._at is not None:
            return self._happened.times(into, about)
        if about.opened is None:
            return None
        occurred = about.opened + DAY
        return occurred, self._happened.recorded(into, About(about.lead, about.source), occurred)


def closing_values(outcome: Outcome) -> dict[str, Ending]:
    """The texts that close a lead, in lower case, and how."""
    said: tuple[tuple[Ending, tuple[str, ...]], ...] = (
        ("won", outcome.won),
        ("lost", outcome.lost),
        ("off_merit", outcome.off_merit),
    )
    return {text.strip().casefold(): ending for ending, texts in said for text in texts}
