"""What should be asked next, and why did a score move? Answers about a stored lead that are no scores.

What is supposed here is never written into the ledger: nobody was told that it is so.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from features.errors import ConflictError, InputError, NotFoundError, Problem
from features.facts import Facts, Queries
from features.pipeline import compute_features
from features.store.access import Caller
from features.store.engine import Connection, Store
from features.store.history import load_facts
from features.store.ledger import score_history
from models.changes import changes
from models.propensity import Scores
from models.questions import OpenQuestion, open_questions
from serving.answers import moment
from serving.contracts import Moment
from serving.deps import CallerDep, Conn, NowDep, ServiceDep
from serving.insight_answers import ChangesAnswer, QuestionsAnswer
from serving.limits import JsonRoute
from serving.records import instant_asked
from serving.routes.scores import LeadPath, profile_for
from serving.scoring import Scorer
from serving.standing import standings

router = APIRouter(prefix="/v1", tags=["scores"], route_class=JsonRoute)

Since = Annotated[
    Moment | None,
    Query(description="The earlier instant; by default that of the last score given."),
]


@router.get(
    "/leads/{lead}/questions", operation_id="list_questions", response_model=QuestionsAnswer
)
def list_questions(
    lead: LeadPath, connection: Conn, parts: ServiceDep, caller: CallerDep, now: NowDep
) -> Response:
    """Which open BANT question would change the most if it were answered, answer by answer."""
    _require_scorable(parts.store, lead, caller)
    scorer = parts.live.scorer()
    asked = supposed(scorer, facts_of(connection, scorer, lead, now), now)
    questions = [question.to_json() for question in asked]
    return JSONResponse({"lead": lead, "as_of": moment(now), "questions": questions})


@router.get("/leads/{lead}/changes", operation_id="list_changes", response_model=ChangesAnswer)
def list_changes(
    lead: LeadPath,
    connection: Conn,
    parts: ServiceDep,
    caller: CallerDep,
    now: NowDep,
    since: Since = None,
) -> Response:
    """Why the score of today's model differs from what it would have said then, exactly.

    Without `since`, from the last score that was given.
    """
    _require_scorable(parts.store, lead, caller)
    then = _last_score(connection, lead, now) if since is None else since
    then = instant_asked(then, now, "the lead")
    scorer = parts.live.scorer()
    facts, model = facts_of(connection, scorer, lead, now), scorer.model
    queries = Queries.at([0, 0], np.array([then, now]))
    if not standings(facts, queries, model.definition)[0].is_known:
        problem = Problem("the lead", "since", moment(then) or "", "nothing was known of it yet")
        raise InputError("there is nothing to compare with", problems=[problem])
    frame = compute_features(facts, queries, model.definition)
    scores = model.score(frame)
    answer = {
        "lead": lead,
        "model": model.digest,
        "then": _said(then, scores, 0),
        "now": _said(now, scores, 1),
        "changes": [change.to_json() for change in changes(model, frame)],
    }
    return JSONResponse(answer)


def supposed(scorer: Scorer, facts: Facts, now: int) -> list[OpenQuestion]:
    """The open questions of the one lead in the facts."""
    return open_questions(scorer.model, scorer.agreed, facts, 0, now)


def facts_of(connection: Connection, scorer: Scorer, lead: str, now: int) -> Facts:
    """What is known of one stored lead, as the model reads it."""
    return load_facts(connection, scorer.model.definition, [lead], now)


def _last_score(connection: Connection, lead: str, now: int) -> int:
    """The instant of the newest score of the lead's own facts before now.

    Raises:
        NotFoundError: none was given.
    """
    for score in score_history(connection, lead, 100, stored_only=True):
        if score["as_of"] < now:
            return int(score["as_of"])
    raise NotFoundError(
        "no score was given of this lead yet", hint="Say with `since` what to compare with."
    )


def _require_scorable(store: Store, lead: str, caller: Caller) -> None:
    if profile_for(store, lead, caller).do_not_score:
        raise ConflictError("this lead must not be scored: the person objected to it")


def _said(instant: int, scores: Scores, row: int) -> dict[str, Any]:
    return {
        "as_of": moment(instant),
        "probability": float(scores.probability[row]),
        "raw": float(scores.raw[row]),
    }
