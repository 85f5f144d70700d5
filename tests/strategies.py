"""Which histories can a lead have? Hypothesis strategies, dense where mistakes live.

Times lie on few instants: the present, the edges of the agreed windows and of days, and one
microsecond to either side. So facts tie, fall exactly on edges and on the as-of, are recorded late,
and are recorded before they happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agreed import NOW, agreed
from hypothesis import strategies as st

from features.clock import DAY, HOUR, days
from features.definition import Definition
from features.facts import Answer, Event, LeadVersion, Record, StageChange, key_of

AGREED = agreed()
LEADS = ("ada", "bo", "Çelik & Söhne")
FAR = NOW + 400 * DAY
"""An instant after every fact that these strategies make."""

_EDGES = sorted(
    {
        NOW - width + step
        for width in (
            *(days(window) for window in AGREED.engagement.windows_days),
            *(n * DAY for n in (0, 1, 2, 29, 365)),
            HOUR,
            -DAY,
        )
        for step in (-1, 0, 1)
    }
)


_ELSEWHERE = range(NOW - 400 * DAY, NOW + 40 * DAY, 7 * DAY + 7 * HOUR + 77)


def instants() -> st.SearchStrategy[int]:
    """Instants around the present, mostly on edges."""
    return st.sampled_from([*_EDGES, *_EDGES, *_ELSEWHERE])


@st.composite
def times(draw: st.DrawFn) -> dict[str, int]:
    """When a fact happened and was recorded: at once, late, before it happened, or whenever."""
    occurred = draw(instants())
    lag = draw(st.sampled_from([0, 0, 0, 1, HOUR, 3 * DAY, -1, -2 * DAY, None]))
    return {
        "occurred_at": occurred,
        "recorded_at": draw(instants()) if lag is None else occurred + lag,
    }


_VALUES = {
    "category": ("Köln", "", "No", "  ", "𝄞 \u2028\ufeff", "x" * 300),
    "number": (0, 1, -7, 0.0, -0.0, 0.1, 1e308, -1.5e308, 5e-324, 2**60),
    "boolean": (True, False),
    "date": tuple(float(NOW + n * DAY + n) for n in (-9_000, -365, -1, 0, 1, 900)),
}


@st.composite
def attributes(draw: st.DrawFn, definition: Definition = AGREED) -> dict[str, Any]:
    """Attributes of a lead: any of them absent, unanswered or answered."""
    chosen = draw(st.lists(st.sampled_from(definition.attributes), max_size=4, unique=True))
    return {
        attribute.name: draw(
            st.sampled_from((None, *(attribute.values or _VALUES[attribute.type])))
        )
        for attribute in chosen
    }


SORTS = ("version", "answer", "event", "stage")


@st.composite
def records(
    draw: st.DrawFn,
    leads: Sequence[str] = LEADS,
    definition: Definition = AGREED,
    sorts: Sequence[str] = SORTS,
) -> Record:
    """One fact of any of the sorts about one of the leads."""
    given: dict[str, Any] = {"lead": draw(st.sampled_from(leads)), **draw(times())}
    match draw(st.sampled_from(sorts)):
        case "version":
            kind = draw(st.sampled_from(["prospect", "client"]))
            owner = draw(st.sampled_from([None, "rep@example.com"]))
            return LeadVersion(
                **given, kind=kind, owner=owner, attributes=draw(attributes(definition))
            )
        case "answer":
            question = draw(st.sampled_from(definition.questions))
            answer = draw(st.sampled_from(question.levels))
            return Answer(**given, question=question.name, answer=answer)
        case "event":
            kind = draw(st.sampled_from(definition.engagement.kinds)).name
            channel = draw(st.sampled_from([None, *definition.engagement.channels]))
            return Event(**given, kind=kind, channel=channel)
        case _:
            stage = draw(st.sampled_from(definition.all_stages)).name
            return StageChange(**given, stage=stage)


@st.composite
def histories(
    draw: st.DrawFn,
    leads: Sequence[str] = LEADS,
    definition: Definition = AGREED,
    sorts: Sequence[str] = SORTS,
    most: int = 20,
) -> list[Record]:
    """Facts about the leads in any order; some have rivals or twins, some are given twice.

    Rivals say something else at the same times; twins say the same and are two facts, by their ids
    or sources. Two facts without ids that say the same were also recorded at the same time: else
    their order would decide which of them counts.
    """
    one = records(leads, definition, sorts)
    found = draw(st.lists(one, max_size=most, unique_by=_fact))
    for record in draw(st.lists(st.sampled_from(found), max_size=3)) if found else []:
        times = {"occurred_at": record.occurred_at, "recorded_at": record.recorded_at}
        rival = replace(draw(one), lead=record.lead, **times)
        if _fact(rival) not in map(_fact, found):
            found.append(rival)
    if draw(st.booleans()):
        found = [replace(record, external_id=f"id-{i}") for i, record in enumerate(found)]
    if not found:
        return found
    chosen = draw(st.lists(st.sampled_from(found), max_size=3))
    twins = [replace(record, external_id=f"twin-{i}") for i, record in enumerate(chosen)]
    elsewhere = [replace(record, source="crm") for record in chosen]
    extra = draw(st.sampled_from([[], chosen, twins, elsewhere]))
    return draw(st.permutations([*found, *extra])) if extra else found


def _fact(record: Record) -> str:
    return repr(key_of(record))


def queries(
    history: Sequence[Record], leads: Sequence[str] = LEADS
) -> st.SearchStrategy[list[tuple[str, int]]]:
    """(lead, as_of) pairs, mostly at and beside instants of the history."""
    near = [
        instant + step
        for record in history
        for instant in (record.occurred_at, record.recorded_at)
        for step in (0, 1)
    ]
    when = st.one_of(st.just(NOW), instants(), *([st.sampled_from(near)] if near else []))
    return st.lists(st.tuples(st.sampled_from(leads), when), min_size=1, max_size=6)


@st.composite
def unseen(draw: st.DrawFn, as_of: int, leads: Sequence[str] = LEADS) -> Record:
    """A fact that is not known at `as_of`: it happens, or is recorded, then or later."""
    record = draw(records(leads))
    later = as_of + draw(st.sampled_from([0, 1, HOUR, DAY, 100 * DAY]))
    match draw(st.sampled_from(["happens", "recorded", "both"])):
        case "happens":
            return replace(record, occurred_at=later)
        case "recorded":
            return replace(record, recorded_at=later)
        case _:
            return replace(record, occurred_at=later, recorded_at=later)
