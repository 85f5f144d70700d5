"""Which model scores now, and what is said about it?"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from features.errors import NoModelError
from serving.answers import ModelAnswer, moment
from serving.deps import LiveModelDep
from serving.limits import JsonRoute
from serving.state import Champion, LiveModel

router = APIRouter(prefix="/v1", tags=["model"], route_class=JsonRoute)


@router.get("/model", operation_id="get_model", response_model=ModelAnswer)
def get_model(live: LiveModelDep) -> Response:
    """The model that scores now: where it comes from, how it was calibrated, what it learned on."""
    state, champion = live.state, _champion(live)
    model = champion.model
    return JSONResponse(
        {
            "model": model.digest,
            "created_at": moment(champion.created_at),
            "loaded_at": moment(champion.loaded_at),
            "origin": champion.origin,
            "parent": champion.parent,
            "source": champion.source,
            "checked_at": moment(state.checked_at),
            "calibration": model.calibrator.kind,
            "definition": model.definition.hash,
            "agreed_definition": state.agreed.hash,
            "horizon_days": model.horizon_days,
            "columns": model.encoder.names,
            "about": dict(model.about),
            "trouble": [t for t in (state.model_trouble, state.definition_trouble) if t],
        }
    )


class Markdown(Response):
    """Text for people."""

    media_type = "text/markdown"


@router.get("/model/card", operation_id="get_model_card", response_class=Markdown)
def get_model_card(live: LiveModelDep) -> Response:
    """The model card: what it is for, what it learned on, how good it is, what it cannot do."""
    return Markdown(_champion(live).card)


def _champion(live: LiveModel) -> Champion:
    champion = live.state.champion
    if champion is None:
        raise NoModelError("there is no model yet", hint="`propensity train` makes one.")
    return champion
