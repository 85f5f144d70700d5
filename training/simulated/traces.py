"""What do simulated leads let on? Engagement events and BANT answers, noisy signs of a hidden state.

Each is drawn from the state of its day and from what is true of the lead, never from what comes
later. So whoever sees only these can come close to the true probability and not reach it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.simulated import words
from training.simulated.courses import RESTING, Block, Course
from training.simulated.leads import WEB_ENQUIRY
from training.simulated.records import BY_HAND, HOUR_S, PROMPT, Known, by_lead, lags
from training.simulated.world import BLOCK, DAY_S, Calendar, Flags, Floats, Ints, World

_STATES = len(words.INTENTS) * len(words.STAGES)
_BY_INTENT = {
    "email_open": (0.018, 0.040, 0.055, 0.060),
    "email_click": (0.003, 0.014, 0.030, 0.040),
    "web_visit": (0.006, 0.030, 0.090, 0.150),
    "pricing_visit": (0.0004, 0.003, 0.018, 0.060),
    "webinar": (0.0005, 0.004, 0.007, 0.004),
    "download": (0.001, 0.008, 0.015, 0.009),
    "form": (0.0003, 0.003, 0.010, 0.016),
    "call": (0.3, 0.8, 1.3, 1.6),
    "meeting": (0.1, 0.6, 1.4, 2.0),
    "unsubscribe": (0.0020, 0.0008, 0.0003, 0.0002),
}
_BY_STAGE = {"call": (0.015, 0.03, 0.03, 0.04, 0.05), "meeting": (0.001, 0.005, 0.015, 0.03, 0.04)}
_AT_REST = (0.02, 0.002, 0.005, 0.0005, 0.0005, 0.0005, 0.0002, 0.004, 0.0005, 0.0003)
_EMAIL = tuple(words.KINDS.index(kind) for kind in ("email_open", "email_click", "unsubscribe"))
_LOGGED_BY_REPS = tuple(words.KINDS.index(kind) for kind in ("call", "meeting"))
#            email, web, mobile, phone, video, on_site: shares by kind
_CHANNELS = np.cumsum(
    [
        (1, 0, 0, 0, 0, 0), (1, 0, 0, 0, 0, 0), (0, 0.7, 0.3, 0, 0, 0), (0, 0.85, 0.15, 0, 0, 0),
        (0, 0.2, 0, 0, 0.8, 0), (0, 0.9, 0.1, 0, 0, 0), (0, 0.8, 0.2, 0, 0, 0), (0, 0, 0, 1, 0, 0),
        (0, 0, 0, 0, 0.65, 0.35), (1, 0, 0, 0, 0, 0),
    ],
    axis=1,
)  # fmt: skip


def _event_rates() -> Floats:
    """Daily rates by state, and at rest: shape (21, kinds)."""
    rates = np.empty((_STATES + 1, len(words.KINDS)))
    for column, kind in enumerate(words.KINDS):
        stage = np.array(_BY_STAGE.get(kind, (1.0,) * len(words.STAGES)))
        rates[:_STATES, column] = np.outer(_BY_INTENT[kind], stage).ravel()
    rates[_STATES] = _AT_REST
    return rates


_RATES = _event_rates()


def events(block: Block, known: Known, scale: float) -> dict[str, Ints]:
    """Engagement of a block's leads: columns `lead at recorded code channel`, by lead and time.

    Args:
        block: the leads and how they went.
        known: when the CRM got to know them.
        scale: multiplies all rates, from `event_scale`.
    """
    rng, leads, course = block.rng(6), block.leads, block.course
    lead, day, state = _cells(block, resting=True)
    talk = np.exp(0.5 * leads.talkative - 0.125)
    rate = scale * talk[lead] * block.calendar.busy[day] * _RATES.sum(axis=1)[state]
    cell = np.repeat(np.arange(len(lead)), rng.poisson(rate))
    lead, day, state = lead[cell], day[cell], state[cell]
    kind = _pick(rng, _RATES.cumsum(axis=1)[state])
    reads = ~np.isin(kind, _EMAIL) | leads.newsletter[lead] | (rng.random(len(kind)) < 0.3)
    at = block.second_of(day) + _hour(rng, len(lead))
    prompt, by_hand = (lags(rng, len(lead), lag) for lag in (PROMPT, BY_HAND))
    kept = reads & (_while_open(course, lead, at) | (state == _STATES))
    columns = {
        "lead": lead,
        "at": at,
        "recorded": at + np.where(np.isin(kind, _LOGGED_BY_REPS), by_hand, prompt),
        "code": kind,
        "channel": _pick(rng, _CHANNELS[kind]),
    }
    return by_lead(block, known, **{name: column[kept] for name, column in columns.items()})


def event_scale(world: World, calendar: Calendar) -> float:
    """What the rates must be multiplied with so that about `world.events` come out.

    Counted on a block of its own, so that no lead's engagement depends on how others go.
    """
    pilot = replace(world, leads=BLOCK, seed=0)
    block = Block.draw(pilot, calendar, 0)
    count = len(events(block, Known.of(block), 1.0)["lead"])
    return world.events / world.leads * BLOCK / max(count, 1)


def _cells(block: Block, *, resting: bool) -> tuple[Ints, Ints, Ints]:
    """All days on which leads were open (or clients at rest): lead, day, state; rest is state 20."""
    path = block.course.state[: block.world.days].T
    lead, day = np.nonzero((path >= 0) | (path == RESTING) if resting else path >= 0)
    state = path[lead, day].astype(np.int64)
    return lead, day, np.where(state == RESTING, _STATES, state)


def _while_open(course: Course, lead: Ints, at: Ints) -> Flags:
    """Which seconds lie after a lead's latest opening and before its closing."""
    spell = course.spell_at(lead, at)
    return (spell >= 0) & (at < course.closed[lead, spell])


def _pick(rng: np.random.Generator, edges: Floats) -> Ints:
    """One position a row, drawn by the row's cumulated shares, shape (n, choices)."""
    drawn = rng.random(len(edges)) * edges[:, -1]
    picked: Ints = (drawn[:, None] >= edges).sum(axis=1).clip(max=edges.shape[1] - 1)
    return picked


def _hour(rng: np.random.Generator, n: int) -> Ints:
    """Seconds of the day: mostly office hours."""
    office = rng.random(n) < 0.8
    return np.where(
        office, rng.integers(7 * HOUR_S, 19 * HOUR_S, n), rng.integers(0, DAY_S, n)
    ).astype(np.int64)


_LEVELS = len(words.ANSWERS[0])
UNKNOWN = _LEVELS
"""The code of an answer that was asked for and not got."""
_BUDGET = words.QUESTIONS.index("budget_status")
_TALKS = np.array([0.050, 0.080, 0.080, 0.060, 0.050])
"""Daily rate of talks in which questions are asked, by stage."""
_ASKED = np.array(
    [
        [0.20, 0.30, 0.55, 0.35, 0.35],
        [0.40, 0.45, 0.55, 0.40, 0.45],
        [0.50, 0.45, 0.40, 0.30, 0.50],
        [0.40, 0.30, 0.20, 0.10, 0.50],
        [0.30, 0.20, 0.10, 0.05, 0.40],
    ]
)
"""The chance that a talk asks a question: by stage and question."""
_ON_FORM = np.array([0.50, 0.20, 0.45, 0.0, 0.50])
_HAS_FORM = np.isin(words.SOURCES, ["website", "paid search", "content", "web enquiry"])
_NOT_KNOWN = np.array([0.38, 0.22, 0.12, 0.06])
_TRUTHFUL = np.array([0.74, 0.84, 0.90, 0.94])
"""By intent: the chance that an answer is not got, and that it is right when it is."""


def answers(block: Block, known: Known) -> dict[str, Ints]:
    """BANT answers of a block's leads: columns `lead at recorded code level`, by lead and time.

    Reps ask in talks, forms on opening. From the process change on, the website's form offers
    "approved" first: ticked without a thought, the answer means less than it did.
    """
    rng, leads = block.rng(7), block.leads
    talk, form = _in_talks(block, rng), _on_forms(block, rng)
    lead, at, question = (np.concatenate(pair) for pair in zip(talk, form, strict=True))
    by_form = np.arange(len(lead)) >= len(talk[0])
    intent = block.course.state[block.day_of(at), lead].astype(np.int64) // len(words.STAGES)
    level = _told(rng, _true_level(block, lead, at, question), intent)
    no_say = leads.authority[lead] == _LEVELS - 1
    silent = rng.random(len(lead)) < _NOT_KNOWN[intent] + 0.1 * no_say
    careless = by_form & (leads.source[lead] == WEB_ENQUIRY) & (question == _BUDGET)
    careless &= rng.random(len(lead)) < 0.65
    level = np.where(careless, 0, np.where(silent, UNKNOWN, level))
    recorded = at + np.where(by_form, 5, lags(rng, len(lead), BY_HAND))
    return by_lead(block, known, lead=lead, at=at, recorded=recorded, code=question, level=level)


def _in_talks(block: Block, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """What reps asked: lead, second, question."""
    lead, day, state = _cells(block, resting=False)
    stage = state % len(words.STAGES)
    talks = np.flatnonzero(rng.random(len(lead)) < _TALKS[stage] * block.calendar.work[day])
    lead, stage = lead[talks], stage[talks]
    at = block.second_of(day[talks]) + rng.integers(8 * HOUR_S, 18 * HOUR_S, len(talks))
    asked = rng.random((len(talks), len(words.QUESTIONS))) < _ASKED[stage]
    talk, question = np.nonzero(asked & _while_open(block.course, lead, at)[:, None])
    return lead[talk], at[talk] + question, question


def _on_forms(block: Block, rng: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """What forms asked when a lead came in: lead, second, question."""
    asked = rng.random((len(block.leads), len(words.QUESTIONS))) < _ON_FORM
    lead, question = np.nonzero(asked & _HAS_FORM[block.leads.source][:, None])
    return lead, block.leads.opened[lead], question


def _true_level(block: Block, lead: Ints, at: Ints, question: Ints) -> Ints:
    """The answer a lead that knows and tells everything would give, as a level 0 to 3."""
    leads = block.leads
    spell = np.maximum(block.course.spell_at(lead, at), 0)
    left = block.target(lead, spell) - block.day_of(at)
    timeline = np.where(left < -30, _LEVELS - 1, np.searchsorted([90.0, 180.0, 365.0], left))
    truths = (leads.budget[lead], leads.authority[lead], leads.need[lead], leads.solution[lead])
    return np.choose(question, (*truths, timeline))


def _told(rng: np.random.Generator, true: Ints, intent: Ints) -> Ints:
    """What is said: mostly the truth, else the level beside it; the colder, the wilder."""
    aside = np.where(rng.random(len(true)) < 0.5, -1, 1)
    beside = np.abs(true + aside)
    beside = np.where(beside >= _LEVELS, _LEVELS - 2, beside)
    return np.where(rng.random(len(true)) < _TRUTHFUL[intent], true, beside)
