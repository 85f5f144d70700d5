"""What is new? Leads, answers, events, stages and deals, sent once or again.

Facts are committed first, as a whole: what was acknowledged is never lost. Then the scores of the leads
they touch are renewed; if that fails the facts stay, and the next refresh of the queue catches up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from features.definition import Definition
from features.errors import InputError, Problem, PropensityError
from features.facts import LeadVersion, said
from features.store.engine import Connection
from features.store.history import latest_version
from features.store.ingest import IngestReport, ingest, set_do_not_score
from features.store.outcomes import Deal, record_deals
from serving.answers import IngestAnswer, LeadAnswer, PutAnswer, moment
from serving.contracts import (
    AnswerRow,
    AnswerRows,
    DealRow,
    DealRows,
    DoNotScoreRequest,
    EventRow,
    EventRows,
    LeadRequest,
    StageRow,
    StageRows,
    read_part,
)
from serving.deps import CallerDep, Conn, NowDep, RequestIdDep, Service, ServiceDep
from serving.errors import most_of_each, told
from serving.limits import JsonRoute
from serving.records import of_lead, of_row, problems_by_row
from serving.routes.scores import LeadPath, profile_for, require_few
from serving.scoring import Ask, LeadScore, Occasion, Result, score
from serving.security import MACHINES

log = structlog.get_logger("propensity.ingest")

router = APIRouter(prefix="/v1", tags=["facts"], route_class=JsonRoute)


@dataclass(frozen=True, slots=True)
class _Sort:
    """How rows of one sort are read and written."""

    name: str
    shape: type[AnswerRow] | type[EventRow] | type[StageRow] | type[DealRow]
    write: Callable[[Connection, Sequence[Any], Definition, int], IngestReport] = field(
        default=ingest
    )


_ANSWERS = _Sort("answers", AnswerRow)
_EVENTS = _Sort("events", EventRow)
_STAGES = _Sort("stages", StageRow)
_DEALS = _Sort("deals", DealRow, record_deals)


@router.post("/answers", operation_id="add_answers", response_model=IngestAnswer)
def add_answers(
    body: AnswerRows, parts: ServiceDep, now: NowDep, request_id: RequestIdDep
) -> Response:
    """Add BANT answers of stored leads."""
    return _add(_ANSWERS, body, parts, now, request_id)


@router.post("/events", operation_id="add_events", response_model=IngestAnswer)
def add_events(
    body: EventRows, parts: ServiceDep, now: NowDep, request_id: RequestIdDep
) -> Response:
    """Add engagement events of stored leads."""
    return _add(_EVENTS, body, parts, now, request_id)


@router.post("/stages", operation_id="add_stages", response_model=IngestAnswer)
def add_stages(
    body: StageRows, parts: ServiceDep, now: NowDep, request_id: RequestIdDep
) -> Response:
    """Add changes of stage of stored leads."""
    return _add(_STAGES, body, parts, now, request_id)


@router.post("/deals", operation_id="add_deals", response_model=IngestAnswer)
def add_deals(body: DealRows, parts: ServiceDep, now: NowDep, request_id: RequestIdDep) -> Response:
    """Add deals that closed; a deal also moves its lead into its closing stage."""
    return _add(_DEALS, body, parts, now, request_id)


@router.put("/leads/{lead}", operation_id="put_lead", response_model=PutAnswer)
def put_lead(
    lead: LeadPath, body: LeadRequest, parts: ServiceDep, now: NowDep, request_id: RequestIdDep
) -> Response:
    """Say how a lead stands: all that is known, not a patch. Sent again, it changes nothing."""
    version = of_lead(lead, body, parts.live.agreed, now)
    with parts.store.write() as connection:
        if _says_nothing_new(body, version, latest_version(connection, lead)):
            report = IngestReport(unchanged=1)
        else:
            report = ingest(connection, [version], parts.live.agreed, now)
        parts.metrics.count_facts("leads", report.added, report.unchanged, len(report.problems))
        if report.problems:
            # Inside the transaction: a lead that is refused must not be there without a version.
            problems = [replace(p, where="the lead") for p in problems_by_row(report.problems)]
            raise InputError("the lead breaks the rules", problems=problems)
    result = next(iter(_rescore(parts, [lead], now, request_id)), None)
    return JSONResponse(
        {
            "lead": lead,
            "fate": "added" if report.added else "unchanged",
            "score": result.to_json() if isinstance(result, LeadScore) else None,
            "warning": None if isinstance(result, LeadScore) else _why_not(result),
        }
    )


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
def put_do_not_score(lead: LeadPath, body: DoNotScoreRequest, parts: ServiceDep) -> Response:
    """Note that the person objects to being scored: no score, no place in the queue, from now on."""
    with parts.store.write() as connection:
        set_do_not_score(connection, lead, body.do_not_score)
    return JSONResponse({"do_not_score": body.do_not_score})


def _add(sort: _Sort, rows: list[Any], parts: Service, now: int, request_id: str) -> Response:
    """Store the good rows in one transaction, renew the scores they touch, name the bad rows."""
    require_few(rows, parts.settings.max_rows)
    records: dict[int, Any] = {}
    problems: dict[int, list[Problem]] = {}
    for i, row in enumerate(rows):
        try:
            shaped = read_part(sort.shape, row, f"row {i + 1}")
            records[i] = _record(shaped, parts.live.agreed, now)
        except InputError as error:
            problems[i] = list(error.problems)
    with parts.store.write() as connection:
        report = sort.write(connection, list(records.values()), parts.live.agreed, now)
    positions = list(records)
    for place, found in report.problems.items():
        i = positions[place]
        problems[i] = [replace(problem, where=f"row {i + 1}") for problem in found]
    parts.metrics.count_facts(sort.name, report.added, report.unchanged, len(problems))
    if len(problems) == len(rows):
        raise InputError(
            f"none of the {len(rows)} rows could be stored", problems=problems_by_row(problems)
        )
    touched = list(dict.fromkeys(records[i].lead for i in records if i not in problems))
    results = _rescore(parts, touched, now, request_id)
    return JSONResponse(_summary(report, problems, results))


def _summary(
    report: IngestReport, problems: Mapping[int, list[Problem]], results: Sequence[Result]
) -> dict[str, Any]:
    most = most_of_each(len(problems))
    return {
        "added": report.added,
        "unchanged": report.unchanged,
        "rejected": [{"index": i, "problems": told(problems[i], most)} for i in sorted(problems)],
        "rescored": sum(isinstance(result, LeadScore) for result in results),
    }


def _record(
    row: AnswerRow | EventRow | StageRow | DealRow, definition: Definition, now: int
) -> Any:
    if not isinstance(row, DealRow):
        return of_row(row, definition, now)
    return Deal(
        lead=row.lead,
        ending=row.ending,
        occurred_at=row.occurred_at,
        recorded_at=now if row.recorded_at is None else row.recorded_at,
        amount=row.amount,
        reason=row.reason,
        source=row.source,
        external_id=row.external_id,
    )


def _says_nothing_new(body: LeadRequest, version: LeadVersion, latest: LeadVersion | None) -> bool:
    """Whether the lead stands just so already; a version with a time or id of its own is a fact."""
    is_own = body.occurred_at is not None or body.external_id is not None
    return latest is not None and not is_own and said(version) == said(latest)


def _rescore(parts: Service, leads: Sequence[str], now: int, request_id: str) -> list[Result]:
    """The leads' scores just after `now`, when what was recorded now is known; none if that fails."""
    occasion = Occasion(now=now, channel="queue", request_id=request_id)
    try:
        asks = [Ask(lead, now + 1) for lead in leads]
        results = score(parts.store, parts.live.scorer(), asks, occasion)
    except PropensityError as error:
        log.warning("not rescored", request_id=request_id, reason=error.message)
        return []
    except Exception:
        log.exception("not rescored", request_id=request_id)
        return []
    parts.metrics.count_scores(results, occasion.channel)
    return results


def _why_not(result: Result | None) -> str:
    if isinstance(result, PropensityError):
        return result.message
    return "the lead is stored; its score follows with the next refresh of the queue"


def _as_sent(name: str, value: Any, definition: Definition) -> Any:
    attribute = definition.attribute_by_name.get(name)
    if attribute is not None and attribute.type == "date" and value is not None:
        return moment(int(value))
    return value


def _is_sensitive(name: str, definition: Definition) -> bool:
    attribute = definition.attribute_by_name.get(name)
    return attribute is None or attribute.sensitive
