"""Whom shall I call next? The queue for machines; people have the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from features.facts import Kind
from serving.answers import QueueAnswer, moment
from serving.contracts import Text
from serving.deps import CallerDep, Conn, NowDep, ServiceDep
from serving.limits import JsonRoute
from serving.queueing import PAGE, queue_slice
from serving.shown_log import showings

router = APIRouter(prefix="/v1", tags=["queue"], route_class=JsonRoute)


@router.get("/queue", operation_id="read_queue", response_model=QueueAnswer)
def read_queue(
    connection: Conn,
    caller: CallerDep,
    parts: ServiceDep,
    now: NowDep,
    owner: Annotated[Text | None, Query(description="Only this owner's leads.")] = None,
    route: Annotated[Text | None, Query(description="Only this route's leads.")] = None,
    kind: Annotated[Kind | None, Query(description="Only prospects, or only clients.")] = None,
    q: Annotated[Text | None, Query(description="Part of a name or an id.")] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = PAGE,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Response:
    """The open leads by raw score; a rep sees the own ones only.

    Where a share of the places is explored or held out, `place` says so; what was shown is noted.
    """
    view = queue_slice(
        connection,
        caller,
        owner=owner,
        route=route,
        kind=kind,
        search=q,
        limit=limit,
        offset=offset,
        rules=parts.settings.rules,
        now=now,
    )
    parts.shown.note(showings(view.rows, offset + 1, view.name, "api", now))
    return JSONResponse(
        {
            "total": view.total,
            "limit": limit,
            "offset": offset,
            "routes": dict(view.routes),
            "rows": [_row(offset + i + 1, row) for i, row in enumerate(view.rows)],
        }
    )


def _row(rank: int, row: Mapping[str, Any]) -> dict[str, Any]:
    same = (
        "name",
        "owner",
        "kind",
        "stage",
        "probability",
        "raw",
        "route",
        "reasons",
        "warnings",
        "place",
    )
    return {
        "rank": rank,
        "lead": row["lead_id"],
        **{name: row[name] for name in same},
        "place": row["place"],
        "last_touch": moment(row["last_touch"]),
        "as_of": moment(row["as_of"]),
        "model": row["bundle"],
        "score_id": row["id"],
    }
