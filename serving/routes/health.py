"""Is the service alive, ready, and how is it doing?

Live: the process answers. Ready: it has a model and reaches its database. Whether MLflow is reachable
does not matter here.
"""

from __future__ import annotations

from contextlib import suppress

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from features.errors import Problem, StoreError
from features.store.reconciliation import found_so_far
from features.store.reports import MONITOR, newest_summary
from features.store.turns import last_turns
from serving.answers import HealthAnswer, moment
from serving.deps import LiveModelDep, MetricsDep, ServiceDep, StoreDep
from serving.errors import NotReadyError

router = APIRouter(tags=["health"])


@router.get("/v2/health/live", operation_id="is_live", response_model=HealthAnswer)
@router.get("/health/live", include_in_schema=False)
@router.get("/health", include_in_schema=False)
def is_live() -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok", "model": None})


@router.get("/v2/health/ready", operation_id="is_ready", response_model=HealthAnswer)
@router.get("/health/ready", include_in_schema=False)
def is_ready(parts: ServiceDep) -> Response:
    """The service can score: it has a model and reaches its database."""
    state = parts.live.state
    champion = state.champion
    problems = []
    if champion is None:
        problems.append(Problem("model", "champion", "", "there is none to score with"))
    if not parts.reach.is_there():
        problems.append(Problem("store", "connection", "", "the database is not available"))
    if problems or champion is None:
        raise NotReadyError("the service is not ready", problems=problems)
    return JSONResponse(
        {
            "status": "ok",
            "model": champion.model.digest,
            "model_created_at": moment(champion.created_at),
            "model_source": champion.source,
            "trouble": [t for t in (state.model_trouble, state.definition_trouble) if t],
        }
    )


@router.get(
    "/metrics",
    operation_id="get_metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def get_metrics(
    request: Request, metrics: MetricsDep, live: LiveModelDep, store: StoreDep
) -> Response:
    """Figures for Prometheus, also while the database is not there."""
    with suppress(StoreError), store.read() as connection:
        metrics.note_reconciliations(*found_so_far(connection))
        metrics.note_report(newest_summary(connection, MONITOR))
        metrics.note_turns(last_turns(connection))
    told, media_type = metrics.exposition(live.state, request.headers.get("accept", ""))
    return Response(told, headers={"Content-Type": media_type})
