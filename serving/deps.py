"""What may an endpoint ask for? The parts of the running service, by type annotation.

Everything hangs on the `Service` that `create_app` made: there is no global instance, so two services
may live in one process.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from features.errors import UnauthorisedError
from features.store.access import Caller
from features.store.engine import Connection, Store
from features.store.ledger_writer import LedgerWriter
from models.workspace import Workspace
from serving.attempts import FailedSignIns, Hashing
from serving.metrics import Metrics
from serving.once import Once, once_of
from serving.pace import Pace
from serving.queueing import QueueRefresher
from serving.reach import Reach
from serving.rounds import Rounds
from serving.security import KeyRing, let_in
from serving.settings import Settings
from serving.shown_log import ShownLog
from serving.state import LiveModel

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of one running service."""

    settings: Settings
    workspace: Workspace
    live: LiveModel
    refresher: QueueRefresher
    keys: KeyRing
    pace: Pace
    sign_ins: FailedSignIns
    hashing: Hashing
    metrics: Metrics
    clock: Clock
    ledger: LedgerWriter
    rounds: Rounds
    shown: ShownLog
    reach: Reach

    @property
    def store(self) -> Store:
        """The database."""
        return self.workspace.store


def worker_name() -> str:
    """How this process is called among all that share a database; another one each time."""
    return f"{socket.gethostname()[:60]}/{os.getpid()}/{secrets.token_hex(4)}"


def service(request: Request) -> Service:
    """The service that this request reached."""
    found: Service = request.app.state.service
    return found


ServiceDep = Annotated[Service, Depends(service)]


def _settings(parts: ServiceDep) -> Settings:
    return parts.settings


def _live(parts: ServiceDep) -> LiveModel:
    return parts.live


def _now(parts: ServiceDep) -> int:
    return parts.clock()


def _connection(parts: ServiceDep) -> Iterator[Connection]:
    with parts.store.read() as connection:
        yield connection


def _caller(caller: Annotated[Caller | None, Depends(let_in)]) -> Caller:
    if caller is None:
        raise UnauthorisedError("nobody is signed in here")
    return caller


def _request_id(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))


SettingsDep = Annotated[Settings, Depends(_settings)]
LiveModelDep = Annotated[LiveModel, Depends(_live)]
NowDep = Annotated[int, Depends(_now)]
Conn = Annotated[Connection, Depends(_connection)]
CallerDep = Annotated[Caller, Depends(_caller)]
RequestIdDep = Annotated[str, Depends(_request_id)]
OnceDep = Annotated[Once, Depends(once_of)]
