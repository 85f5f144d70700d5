"""What does the caller see when something goes wrong? One shape for everything: problem+json.

    {"type", "title", "status", "detail", "hint", "request_id",
     "problems": [{"where", "field", "message"}]}

RFC 9457. No value that was sent is repeated, so that nothing private ends in logs and nothing that JSON
cannot carry breaks the answer; field names are, shortened. What went wrong inside is logged, not told.
A page that asks for HTML gets a page, if `app.state.error_page` makes one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from features.errors import BundleError, Problem, PropensityError, StoreError

log = structlog.get_logger("propensity.errors")

MEDIA_TYPE = "application/problem+json"
MOST_PROBLEMS = 100
"""Problems listed in one answer; how many more there are is said."""
_MOST_OF_BATCH = 1_000
"""Problems listed of all rows of a batch together, but for one of each row, which each row has."""

_TITLES = {
    "definition": "The lead definition does not hold together",
    "input": "The input breaks the rules",
    "not-found": "There is no such thing",
    "conflict": "It conflicts with what is there",
    "unauthorised": "Who are you?",
    "forbidden": "You may not do this",
    "no-model": "There is no model to score with",
    "store": "The database is not available",
    "malformed": "The body cannot be read",
    "too-large": "The body is too large",
    "too-slow": "The body came too slowly",
    "too-many": "Too many requests",
    "busy": "The service is busy",
    "misdirected": "The request is for somebody else",
    "not-ready": "The service is not ready",
    "in-flight": "The same request is being carried out",
    "key-reused": "The key was used for another request",
    "unsigned": "The message is not signed as it should be",
    "internal": "Something went wrong here",
}
_RETRY_SECONDS = {"no-model": 5, "store": 1, "not-ready": 5, "in-flight": 1, "busy": 1}
_API = ("/v1/", "/v2/", "/health", "/metrics", "/openapi.json")


class MalformedError(PropensityError):
    """The body is not the JSON it should be."""

    status = 400
    code = "malformed"


class TooLargeError(PropensityError):
    """The body holds more than one request may bring."""

    status = 413
    code = "too-large"


class InFlightError(PropensityError):
    """The same request, under the same key, is being carried out."""

    status = 409
    code = "in-flight"


class KeyReusedError(PropensityError):
    """A key that names one request was sent with another."""

    status = 422
    code = "key-reused"


class UnsignedError(PropensityError):
    """A message without a signature that is good now."""

    status = 401
    code = "unsigned"


class TooManyError(PropensityError):
    """The caller asks more often than one caller may.

    Attributes:
        wait: seconds until the next request may be made.
        told: headers that say how much there is.
    """

    status = 429
    code = "too-many"
    wait: float = 1.0
    told: tuple[tuple[bytes, bytes], ...] = ()


class BusyError(PropensityError):
    """More requests are under way than the service can serve at once."""

    status = 503
    code = "busy"


class NotReadyError(PropensityError):
    """The service cannot answer yet, or not now."""

    status = 503
    code = "not-ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One error as it is told."""

    status: int
    code: str
    detail: str
    hint: str = ""
    problems: Sequence[Problem] = ()
    request_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The sort of error in a few words."""
        return _TITLES.get(self.code) or HTTPStatus(self.status).phrase

    def to_json(self, most: int = MOST_PROBLEMS) -> dict[str, Any]:
        """The error as problem+json, with so many problems at most."""
        return {
            "type": f"urn:propensity:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "hint": self.hint,
            "problems": told(self.problems, most),
            "request_id": self.request_id,
        }


class FirstProblems(list[Problem]):
    """The problems of a row that may be listed, and how many `more` there were.

    A body of bad rows has as many problems as values; what nobody is told need not be kept.
    """

    def __init__(self, problems: Sequence[Problem], most: int, more: int = 0) -> None:
        super().__init__(problems[:most])
        self.more = more + unkept(problems) + len(problems) - len(self)


def unkept(problems: Sequence[Problem]) -> int:
    """How many more problems there were than are kept."""
    return problems.more if isinstance(problems, FirstProblems) else 0


def told(problems: Sequence[Problem], most: int = MOST_PROBLEMS) -> list[dict[str, str]]:
    """Problems without the values that were sent; at most so many, and how many more."""
    found = [
        {"where": problem.where, "field": _short(problem.field), "message": problem.message}
        for problem in problems[:most]
    ]
    if more := len(problems) - len(found) + unkept(problems):
        message = f"{more} more problems are not listed"
        found.append({"where": "the rest", "field": "", "message": message})
    return found


def most_of_each(rows: int) -> int:
    """Problems that each of so many bad rows may list, so that bad rows make no answer huge.

    >>> most_of_each(1), most_of_each(100), most_of_each(10_000)
    (100, 10, 1)
    """
    return max(1, min(MOST_PROBLEMS, _MOST_OF_BATCH // max(1, rows)))


def report_of(error: PropensityError, request_id: str = "") -> Report:
    """What is told of an error of ours; of what went wrong inside, only that it did."""
    inside = isinstance(error, StoreError | BundleError) or error.status == 500
    detail = f"{_TITLES.get(error.code, _TITLES['internal'])}; please try again later"
    headers = {}
    if isinstance(error, TooManyError):
        headers = {name.decode(): value.decode() for name, value in error.told}
        headers["Retry-After"] = str(max(1, math.ceil(error.wait)))
    elif error.code in _RETRY_SECONDS:
        headers["Retry-After"] = str(_RETRY_SECONDS[error.code])
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="propensity"'
    return Report(
        status=error.status,
        code=error.code,
        detail=detail if inside else error.message,
        hint="" if inside else error.hint,
        problems=() if inside else error.problems,
        request_id=request_id,
        headers=headers,
    )


def internal_report(request_id: str) -> Report:
    """What is told of an error that nobody foresaw."""
    detail = "the request could not be answered; the reason is in the log under its id"
    return Report(status=500, code="internal", detail=detail, request_id=request_id)


def validation_problems(errors: Iterable[Mapping[str, Any]], where: str = "body") -> list[Problem]:
    """Pydantic's findings as problems of ours, without the values."""
    found = []
    for error in errors:
        path = [str(part) for part in error["loc"]]
        if path and path[0] in ("body", "query", "path", "header"):
            where, path = path[0], path[1:]
        message = str(error["msg"]).removeprefix("Value error, ")
        message = _OTHER_WORDS.get(error["type"], message)
        found.append(Problem(where, ".".join(path), "", message))
    return found


_OTHER_WORDS = {
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "missing": "is missing",
    "extra_forbidden": "is not known here",
}
_LONGEST_NAME = 60


def _short(name: str) -> str:
    """A field's name as it may be repeated: printable and short."""
    plain = ascii(name)[1:-1]
    return plain if len(plain) <= _LONGEST_NAME else f"{plain[: _LONGEST_NAME - 1]}…"


def as_response(report: Report) -> Response:
    """An error as problem+json."""
    return JSONResponse(
        report.to_json(),
        status_code=report.status,
        media_type=MEDIA_TYPE,
        headers=dict(report.headers),
    )


def install(app: FastAPI) -> None:
    """Let every error of the app be answered in the one shape."""
    app.add_exception_handler(PropensityError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _of_http)


def answer(request: Request, report: Report) -> Response:
    """An error as a page for people who asked for one, as problem+json for everybody else."""
    page = getattr(request.app.state, "error_page", None)
    if page is not None and wants_page(request):
        rendered: Response = page(request, report)
        return rendered
    return as_response(report)


def wants_page(request: Request) -> bool:
    """Whether a person in a browser asked, for something that is a page."""
    # What replaces a part of a page is asked for by a script, which accepts anything.
    accepts = "text/html" in request.headers.get("accept", "") or "hx-request" in request.headers
    return accepts and not request.scope["path"].startswith(_API)


def _request_id(request: Request) -> str:
    return str(request.scope.get("state", {}).get("request_id", ""))


def refused(error: PropensityError, request_id: str) -> Response:
    """An error of ours as problem+json; what concerns whoever runs the service is logged."""
    _log_failure(error, request_id)
    return as_response(report_of(error, request_id))


def _log_failure(error: PropensityError, request_id: str) -> None:
    if error.status >= 500:
        log.error(
            "request failed",
            request_id=request_id,
            reason=error.message,
            hint=error.hint,
            exc_info=error if error.status == 500 else None,
        )


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, PropensityError)
    _log_failure(error, _request_id(request))
    return answer(request, report_of(error, _request_id(request)))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = validation_problems(error.errors())
    report = Report(
        status=422,
        code="input",
        detail="the request breaks the rules",
        hint="/openapi.json describes every request, with examples.",
        problems=tuple(problems),
        request_id=_request_id(request),
    )
    return answer(request, report)


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    report = Report(
        status=status.value,
        code=status.phrase.lower().replace(" ", "-"),
        detail=_SAID.get(status.value, status.description or status.phrase),
        request_id=_request_id(request),
        headers=dict(error.headers or {}),
    )
    return answer(request, report)


_SAID = {
    404: "there is nothing at this address",
    405: "this address does not understand the method",
}
