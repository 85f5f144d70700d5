"""How do single facts become columns? One builder, used for requests and for the store alike.

What is built depends on the facts, never on the order in which they come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Self

from features.definition import Definition
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
from features.frames import Columns
from features.plans import planned

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
        self._coding = _coding(definition)

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
        code, levels = self._coding.questions.get(question, (-1, {}))
        if answer in levels:
            self._answers.append((lead, occurred_at, recorded_at, code, levels[answer]))

    def event(
        self, lead: int, occurred_at: int, recorded_at: int, kind: str, channel: str | None
    ) -> None:
        """An engagement event."""
        if (code := self._coding.kinds.get(kind)) is not None:
            detail = self._coding.channels.get(channel, -1) if channel is not None else -1
            self._events.append((lead, occurred_at, recorded_at, code, detail))

    def stage(self, lead: int, occurred_at: int, recorded_at: int, stage: str) -> None:
        """A change of stage."""
        if (code := self._coding.stages.get(stage)) is not None:
            self._stages.append((lead, occurred_at, recorded_at, code, 0))

    def build(self) -> Facts:
        """The facts collected so far, as columns."""
        order = _settled(self._versions, self._attributes, self._coding.untold)
        return Facts(
            lead_ids=self.lead_ids,
            versions=Happenings.of([self._versions[i] for i in order]),
            attributes=self._columns([self._attributes[i] for i in order]),
            answers=Happenings.of(self._answers),
            events=Happenings.of(self._events),
            stages=Happenings.of(self._stages),
        )

    def _columns(self, said: Sequence[Mapping[str, Value]]) -> Columns:
        """The attributes of versions, in their order."""
        coding = self._coding
        given = [one.get(name) for name in coding.numbers for one in said]
        # Text was stored when the definition still called the attribute a category.
        numbers = [None if isinstance(value, str) else value for value in given]
        labels = {name: [_label(one.get(name)) for one in said] for name in coding.categories}
        return Columns.of_cells(coding.numbers, numbers, labels, len(said))

    @classmethod
    def of_records(cls, definition: Definition, records: Sequence[Record]) -> Self:
        """A builder holding these records; the leads are in order of first mention.

        As in the store, a record given twice counts once (`features.facts.key_of`).
        """
        by_lead: dict[str, list[Record]] = {}
        for record in _once(records):
            by_lead.setdefault(record.lead, []).append(record)
        builder = cls(definition, [*dict.fromkeys(record.lead for record in records)])
        for lead, name in enumerate(builder.lead_ids):
            for record in by_lead[name]:
                builder._record(lead, record)
        return builder

    @classmethod
    def of_named(
        cls, definition: Definition, described: Sequence[tuple[str, Sequence[Record]]]
    ) -> Self:
        """A builder of leads that are called otherwise here than in their own records.

        Two requests may describe one lead differently; see `of_records`.
        """
        builder = cls(definition, [name for name, _ in described])
        for lead, (_, records) in enumerate(described):
            for record in _once(records):
                builder._record(lead, record)
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


@dataclass(frozen=True, slots=True)
class _Coding:
    """What a definition knows, and the codes of it: positions in the definition."""

    questions: Mapping[str, tuple[int, Mapping[str, int]]]
    kinds: Mapping[str, int]
    channels: Mapping[str, int]
    stages: Mapping[str, int]
    numbers: tuple[str, ...]
    categories: tuple[str, ...]
    untold: Set[str]


@planned
def _coding(definition: Definition) -> _Coding:
    is_category = {one.name: one.type == "category" for one in definition.attributes}
    return _Coding(
        questions={
            question.name: (i, {level: j for j, level in enumerate(question.levels)})
            for i, question in enumerate(definition.questions)
        },
        kinds={kind.name: i for i, kind in enumerate(definition.engagement.kinds)},
        channels={name: i for i, name in enumerate(definition.engagement.channels)},
        stages={stage.name: i for i, stage in enumerate(definition.all_stages)},
        numbers=tuple(name for name, one in is_category.items() if not one),
        categories=tuple(name for name, one in is_category.items() if one),
        untold={one.name for one in definition.attributes if not one.is_feature},
    )


def _once(records: Sequence[Record]) -> Sequence[Record]:
    """The records, each fact once; which of two equal ones is left makes no difference."""
    # Two records of one fact agree in this; only where some agree, all that they say is compared.
    rough = {(type(r), r.source, r.external_id or (r.lead, r.occurred_at)) for r in records}
    if len(rough) == len(records):
        return records
    return list({key_of(record): record for record in reversed(records)}.values())


def _settled(
    versions: Sequence[_Coded], attributes: Sequence[Mapping[str, Value]], untold: Set[str]
) -> list[int]:
    """The order of versions by time, and of those at one time by what they say.

    What may be no feature (`untold`) has no say here: it would decide which version's other attributes
    are features.
    """
    if len(versions) < 2:
        return [*range(len(versions))]
    at_once = Counter(versions)

    def rank(i: int) -> tuple[_Coded, str]:
        if at_once[versions[i]] == 1:
            return versions[i], ""
        told = {name: value for name, value in attributes[i].items() if name not in untold}
        return versions[i], attributes_text(told)

    return sorted(range(len(versions)), key=rank)


def _label(value: Value) -> str | None:
    return None if value is None else str(value)
