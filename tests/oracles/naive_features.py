"""What should each feature be? Computed from the records in plain loops, one query at a time.

Written from what the modules say their columns mean, not from how they make them; slow, and never to
be made faster. A number that is not known is NaN, a label that is not known None.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from features.definition import Attribute, Definition, Question
from features.facts import Answer, Event, LeadVersion, Record, StageChange

Cell = float | str | None

MICROSECONDS_A_DAY = 86_400_000_000
NAN = math.nan


def naive_features(
    records: Sequence[Record], lead: str, as_of: int, definition: Definition
) -> dict[str, Cell]:
    """Every feature of one lead at one instant, by name."""
    known = known_facts(records, lead, as_of)
    return {
        **_demographics(_only(LeadVersion, known, definition), as_of, definition),
        **_bant(_only(Answer, known, definition), as_of, definition),
        **_engagement(_only(Event, known, definition), as_of, definition),
    }


def naive_is_open(records: Sequence[Record], lead: str, as_of: int, definition: Definition) -> bool:
    """A lead is open when we know of it and the last stage we know of has not closed it."""
    known = known_facts(records, lead, as_of)
    closed = {stage.name for stage in definition.all_stages if stage.closed}
    stage = naive_stage(records, lead, as_of, definition)
    return any(isinstance(fact, LeadVersion) for fact in known) and stage not in closed


def naive_stage(
    records: Sequence[Record], lead: str, as_of: int, definition: Definition
) -> str | None:
    """The stage that the lead entered last, None when it has entered none.

    A closing at midnight closes its whole day: other stages of that day, but `reopened`, do not count.
    """
    changes = _only(StageChange, known_facts(records, lead, as_of), definition)
    closed = {stage.name for stage in definition.all_stages if stage.closed}
    midnights = [c.occurred_at for c in changes if c.stage in closed]
    midnights = [at for at in midnights if at % MICROSECONDS_A_DAY == 0]
    counting = []
    for change in changes:
        in_a_closed_day = any(0 <= change.occurred_at - at < MICROSECONDS_A_DAY for at in midnights)
        if change.stage in closed or change.stage == "reopened" or not in_a_closed_day:
            counting.append(change)
    return counting[-1].stage if counting else None


def naive_opened(records: Sequence[Record], lead: str) -> int | None:
    """When the first version of the lead happened; None without any."""
    times = [
        record.occurred_at
        for record in records
        if record.lead == lead and isinstance(record, LeadVersion)
    ]
    return min(times, default=None)


def known_facts(records: Sequence[Record], lead: str, as_of: int) -> list[Record]:
    """The lead's facts that happened and were recorded before the as-of; what is given twice, once."""
    found: list[Record] = []
    seen: list[object] = []
    for record in records:
        key = _key(record)
        if key in seen:
            continue
        seen.append(key)
        if record.lead == lead and record.occurred_at < as_of and record.recorded_at < as_of:
            found.append(record)
    return found


def _key(record: Record) -> list[object]:
    """A fact is known by its external id at its source; without one, by all it says."""
    if record.external_id:
        return [type(record).__name__, record.source, record.external_id]
    words: list[object] = [type(record).__name__, record.source, record.lead, record.occurred_at]
    match record:
        case LeadVersion():
            return [*words, record.kind, record.owner, record.name, _as_json(record)]
        case Answer():
            return [*words, record.question, record.answer]
        case Event():
            return [*words, record.kind, record.channel]
        case StageChange():
            return [*words, record.stage]


def _as_json(version: LeadVersion) -> str:
    words = {}
    for name in sorted(version.attributes):
        value = version.attributes[name]
        if value is not None:
            words[name] = float(value) if type(value) is int else value
    return json.dumps(words, separators=(",", ":"))


def _told(version: LeadVersion, definition: Definition) -> LeadVersion:
    """The version without what may be no feature."""
    secret = [one.name for one in definition.attributes if one.sensitive or one.known_late]
    told = {name: value for name, value in version.attributes.items() if name not in secret}
    return replace(version, attributes=told)


def _only(sort: type, known: list[Record], definition: Definition) -> list:
    """The facts of one sort that the definition knows, in order of time.

    Order: when it happened, then when it was recorded, then by what it says – stages as they are
    listed, answers by sales' ranking, best first, versions by kind (clients last), then by the text
    of those attributes that may be features.
    """
    found = [fact for fact in known if isinstance(fact, sort) and _counts(fact, definition)]
    return sorted(
        found, key=lambda fact: (fact.occurred_at, fact.recorded_at, *_rank(fact, definition))
    )


def _counts(fact: Record, definition: Definition) -> bool:
    match fact:
        case LeadVersion():
            return True
        case Answer():
            question = definition.question_by_name.get(fact.question)
            return question is not None and fact.answer in question.levels
        case Event():
            return fact.kind in [kind.name for kind in definition.engagement.kinds]
        case StageChange():
            return fact.stage in [stage.name for stage in definition.all_stages]


def _rank(fact: Record, definition: Definition) -> tuple[object, ...]:
    match fact:
        case LeadVersion():
            return fact.kind == "client", _as_json(_told(fact, definition))
        case Answer():
            names = [question.name for question in definition.questions]
            levels = definition.question_by_name[fact.question].levels
            return names.index(fact.question), levels.index(fact.answer)
        case Event():
            return ()
        case StageChange():
            return ([stage.name for stage in definition.all_stages].index(fact.stage),)


def _days(microseconds: int) -> float:
    return microseconds / float(MICROSECONDS_A_DAY)


def _demographics(
    versions: list[LeadVersion], as_of: int, definition: Definition
) -> dict[str, Cell]:
    row: dict[str, Cell] = {"lead_kind": None, "lead_age_days": NAN, "lead_updates": 0.0}
    if versions:
        row["lead_kind"] = versions[-1].kind
        row["lead_age_days"] = _days(as_of - versions[0].occurred_at)
        row["lead_updates"] = float(len(versions) - 1)
    for attribute in definition.attributes:
        if attribute.sensitive or attribute.known_late:
            continue
        value = versions[-1].attributes.get(attribute.name) if versions else None
        name = f"attr_{attribute.name}" + ("_days" if attribute.type == "date" else "")
        row[name] = _attribute(attribute, value, as_of)
    return row


def _attribute(attribute: Attribute, value: object, as_of: int) -> Cell:
    if attribute.type == "category":
        return None if value is None else str(value)
    if value is None:
        return NAN
    if attribute.type == "date":
        return _days(as_of - int(value))
    return float(value)


def _bant(answers: list[Answer], as_of: int, definition: Definition) -> dict[str, Cell]:
    if not definition.questions:
        return {}
    row: dict[str, Cell] = {}
    asked, answered, contradictions, agreed = 0, 0, 0, 0.0
    for question in definition.questions:
        mine = [answer for answer in answers if answer.question == question.name]
        row |= _question(question, mine, as_of)
        asked += bool(mine)
        answered += bool(mine) and mine[-1].answer != "unknown"
        said = [answer.answer for answer in mine if answer.answer != "unknown"]
        contradictions += sum(1 for one, then in pairwise(said) if one != then)
        agreed += _agreed_points(question, mine[-1] if mine else None)
    row["bant_agreed"] = agreed / len(definition.questions)
    row["bant_asked_share"] = asked / len(definition.questions)
    row["bant_answered_share"] = answered / len(definition.questions)
    row["bant_unknown"] = float(asked - answered)
    row["bant_contradictions"] = float(contradictions)
    row["bant_answers"] = float(len(answers))
    row["bant_last_days"] = _days(as_of - answers[-1].occurred_at) if answers else NAN
    return row


def _question(question: Question, mine: list[Answer], as_of: int) -> dict[str, Cell]:
    stem = f"bant_{question.name}"
    latest = mine[-1] if mine else None
    row: dict[str, Cell] = {stem: latest.answer if latest else None}
    row[f"{stem}_sales"] = _preference(question.answers.sales, latest)
    if question.answers.sales != question.answers.marketing:
        row[f"{stem}_marketing"] = _preference(question.answers.marketing, latest)
    row[f"{stem}_age_days"] = _days(as_of - latest.occurred_at) if latest else NAN
    return row


def _preference(ranking: Sequence[str], latest: Answer | None) -> float:
    """From 1 for the best answer down to 0 for the worst; a single answer is the best."""
    if latest is None or latest.answer == "unknown":
        return NAN
    if len(ranking) == 1:
        return 1.0
    return 1.0 - list(ranking).index(latest.answer) / (len(ranking) - 1)


def _agreed_points(question: Question, latest: Answer | None) -> float:
    """From 1 for the answer both sides rank best to −1 for the worst; in vain counts −½."""
    if latest is None:
        return 0.0
    if latest.answer == "unknown":
        return -0.5
    sales = _preference(question.answers.sales, latest)
    marketing = _preference(question.answers.marketing, latest)
    return 2.0 * ((sales + marketing) / 2.0) - 1.0


def _engagement(events: list[Event], as_of: int, definition: Definition) -> dict[str, Cell]:
    engagement = definition.engagement
    if not engagement.kinds:
        return {}
    row: dict[str, Cell] = {}
    for kind in engagement.kinds:
        mine = [event for event in events if event.kind == kind.name]
        for window in engagement.windows_days:
            row[f"ev_{kind.name}_{_name(window)}"] = float(len(_within(mine, window, as_of)))
        row[f"ev_{kind.name}_ever"] = float(len(mine))
        row[f"ev_{kind.name}_recency_days"] = _recency(mine, as_of)
    for window in engagement.windows_days:
        inside = _within(events, window, as_of)
        row[f"ev_any_{_name(window)}"] = float(len(inside))
        row[f"ev_days_{_name(window)}"] = float(len({_day(e, as_of) for e in inside}))
    row |= _rhythm(events, as_of, definition)
    row |= _channels(events, as_of, definition)
    return row


def _name(window_days: float) -> str:
    """Days where they are whole, else hours, else minutes."""
    if window_days == int(window_days):
        return f"{int(window_days)}d"
    if window_days * 24 == int(window_days * 24):
        return f"{int(window_days * 24)}h"
    return f"{int(window_days * 1440)}min"


def _within(events: list[Event], window_days: float, as_of: int) -> list[Event]:
    start = as_of - round(window_days * MICROSECONDS_A_DAY)
    return [event for event in events if start <= event.occurred_at < as_of]


def _recency(events: list[Event], as_of: int) -> float:
    return _days(as_of - events[-1].occurred_at) if events else NAN


def _day(event: Event, as_of: int) -> int:
    """Days are counted back from the as-of: `[as_of − 1 d, as_of)` is day 0."""
    day = 0
    while event.occurred_at < as_of - (day + 1) * MICROSECONDS_A_DAY:
        day += 1
    return day


def _rhythm(events: list[Event], as_of: int, definition: Definition) -> dict[str, Cell]:
    recency = _recency(events, as_of)
    first = _days(as_of - events[0].occurred_at) if events else NAN
    gap = (first - recency) / (len(events) - 1) if len(events) > 1 else 0.0
    shortest, longest = (
        definition.engagement.windows_days[0],
        definition.engagement.windows_days[-1],
    )
    recent = len(_within(events, longest, as_of))
    return {
        "ev_any_ever": float(len(events)),
        "ev_any_recency_days": recency,
        "ev_first_days": first,
        "ev_trend": len(_within(events, shortest, as_of)) / recent if recent else NAN,
        "ev_silence": recency / gap if gap > 0 else NAN,
    }


def _channels(events: list[Event], as_of: int, definition: Definition) -> dict[str, Cell]:
    channels = definition.engagement.channels
    if not channels:
        return {}
    longest = definition.engagement.windows_days[-1]
    inside = _within(events, longest, as_of)
    row: dict[str, Cell] = {}
    for channel in channels:
        number = sum(1 for event in inside if event.channel == channel)
        row[f"ev_via_{channel}_{_name(longest)}"] = float(number)
    used = {event.channel for event in inside if event.channel in channels}
    row["ev_channels"] = float(len(used))
    return row
