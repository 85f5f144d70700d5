"""Was this asked before? A request with an `Idempotency-Key` is carried out once, and answered alike.

What was written is answered the same for three days. A request under which nothing was written leaves no
trace, whoever refused it and why: corrected, or once its lead is there, it is tried anew under the same
key. One key names one request: method, address and body, byte for byte.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from features.errors import InputError, Problem, PropensityError
from features.quality import text_problem
from features.store import idempotency
from features.store.access import Caller
from features.store.engine import Connection, Store
from features.store.idempotency import Answer, Busy, Claim, Reused
from serving.errors import InFlightError, KeyReusedError

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"

_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_SAFE = ("GET", "HEAD", "OPTIONS")
_DEEPEST = 4
"""How deep in a body a lead is named: `{"leads": [{"lead": …}]}`."""


class Once:
    """One request under its key.

    Args:
        store: where answers are kept.
        claim: the right to carry the request out.
    """

    def __init__(self, store: Store, claim: Claim) -> None:
        self._store = store
        self._claim = claim
        self._is_for_nothing = False

    def keep(self, connection: Connection, answer: Response) -> None:
        """Keep what will be answered, in the transaction of what was written.

        Should the process die before it can answer, whoever asks again is told this.
        """
        idempotency.keep(connection, self._claim, _kept(answer))

    def was_for_nothing(self) -> None:
        """All that was asked for is refused in the answer: it is not to be kept."""
        self._is_for_nothing = True

    def finish(self, answer: Response) -> Response:
        """Keep the answer for good; what is to be sent."""
        if self._is_for_nothing:
            return self.release() or answer
        given = _kept(answer)
        with self._store.write() as connection:
            told = idempotency.finish(connection, self._claim, given)
        return answer if told == given else _response(told)

    def release(self) -> Response | None:
        """Let the request be made anew; what is to be sent instead where something was written."""
        with self._store.write() as connection:
            told = idempotency.release(connection, self._claim)
        return None if told is None else _response(told)


class Unkeyed(Once):
    """A request without a key: nothing is kept."""

    def __init__(self) -> None:
        """Nothing is needed."""

    def keep(self, connection: Connection, answer: Response) -> None:
        """Nothing is kept."""

    def finish(self, answer: Response) -> Response:
        """What is to be sent."""
        return answer

    def was_for_nothing(self) -> None:
        """Nothing would be kept."""

    def release(self) -> Response | None:
        """Nothing was held."""
        return None


def once_of(request: Request) -> Once:
    """The request as one under a key, or without."""
    found: Once = request.scope.get("state", {}).get("once") or Unkeyed()
    return found


async def answered_once(
    request: Request, caller: Caller | None, answer: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Answer a request, at most once under its key.

    Args:
        request: its body has been read, its caller let in.
        caller: who asks.
        answer: carries it out.

    Raises:
        InputError: the key is too long or not printable.
        InFlightError: the same request is being carried out.
        KeyReusedError: the key was used for another request.
    """
    key = request.headers.get(HEADER)
    if key is None or caller is None or request.method in _SAFE:
        return await answer(request)
    # A new person of an old name is told nothing that the old one was; a new key of a name is the same
    # program, which may ask again what it asked under the old one.
    who = f"key {caller.name}" if caller.since is None else f"person {caller.name} {caller.since}"
    body = await request.body()
    # What is told of an erasure are counts, and it must outlast the person.
    is_erasure = request.method == "DELETE"
    leads = [] if is_erasure else leads_named(request.path_params, await request.json())
    started = await run_in_threadpool(begin, request, who, key, body, leads)
    if isinstance(started, Response):
        return started
    request.state.once = started
    return await carried_out(request, started, answer)


def begin(
    request: Request, caller: str, key: str, body: bytes, leads: Sequence[str]
) -> Once | Response:
    """Claim a request; the answer instead, when it was given before. See `answered_once`."""
    if not _KEY.fullmatch(key):
        problem = Problem("header", HEADER, "", "must be 1 to 255 printable ASCII characters")
        raise InputError("the request breaks the rules", problems=[problem])
    service = request.app.state.service
    with service.store.write() as connection:
        found = idempotency.claim(
            connection, caller, key, _fingerprint(request, body), leads, service.clock()
        )
    match found:
        case Claim():
            return Once(service.store, found)
        case Answer():
            service.metrics.replayed.inc()
            return _response(found, replayed=True)
        case Busy():
            raise InFlightError(
                "the same request is being carried out", hint="Ask again in a second."
            )
        case Reused():
            raise KeyReusedError(
                f"the {HEADER} was used for another request", hint="Use a new key for each request."
            )


async def carried_out(
    request: Request, once: Once, answer: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Carry a claimed request out and keep its answer, or give the claim back."""
    try:
        response = await answer(request)
    except PropensityError as error:
        told = await run_in_threadpool(once.release)
        # Another who asked the same may have written it since this one was too slow.
        if told is None or error.status >= 500:
            raise
        return told
    except BaseException:
        await run_in_threadpool(once.release)
        raise
    told = await run_in_threadpool(once.finish, response)
    told.background = response.background
    return told


def leads_named(path: dict[str, Any], body: Any) -> list[str]:
    """Whom a request is about: the lead of its address, and every `lead` of its body.

    >>> leads_named({}, {"leads": [{"lead": "a"}, {"lead": "b", "as_of": None}]})
    ['a', 'b']
    """
    found = dict.fromkeys([path["lead"]] if "lead" in path else [])
    level = [body]
    for _ in range(_DEEPEST):
        named = [part["lead"] for part in level if isinstance(part, dict) and "lead" in part]
        found |= dict.fromkeys(n for n in named if isinstance(n, str) and not text_problem(n))
        level = [inner for part in level for inner in _parts(part)]
    return list(found)


def _parts(part: Any) -> list[Any]:
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return [one for one in inner if isinstance(one, dict | list)]


def _fingerprint(request: Request, body: bytes) -> str:
    """A digest of everything that was asked, whatever bytes it is made of."""
    path = f"{request.method} {request.scope['path']}?".encode("utf-8", "surrogatepass")
    return hashlib.sha256(path + request.scope["query_string"] + b"\n" + body).hexdigest()


def _kept(answer: Response) -> Answer:
    media_type = answer.headers.get("content-type", "application/json")
    return Answer(answer.status_code, media_type, bytes(answer.body).decode())


def _response(kept: Answer, *, replayed: bool = False) -> Response:
    response = Response(kept.body, kept.status, {"Content-Type": kept.media_type})
    if replayed:
        response.headers[REPLAYED] = "true"
    return response
