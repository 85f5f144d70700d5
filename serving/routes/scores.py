"""How likely is it that this lead buys? One lead, many leads, and what was said before."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BeforeValidator, ValidationError
from starlette.concurrency import run_in_threadpool

from features.errors import ConflictError, NotFoundError, PropensityError
from features.store.access import Caller
from features.store.engine import Store
from features.store.history import Profile, profiles
from features.store.ledger import score_history
from serving.addresses import lead_of
from serving.answers import BatchAnswer, HistoryAnswer, ScoreAnswer, moment
from serving.contracts import EXAMPLE_LEAD, BatchRequest, ScoreRequest, Text, read_part
from serving.deps import CallerDep, Conn, NowDep, OnceDep, RequestIdDep, Service, ServiceDep
from serving.errors import FirstProblems, TooLargeError, most_of_each, report_of
from serving.limits import SHORT, Answering, JsonRoute
from serving.records import instant_asked, of_score_request
from serving.scoring import (
    MUST_NOT_BE_SCORED,
    TOP,
    Ask,
    LeadScore,
    Occasion,
    Result,
    score,
    score_one,
)
from serving.security import NO_SUCH_LEAD, SEND_IT_FIRST, require_sight

_MANY = 50
"""Facts of one lead above which they are not read between two turns of the event loop."""


class ShortRoute(JsonRoute):
    """The route of single scores, whose plain requests are answered without FastAPI's machinery.

    The short way is the long one without what a plain request does not need; where it finds anything
    that is not plain, something wrong above all, the request goes the long way and is answered there.
    """

    def answering(self, usual: Answering) -> Answering:
        """The short way where it leads to an answer."""

        async def answer(request: Request) -> Response:
            return await _shortly(request) or await usual(request)

        return answer


async def _shortly(request: Request) -> Response | None:
    """The answer to a plain request; None for another."""
    query = request.scope["query_string"]
    if not (plain := _PLAIN.fullmatch(query)) or len(await request.body()) > SHORT:
        return None
    try:
        given = ScoreRequest.model_validate(await request.json())
    except ValidationError:
        return None
    parts: Service = request.app.state.service
    reasons = TOP if plain["n"] is None else int(plain["n"])
    request_id = request.scope["state"]["request_id"]
    return await score_lead(given, parts, parts.clock(), request_id, reasons)


_PLAIN = re.compile(rb"(?:reasons=(?P<n>100|[1-9]?[0-9]))?")

router = APIRouter(prefix="/v1", tags=["scores"], route_class=JsonRoute)

LeadPath = Annotated[
    Text,
    BeforeValidator(lead_of),
    Path(description="The lead's id, percent-encoded.", examples=[EXAMPLE_LEAD]),
]
ReasonsQuery = Annotated[
    int, Query(ge=0, le=100, description="How many reasons; the weaker ones are summed up.")
]


async def score_lead(
    body: ScoreRequest,
    parts: ServiceDep,
    now: NowDep,
    request_id: RequestIdDep,
    reasons: ReasonsQuery = TOP,
) -> Response:
    """Score one lead: a stored one by its id, or one with everything known about it."""
    if len(body.events or ()) + len(body.answers or ()) <= _MANY:
        ask = _ask(body, parts, now, "the lead")
    else:
        ask = await run_in_threadpool(_ask, body, parts, now, "the lead")
    occasion = Occasion(now=now, request_id=request_id, reasons=reasons)
    with _counted(parts, occasion) as count:
        found = await parts.rounds.score(parts.live.scorer(), ask, occasion)
        count(found)
    return JSONResponse(found.to_json())


router.add_api_route(
    "/scores",
    score_lead,
    methods=["POST"],
    operation_id="score_lead",
    response_model=ScoreAnswer,
    route_class_override=ShortRoute,
)


@router.post("/scores/batch", operation_id="score_leads", response_model=BatchAnswer)
def score_leads(
    body: BatchRequest,
    parts: ServiceDep,
    now: NowDep,
    request_id: RequestIdDep,
    once: OnceDep,
    reasons: ReasonsQuery = TOP,
) -> Response:
    """Score many leads; each row is answered by itself, and one bad row spoils nothing."""
    require_few(body.leads, parts.settings.max_rows)
    asks = _asks(body.leads, parts, now)
    occasion = Occasion(now=now, channel="batch", request_id=request_id, reasons=reasons)
    good = [ask for ask in asks if isinstance(ask, Ask)]
    scored = iter(score(parts.store, parts.live.scorer(), good, occasion, parts.ledger))
    results: list[Result] = [next(scored) if isinstance(ask, Ask) else ask for ask in asks]
    parts.metrics.count_scores(results, occasion.channel)
    n = sum(isinstance(result, LeadScore) for result in results)
    if not n:
        once.was_for_nothing()
    most = most_of_each(len(results) - n)
    rows = [_row(i, result, request_id, most) for i, result in enumerate(results)]
    return JSONResponse({"scored": n, "refused": len(rows) - n, "results": rows})


@router.get("/leads/{lead}/score", operation_id="score_stored_lead", response_model=ScoreAnswer)
def score_stored_lead(
    lead: LeadPath,
    parts: ServiceDep,
    caller: CallerDep,
    now: NowDep,
    request_id: RequestIdDep,
    reasons: ReasonsQuery = TOP,
) -> Response:
    """Score a stored lead now."""
    profile_for(parts.store, lead, caller)
    occasion = Occasion(now=now, request_id=request_id, reasons=reasons)
    with _counted(parts, occasion) as count:
        found = score_one(parts.store, parts.live.scorer(), Ask(lead, now), occasion, parts.ledger)
        count(found)
    return JSONResponse(found.to_json())


@router.get("/leads/{lead}/scores", operation_id="list_scores", response_model=HistoryAnswer)
def list_scores(
    lead: LeadPath,
    connection: Conn,
    parts: ServiceDep,
    caller: CallerDep,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 200,
) -> Response:
    """Every score that was given for a stored lead, newest first, with its reasons.

    Those of a person who objects are shown to an admin alone. A rep sees those of stored facts: what
    somebody asked about made-up ones is nobody else's.
    """
    if profile_for(parts.store, lead, caller).do_not_score and caller.role != "admin":
        raise ConflictError(MUST_NOT_BE_SCORED)
    rows = score_history(connection, lead, limit, stored_only=caller.role == "rep")
    return JSONResponse({"lead": lead, "scores": [_past(row) for row in rows]})


def profile_for(store: Store, lead: str, caller: Caller) -> Profile:
    """A stored lead that the caller may see.

    Raises:
        NotFoundError: there is none.
    """
    with store.read() as connection:
        found = profiles(connection, [lead]).get(lead)
    if found is None:
        raise NotFoundError(NO_SUCH_LEAD, hint=SEND_IT_FIRST)
    require_sight(caller, found.owner)
    return found


def require_few(rows: list[Any], most: int) -> None:
    """Raise `TooLargeError` when there are more rows than one request may bring."""
    if len(rows) > most:
        raise TooLargeError(f"{len(rows)} rows; at most {most} at once", hint="Send them in parts.")


@contextmanager
def _counted(parts: Service, occasion: Occasion) -> Iterator[Callable[[LeadScore], None]]:
    """Counts the score that it is told of, or the refusal that it sees."""
    try:
        yield lambda found: parts.metrics.count_scores([found], occasion.channel)
    except PropensityError as error:
        parts.metrics.count_scores([error], occasion.channel)
        raise


def _ask(given: ScoreRequest, parts: Service, now: int, where: str) -> Ask:
    as_of = instant_asked(given.as_of, now, where)
    if given.is_stored:
        return Ask(given.lead, as_of)
    records = of_score_request(given, parts.live.agreed, as_of, now, where)
    return Ask(given.lead, as_of, records)


def _asks(rows: Sequence[object], parts: Service, now: int) -> list[Ask | PropensityError]:
    """What each row asks, or what is wrong with it: the more rows are bad, the less of each is kept."""
    found: list[Ask | PropensityError] = []
    bad = 0
    for i, row in enumerate(rows):
        where = f"row {i + 1}"
        try:
            found.append(_ask(read_part(ScoreRequest, row, where), parts, now, where))
        except PropensityError as error:
            bad += 1
            error.problems = FirstProblems(error.problems, most_of_each(bad))
            # What led to it holds the whole row, and all that was found in it.
            error.__cause__ = error.__context__ = None
            found.append(error.with_traceback(None))
    return found


def _row(index: int, result: Result, request_id: str, most: int) -> dict[str, Any]:
    if isinstance(result, LeadScore):
        return {"index": index, "score": result.to_json()}
    return {"index": index, "error": report_of(result, request_id).to_json(most)}


def _past(row: dict[str, Any]) -> dict[str, Any]:
    same = ("probability", "raw", "route", "reasons", "warnings", "definition", "channel")
    return {
        "score_id": row["id"],
        "as_of": moment(row["as_of"]),
        "scored_at": moment(row["scored_at"]),
        **{name: row[name] for name in same},
        "model": row["bundle"],
    }
