"""How does what was sent become facts? Rows of the API into records, by the lead definition's types.

Dates come as text and leave as instants; an answer that the definition counts as unknown becomes
`unknown`. Everything else is as it was sent, and `features.quality` says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

from features.clock import to_instant
from features.definition import UNKNOWN, Definition
from features.errors import InputError, Problem
from features.facts import Answer, Event, LeadVersion, Record, StageChange, Value
from features.plans import planned
from features.quality import record_problems
from serving.contracts import (
    AnswerRow,
    EventRow,
    GivenAnswer,
    GivenEvent,
    LeadRequest,
    ScoreRequest,
    StageRow,
)
from serving.errors import FirstProblems, unkept
from serving.plain_leads import JUST_BEFORE


def of_lead(lead: str, given: LeadRequest, definition: Definition, now: int) -> LeadVersion:
    """A lead as it stands."""
    return LeadVersion(
        lead=lead,
        occurred_at=now if given.occurred_at is None else given.occurred_at,
        recorded_at=now if given.recorded_at is None else given.recorded_at,
        attributes=read_attributes(given.attributes, definition),
        kind=given.kind,
        owner=given.owner,
        name=given.name,
        source=given.source,
        external_id=given.external_id,
    )


def of_row(row: AnswerRow | EventRow | StageRow, definition: Definition, now: int) -> Record:
    """One fact about a stored lead."""
    recorded_at = now if row.recorded_at is None else row.recorded_at
    match row:
        case AnswerRow():
            return Answer(
                lead=row.lead,
                question=row.question,
                answer=_answer(row.question, row.answer, definition),
                occurred_at=row.occurred_at,
                recorded_at=recorded_at,
                source=row.source,
                external_id=row.external_id,
            )
        case EventRow():
            return Event(
                lead=row.lead,
                kind=row.kind,
                channel=row.channel,
                occurred_at=row.occurred_at,
                recorded_at=recorded_at,
                source=row.source,
                external_id=row.external_id,
            )
        case StageRow():
            return StageChange(
                lead=row.lead,
                stage=row.stage,
                occurred_at=row.occurred_at,
                recorded_at=recorded_at,
                source=row.source,
                external_id=row.external_id,
            )


def of_score_request(
    given: ScoreRequest, definition: Definition, as_of: int, now: int, where: str
) -> tuple[Record, ...]:
    """Everything that a request says about a lead, checked.

    Raises:
        InputError: with every problem of every fact.
    """
    answers = [_given_answer(given.lead, part, definition) for part in given.answers or ()]
    events = [_given_event(given.lead, part) for part in given.events or ()]
    happened: list[Answer | Event] = [*answers, *events]
    first = min((fact.occurred_at for fact in happened), default=as_of - JUST_BEFORE)
    opened_at = min(first, as_of - JUST_BEFORE) if given.opened_at is None else given.opened_at
    version = LeadVersion(
        lead=given.lead,
        occurred_at=opened_at,
        recorded_at=opened_at,
        attributes=read_attributes(given.attributes or {}, definition),
        kind=given.kind or "prospect",
    )
    named: list[tuple[str, Record]] = [(where, version)]
    named += [(f"{where}, answer {i + 1}", answer) for i, answer in enumerate(answers)]
    named += [(f"{where}, event {i + 1}", event) for i, event in enumerate(events)]
    problems = [
        problem
        for name, record in named
        for problem in record_problems(record, definition, now, name)
    ]
    if problems:
        raise InputError(f"{where} breaks the rules", problems=problems)
    return tuple(record for _, record in named)


def instant_asked(as_of: int | None, now: int, where: str) -> int:
    """The instant a score is asked for; now by default.

    Raises:
        InputError: it lies in the future, of which nothing is known.
    """
    if as_of is not None and as_of > now:
        problem = Problem(where, "as_of", "", "lies in the future")
        raise InputError(f"{where} asks about the future", problems=[problem])
    return now if as_of is None else as_of


def read_attributes(given: Mapping[str, Value], definition: Definition) -> dict[str, Value]:
    """Attributes as facts hold them: dates as instants, whole numbers as numbers."""
    read = dict(given)
    for name in _read_otherwise(definition).intersection(given):
        read[name] = _value(name, given[name], definition)
    return read


@planned
def _read_otherwise(definition: Definition) -> frozenset[str]:
    """The attributes whose values are not simply what was sent: dates, and those with words for none."""
    return frozenset(a.name for a in definition.attributes if a.unanswered or a.type == "date")


def _value(name: str, value: Value, definition: Definition) -> Value:
    attribute = definition.attribute_by_name.get(name)
    if attribute is None:
        return value
    if value in attribute.unanswered:
        return None
    if attribute.type == "date" and isinstance(value, str):
        instant = _date(value)
        return value if instant is None else float(instant)
    # A bare number is an instant to nobody but ourselves.
    if attribute.type == "date" and value is not None:
        return str(value)
    return value


def _date(text: str) -> int | None:
    """The instant of a date (its midnight, UTC) or of a time with an offset; None when it is neither."""
    try:
        if len(text) <= len("2026-05-01"):
            day = date.fromisoformat(text)
            return to_instant(datetime(day.year, day.month, day.day, tzinfo=UTC))
        return to_instant(datetime.fromisoformat(text))
    except (ValueError, InputError):
        return None


def _answer(question: str, answer: str, definition: Definition) -> str:
    known = definition.question_by_name.get(question)
    return UNKNOWN if known is not None and answer in known.unknown else answer


def _given_answer(lead: str, part: GivenAnswer, definition: Definition) -> Answer:
    return Answer(
        lead=lead,
        question=part.question,
        answer=_answer(part.question, part.answer, definition),
        occurred_at=part.occurred_at,
        recorded_at=part.occurred_at if part.recorded_at is None else part.recorded_at,
    )


def _given_event(lead: str, part: GivenEvent) -> Event:
    return Event(
        lead=lead,
        kind=part.kind,
        channel=part.channel,
        occurred_at=part.occurred_at,
        recorded_at=part.occurred_at if part.recorded_at is None else part.recorded_at,
    )


def problems_by_row(problems: Mapping[int, Sequence[Problem]]) -> FirstProblems:
    """All problems of a batch that were kept, in the order of its rows."""
    every = [problem for i in sorted(problems) for problem in problems[i]]
    return FirstProblems(every, len(every), sum(map(unkept, problems.values())))
