"""What has the lead said about budget, authority, need and timeline? Columns from the answers.

Not asked, asked-and-unknown and each answer are different levels. A preference is the agreed rank of
the latest answer on a scale from 0 (worst) to 1 (best), not known when not asked or not answered. The
agreed score is the mean over all questions on a scale from -1 to 1: what marketing and sales would say
of a lead before a single deal has closed.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.catalog import FeatureSpec
from features.definition import Definition, Question
from features.facts import Facts, Ints, Queries
from features.frames import Category, Column
from features.windows import Seen, changes, count, days_since, last, see

Floats = NDArray[np.float64]

AGREED = "bant_agreed"
"""The column that holds the agreed score."""

_ASKED_IN_VAIN = -0.5
"""What asked-and-unknown counts in the agreed score: less than not asked, more than the worst answer."""


def specs(definition: Definition) -> list[FeatureSpec]:
    """The features this module makes: none without questions."""
    found = [spec for question in definition.questions for spec in _specs(question, definition)]
    return [*found, *_SUMMARY] if found else []


def compute(facts: Facts, queries: Queries, definition: Definition) -> dict[str, Column]:
    """The columns of `specs`, each of shape (n,)."""
    if not definition.questions:
        return {}
    seen = see(facts.answers, queries)
    code = seen.code
    columns: dict[str, Column] = {}
    asked, answered, changed, agreed = (np.zeros(len(queries)) for _ in range(4))
    for i, question in enumerate(definition.questions):
        mine = seen.where(code == i)
        fact = last(mine)
        level = _level(mine, fact)
        columns |= _columns(question, mine, fact, level)
        unknown = len(question.levels) - 1
        asked += level >= 0
        answered += (level >= 0) & (level != unknown)
        said = mine.where(mine.detail != unknown)
        changed += changes(said, said.detail)
        agreed += np.append(agreed_points(question), 0.0)[level]
    columns[AGREED] = agreed / len(definition.questions)
    columns["bant_asked_share"] = asked / len(definition.questions)
    columns["bant_answered_share"] = answered / len(definition.questions)
    columns["bant_unknown"] = asked - answered
    columns["bant_contradictions"] = changed
    columns["bant_answers"] = count(seen).astype(np.float64)
    columns["bant_last_days"] = days_since(seen, last(seen))
    return columns


def preference(question: Question, ranking: tuple[str, ...]) -> Floats:
    """The preference of each of the question's levels under a ranking, shape (levels,).

    >>> from features.definition import Question, Ranking
    >>> both = Ranking(sales=("yes", "soon", "no"), marketing=("yes", "soon", "no"))
    >>> preference(Question(name="budget", answers=both), both.sales)
    array([1. , 0.5, 0. , nan])
    """
    steps = max(len(ranking) - 1, 1)
    return np.array(
        [
            1.0 - ranking.index(level) / steps if level in ranking else np.nan
            for level in question.levels
        ]
    )


def agreed_points(question: Question) -> Floats:
    """What each of the question's levels counts in the agreed score, shape (levels,), from -1 to 1.

    The mean of both rankings; asked-and-unknown, which nobody ranks, counts `_ASKED_IN_VAIN`.

    >>> from features.definition import Question, Ranking
    >>> both = Ranking(sales=("yes", "soon", "no"), marketing=("yes", "soon", "no"))
    >>> agreed_points(Question(name="budget", answers=both))
    array([ 1. ,  0. , -1. , -0.5])
    """
    rankings = (question.answers.sales, question.answers.marketing)
    mean = np.mean([preference(question, ranking) for ranking in rankings], axis=0)
    return np.where(np.isnan(mean), _ASKED_IN_VAIN, 2.0 * mean - 1.0)


def _level(seen: Seen, fact: Ints) -> Ints:
    if len(seen.happenings) == 0:
        return fact
    return np.where(fact >= 0, seen.happenings.detail[fact], -1)


def _columns(question: Question, seen: Seen, fact: Ints, level: Ints) -> dict[str, Column]:
    stem = f"bant_{question.name}"
    columns: dict[str, Column] = {
        stem: Category(level, question.levels),
        f"{stem}_sales": _ranked(question, question.answers.sales, level),
    }
    if not question.agreed:
        columns[f"{stem}_marketing"] = _ranked(question, question.answers.marketing, level)
    columns[f"{stem}_age_days"] = days_since(seen, fact)
    return columns


def _ranked(question: Question, ranking: tuple[str, ...], level: Ints) -> Floats:
    table = np.append(preference(question, ranking), np.nan)
    return table[level]


def _specs(question: Question, definition: Definition) -> list[FeatureSpec]:
    stem = f"bant_{question.name}"
    fact = f"bant:{question.name}"
    label = question.words
    dimension = definition.dimension_of[question.name]
    sides = ["sales"] if question.agreed else ["sales", "marketing"]
    return [
        FeatureSpec(
            name=stem,
            kind="category",
            fact=fact,
            label=label,
            phrase=f"{dimension}: {{value}}",
            missing=f"{dimension}: not asked",
            levels=question.levels,
        ),
        *(
            FeatureSpec(
                name=f"{stem}_{side}",
                kind="number",
                fact=fact,
                label=label,
                phrase=f"{dimension}: ranked {{value}} of 1 by {side}",
                missing=f"{dimension}: no answer to rank",
                monotone=1 if question.monotone else 0,
            )
            for side in sides
        ),
        FeatureSpec(
            name=f"{stem}_age_days",
            kind="number",
            fact=fact,
            label=label,
            phrase=f"{dimension}: answered {{value}} days ago",
            missing=f"{dimension}: not asked",
            unit="days",
        ),
    ]


def _summary(
    name: str, phrase: str, missing: str, unit: str | None = None, monotone: Literal[0, 1] = 0
) -> FeatureSpec:
    return FeatureSpec(
        name=name,
        kind="number",
        fact="bant:all",
        label="BANT as a whole",
        phrase=phrase,
        missing=missing,
        unit=unit,
        monotone=monotone,
    )


_SUMMARY = (
    _summary(
        AGREED, "answers rank {value} as agreed (worst -1, best 1)", "no question", monotone=1
    ),
    _summary("bant_asked_share", "{value} of the questions asked", "no question", "share"),
    _summary("bant_answered_share", "{value} of the questions answered", "no question", "share"),
    _summary("bant_unknown", "{value} questions asked in vain", "no question"),
    _summary("bant_contradictions", "{value} answers changed", "no answer"),
    _summary("bant_answers", "{value} answers in all", "no answer"),
    _summary("bant_last_days", "last answer {value} days ago", "no answer yet", "days"),
)
