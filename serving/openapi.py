"""What does the API promise? The OpenAPI description, with every error and who may call.

Made from the routes, the table of roles and the shapes; `tests/golden/openapi.json` holds the last one
that was reviewed.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from serving.answers import Problem
from serving.contracts import (
    AnswerRow,
    DealRow,
    EventRow,
    LeadRow,
    MergeRow,
    ScoreRequest,
    StageRow,
    WebhookMessage,
)
from serving.errors import MEDIA_TYPE
from serving.once import HEADER
from serving.security import ACCESS, PUBLIC, SIGNED, UNMETERED

_BEYOND_ROUTES = (
    AnswerRow,
    DealRow,
    EventRow,
    LeadRow,
    MergeRow,
    Problem,
    ScoreRequest,
    StageRow,
    WebhookMessage,
)

_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key: `pk_…`."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_COUNTED = {429: "The caller asks too often; Retry-After says when to come again"}
_ALWAYS = {401: "No key, or one that is not known", 403: "The role may not do this"}
_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "The request's own key: sent again, it is answered again and not carried out.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x20-\x7e]+$"},
}
_WITH_BODY = {
    400: "The body cannot be read",
    408: "The body came too slowly",
    413: "The body is too large",
}
_MAYBE = {
    404: "There is no such thing",
    409: "It conflicts with what is there",
    422: "The request breaks the rules",
    500: "Something went wrong here",
    503: "No model, no database, or too much to do; Retry-After says when to come again",
}


_LEAD_NAMED = {
    "get_lead": "$request.path.lead",
    "put_lead": "$request.path.lead",
    "set_do_not_score": "$request.path.lead",
    "list_changes": "$request.path.lead",
    "list_questions": "$request.path.lead",
    "score_stored_lead": "$response.body#/lead",
    "score_lead": "$response.body#/lead",
    "read_queue": "$response.body#/rows/0/lead",
}
"""Where the answer to an operation names a lead, of which the others can be asked."""

_OF_A_LEAD = (
    *("get_lead", "score_stored_lead", "list_scores", "list_questions", "list_changes"),
    *("set_do_not_score", "erase_lead"),
)
_OF_A_SCORE = {"score_lead", "score_stored_lead"}


def describe(app: FastAPI) -> dict[str, Any]:
    """The app's OpenAPI document; made once."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    template = "#/components/schemas/{model}"
    _, shapes = models_json_schema(
        [(shape, "validation") for shape in _BEYOND_ROUTES], ref_template=template
    )
    schemas.update(shapes["$defs"])
    document["components"]["securitySchemes"] = _SECURITY
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(operation, f"{method.upper()} {path}")
            _link(operation)
    app.openapi_schema = document
    return document


def _complete(operation: dict[str, Any], route: str) -> None:
    """Say who may call an operation, and every way in which it can fail."""
    allowed = ACCESS[route]
    failures = dict(_MAYBE)
    if allowed is not PUBLIC:
        operation["security"] = [{name: []} for name in _SECURITY]
        operation["x-roles"] = sorted(allowed)
        failures |= _ALWAYS
    if allowed is not PUBLIC and not route.startswith("GET "):
        operation.setdefault("parameters", []).append(_KEY)
    if route in SIGNED:
        failures[401] = "Not signed with a secret of this sender"
    if route not in UNMETERED:
        failures |= _COUNTED
    if "requestBody" in operation:
        failures |= _WITH_BODY
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    for status in sorted(failures):
        operation["responses"][str(status)] = {
            "description": failures[status],
            "content": {MEDIA_TYPE: problem},
        }
    operation["responses"] = dict(sorted(operation["responses"].items()))


def _link(operation: dict[str, Any]) -> None:
    """Say what can be asked of what an operation has answered."""
    name = operation["operationId"]
    links: dict[str, Any] = {}
    if (lead := _LEAD_NAMED.get(name)) is not None:
        links = {
            other: {"operationId": other, "parameters": {"lead": lead}}
            for other in _OF_A_LEAD
            if other != name
        }
    if name in _OF_A_SCORE:
        links["replay_score"] = {
            "operationId": "replay_score",
            "parameters": {"score": "$response.body#/score_id"},
        }
    if links:
        operation["responses"]["200"]["links"] = links
