"""How is the service put together? `create_app(settings, workspace)` and nothing global.

Nothing is read and no thread runs before the app starts; when it stops, threads are waited for and
connections given back. Layers, from outside: envelope (id, log, headers), crowd, body limit, the short
way to a score, the framework with its routes; every route is behind `let_in`, and a route without a row
in `serving.security.ACCESS` lets nobody in.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import structlog
from fastapi import Depends, FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from features.clock import SECOND
from features.errors import StoreError
from features.store.audit import note_definition
from features.store.idempotency import prune
from features.store.ledger_writer import LedgerWriter
from features.store.migrate import require_current
from features.store.one_clock import OneClock, wall_clock
from features.store.trials import note_rules
from models.forest_engine import ENGINE
from models.workspace import Workspace
from serving import errors, openapi
from serving.addresses import LeadIds
from serving.at_once import AtOnce
from serving.attempts import FailedSignIns, Hashing
from serving.crowd import Crowd
from serving.deps import Clock, Service, worker_name
from serving.error_pages import error_page
from serving.limits import BodyLimit
from serving.metrics import Metrics
from serving.middleware import Envelope, NoNakedError
from serving.pace import Pace
from serving.queueing import QueueRefresher
from serving.reach import Reach
from serving.rounds import Rounds
from serving.routes import (
    erasure,
    health,
    ingest,
    insights,
    model,
    pages,
    queue,
    replays,
    reports,
    scores,
    sign_in,
    webhooks,
)
from serving.security import KeyRing, let_in
from serving.settings import Settings
from serving.short_way import ShortWay
from serving.shown_log import ShownLog
from serving.state import LiveModel, Repeating

log = structlog.get_logger("propensity.app")

VERSION = "0.1.0"
_PATIENCE_SECONDS = 12.0
"""Of silence of a PostgreSQL server; the server itself gives a lock up after ten."""

_HOUSEKEEPING_SECONDS = 600.0
_NOTE_USES_SECONDS = 30.0
_COMPARE_CLOCKS_SECONDS = 30.0
_WRITE_SHOWN_SECONDS = 1.0
STATIC = Path(__file__).parent / "static"

_ROUTERS = (
    scores.router,
    replays.router,
    insights.router,
    ingest.router,
    webhooks.router,
    erasure.router,
    queue.router,
    model.router,
    health.router,
    sign_in.router,
    pages.router,
    reports.router,
    reports.pages,
)

DESCRIPTION = """\
Turns what is known about a lead into the probability that it buys within a horizon, and says why.

Send facts as they happen, ask for scores when they are needed. Every answer names its model and the
instant it speaks for; every error has one shape. Order by `raw`, show `probability`.
"""


class Propensity(FastAPI):
    """The framework within layers of ours, which are around all that it does and not in its midst."""

    def surround(self, settings: Settings, metrics: Metrics) -> None:
        """Put the layers around it that every request passes."""
        way = ShortWay(super().__call__, self, settings)
        limits = BodyLimit(way, settings)
        crowd = Crowd(limits, most=settings.max_in_flight)
        self.envelope = Envelope(crowd, metrics=metrics, hsts_seconds=settings.hsts_seconds)
        self.at_once = AtOnce(self.envelope, crowd, limits, way)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self.envelope(scope, receive, send)


def create_app(settings: Settings, workspace: Workspace, clock: Clock | None = None) -> Propensity:
    """The service.

    Args:
        settings: how it is run.
        workspace: where its database, models and lead definition are.
        clock: gives the present instant; by default the database's (`features.store.one_clock`).
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        present = clock or OneClock(workspace.store, wall_clock)
        service = await run_in_threadpool(_open, settings, workspace, present, metrics)
        app.state.service = service
        app.state.telling = anyio.CapacityLimiter(1)
        threads = _threads(service)
        await run_in_threadpool(service.ledger.start)
        service.rounds.start()
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            service.refresher.stopping = True
            for thread in threads:
                await run_in_threadpool(thread.stop)
            # Who scores stops before who writes: what was scored is written.
            await run_in_threadpool(service.rounds.stop)
            await run_in_threadpool(service.ledger.stop)
            with suppress(StoreError):
                await run_in_threadpool(service.keys.note_uses)
                await run_in_threadpool(service.shown.write)
            service.store.close()

    app = Propensity(
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
    app.state.bulk_places = asyncio.Semaphore(settings.max_bulk_in_flight)
    app.add_middleware(LeadIds)
    app.add_middleware(NoNakedError)
    app.surround(settings, metrics)
    for router in _ROUTERS:
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.state.error_page = error_page
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]
    _build_routes(app)
    return app


def _build_routes(app: FastAPI) -> None:
    """Have the framework build what it would else build at the first request, beside our threads."""
    nowhere: Scope = {
        "type": "http",
        "method": "GET",
        "path": "/nowhere",
        "root_path": "",
        "headers": [],
    }
    for route in app.routes:
        route.matches(nowhere)


def _open(settings: Settings, workspace: Workspace, clock: Clock, metrics: Metrics) -> Service:
    """Everything the service needs, checked.

    Raises:
        StoreError: the database cannot be reached, or is not at this version's revision.
        DefinitionError: there is no lead definition that holds together.
    """
    workspace.store.patience_seconds = _PATIENCE_SECONDS
    require_current(workspace.store)
    if isinstance(clock, OneClock):
        clock.look()
    # LightGBM answers until compiled code can.
    ENGINE.begin(lambda trouble: log.warning("trees not compiled", reason=trouble))
    live = LiveModel(workspace, clock, settings.stale_model_days, settings.without_model)
    live.look()
    metrics.expect(route.name for route in live.agreed.routes)
    with workspace.store.write() as connection:
        note_rules(connection, settings.rules, clock())
    is_durable = settings.ledger_durability == "durable"
    ledger = LedgerWriter(workspace.store, settings.ledger_queue, is_durable)
    metrics.ledger_waiting.set_function(lambda: ledger.waiting)
    shown = ShownLog(workspace.store)
    metrics.shown_dropped.set_function(lambda: shown.dropped)
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
            lease_seconds=workspace.lease_seconds,
        ),
        keys=KeyRing(workspace.store, settings.key_cache_seconds, clock),
        pace=Pace(settings),
        sign_ins=FailedSignIns(),
        hashing=Hashing(),
        metrics=metrics,
        clock=clock,
        ledger=ledger,
        rounds=Rounds(workspace.store, ledger),
        shown=shown,
        reach=Reach(workspace.store),
    )


def _threads(service: Service) -> list[Repeating]:
    """What goes on beside the requests."""
    seconds = service.settings.champion_poll_seconds
    threads = [
        Repeating("champion", seconds, _watch(service)),
        Repeating("housekeeping", _HOUSEKEEPING_SECONDS, lambda: prune_kept(service)),
        Repeating("key uses", _NOTE_USES_SECONDS, service.keys.note_uses),
        Repeating("shown", _WRITE_SHOWN_SECONDS, service.shown.write),
    ]
    if isinstance(service.clock, OneClock):
        threads.append(Repeating("clock", _COMPARE_CLOCKS_SECONDS, service.clock.look))
    if service.settings.refresh_queue:
        threads.append(Repeating("queue", seconds, lambda: _refresh(service)))
    return threads


def _watch(service: Service) -> Callable[[], None]:
    """Sees what scores now, and notes in the audit log when another definition is in force."""
    noted: str | None = None

    def look() -> None:
        nonlocal noted
        service.live.look()
        agreed = service.live.agreed.hash
        if agreed != noted:
            with service.store.write() as connection:
                note_definition(connection, agreed, "service", service.clock())
            noted = agreed

    return look


def prune_kept(service: Service) -> None:
    """Delete every answer kept long enough, in portions: nobody waits long to write."""
    now, pruned = service.clock(), 1
    while pruned and not service.refresher.stopping:
        with service.store.write() as connection:
            pruned = prune(connection, now)


def _refresh(service: Service) -> None:
    if service.refresher.look() is not None:
        service.metrics.refreshed.set(service.clock() / SECOND)
