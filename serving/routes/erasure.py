"""How does an admin have a person forgotten? By one request; what is forgotten is no route's business.

`features.store.erasure` says what goes and what stays.
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from features.store.erasure import erase, flush, forget_in_files
from features.store.remembered import copies_left, remember
from features.store.tombstone_file import FILE, require_place
from serving.answers import ErasedAnswer
from serving.deps import CallerDep, NowDep, ServiceDep
from serving.limits import JsonRoute
from serving.routes.scores import LeadPath

router = APIRouter(prefix="/v1", tags=["facts"], route_class=JsonRoute)


@router.delete("/leads/{lead}", operation_id="erase_lead", response_model=ErasedAnswer)
def erase_lead(lead: LeadPath, parts: ServiceDep, caller: CallerDep, now: NowDep) -> Response:
    """Forget a lead: its facts, deals and place in the queue, and whose its scores were.

    It is refused from then on, by whatever way it comes. Cannot be undone.
    """
    home = parts.workspace.backups
    require_place(home / FILE)
    with parts.store.write() as connection:
        done = erase(connection, lead, by=caller.name, now=now)
    flush(parts.store)
    rows = forget_in_files(parts.workspace.data_dir / "rejects", lead)
    aside = remember(parts.store, home)
    told = {
        "rejected_rows": rows,
        "backups": [copy.to_json() for copy in copies_left(parts.store, home, lead, now)],
        "set_aside": aside and aside.name,
    }
    return JSONResponse({**done.to_json(), **told})
