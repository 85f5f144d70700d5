"""How do single facts become columns? One builder, used for requests and for the store alike.

What is built depends on the facts, never on the order in which they come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np

from features.definition import Attribute, Definition
from features.facts import (
    Answer,
    Event,
    Facts,
    Happenings,
    LeadVersion,
    Record,
    StageChange,
    Value,
    attributes_text,
    key_of,
)
from features.frames import Category, Column

_Coded = tuple[int, int, int, int, int]


class FactsBuilder:
    """Collects facts of leads in any order; `build` gives them as columns.

    Labels that the definition does not know (an event kind dropped since, say) are left out: a
    definition decides what counts.

    Args:
        definition: what is known, and the coding of kinds, questions, answers and stages.
        lead_ids: the leads; facts name them by their position here.
    """

    def __init__(self, definition: Definition, lead_ids: Sequence[str]) -> None:
        self.definition = definition
        self.lead_ids = tuple(lead_ids)
        self._versions: list[_Coded] = []
        self._attributes: list[Mapping[str, Value]] = []
        self._answers: list[_Coded] = []
        self._events: list[_Coded] = []
        self._stages: list[_Coded] = []
        self._questions = {
            question.name: (i, {level: j for j, level in enumerate(question.levels)})
            for i, question in enumerate(definition.questions)
        }
        self._kinds = {kind.name: i for i, kind in enumerate(definition.engagement.kinds)}
        self._channels = {name: i for i, name in enumerate(definition.engagement.channels)}
        self._stage_codes = {stage.name: i for i, stage in enumerate(definition.all_stages)}

    def version(
        self,
        lead: int,
        occurred_at: int,
        recorded_at: int,
        kind: str,
        attributes: Mapping[str, Value],
    ) -> None:
        """A lead's attributes as they stood from `occurred_at` on."""
        self._versions.append((lead, occurred_at, recorded_at, int(kind == "client"), 0))
        self._attributes.append(attributes)

    def answer(
        self, lead: int, occurred_at: int, recorded_at: int, question: str, answer: str
    ) -> None:
        """An answer to a question."""
        code, levels = self._questions.get(question, (-1, {}))
        if answer in levels:
            self._answers.append((lead, occurred_at, recorded_at, code, levels[answer]))

    def event(
        self, lead: int, occurred_at: int, recorded_at: int, kind: str, channel: str | None
    ) -> None:
        """An engagement event."""
        if kind in self._kinds:
            detail = self._channels.get(channel, -1) if channel is not None else -1
            self._events.append((lead, occurred_at, recorded_at, self._kinds[kind], detail))

    def stage(self, lead: int, occurred_at: int, recorded_at: int, stage: str) -> None:
        """A change of stage."""
        if stage in self._stage_codes:
            self._stages.append((lead, occurred_at, recorded_at, self._stage_codes[stage], 0))

    def build(self) -> Facts:
        """The facts collected so far, as columns."""
        order = _settled(self._versions, self._attributes)
        return Facts(
            lead_ids=self.lead_ids,
            versions=Happenings.of([self._versions[i] for i in order]),
            attributes={
                attribute.name: _column(
                    attribute, [self._attributes[i].get(attribute.name) for i in order]
                )
                for attribute in self.definition.attributes
            },
            answers=Happenings.of(self._answers),
            events=Happenings.of(self._events),
            stages=Happenings.of(self._stages),
        )

    @classmethod
    def of_records(cls, definition: Definition, records: Sequence[Record]) -> Self:
        """A builder holding these records; the leads are in order of first mention.

        As in the store, a record given twice counts once (`features.facts.key_of`).
        """
        lead_ids = list(dict.fromkeys(record.lead for record in records))
        position = {lead: i for i, lead in enumerate(lead_ids)}
        builder = cls(definition, lead_ids)
        once = {key_of(record): record for record in reversed(records)}
        for record in once.values():
            builder._record(position[record.lead], record)
        return builder

    def _record(self, lead: int, record: Record) -> None:
        when = (record.occurred_at, record.recorded_at)
        match record:
            case LeadVersion():
                self.version(lead, *when, record.kind, record.attributes)
            case Answer():
                self.answer(lead, *when, record.question, record.answer)
            case Event():
                self.event(lead, *when, record.kind, record.channel)
            case StageChange():
                self.stage(lead, *when, record.stage)


def _settled(versions: Sequence[_Coded], attributes: Sequence[Mapping[str, Value]]) -> list[int]:
    """The order of versions by time, and of those at one time by what they say."""
    at_once = Counter(versions)

    def rank(i: int) -> tuple[_Coded, str]:
        text = attributes_text(attributes[i]) if at_once[versions[i]] > 1 else ""
        return versions[i], text

    return sorted(range(len(versions)), key=rank)


def _column(attribute: Attribute, values: Sequence[Value]) -> Column:
    if attribute.type == "category":
        return Category.of([None if value is None else str(value) for value in values])
    return np.array([_number(value) for value in values], dtype=np.float64)


def _number(value: Value) -> float:
    """A number, or NaN: also for text, stored when the definition still called it a category."""
    return np.nan if value is None or isinstance(value, str) else float(value)
