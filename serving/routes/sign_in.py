"""Who are you? Signing in with name and password, and out again.

A wrong name and a wrong password get the same answer in the same time. The form carries a token that
its cookie repeats, so that no other site can sign somebody in under another name.
"""

from __future__ import annotations

import hmac
import math
import re
import secrets
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from features.clock import SECOND
from features.store import access
from features.store.audit import Entry, note
from serving.deps import CallerDep, NowDep, Service, ServiceDep
from serving.pages import Shell, SignInPage
from serving.rendering import html
from serving.security import SESSION_COOKIE, caller_address, identify
from serving.wording import span

router = APIRouter(include_in_schema=False)

FORM_COOKIE: Final = "propensity_form"
HOME: Final = "/queue"
_PAGES: Final = ("/queue", "/model", "/leads/")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{32}")
_WRONG: Final = "Name or password is wrong."
_EXPIRED: Final = "The form had expired. Please try again."

Field = Annotated[str, Form()]


@router.get("/")
def home() -> Response:
    """To the queue."""
    return RedirectResponse(HOME, status_code=303)


@router.get("/sign-in")
def show_sign_in(request: Request, parts: ServiceDep, then: str = HOME) -> Response:
    """The form; somebody who is signed in already goes on."""
    caller = identify(request)
    if caller is not None and caller.csrf is not None:
        return RedirectResponse(own_path(then), status_code=303)
    return _form(request, parts, then)


@router.post("/sign-in")
def sign_in(
    request: Request,
    parts: ServiceDep,
    now: NowDep,
    name: Field = "",
    password: Field = "",
    csrf: Field = "",
    then: Field = HOME,
) -> Response:
    """A session for the right password; the form again for anything else."""
    if not _is_own_form(request, csrf):
        return _form(request, parts, then, name, _EXPIRED, 403)
    attempts, address = parts.sign_ins, caller_address(request)
    if wait := attempts.begin(name, address, now):
        problem = f"Too many failed attempts. Please wait {span(wait)}."
        refused = _form(request, parts, then, name, problem, 429)
        refused.headers["Retry-After"] = str(math.ceil(wait / SECOND))
        return refused
    token = _token(parts, name, password, now, request.cookies.get(SESSION_COOKIE))
    if token is None:
        return _form(request, parts, then, name, _WRONG, 401)
    attempts.succeeded(name, address, now)
    response = RedirectResponse(own_path(then), status_code=303)
    _set_cookie(parts, response, SESSION_COOKIE, token, access.SESSION_HOURS * 3600)
    response.delete_cookie(FORM_COOKIE, path="/sign-in")
    return response


@router.post("/sign-out")
def sign_out(request: Request, parts: ServiceDep, _caller: CallerDep) -> Response:
    """End the session, here and in the store."""
    with parts.store.write() as connection:
        access.sign_out(connection, request.cookies.get(SESSION_COOKIE, ""))
    response = RedirectResponse("/sign-in", status_code=303)
    response.delete_cookie(SESSION_COOKIE, path="/")
    return response


def own_path(then: str) -> str:
    """A page of ours to go to; home instead of anything else.

    >>> own_path("/leads/7?t=2"), own_path("//evil.example/"), own_path("https://evil.example/queue")
    ('/leads/7?t=2', '/queue', '/queue')
    """
    # Browsers read a backslash as a slash and drop tabs and line breaks; our addresses have none.
    odd = "\\" in then or any(ord(sign) < 0x21 or ord(sign) == 0x7F for sign in then)
    return then if then.startswith(_PAGES) and not odd else HOME


def _token(parts: Service, name: str, password: str, now: int, old: str | None) -> str | None:
    if "\0" in name or len(password) > access.LONGEST_PASSWORD:
        return None
    # Hashing takes its time; no writer waits for it.
    with parts.hashing.turn(), parts.store.read() as connection:
        proof = access.prove(connection, name, password)
    if proof is None:
        return None
    with parts.store.write() as connection:
        token = access.open_session(connection, name, proof, now, instead_of=old)
        if token is not None:
            note(connection, Entry(at=now, actor=name, action="signed_in", object=name))
        return token


def _form(
    request: Request,
    parts: Service,
    then: str,
    name: str = "",
    problem: str | None = None,
    status: int = 200,
) -> Response:
    # The token of a form in another tab stays good.
    token = request.cookies.get(FORM_COOKIE, "")
    if not _TOKEN.fullmatch(token):
        token = secrets.token_urlsafe(24)
    page = SignInPage(
        title="Sign in",
        shell=Shell(),
        csrf=token,
        then=own_path(then),
        name=name[:300],
        problem=problem,
    )
    response = html(page, status)
    _set_cookie(parts, response, FORM_COOKIE, token, 3600, path="/sign-in", same_site="strict")
    return response


def _is_own_form(request: Request, csrf: str) -> bool:
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    cookie = request.cookies.get(FORM_COOKIE, "")
    return bool(cookie) and hmac.compare_digest(cookie.encode(), csrf.encode())


def _set_cookie(
    parts: Service,
    response: Response,
    name: str,
    value: str,
    seconds: int,
    *,
    path: str = "/",
    same_site: str = "lax",
) -> None:
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=path,
        httponly=True,
        samesite="strict" if same_site == "strict" else "lax",
        secure=parts.settings.secure_cookies,
    )
