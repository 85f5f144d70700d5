"""Who may do what? One table of routes and roles; a route without a row lets nobody in.

Machines come with a key (`Authorization: Bearer pk_…` or `X-API-Key`), people with a session cookie.
A browser sends cookies by itself, so whatever a session changes must also carry the session's CSRF
token, and nothing is changed on another site's behalf. A test fails for a route without a row.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from features.clock import MINUTE
from features.errors import ForbiddenError, NotFoundError, StoreError, UnauthorisedError
from features.store.access import Caller, Role, find_session, note_session
from features.store.engine import Store
from features.store.keys import caller_of_key, note_uses
from serving.pace import admit, neighbourhood
from serving.reach import soon

SESSION_COOKIE: Final = "propensity_session"
CSRF_HEADER: Final = "x-csrf-token"
CSRF_FIELD: Final = "csrf"

_NOTE_USE_EVERY: Final = MINUTE
"""How exactly the last use of a session is known; a write for each request would be too dear."""

_LAST_KNOWN_SECONDS: Final = 86_400.0

Roles = frozenset[Role]

PUBLIC: Final[Roles] = frozenset()
"""Open to everybody, signed in or not."""
MACHINES: Final[Roles] = frozenset({"crm", "admin"})
DESKS: Final[Roles] = frozenset({"crm", "analyst", "admin"})
EVERYBODY: Final[Roles] = frozenset({"crm", "analyst", "rep", "admin"})
PEOPLE: Final[Roles] = frozenset({"analyst", "rep", "admin"})
OFFICE: Final[Roles] = frozenset({"analyst", "admin"})
"""People who look after the model; like `PEOPLE` for pages."""

ACCESS: Final[Mapping[str, Roles]] = {
    "POST /v1/scores": DESKS,
    "POST /v1/scores/batch": DESKS,
    "GET /v1/leads/{lead}": EVERYBODY,
    "PUT /v1/leads/{lead}": MACHINES,
    "DELETE /v1/leads/{lead}": frozenset({"admin"}),
    "PUT /v1/leads/{lead}/do-not-score": MACHINES,
    "GET /v1/leads/{lead}/score": EVERYBODY,
    "GET /v1/leads/{lead}/scores": EVERYBODY,
    "GET /v1/leads/{lead}/questions": EVERYBODY,
    "GET /v1/leads/{lead}/changes": EVERYBODY,
    "POST /v1/answers": MACHINES,
    "POST /v1/events": MACHINES,
    "POST /v1/stages": MACHINES,
    "POST /v1/deals": DESKS,
    "POST /v1/merges": MACHINES,
    "GET /v1/scores/{score}": frozenset({"analyst", "admin"}),
    "POST /v1/webhooks/{source}": PUBLIC,  # but see SIGNED
    "GET /v1/queue": EVERYBODY,
    "GET /v1/model": EVERYBODY,
    "GET /v1/model/card": EVERYBODY,
    "GET /v1/reports/latest": frozenset({"analyst", "admin"}),
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
    "GET /reports": OFFICE,
}

SIGNED: Final = frozenset({"POST /v1/webhooks/{source}"})
"""Routes that let in no role, but every message signed with a secret of its sender."""


BLIND: Final = frozenset({"GET /metrics"})
"""Routes that answer also while the database is away, to whoever it knew last: alarms hang on them."""

UNMETERED: Final = frozenset(route for route in ACCESS if "/health" in route)
"""A probe that was told to wait would take the service out of rotation."""


class KeyRing:
    """Looks keys up, and remembers a good one for at most `seconds`.

    Only keys that were accepted are remembered, so guesses take no memory; a revoked key is refused
    within `seconds`.

    Args:
        store: where the keys are.
        seconds: how long a key may be accepted without another look.
        clock: gives the present instant.
    """

    def __init__(self, store: Store, seconds: float, clock: Callable[[], int]) -> None:
        self._store = store
        self._seconds = seconds
        self._clock = clock
        self._known: dict[str, tuple[Caller, float]] = {}
        self._uses: dict[str, int] = {}

    def remembered(self, key: str) -> Caller | None:
        """Whose key this was a moment ago; None when that must be looked up."""
        known = self._known.get(key)
        if known is None or time.monotonic() >= known[1]:
            return None
        self._uses[known[0].name] = self._clock()
        return known[0]

    def known_before(self, key: str) -> Caller | None:
        """Whose key this was when it was last looked up, within the last day."""
        known = self._known.get(key)
        if known is None or time.monotonic() >= known[1] + _LAST_KNOWN_SECONDS:
            return None
        return known[0]

    def caller(self, key: str) -> Caller | None:
        """Whose key this is; None when it is not known, revoked or expired."""
        if (caller := self.remembered(key)) is not None:
            return caller
        looked_at, now = time.monotonic(), self._clock()
        with self._store.read() as connection:
            caller = caller_of_key(connection, key, now)
        if caller is None:
            self._known.pop(key, None)
        else:
            self._known[key] = (caller, looked_at + self._seconds)
            self._uses[caller.name] = now
        return caller

    def note_uses(self) -> None:
        """Write down which keys were used since the last time, and when."""
        uses, self._uses = self._uses, {}
        if uses:
            with self._store.write() as connection:
                note_uses(connection, uses)


async def let_in(request: Request) -> Caller | None:
    """Who is calling, once the table says that they may; None on a route open to everybody.

    Raises:
        UnauthorisedError: no key and no session, or one that is not known.
        ForbiddenError: the role may not, the route has no row, or the request is forged.
        TooManyError: the caller asks too often.
    """
    state = request.scope.setdefault("state", {})
    if "caller" in state:
        return state["caller"]  # type: ignore[no-any-return]
    route = route_name(request)
    allowed = ACCESS.get(route)
    if allowed is None:
        raise ForbiddenError("this route is open to nobody", hint="It lacks its row of roles.")
    caller = None
    if allowed is not PUBLIC:
        caller = await _known_caller(request, allowed)
    elif route not in UNMETERED:
        state["pace"] = _admit_stranger(request)
    state["caller"] = caller
    return caller


async def _known_caller(request: Request, allowed: Roles) -> Caller:
    caller = await _identified(request)
    pace = request.app.state.service.pace
    buckets = pace.keys if caller.csrf is None else pace.people
    request.scope["state"]["pace"] = admit(buckets, caller.name, time.monotonic())
    if caller.csrf is None and any(allowed is people for people in (PEOPLE, OFFICE)):
        raise ForbiddenError("pages are for people, and a key is not a person")
    if caller.role not in allowed:
        raise ForbiddenError(
            f"the role {caller.role} may not do this",
            hint=f"It is open to {', '.join(sorted(allowed))}.",
        )
    if caller.csrf is not None and request.method not in ("GET", "HEAD"):
        await _require_own_page(request, caller.csrf)
    return caller


async def _identified(request: Request) -> Caller:
    """Who is calling; whoever turns out to be nobody has used up some of what strangers may ask."""
    service, key = request.app.state.service, api_key(request)
    if key is not None and (caller := service.keys.remembered(key)) is not None:
        return caller  # type: ignore[no-any-return]
    # A good caller shares an address with guessers where a proxy is not trusted to tell them apart.
    secret, pace = key or request.cookies.get(SESSION_COOKIE, ""), service.pace
    is_stranger = not pace.has_met(secret)
    if is_stranger:
        request.scope["state"]["pace"] = _admit_stranger(request)
    found = await _looked_up(request, key)
    if found is None:
        pace.forget(secret)
        raise UnauthorisedError(
            "no key and no session, or one that is not known",
            hint="Send `Authorization: Bearer pk_…`; `propensity keys create` makes a key.",
        )
    if is_stranger:
        pace.meet(secret)
        pace.strangers.give_back(caller_address(request))
    return found


async def _looked_up(request: Request, key: str | None) -> Caller | None:
    """Who the database says is calling; where it is away, and that is no matter, who it last said."""
    keys: KeyRing = request.app.state.service.keys
    before = keys.known_before(key) if key and route_name(request) in BLIND else None
    if before is None:
        return await run_in_threadpool(identify, request)
    try:
        return await soon(lambda: identify(request))
    except (StoreError, TimeoutError):
        return before


def _admit_stranger(request: Request) -> object:
    strangers = request.app.state.service.pace.strangers
    return admit(strangers, caller_address(request), time.monotonic())


def caller_address(request: Request) -> str:
    """From where the request comes, as it is counted."""
    return neighbourhood(request.client.host) if request.client else ""


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
    now, idle_minutes = service.clock(), service.settings.session_idle_minutes
    with service.store.read() as connection:
        session = find_session(connection, token, now, idle_minutes)
    if session is None:
        return None
    if now - session.used_at >= _NOTE_USE_EVERY:
        # A database that takes no writes must not lock people out of what they can still read.
        with suppress(StoreError), service.store.write() as connection:
            note_session(connection, token, now)
    return session.caller


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
