"""How is the service put together? `create_app(settings, workspace)` and nothing global.

Nothing is read and no thread runs before the app starts; when it stops, threads are waited for and
connections given back. Layers, from outside: envelope (id, log, headers), body limit, routes; every
route is behind `let_in`, and a route without a row in `serving.security.ACCESS` lets nobody in.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from features.clock import SECOND
from features.store.migrate import require_current
from models.workspace import Workspace
from serving import errors, openapi
from serving.deps import Clock, Service, wall_clock, worker_name
from serving.error_pages import error_page
from serving.limits import BodyLimit
from serving.metrics import Metrics
from serving.middleware import Envelope
from serving.queueing import QueueRefresher
from serving.routes import health, ingest, insights, model, pages, queue, scores, sign_in
from serving.security import KeyRing, let_in
from serving.settings import Settings
from serving.state import LiveModel, Repeating

VERSION = "0.1.0"
_STATIC = Path(__file__).parent / "static"

DESCRIPTION = """\
Turns what is known about a lead into the probability that it buys within a horizon, and says why.

Send facts as they happen, ask for scores when they are needed. Every answer names its model and the
instant it speaks for; every error has one shape. Order by `raw`, show `probability`.
"""


def create_app(settings: Settings, workspace: Workspace, clock: Clock = wall_clock) -> FastAPI:
    """The service.

    Args:
        settings: how it is run.
        workspace: where its database, models and lead definition are.
        clock: gives the present instant.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = await run_in_threadpool(_open, settings, workspace, clock, metrics)
        app.state.service = service
        threads = _threads(service)
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            service.refresher.stopping = True
            for thread in threads:
                await run_in_threadpool(thread.stop)
            service.store.close()

    app = FastAPI(
        title="propensity",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        dependencies=[Depends(let_in)],
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    errors.install(app)
    app.add_middleware(BodyLimit, settings=settings)
    app.add_middleware(Envelope, metrics=metrics)
    for part in (scores, insights, ingest, queue, model, health, sign_in, pages):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.state.error_page = error_page
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]
    return app


def _open(settings: Settings, workspace: Workspace, clock: Clock, metrics: Metrics) -> Service:
    """Everything the service needs, checked.

    Raises:
        StoreError: the database cannot be reached, or is not at this version's revision.
        DefinitionError: there is no lead definition that holds together.
    """
    require_current(workspace.store)
    live = LiveModel(workspace, clock, settings.stale_model_days, settings.without_model)
    live.look()
    return Service(
        settings=settings,
        workspace=workspace,
        live=live,
        refresher=QueueRefresher(
            workspace.store,
            live.scorer,
            clock,
            settings.queue_refresh_minutes,
            holder=worker_name(),
            lease_seconds=settings.lease_seconds,
        ),
        keys=KeyRing(workspace.store, settings.key_cache_seconds),
        metrics=metrics,
        clock=clock,
    )


def _threads(service: Service) -> list[Repeating]:
    """What goes on beside the requests."""
    seconds = service.settings.champion_poll_seconds
    threads = [Repeating("champion", seconds, service.live.look)]
    if service.settings.refresh_queue:
        threads.append(Repeating("queue", seconds, lambda: _refresh(service)))
    return threads


def _refresh(service: Service) -> None:
    if service.refresher.look() is not None:
        service.metrics.refreshed.set(service.clock() / SECOND)
