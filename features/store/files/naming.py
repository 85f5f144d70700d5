"""What does a column's name promise? Word lists for the roles that a guess hands out.

A name is only ever a hint: it decides between columns that fit by what they hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from features.sources import as_name
from features.store.files.values import FALSE, TRUE


def words(column: str) -> tuple[str, ...]:
    """A column's name in lower-case words.

    >>> words("TotalVisits"), words("Budgt_alloc"), words("last contact-date")
    (('total', 'visits'), ('budgt', 'alloc'), ('last', 'contact', 'date'))
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column)
    return tuple(part for part in as_name(apart).split("_") if part)


def any_of(column: str, wanted: frozenset[str]) -> bool:
    """Whether one of a column's words is among these."""
    return not wanted.isdisjoint(words(column))


def first_named(columns: Iterable[str], *wishes: frozenset[str]) -> str | None:
    """The first column with a word of the first wish that any column fulfils."""
    candidates = list(columns)
    for wish in wishes:
        for column in candidates:
            if any_of(column, wish):
                return column
    return None


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(text: str) -> frozenset[str]:
    return frozenset(phrase.strip() for phrase in text.split(";"))


KEY = _set("id ids uuid guid key nr no number code")
LEAD = _set("lead leads prospect opportunity opp case deal contact customer client account company")
ORDER = _set("number no nr seq sequence index id")
OPENED = _set(
    "created create opened open engage engaged entered entry registered reg submitted start since valid"
    " signup"
)
OPENED_TOO = _set("first received date added")
CLIENT = _set("kind type client customer")
CLOSED = _set("close closed closing won signed decided decision converted purchase sold ended end")
NOT_OPENING = _set(
    "birth birthday dob last next modified updated update renewal expected due expires founded"
)
HAPPENED = _set("at time timestamp date when occurred")
RECORDED = _set("recorded logged ingested")
MONTH = _set("month mon")
OWNER = _set("owner rep agent seller salesperson assigned assignee")
NAME = _set("name company account organisation organization")
AMOUNT = _set("amount value worth acv arr tcv mrr")
ASKED_FOR = _set("req requested asked estimated expected budget")
REASON = _set("reason why")
OUTCOME = _set(
    "converted conversion won outcome target label y purchased bought sold result win success"
)
OUTCOME_TOO = _set("status stage state decision sale purchase subscribed response deal")
EVENT = _set("event kind type activity action verb")
CHANNEL = _set("channel medium lifecycle via")
QUESTION = _set("question")
ANSWER = _set("answer response reply")
STAGE = _set("stage phase status")

SENSITIVE = _set(
    "gender sex age birth birthday dob marital married religion religious ethnic ethnicity race"
    " nationality citizenship disability disabled health pregnant orientation political politics"
)
LATE = _set(
    "close closed closing lost won outcome status stage duration tags tag disposition resolution"
    " score grade last reason granted"
)
_LATE_OF_LEAD = _set("quality profile rating")
_OF_DEAL = _set("close closed deal contract order sale sales won")

_DIMENSIONS = {
    "budget": _set("budget budgt budgeted funding funds"),
    "authority": _set("authority decision decider purch purchasing procurement buyer sponsor"),
    "need": _set("need needs pain requirement requirements scope problem usecase statm"),
    "timeline": _set("timeline timeframe tend tender rfp rfi rfq urgency"),
}
_GROUPS = {
    "source": _set(
        "source campaign channel utm medium referrer referral origin search advertisement newspaper"
        " magazine landing product series seller agent manager forums recommendations"
    ),
    "history": _set(
        "visits visit views view clicks opens calls previous time spent pages page activity days"
        " contacted duration poutcome emails meetings last score"
    ),
    "demographic": _set(
        "age gender sex job title role marital education occupation city country region housing loan"
        " default language email birth"
    ),
}


def is_late(column: str) -> bool:
    """Whether the name suggests something written during or after the sale."""
    own = set(words(column))
    amount = bool(own & AMOUNT and not own & ASKED_FOR and ("amount" in own or own & _OF_DEAL))
    return bool(own & LATE) or amount or bool("lead" in own and own & _LATE_OF_LEAD)


def dimension(column: str) -> str | None:
    """The BANT dimension that the name suggests, if any."""
    for name, wanted in _DIMENSIONS.items():
        if any_of(column, wanted):
            return name
    return None


def group(column: str) -> str:
    """The group of attributes that the name suggests."""
    for name, wanted in _GROUPS.items():
        if any_of(column, wanted):
            return name
    return "firmographic"


YES, NO = TRUE, FALSE
WON = _phrases(
    "won; win; closed won; closed-won; closed - won; converted; bought; purchased; sold; success;"
    " successful; approved; signed; customer; deal won; gewonnen"
)
LOST = _phrases(
    "lost; loss; closed lost; closed-lost; closed - lost; not converted; rejected; declined; cancelled;"
    " canceled; failed; failure; churned; deal lost; no deal; verloren"
)
OFF_MERIT = _phrases(
    "junk; spam; duplicate; test; invalid; unreachable; disqualified; bad data; wrong number"
)
CLIENTS = _phrases("client; customer; current; existing; existing customer; current customer")
NOT_KNOWN = _phrases(
    "unknown; unk; not known; n/k; undisclosed; not specified; unspecified; don't know; dont know;"
    " not sure; ?; tbd; n/a; na; none given; no answer; select; please select; not available; unbekannt"
)
"""Texts that stand for an answer nobody has."""
_GOOD = _set(
    "yes high clear approved allocated true 1 immediate strong confirmed defined urgent full"
)
_BAD = _set("no low none poor false 0 not weak unclear never nothing")


def promise(answer: str) -> int:
    """A first guess at an answer's rank: 0 sounds good, 1 in between, 2 bad."""
    own = set(words(answer)) | {answer.strip()}
    if own & _BAD:
        return 2
    return 0 if own & _GOOD else 1
