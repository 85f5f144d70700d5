"""What do other systems tell us by themselves? Signed messages with facts, answered at once.

A message is taken when it is signed with a secret of its sender (Standard Webhooks 1.0), whoever brings
it; nothing of it is read before that. Its id is its key: brought again, it is answered again and changes
nothing. Scores are renewed after the answer, so that no sender waits for them.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from features.store.webhooks import is_signed, secrets_of
from serving.answers import IngestAnswer
from serving.contracts import WebhookMessage, read_part
from serving.deps import NowDep, RequestIdDep, Service, ServiceDep
from serving.errors import UnsignedError
from serving.intake import ANSWERS, DEALS, EVENTS, LEADS, STAGES, Sort, rescore, take
from serving.limits import parse_json
from serving.once import Once, begin, carried_out, leads_named
from serving.routes.scores import require_few

router = APIRouter(prefix="/v1", tags=["facts"])

_SORTS: dict[str, Sort] = {sort.name: sort for sort in (LEADS, ANSWERS, EVENTS, STAGES, DEALS)}
_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")
_SHAPE: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        for name in _HEADERS
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/WebhookMessage"}}
        },
    },
}


async def signed_body(request: Request, source: str, parts: ServiceDep, now: NowDep) -> bytes:
    """The body of a message whose signature is good.

    Raises:
        UnsignedError: it is not; whether there is such a sender is not said.
    """
    id_, timestamp, given = (request.headers.get(name, "") for name in _HEADERS)
    body = await request.body()
    good = await run_in_threadpool(_secrets, parts, source, now)
    if not is_signed(good, id_, timestamp, given, body, now):
        raise UnsignedError(
            "the message is not signed with a secret of this sender, or not of the present",
            hint="Sign id, timestamp and body as sent; the clock may be 5 minutes off.",
        )
    return body


def _secrets(parts: Service, source: str, now: int) -> list[str]:
    if not source.isascii() or "\0" in source:
        return []
    with parts.store.read() as connection:
        return secrets_of(connection, source, now)


@router.post(
    "/webhooks/{source}",
    operation_id="take_webhook",
    response_model=IngestAnswer,
    openapi_extra=_SHAPE,
)
async def take_webhook(
    request: Request,
    source: Annotated[str, Path(description="The sender, as it was let in.", examples=["crm"])],
    body: Annotated[bytes, Depends(signed_body)],
    parts: ServiceDep,
    now: NowDep,
    request_id: RequestIdDep,
) -> Response:
    """Take facts from a sender without a key that signs its messages (Standard Webhooks 1.0).

    Rows that could not be stored are named. When none could, the answer is 422 and the message may be
    brought again: a lead may have arrived meanwhile.
    """
    given = await run_in_threadpool(parse_json, body, parts.settings)
    message = read_part(WebhookMessage, given, "the message")
    require_few(message.data, parts.settings.max_rows)
    key, leads = request.headers["webhook-id"], leads_named({}, given)
    started = await run_in_threadpool(begin, request, f"sender {source}", key, body, leads)
    if isinstance(started, Response):
        return started
    once = started

    async def answer(_: Request) -> Response:
        return await run_in_threadpool(_taken, parts, message, source, now, request_id, once)

    return await carried_out(request, once, answer)


def _taken(
    parts: Service, message: WebhookMessage, source: str, now: int, request_id: str, once: Once
) -> Response:
    sort = _SORTS[message.type]
    taken = take(parts, sort, message.data, now, once, source)
    response = taken.answer(rescored=0)
    response.background = BackgroundTask(rescore, parts, taken.leads, now, request_id)
    return response
