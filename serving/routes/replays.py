"""What was said once, and is it still what would be said? An old score, computed anew and explained."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse, Response

from features.errors import ConflictError
from features.store.history import profiles
from models.recompute import replay_score
from serving.deps import CallerDep, Conn, ServiceDep
from serving.limits import JsonRoute
from serving.replay_answers import ReplayAnswer
from serving.scoring import MUST_NOT_BE_SCORED

router = APIRouter(prefix="/v1", tags=["scores"], route_class=JsonRoute)


@router.get("/scores/{score}", operation_id="replay_score", response_model=ReplayAnswer)
def replay(
    score: Annotated[int, Path(ge=1, le=2**53, description="The score's id.")],
    parts: ServiceDep,
    connection: Conn,
    caller: CallerDep,
) -> Response:
    """A score as it was given, and as its own bundle computes it now from the row that was kept.

    The scores of a person who objects are shown to an admin alone.
    """
    found = replay_score(parts.workspace, score)
    lead = str(found.logged["lead_id"])
    profile = profiles(connection, [lead]).get(lead)
    if profile is not None and profile.do_not_score and caller.role != "admin":
        raise ConflictError(MUST_NOT_BE_SCORED)
    return JSONResponse(found.to_json())
