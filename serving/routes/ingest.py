"""What is new? Leads, answers, events, stages and deals, sent once or again.

Facts are committed first, as a whole: what was acknowledged is never lost. Then the scores of the leads
they touch are renewed; if that fails the facts stay, and the next refresh of the queue catches up.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from features.definition import Definition
from features.store.audit import Entry, note
from features.store.consent import lead_hash
from features.store.history import latest_version
from features.store.idempotency import forget_given
from features.store.ingest import set_do_not_score
from serving.answers import IngestAnswer, LeadAnswer, PutAnswer, moment
from serving.contracts import (
    AnswerRows,
    DealRows,
    DoNotScoreRequest,
    EventRows,
    LeadRequest,
    MergeRows,
    StageRows,
)
from serving.deps import CallerDep, Conn, NowDep, OnceDep, RequestIdDep, Service, ServiceDep
from serving.intake import (
    ANSWERS,
    DEALS,
    EVENTS,
    MERGES,
    STAGES,
    Sort,
    put,
    put_answer,
    rescore,
    take,
)
from serving.limits import JsonRoute
from serving.once import Once
from serving.routes.scores import LeadPath, profile_for, require_few
from serving.scoring import LeadScore
from serving.security import MACHINES

router = APIRouter(prefix="/v1", tags=["facts"], route_class=JsonRoute)


@router.post("/answers", operation_id="add_answers", response_model=IngestAnswer)
def add_answers(
    body: AnswerRows, parts: ServiceDep, now: NowDep, request_id: RequestIdDep, once: OnceDep
) -> Response:
    """Add BANT answers of stored leads."""
    return _add(ANSWERS, body, parts, now, request_id, once)


@router.post("/events", operation_id="add_events", response_model=IngestAnswer)
def add_events(
    body: EventRows, parts: ServiceDep, now: NowDep, request_id: RequestIdDep, once: OnceDep
) -> Response:
    """Add engagement events of stored leads."""
    return _add(EVENTS, body, parts, now, request_id, once)


@router.post("/stages", operation_id="add_stages", response_model=IngestAnswer)
def add_stages(
    body: StageRows, parts: ServiceDep, now: NowDep, request_id: RequestIdDep, once: OnceDep
) -> Response:
    """Add changes of stage of stored leads."""
    return _add(STAGES, body, parts, now, request_id, once)


@router.post("/deals", operation_id="add_deals", response_model=IngestAnswer)
def add_deals(
    body: DealRows, parts: ServiceDep, now: NowDep, request_id: RequestIdDep, once: OnceDep
) -> Response:
    """Add deals that closed; a deal also moves its lead into its closing stage."""
    return _add(DEALS, body, parts, now, request_id, once)


@router.post("/merges", operation_id="add_merges", response_model=IngestAnswer)
def add_merges(
    body: MergeRows, parts: ServiceDep, now: NowDep, request_id: RequestIdDep, once: OnceDep
) -> Response:
    """Say which stored leads have become one; what happens from then on is the survivor's."""
    return _add(MERGES, body, parts, now, request_id, once)


@router.put("/leads/{lead}", operation_id="put_lead", response_model=PutAnswer)
def put_lead(
    lead: LeadPath,
    body: LeadRequest,
    parts: ServiceDep,
    now: NowDep,
    request_id: RequestIdDep,
    once: OnceDep,
) -> Response:
    """Say how a lead stands: all that is known, not a patch. Sent again, it changes nothing."""
    report = put(parts, lead, body, now, once)
    return put_answer(lead, report, next(iter(rescore(parts, [lead], now, request_id)), None))


@router.get("/leads/{lead}", operation_id="get_lead", response_model=LeadAnswer)
def get_lead(lead: LeadPath, connection: Conn, parts: ServiceDep, caller: CallerDep) -> Response:
    """A stored lead as last described; sensitive attributes only for the systems that send them."""
    profile = profile_for(parts.store, lead, caller)
    version = latest_version(connection, lead)
    assert version is not None, "a lead is stored with its first version"
    definition = parts.live.agreed
    attributes = {
        name: _as_sent(name, value, definition)
        for name, value in version.attributes.items()
        if caller.role in MACHINES or not _is_sensitive(name, definition)
    }
    return JSONResponse(
        {
            "lead": lead,
            "kind": version.kind,
            "owner": version.owner,
            "name": version.name,
            "attributes": attributes,
            "since": moment(version.occurred_at),
            "do_not_score": profile.do_not_score,
        }
    )


@router.put(
    "/leads/{lead}/do-not-score", operation_id="set_do_not_score", response_model=DoNotScoreRequest
)
def put_do_not_score(
    lead: LeadPath, body: DoNotScoreRequest, parts: ServiceDep, caller: CallerDep, now: NowDep
) -> Response:
    """Note that the person objects to being scored: no score, no place in the queue, from now on.

    The scores given before are shown to an admin alone.
    """
    action = "objection_noted" if body.do_not_score else "objection_withdrawn"
    with parts.store.write() as connection:
        set_do_not_score(connection, lead, body.do_not_score)
        if body.do_not_score:
            # A kept answer may be a score; asked again, it is refused like any other.
            forget_given(connection, lead)
        named = lead_hash(connection, lead)
        note(connection, Entry(at=now, actor=caller.name, action=action, object=named))
    return JSONResponse({"do_not_score": body.do_not_score})


def _add(
    sort: Sort, rows: list[Any], parts: Service, now: int, request_id: str, once: Once
) -> Response:
    """Store the good rows, renew the scores they touch, name the bad rows."""
    require_few(rows, parts.settings.max_rows)
    taken = take(parts, sort, rows, now, once)
    results = rescore(parts, taken.leads, now, request_id)
    return taken.answer(rescored=sum(isinstance(result, LeadScore) for result in results))


def _as_sent(name: str, value: Any, definition: Definition) -> Any:
    attribute = definition.attribute_by_name.get(name)
    if attribute is not None and attribute.type == "date" and value is not None:
        return moment(int(value))
    return value


def _is_sensitive(name: str, definition: Definition) -> bool:
    attribute = definition.attribute_by_name.get(name)
    return attribute is None or attribute.sensitive
