"""What happened in a row? One answer, event or stage change a row, as each block of a source tells.

A block appends the fact it finds, or the problem it meets, to `Mapped`; it never raises. A row that
closes its lead by the same column is a deal (`features.store.files.closing`) and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from features.definition import Definition
from features.facts import Answer, Event, StageChange
from features.sources import AnswerRows, EventRows, Outcome, StageRows, as_name
from features.store.files.about import About, Happened
from features.store.files.cells import Columns, Label, Mapped
from features.store.files.wide import Levels

_LABELS_KEPT = 4096


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
        self._levels = {name: Levels(q) for name, q in definition.question_by_name.items()}
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
