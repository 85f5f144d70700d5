"""What to ask and what moved a score: whom it is told, and in which shape."""

from __future__ import annotations

from typing import Any

import pytest
from agreed import NOW, agreed
from models_made import CLOSED, LEADS, OWNERS, lead_id, made_model
from served import Served

from features.clock import DAY, iso

SINCE = iso(NOW - 10 * DAY)
ANNAS, BENS = lead_id(3), lead_id(1)
PATHS = ("questions", "changes")


def test_the_leads_are_whose_the_tests_say() -> None:
    assert (OWNERS[3 % 3], OWNERS[1 % 3]) == ("anna", "ben")
    assert not {1, 3} & CLOSED


def ask(served: Served, which: str, lead: str, role: str = "admin", **rest: Any) -> Any:
    params = {"since": SINCE} if which == "changes" else {}
    return served.get(f"/v1/leads/{lead}/{which}", role, params=params | rest.pop("params", {}))


@pytest.mark.parametrize("which", PATHS)
def test_every_role_that_may_score_is_answered_and_nobody_else(
    served_lite: Served, which: str
) -> None:
    score = {
        role: served_lite.get(f"/v1/leads/{ANNAS}/score", role).status_code
        for role in ("anonymous", "revoked", "rep", "crm", "analyst", "admin")
    }
    said = {role: ask(served_lite, which, ANNAS, role).status_code for role in score}
    assert said == score
    assert said["anonymous"] == said["revoked"] == 401
    assert said["rep"] == said["admin"] == 200


@pytest.mark.parametrize("which", PATHS)
def test_another_reps_lead_is_answered_like_one_that_is_not_there(
    served_lite: Served, which: str
) -> None:
    others, nobody = (ask(served_lite, which, lead, "rep") for lead in (BENS, "nobody"))
    assert others.status_code == nobody.status_code == 404
    score = served_lite.get(f"/v1/leads/{BENS}/score", "rep")
    assert others.json()["detail"] == score.json()["detail"]
    assert ask(served_lite, which, BENS, "admin").status_code == 200


@pytest.mark.parametrize("which", PATHS)
def test_who_objected_is_a_conflict(served_lite: Served, which: str) -> None:
    body = {"do_not_score": True}
    assert served_lite.put(f"/v1/leads/{ANNAS}/do-not-score", json=body).status_code == 200
    assert ask(served_lite, which, ANNAS).status_code == 409


@pytest.mark.parametrize("which", PATHS)
def test_without_a_model_it_says_so_like_a_score_does(
    serve: Any, company_store: Any, which: str
) -> None:
    served = serve(company_store, with_model=False)
    if served.get(f"/v1/leads/{ANNAS}/score").status_code == 503:
        assert ask(served, which, ANNAS).status_code == 503


def test_an_instant_in_the_future_is_refused_as_for_scores(served_lite: Served) -> None:
    then = iso(NOW + DAY)
    score = served_lite.post("/v1/scores", json={"lead": ANNAS, "as_of": then})
    answer = ask(served_lite, "changes", ANNAS, params={"since": then})
    assert answer.status_code == score.status_code == 422
    assert "future" in answer.text


def test_without_an_instant_the_last_score_is_compared_with(served_lite: Served) -> None:
    path = f"/v1/leads/{ANNAS}/changes"
    unscored = served_lite.get(path)
    assert unscored.status_code == 404
    assert "since" in unscored.json()["hint"]
    score = served_lite.get(f"/v1/leads/{ANNAS}/score").json()
    served_lite.clock.now += DAY
    assert served_lite.get(path).json()["then"]["as_of"] == score["as_of"]


@pytest.mark.parametrize("since", ["yesterday", "2026-04-01", ""])
def test_what_is_no_instant_is_refused(served_lite: Served, since: str) -> None:
    answer = served_lite.get(f"/v1/leads/{ANNAS}/changes", params={"since": since})
    assert answer.status_code == 422
    assert "since" in answer.text


def test_before_anything_was_known_there_is_nothing_to_compare_with(served_lite: Served) -> None:
    answer = ask(served_lite, "changes", ANNAS, params={"since": iso(NOW - 4_000 * DAY)})
    assert answer.status_code == 422
    assert "nothing was known of it yet" in answer.text


def test_changes_say_both_scores_and_what_lies_between_exactly(served: Served) -> None:
    moved = 0
    for i in range(1, LEADS, 23):
        answer = ask(served, "changes", lead_id(i))
        if answer.status_code == 422:
            continue
        said = answer.json()
        assert set(said) == {"lead", "model", "then", "now", "changes"}
        assert (said["lead"], said["then"]["as_of"], said["now"]["as_of"]) == (
            lead_id(i),
            SINCE,
            iso(NOW),
        )
        total = sum(change["log_odds"] for change in said["changes"])
        assert total == pytest.approx(said["now"]["raw"] - said["then"]["raw"], abs=1e-9)
        for change in said["changes"]:
            assert set(change) == {"fact", "label", "then", "now", "log_odds"}
        moved += bool(said["changes"])
        score = served.get(f"/v1/leads/{lead_id(i)}/score").json()
        assert said["now"]["probability"] == score["probability"]
        assert said["model"] == score["model"]
    assert moved > 3


def test_then_is_what_a_score_as_of_then_says(served_lite: Served) -> None:
    said = ask(served_lite, "changes", ANNAS).json()
    score = served_lite.post("/v1/scores", json={"lead": ANNAS, "as_of": SINCE}).json()
    assert (said["then"]["raw"], said["then"]["probability"]) == (
        score["raw"],
        score["probability"],
    )


def test_questions_without_figures_of_answers_are_none(served_lite: Served) -> None:
    """The made model does not know how often answers are given."""
    assert "answers" not in made_model().model.about
    said = ask(served_lite, "questions", ANNAS).json()
    assert said == {"lead": ANNAS, "as_of": iso(NOW), "questions": []}


def test_questions_are_told_in_the_documented_shape_and_never_recorded(
    served_lite: Served,
) -> None:
    live = served_lite.service.live
    shares = {
        question.name: {level: 1 / len(question.levels) for level in question.levels}
        for question in agreed().questions
    }
    live.scorer().model.about["answers"] = shares  # type: ignore[index]
    before = served_lite.get(f"/v1/leads/{ANNAS}/score").json()
    found = 0
    for i in range(3, 60, 3):
        said = ask(served_lite, "questions", lead_id(i), "rep").json()
        for question in said["questions"]:
            found += 1
            assert set(question) == {
                "question",
                "ask",
                "dimension",
                "asked",
                "expected_change",
                "route_may_change",
                "answers",
            }
            assert 0 <= question["expected_change"] <= 1
            assert 0 <= question["route_may_change"] <= 1
            for one in question["answers"]:
                assert set(one) == {"answer", "share", "probability", "route"}
    assert found > 10
    after = served_lite.get(f"/v1/leads/{ANNAS}/score").json()
    assert {**after, "score_id": 0} == {**before, "score_id": 0}
