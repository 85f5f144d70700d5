"""What is wrong with a fact? Every problem at once, with the values that would be allowed.

Allowed values are printed from the same definition that is checked against. Nothing here reads or
writes: files, API and store all ask the same functions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from features.clock import DAY, iso
from features.definition import UNKNOWN, Attribute, Definition
from features.errors import Problem, shown
from features.facts import KINDS, Answer, Event, LeadVersion, Record, StageChange, Value
from features.plans import planned

LONGEST_TEXT = 300
LONGEST_SOURCE = 64
EARLIEST = -62_135_596_800_000_000
"""0001-01-01, the first instant that can be shown."""
LATEST = 253_402_300_800_000_000
"""10000-01-01, the first instant that cannot."""
NO_ADDRESS = (".", "..")
"""Ids that programs remove from an address before they send it, encoded or not (RFC 3986, 5.2.4)."""
CLOCK_SKEW = DAY // 24 // 12
"""How far (5 minutes) a sender's clock may run ahead of ours before its facts lie in the future."""


def text_problem(text: str, longest: int = LONGEST_TEXT) -> str | None:
    """Why a text cannot be stored: NUL, lone surrogates, too long; None where it can."""
    if "\x00" in text:
        return "contains a NUL character"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "contains half of a surrogate pair"
    if len(text) > longest:
        return f"is longer than {longest} characters ({len(text)})"
    return None


def is_plain(value: object) -> bool:
    """Whether something is a text in which nothing can be wrong: quick, and False when in doubt."""
    return (
        type(value) is str
        and value.isascii()
        and len(value) <= LONGEST_TEXT
        and "\x00" not in value
    )


def instant_problem(instant: int, now: int) -> str | None:
    """Why an instant cannot be that of a fact: it cannot be shown, or lies in the future."""
    if not EARLIEST <= instant < LATEST:
        return "lies outside the years 1 to 9999"
    if instant > now + CLOCK_SKEW:
        return f"lies in the future (it is {iso(now)})"
    return None


def is_finite(number: float) -> bool:
    """Whether a number is one that a float64 can hold; whole numbers may be of any size."""
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def record_problems(record: Record, definition: Definition, now: int, where: str) -> list[Problem]:
    """All problems of one fact.

    Args:
        record: the fact.
        definition: what is allowed.
        now: the present instant; later facts are problems (beyond `CLOCK_SKEW`).
        where: how to call the fact in messages, such as `row 7`.
    """
    found = [*_identity(record, where), *_times(record, now, where)]
    match record:
        case LeadVersion():
            found += _version(record, definition, where)
        case Answer():
            found += _answer(record, definition, where)
        case Event():
            found += _event(record, definition, where)
        case StageChange():
            names = [stage.name for stage in definition.all_stages]
            found += _one_of(record.stage, names, "stage", where)
    return found


def _identity(record: Record, where: str) -> list[Problem]:
    found = []
    for field, text, longest in (
        ("lead", record.lead, LONGEST_TEXT),
        ("external_id", record.external_id, LONGEST_TEXT),
        ("source", record.source, LONGEST_SOURCE),
    ):
        if text is not None and (wrong := text_problem(text, longest)):
            found.append(Problem(where, field, shown(text), wrong))
    if not record.lead:
        found.append(Problem(where, "lead", "", "must not be empty"))
    if record.lead in NO_ADDRESS:
        message = "cannot be a lead's id: no address can name it"
        found.append(Problem(where, "lead", shown(record.lead), message))
    return found


def _times(record: Record, now: int, where: str) -> Iterable[Problem]:
    for field, instant in (
        ("occurred_at", record.occurred_at),
        ("recorded_at", record.recorded_at),
    ):
        if wrong := instant_problem(instant, now):
            yield Problem(where, field, shown_instant(instant), wrong)


def shown_instant(instant: int) -> str:
    """An instant as it may be repeated in a message: as a time where it is one."""
    return iso(instant) if EARLIEST <= instant < LATEST else shown(instant)


def _version(record: LeadVersion, definition: Definition, where: str) -> Iterable[Problem]:
    if record.kind not in KINDS:
        yield Problem(where, "kind", shown(record.kind), "must be prospect or client")
    for field, text in (("owner", record.owner), ("name", record.name)):
        if text is not None and (wrong := text_problem(text)):
            yield Problem(where, field, shown(text), wrong)
    yield from attribute_problems(record.attributes, definition, where)


def attribute_problems(
    attributes: Mapping[str, Value], definition: Definition, where: str
) -> Iterable[Problem]:
    """All problems of a lead's attributes: unknown names, wrong types, values not allowed."""
    allowed = _allowed(definition)
    for name, value in attributes.items():
        if value is None and name in allowed:
            continue
        if type(value) is float and math.isfinite(value) and allowed.get(name) is _ANY_NUMBER:
            continue
        known = definition.attribute_by_name.get(name)
        if known is None:
            message = f"is no attribute; there are {sorted(definition.attribute_by_name)}"
            yield Problem(where, shown(name), "", message)
        elif value is not None and (wrong := _value_problem(known, value)):
            yield Problem(where, name, shown(value), wrong)


_ANY_NUMBER = object()
"""Marks an attribute of which every finite number is a value."""


@planned
def _allowed(definition: Definition) -> dict[str, object]:
    """The attributes, those marked in which only the finiteness of a number need be looked at."""
    return {
        one.name: _ANY_NUMBER if one.type == "number" else None for one in definition.attributes
    }


def _value_problem(attribute: Attribute, value: Value) -> str | None:
    if attribute.type == "boolean":
        return None if isinstance(value, bool) else "must be true or false"
    if attribute.type == "category":
        if not isinstance(value, str):
            return "must be text"
        if attribute.values is not None and value not in attribute.values:
            return f"must be one of {list(attribute.values)}"
        return text_problem(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number" if attribute.type == "number" else "must be a date"
    if not is_finite(value):
        return "must be a finite number"
    if attribute.type == "date" and not EARLIEST <= value < LATEST:
        return "lies outside the years 1 to 9999"
    return None


def _answer(record: Answer, definition: Definition, where: str) -> Iterable[Problem]:
    question = definition.question_by_name.get(record.question)
    if question is None:
        yield from _one_of(record.question, list(definition.question_by_name), "question", where)
    elif record.answer not in question.levels:
        message = f"must be one of {list(question.levels)} ({UNKNOWN}: asked and not known)"
        yield Problem(where, "answer", shown(record.answer), message)


def _event(record: Event, definition: Definition, where: str) -> Iterable[Problem]:
    kinds = [kind.name for kind in definition.engagement.kinds]
    yield from _one_of(record.kind, kinds, "kind", where)
    if record.channel is not None:
        yield from _one_of(record.channel, definition.engagement.channels, "channel", where)


def _one_of(value: str, allowed: Iterable[str], field: str, where: str) -> list[Problem]:
    names = list(allowed)
    if value in names:
        return []
    return [Problem(where, field, shown(value), f"must be one of {names}")]
