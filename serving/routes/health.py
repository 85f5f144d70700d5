"""Is the service alive, ready, and how is it doing?

Live: the process answers. Ready: it has a model and reaches its database. Whether MLflow is reachable
does not matter here.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from features.errors import Problem, StoreError
from features.store.reconciliation import found_so_far
from features.store.reports import MONITOR, newest_summary
from features.store.turns import last_turns
from serving.answers import HealthAnswer, moment
from serving.deps import Service, ServiceDep, service
from serving.errors import NotReadyError
from serving.metrics import Kept
from serving.reach import soon

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
async def get_metrics(request: Request) -> Response:
    """Figures for Prometheus, also while the database is not there."""
    # Nothing is injected: that takes one of the threads that may all wait for the database.
    parts = service(request)
    # What the database does not say soon stays as it was last noted, with the time of that.
    with suppress(StoreError, TimeoutError):
        parts.metrics.note_kept(await soon(partial(_kept, parts)))
    tell = partial(parts.metrics.exposition, parts.live.state, request.headers.get("accept", ""))
    told, media_type = await anyio.to_thread.run_sync(tell, limiter=request.app.state.telling)
    return Response(told, headers={"Content-Type": media_type})


def _kept(parts: Service) -> Kept:
    now = parts.clock()
    with parts.store.read() as connection:
        return Kept(
            now,
            found_so_far(connection),
            newest_summary(connection, MONITOR),
            last_turns(connection),
        )
