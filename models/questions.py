"""What should the rep ask next? What each open question could change, answer by answer.

Every answer is supposed in turn and the lead is scored again with it, by the same features and the
same model; how often each answer is given is taken from the leads that the model learned from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from features.definition import UNKNOWN, Definition, Question
from features.facts import Facts
from features.frames import Category
from features.pipeline import compute_features
from features.suppose import suppose
from models.propensity import PropensityModel


@dataclass(frozen=True, slots=True)
class SupposedAnswer:
    """One answer, how often it is given (0 to 1), and the probability and route it would lead to."""

    answer: str
    share: float
    probability: float
    route: str


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A question that is open for a lead, and what asking it may bring.

    Attributes:
        question: its name; `ask` its words; `dimension` its BANT dimension.
        asked: whether it was asked already, in vain.
        expected_change: the mean of |new − present probability| over the answers.
        route_may_change: the chance, 0 to 1, that the lead would go elsewhere.
        answers: every answer that is given, most frequent first.
    """

    question: str
    ask: str
    dimension: str
    asked: bool
    expected_change: float
    route_may_change: float
    answers: tuple[SupposedAnswer, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def open_questions(
    model: PropensityModel, agreed: Definition, facts: Facts, lead: int, as_of: int
) -> list[OpenQuestion]:
    """The lead's open questions, the most telling first; none where answers are not known.

    Args:
        model: what scores; `about["answers"]` holds how often each answer is given.
        agreed: the definition whose routes count now.
        facts: gathered with the model's definition.
        lead: the lead's position in `facts`.
        as_of: the instant asked about.
    """
    definition = model.definition
    shares: Mapping[str, Mapping[str, float]] = model.about.get("answers", {})
    latest = _latest(facts, lead, as_of, definition)
    asks = [
        (question, i)
        for i, question in enumerate(definition.questions)
        if latest[question.name] in (None, UNKNOWN) and shares.get(question.name)
    ]
    supposed = [
        (i, question.levels.index(level)) for question, i in asks for level in shares[question.name]
    ]
    if not supposed:
        return []
    scores = model.score(compute_features(*suppose(facts, lead, as_of, supposed), definition))
    likes = [None] * len(scores.raw) if scores.leads_like_this is None else scores.leads_like_this
    routed = [
        agreed.route_for(float(p), None if like is None else float(like)).name
        for p, like in zip(scores.probability, likes, strict=True)
    ]
    found, at = [], 1
    for question, _ in asks:
        given = shares[question.name]
        answers = [
            SupposedAnswer(level, share, float(scores.probability[at + i]), routed[at + i])
            for i, (level, share) in enumerate(given.items())
        ]
        at += len(given)
        present = float(scores.probability[0]), routed[0]
        found.append(_question(definition, question, latest[question.name], answers, present))
    return sorted(found, key=lambda one: (-one.expected_change, one.question))


def _latest(facts: Facts, lead: int, as_of: int, definition: Definition) -> dict[str, str | None]:
    """The level of the latest answer to each question; None where it was not asked."""
    frame = compute_features(*suppose(facts, lead, as_of, []), definition)
    found: dict[str, str | None] = {}
    for question in definition.questions:
        column = frame.columns[f"bant_{question.name}"]
        assert isinstance(column, Category), "answers are categories"
        found[question.name] = column.labels()[0]
    return found


def _question(
    definition: Definition,
    question: Question,
    latest: str | None,
    answers: Sequence[SupposedAnswer],
    present: tuple[float, str],
) -> OpenQuestion:
    probability, route = present
    share = np.array([answer.share for answer in answers])
    share = share / share.sum()
    moved = np.array([abs(answer.probability - probability) for answer in answers])
    elsewhere = np.array([answer.route != route for answer in answers])
    return OpenQuestion(
        question=question.name,
        ask=question.words,
        dimension=definition.dimension_of[question.name],
        asked=latest is not None,
        expected_change=float(share @ moved),
        route_may_change=float(share @ elsewhere),
        answers=tuple(sorted(answers, key=lambda answer: (-answer.share, answer.answer))),
    )
