"""Who may do what? One table of routes and roles; a route without a row lets nobody in.

Machines come with a key (`Authorization: Bearer pk_…` or `X-API-Key`), people with a session cookie.
A browser sends cookies by itself, so whatever a session changes must also carry the session's CSRF
token, and nothing is changed on another site's behalf. A test fails for a route without a row.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from features.errors import ForbiddenError, NotFoundError, UnauthorisedError
from features.store.access import Caller, Role, caller_of_key, caller_of_session
from features.store.engine import Store

SESSION_COOKIE: Final = "propensity_session"
CSRF_HEADER: Final = "x-csrf-token"
CSRF_FIELD: Final = "csrf"

Roles = frozenset[Role]

PUBLIC: Final[Roles] = frozenset()
"""Open to everybody, signed in or not."""
MACHINES: Final[Roles] = frozenset({"crm", "admin"})
DESKS: Final[Roles] = frozenset({"crm", "analyst", "admin"})
EVERYBODY: Final[Roles] = frozenset({"crm", "analyst", "rep", "admin"})
PEOPLE: Final[Roles] = frozenset({"analyst", "rep", "admin"})

ACCESS: Final[Mapping[str, Roles]] = {
    "POST /v1/scores": DESKS,
    "POST /v1/scores/batch": DESKS,
    "GET /v1/leads/{lead}": EVERYBODY,
    "PUT /v1/leads/{lead}": MACHINES,
    "PUT /v1/leads/{lead}/do-not-score": MACHINES,
    "GET /v1/leads/{lead}/score": EVERYBODY,
    "GET /v1/leads/{lead}/scores": EVERYBODY,
    "GET /v1/leads/{lead}/questions": EVERYBODY,
    "GET /v1/leads/{lead}/changes": EVERYBODY,
    "POST /v1/answers": MACHINES,
    "POST /v1/events": MACHINES,
    "POST /v1/stages": MACHINES,
    "POST /v1/deals": DESKS,
    "GET /v1/queue": EVERYBODY,
    "GET /v1/model": EVERYBODY,
    "GET /v1/model/card": EVERYBODY,
    "GET /metrics": frozenset({"analyst", "admin"}),
    "GET /health": PUBLIC,
    "GET /health/live": PUBLIC,
    "GET /health/ready": PUBLIC,
    "GET /v2/health/live": PUBLIC,
    "GET /v2/health/ready": PUBLIC,
    "GET /openapi.json": PUBLIC,
    "GET /static": PUBLIC,
    # Pages; they are for people, and a key is not a person.
    "GET /": PUBLIC,
    "GET /sign-in": PUBLIC,
    "POST /sign-in": PUBLIC,
    "POST /sign-out": PEOPLE,
    "GET /queue": PEOPLE,
    "GET /queue/rows": PEOPLE,
    "GET /leads/{lead:path}": PEOPLE,
    "GET /model": PEOPLE,
}


class KeyRing:
    """Looks keys up, and remembers a good one for at most `seconds`.

    Only keys that were accepted are remembered, so guesses take no memory; a revoked key is refused
    within `seconds`.
    """

    def __init__(self, store: Store, seconds: float) -> None:
        self._store = store
        self._seconds = seconds
        self._known: dict[str, tuple[Caller, float]] = {}

    def remembered(self, key: str) -> Caller | None:
        """Whose key this was a moment ago; None when that must be looked up."""
        known = self._known.get(key)
        return known[0] if known and time.monotonic() < known[1] else None

    def caller(self, key: str) -> Caller | None:
        """Whose key this is; None when it is not known or revoked."""
        if (caller := self.remembered(key)) is not None:
            return caller
        self._known.pop(key, None)
        with self._store.read() as connection:
            caller = caller_of_key(connection, key)
        if caller is not None:
            self._known[key] = (caller, time.monotonic() + self._seconds)
        return caller


async def let_in(request: Request) -> Caller | None:
    """Who is calling, once the table says that they may; None on a route open to everybody.

    Raises:
        UnauthorisedError: no key and no session, or one that is not known.
        ForbiddenError: the role may not, the route has no row, or the request is forged.
    """
    if "caller" in request.scope.setdefault("state", {}):
        return request.state.caller  # type: ignore[no-any-return]
    allowed = ACCESS.get(route_name(request))
    if allowed is None:
        raise ForbiddenError("this route is open to nobody", hint="It lacks its row of roles.")
    caller = None if allowed is PUBLIC else await _known_caller(request, allowed)
    request.state.caller = caller
    return caller


async def _known_caller(request: Request, allowed: Roles) -> Caller:
    key = api_key(request)
    ring: KeyRing = request.app.state.service.keys
    caller = None if key is None else ring.remembered(key)
    if caller is None:
        caller = await run_in_threadpool(identify, request)
    if caller is None:
        raise UnauthorisedError(
            "no key and no session, or one that is not known",
            hint="Send `Authorization: Bearer pk_…`; `propensity keys create` makes a key.",
        )
    if caller.role not in allowed:
        raise ForbiddenError(
            f"the role {caller.role} may not do this",
            hint=f"It is open to {', '.join(sorted(allowed))}.",
        )
    if caller.csrf is not None and request.method not in ("GET", "HEAD"):
        await _require_own_page(request, caller.csrf)
    return caller


def route_name(request: Request) -> str:
    """Method and path template of the route that was chosen, such as `GET /v1/leads/{lead}`."""
    return f"{request.method} {getattr(request.scope.get('route'), 'path', '')}"


def identify(request: Request) -> Caller | None:
    """Whose key or session the request carries; None when nobody's. A key goes before a session."""
    service = request.app.state.service
    if (key := api_key(request)) is not None:
        caller: Caller | None = service.keys.caller(key)
        return caller
    token = request.cookies.get(SESSION_COOKIE)
    if not token:
        return None
    with service.store.read() as connection:
        return caller_of_session(connection, token, service.clock())


def api_key(request: Request) -> str | None:
    """The key that the request carries; None when it carries none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("x-api-key")


async def _require_own_page(request: Request, csrf: str) -> None:
    """Raise unless the request comes from a page of ours: the session's token, and no other site."""
    given = request.headers.get(CSRF_HEADER)
    if given is None and _is_form(request):
        field = (await request.form()).get(CSRF_FIELD)
        given = field if isinstance(field, str) else None
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise ForbiddenError("the request was sent by another site")
    if given is None or not hmac.compare_digest(given.encode(), csrf.encode()):
        raise ForbiddenError(
            "the request lacks the session's token",
            hint=f"Send it as the header {CSRF_HEADER} or the form field {CSRF_FIELD}.",
        )


def _is_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "")
    return kind.startswith(("application/x-www-form-urlencoded", "multipart/form-data"))


def sees_owner(caller: Caller) -> str | None:
    """The owner whose leads alone the caller may see; None for everybody's.

    A rep sees the own leads: those of the owner the rep was set up with, else of the rep's own name.
    """
    return (caller.owner or caller.name) if caller.role == "rep" else None


NO_SUCH_LEAD = "there is no such lead"
SEND_IT_FIRST = "Send it first with PUT /v1/leads/{id}."
"""Said of a lead that is not there and of another's alike: which of the two it is, is not said."""


def require_sight(caller: Caller, owner: str | None) -> None:
    """Raise unless the caller may see a lead of this owner.

    Raises:
        NotFoundError: it is another's; whether it exists is not said.
    """
    mine = sees_owner(caller)
    if mine is not None and owner != mine:
        raise NotFoundError(NO_SUCH_LEAD, hint=SEND_IT_FIRST)
