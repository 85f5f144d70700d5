"""What a question may change is the mean over its answers, each scored as if it had been given."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from agreed import NOW, agreed
from models_made import LEADS, company, lead_id, made_model

from features.definition import Abstention, Definition
from features.facts import Answer, Facts, Queries, Record
from features.gather import FactsBuilder
from features.pipeline import compute_features
from models.propensity import PropensityModel
from models.questions import OpenQuestion, open_questions

DEFINITION = agreed()


@cache
def model() -> PropensityModel:
    """The made model, told how often each answer is given."""
    shares = {}
    for question in DEFINITION.questions:
        weights = np.arange(1, len(question.levels) + 1, dtype=np.float64)
        given = (weights / weights.sum()).tolist()
        shares[question.name] = dict(zip(question.levels, given, strict=True))
    return replace(made_model().model, about={"answers": shares})


def facts_with(lead: str, *more: Record) -> Facts:
    """All that is known of a lead, and more."""
    mine = [fact for fact in company() if fact.lead == lead]
    return FactsBuilder.of_records(DEFINITION, [*mine, *more]).build()


def answer(lead: str, question: str, level: str) -> Answer:
    return Answer(
        lead=lead, question=question, answer=level, occurred_at=NOW - 1, recorded_at=NOW - 1
    )


def asked(lead: str, agreement: Definition = DEFINITION, *more: Record) -> list[OpenQuestion]:
    return open_questions(model(), agreement, facts_with(lead, *more), 0, NOW)


def scored(lead: str, *more: Record) -> tuple[float, float]:
    """Probability, and how many leads are like this one."""
    frame = compute_features(facts_with(lead, *more), Queries.at([0], NOW), DEFINITION)
    scores = model().score(frame)
    assert scores.leads_like_this is not None
    return float(scores.probability[0]), float(scores.leads_like_this[0])


LEADS_ASKED = [lead_id(i) for i in (0, 7, 44, 120, 201)]


@pytest.mark.parametrize("lead", LEADS_ASKED)
def test_the_expected_change_is_that_of_a_plain_loop(lead: str) -> None:
    present = scored(lead)[0]
    here = DEFINITION.route_for(present).name
    found = asked(lead)
    assert found
    for question in found:
        shares = model().about["answers"][question.question]
        change = elsewhere = 0.0
        for level, share in shares.items():
            probability, _ = scored(lead, answer(lead, question.question, level))
            change += share * abs(probability - present)
            elsewhere += share * (DEFINITION.route_for(probability).name != here)
            (said,) = [one for one in question.answers if one.answer == level]
            assert (said.probability, said.share) == (probability, share)
            assert said.route == DEFINITION.route_for(probability).name
        assert question.expected_change == pytest.approx(change, abs=1e-12)
        assert question.route_may_change == pytest.approx(elsewhere, abs=1e-12)
        assert len(question.answers) == len(shares)


@pytest.mark.parametrize("lead", LEADS_ASKED)
def test_open_are_the_questions_not_asked_or_asked_in_vain_the_most_telling_first(
    lead: str,
) -> None:
    latest = {
        fact.question: fact.answer
        for fact in company()
        if fact.lead == lead and isinstance(fact, Answer)
    }
    expected = {
        question.name: question.name in latest
        for question in DEFINITION.questions
        if latest.get(question.name, "unknown") == "unknown"
    }
    found = asked(lead)
    assert {question.question: question.asked for question in found} == expected
    changes = [question.expected_change for question in found]
    assert changes == sorted(changes, reverse=True)
    for question in found:
        assert question.ask == DEFINITION.question_by_name[question.question].words
        assert question.dimension == DEFINITION.dimension_of[question.question]
        shares = [one.share for one in question.answers]
        assert shares == sorted(shares, reverse=True)


def test_some_questions_are_open_and_some_were_asked_in_vain_in_the_test_above() -> None:
    every = [question for i in range(LEADS // 4) for question in asked(lead_id(i))]
    assert {question.asked for question in every} == {True, False}
    assert any(question.route_may_change > 0 for question in every)


def test_a_lead_that_answered_everything_has_no_open_question() -> None:
    all_answered = [answer("L-0007", q.name, q.levels[0]) for q in DEFINITION.questions]
    assert asked("L-0007", DEFINITION, *all_answered) == []
    assert len(asked("L-0007", DEFINITION, *all_answered[1:])) <= 1


def test_where_it_is_not_known_how_often_answers_are_given_nothing_is_said() -> None:
    facts = facts_with("L-0007")
    empty: tuple[dict[str, object], ...] = ({}, {"answers": {}})
    for about in empty:
        silent = replace(model(), about=about)
        assert open_questions(silent, DEFINITION, facts, 0, NOW) == []
    some = replace(model(), about={"answers": {"pain": {"Severe": 0.5, "Some": 0.5}}})
    names = [one.question for one in open_questions(some, DEFINITION, facts, 0, NOW)]
    assert names == (["pain"] if "pain" in {one.question for one in asked("L-0007")} else [])


def test_a_route_counts_how_many_leads_are_like_the_one_that_would_have_answered() -> None:
    """With an abstention that catches every lead no answer leads elsewhere."""
    all_caught = DEFINITION.model_copy(
        update={"abstention": Abstention(fewer_than=1e12, route="nurture")}
    )
    for question in asked("L-0044", all_caught):
        assert question.route_may_change == 0
        assert {one.route for one in question.answers} == {"nurture"}
    like = scored("L-0044")[1]
    some_caught = DEFINITION.model_copy(
        update={"abstention": Abstention(fewer_than=like, route="nurture")}
    )
    for question in asked("L-0044", some_caught):
        for one in question.answers:
            probability, likes = scored("L-0044", answer("L-0044", question.question, one.answer))
            assert one.route == some_caught.route_for(probability, likes).name
