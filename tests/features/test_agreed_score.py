"""The agreed score is the mean of both sides' ranks over all questions, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from agreed import NOW, agreed
from models_made import LEADS, company, lead_id

from features.bant import AGREED, agreed_points
from features.definition import UNKNOWN, Question, Ranking
from features.facts import Answer, Queries
from features.gather import FactsBuilder
from features.pipeline import build_catalog, compute_features

DEFINITION = agreed()


def points(question: Question, answer: str | None) -> float:
    """What an answer counts: 1 for the best and −1 for the worst, between them in even steps."""
    if answer is None:
        return 0.0
    if answer == UNKNOWN:
        return -0.5
    ranks = []
    for ranking in (question.answers.sales, question.answers.marketing):
        place = list(ranking).index(answer)
        ranks.append(1.0 if len(ranking) == 1 else 1 - 2 * place / (len(ranking) - 1))
    return sum(ranks) / 2


def test_points_are_the_mean_of_both_rankings() -> None:
    for question in DEFINITION.questions:
        expected = [points(question, level) for level in question.levels]
        assert agreed_points(question) == pytest.approx(expected)


def test_sides_that_rank_the_other_way_round_cancel_out() -> None:
    ranking = Ranking(sales=("a", "b", "c"), marketing=("c", "b", "a"))
    assert agreed_points(Question(name="q", answers=ranking)).tolist() == [0, 0, 0, -0.5]


def test_a_question_with_one_answer_counts_it_as_the_best() -> None:
    only = Question(name="q", answers=Ranking(sales=("yes",), marketing=("yes",)))
    assert agreed_points(only).tolist() == [1.0, -0.5]


def test_the_score_is_the_mean_over_all_questions_of_the_latest_answers() -> None:
    facts = FactsBuilder.of_records(DEFINITION, company()).build()
    frame = compute_features(facts, Queries.at(np.arange(LEADS), NOW), DEFINITION)
    score = np.asarray(frame.columns[AGREED])
    position = {lead: i for i, lead in enumerate(facts.lead_ids)}
    different = set()
    for i in range(0, LEADS, 5):
        given = [f for f in company() if isinstance(f, Answer) and f.lead == lead_id(i)]
        given = [fact for fact in given if fact.recorded_at < NOW]
        latest = {fact.question: fact for fact in sorted(given, key=lambda fact: fact.occurred_at)}
        counted = [
            points(question, latest[question.name].answer if question.name in latest else None)
            for question in DEFINITION.questions
        ]
        expected = sum(counted) / len(counted)
        assert score[position[lead_id(i)]] == pytest.approx(expected, abs=1e-12)
        different.add(round(expected, 6))
    assert len(different) > 15
    assert (np.abs(score) <= 1).all()


def test_it_is_known_for_every_lead_and_must_not_lower_a_score() -> None:
    facts = FactsBuilder(DEFINITION, ["silent"]).build()
    frame = compute_features(facts, Queries.at([0], NOW), DEFINITION)
    assert np.asarray(frame.columns[AGREED]).tolist() == [0.0]
    (spec,) = [spec for spec in build_catalog(DEFINITION) if spec.name == AGREED]
    assert spec.monotone == 1
