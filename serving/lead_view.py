"""What does a lead's page say? Its score step by step, its answers, attributes and score history.

Sensitive attributes are not shown: they are no feature, and nobody needs them to work a lead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Literal

from features.definition import UNKNOWN, Attribute, Definition, Question, Ranking
from features.store.history import Profile
from models.questions import OpenQuestion
from serving import charts, wording
from serving.pages import (
    AttributeLine,
    LeadScore,
    Notice,
    PastScore,
    QuestionCard,
    Step,
)
from serving.queue_view import chance, moment, route_words, stage_words

Fact = Mapping[str, Any]
Reason = Mapping[str, Any]

MOST_REASONS = 40
"""Reasons listed one by one; what is left is summed up."""
SEEN_AT_ONCE = 8
"""Reasons shown before somebody asks for the weaker ones."""


def lead_score(
    score: Mapping[str, Any], definition: Definition, now: int, doubts: Sequence[str] = ()
) -> LeadScore:
    """A score of the ledger, taken apart; `doubts` first, and those that the score came with."""
    probability = float(score["probability"])
    shown, weaker = split_reasons(score["reasons"])
    promise = wording.horizon(definition.horizon_days)
    return LeadScore(
        chance=chance(probability),
        interval=_sureness(score),
        sentence=f"Of 100 leads like this one, {_of_a_hundred(probability)} {promise}.",
        route=route_words(definition, score["route"]),
        steps=steps(float(score["raw"]), shown),
        weaker=[_step(reason, reason["log_odds"], charts.Bar(0.0, 0.0)) for reason in weaker],
        as_of=moment(score["as_of"], now),
        model=wording.short(score["bundle"]),
        warnings=list(dict.fromkeys([*doubts, *map(str, score["warnings"])])),
    )


def _sureness(score: Mapping[str, Any]) -> str:
    """How sure the probability is; empty where that was not measured."""
    if score.get("lower") is None:
        return ""
    low, high = wording.percent(score["lower"]), wording.percent(score["upper"])
    like = float(f"{score['leads_like_this']:.2g}")
    return f"Between {low} and {high}, known as well as from {like:,.0f} leads like this one."


def _of_a_hundred(probability: float) -> str:
    said = wording.in_a_hundred(probability).removesuffix(" in 100")
    return f"{said} {'buys' if said in ('about 1', 'fewer than 1') else 'buy'}"


def stage_roles(definition: Definition, name: str | None) -> str:
    """Who looks after a stage, in words; empty when nothing was agreed."""
    stage = next((each for each in definition.stages if each.name == name), None)
    if stage is None or stage.responsible is None:
        return ""
    return stage.responsible + (f", backup: {stage.backup}" if stage.backup else "")


def is_closed(definition: Definition, stage: str | None) -> bool:
    """Whether a stage is one that leads end in."""
    return any(each.closed for each in definition.all_stages if each.name == stage)


def closed(definition: Definition, stage: str | None) -> list[Notice]:
    """What is to be known about a lead that is no longer open."""
    if stage is None or not is_closed(definition, stage):
        return []
    title = f"This lead is closed: {stage_words(definition, stage)}"
    text = "It is no longer in the queue; its last score speaks for the time before."
    return [Notice(kind="note", title=title, text=text)]


def why_unscored(
    profile: Profile, stage: str | None, definition: Definition, *, has_model: bool
) -> str:
    """Why a lead has no score."""
    if profile.do_not_score:
        return "This lead is not scored, as asked. Whatever was scored before is not shown."
    if not has_model:
        return "No model scores yet. Scores appear once one was trained and promoted."
    if is_closed(definition, stage):
        return "The lead was closed before it was ever scored."
    return "The lead has not been scored yet. Open leads are scored within the hour."


def split_reasons(reasons: Sequence[Reason]) -> tuple[list[Reason], list[Reason]]:
    """The reasons that are shown at once, with the sum of the weaker ones, and those weaker ones."""
    if len(reasons) <= SEEN_AT_ONCE + 1:
        return list(reasons), []
    weaker = list(reasons[SEEN_AT_ONCE:])
    rest = {
        "fact": "rest",
        "label": "Everything else",
        "words": f"{len(weaker)} weaker reasons together",
        "log_odds": sum(float(reason["log_odds"]) for reason in weaker),
    }
    return [*reasons[:SEEN_AT_ONCE], rest], weaker


def steps(raw: float, reasons: Sequence[Reason]) -> list[Step]:
    """The account of a raw score: base, reasons as they were shown, sum.

    The base is what remains when the reasons are taken off the raw score: the account adds up
    because reasons do (`models.explain`), and it would show if they did not.
    """
    sizes = [float(reason["log_odds"]) for reason in reasons]
    base = raw - sum(sizes)
    bars = charts.waterfall(base, sizes)
    first = _mark(
        "base", "Where every lead starts", "before anything is known about it", base, bars[0]
    )
    last = _mark("sum", "Raw score", "orders the queue", raw, bars[-1])
    return [first, *map(_step, reasons, sizes, bars[1:-1]), last]


def _mark(
    kind: Literal["base", "sum"], label: str, words: str, log_odds: float, bar: charts.Bar
) -> Step:
    return Step(
        kind=kind,
        raises=log_odds > 0,
        label=label,
        words=words,
        odds="",
        log_odds=wording.plain(log_odds),
        bar=bar,
    )


def _step(reason: Reason, size: float, bar: charts.Bar) -> Step:
    label, words = str(reason["label"]), str(reason["words"])
    if words.lower().startswith(f"{label.lower()}: "):
        words = words[len(label) + 2 :]
    return Step(
        kind="reason",
        raises=size > 0,
        label=label,
        words=words,
        odds=wording.odds(size),
        log_odds=wording.signed(size),
        bar=bar,
    )


def question_cards(
    definition: Definition, facts: Sequence[Fact], now: int, worth: Sequence[OpenQuestion] = ()
) -> list[QuestionCard]:
    """Every BANT question with its latest answer; `facts` newest first, `worth` most telling first."""
    asking = {question.question: question for question in reversed(worth)}
    first = worth[0].question if worth else None
    latest: dict[str, Fact] = {}
    for fact in facts:
        if fact["sort"] == "answer":
            latest.setdefault(fact["question"], fact)
    return [
        _card(
            definition,
            question,
            latest.get(question.name),
            now,
            _worth(asking.get(question.name)),
            question.name == first,
        )
        for question in definition.questions
    ]


def _worth(question: OpenQuestion | None) -> str:
    """What asking may bring."""
    if question is None:
        return ""
    points = wording.counted(round(question.expected_change * 100), "point")
    said = f"An answer moves the chance by {points} on average"
    if question.route_may_change < 0.005:
        return f"{said}."
    return f"{said}; {wording.in_a_hundred(question.route_may_change)} go elsewhere."


def _card(
    definition: Definition,
    question: Question,
    fact: Fact | None,
    now: int,
    worth: str,
    first: bool,
) -> QuestionCard:
    answer = fact["answer"] if fact else ""
    state: Literal["answered", "unknown", "open"] = "answered"
    if fact is None:
        state = "open"
    elif answer == UNKNOWN or answer in question.unknown:
        state = "unknown"
    words = {"answered": answer, "unknown": "Asked, no answer", "open": "Not asked yet"}
    return QuestionCard(
        dimension=definition.dimension_of[question.name],
        ask=question.words,
        state=state,
        answer=words[state],
        answered=moment(fact["occurred_at"], now) if fact else None,
        ranks=_ranks(question.answers, answer, agreed=question.agreed),
        worth=worth if state != "answered" else "",
        first=first and state != "answered",
    )


def _ranks(ranking: Ranking, answer: str, *, agreed: bool) -> list[str]:
    sides = [("sales and marketing", ranking.sales)] if agreed else []
    sides = sides or [("sales", ranking.sales), ("marketing", ranking.marketing)]
    return [
        f"{_ordinal(levels.index(answer))} of {len(levels)} for {side}"
        for side, levels in sides
        if answer in levels
    ]


def _ordinal(position: int) -> str:
    """A position as a rank.

    >>> _ordinal(0), _ordinal(1), _ordinal(3)
    ('best', '2nd', '4th')
    """
    return ("best", "2nd", "3rd")[position] if position < 3 else f"{position + 1}th"


def attribute_lines(
    definition: Definition, facts: Sequence[Fact]
) -> tuple[list[AttributeLine], int]:
    """The newest version's attributes in words, and how many sensitive ones are kept back."""
    newest = next((fact for fact in facts if fact["sort"] == "version"), None)
    values = json.loads(newest["attributes"]) if newest else {}
    shown = [attribute for attribute in definition.attributes if not attribute.sensitive]
    hidden = [a for a in definition.attributes if a.sensitive and values.get(a.name) is not None]
    lines = [
        AttributeLine(
            label=attribute.words,
            value=value_words(attribute, values.get(attribute.name)),
            remark="known only during the sale: not part of the score"
            if attribute.known_late
            else "",
        )
        for attribute in shown
    ]
    return lines, len(hidden)


def value_words(attribute: Attribute, value: str | float | bool | None) -> str:
    """An attribute's value as people write it; empty when it is not known."""
    if value is None:
        return ""
    if isinstance(value, bool) or attribute.type == "boolean":
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if attribute.type == "date":
        return wording.on_day(int(value))
    # A year is no quantity: 1,987 would be read as one.
    if attribute.unit == "year":
        return f"{value:.0f}"
    figure = f"{value:,.0f}" if value == int(value) else f"{value:,.6g}"
    return f"{figure} {attribute.unit}" if attribute.unit else figure


def past_scores(
    definition: Definition,
    history: Sequence[Mapping[str, Any]],
    made: Mapping[str, tuple[int, str]],
    now: int,
) -> list[PastScore]:
    """The ledger's scores of a lead, newest first.

    Args:
        definition: for the routes' labels.
        history: from `ledger.score_history`.
        made: bundle -> when it was made and from what (`train` or `recalibrate`).
        now: the present instant.
    """
    return [
        PastScore(
            moment=moment(score["as_of"], now),
            percent=wording.percent(score["probability"]),
            change=_change(score, earlier),
            route=route_words(definition, score["route"]).label,
            model=wording.short(score["bundle"]),
            calibration=_calibration(made.get(score["bundle"])),
            channel=str(score["channel"]),
        )
        for score, earlier in zip_longest(history, history[1:])
    ]


def _change(score: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> str:
    if earlier is None:
        return ""
    points = (score["probability"] - earlier["probability"]) * 100
    return "unchanged" if abs(points) < 0.05 else f"{wording.signed(points, 1)} points"


def _calibration(made: tuple[int, str] | None) -> str:
    if made is None:
        return "not known"
    at, origin = made
    return f"{wording.on_day(at)} ({'recalibrated' if origin == 'recalibrate' else 'trained'})"


def chart(definition: Definition, history: Sequence[Mapping[str, Any]]) -> charts.Chart | None:
    """The picture of `past_scores`: oldest first, with the routes' thresholds."""
    points = [
        charts.Point(score["as_of"], score["probability"], score["bundle"])
        for score in reversed(history)
    ]
    return charts.history(points, [(route.words, route.at_least) for route in definition.routes])
