"""What does a person see when something goes wrong? The HTML twin of problem+json.

Nobody is left with a page that leads nowhere: who is not signed in goes to the sign-in and comes back,
everybody else reads what to do next.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from serving.errors import Report
from serving.model_view import sentence
from serving.pages import ErrorPage, Shell
from serving.rendering import html

_HINTS = {
    403: "Go back, reload the page and try again. Some pages are not open to every role.",
    404: "It may be somebody else's, or never have been there. The queue shows what is yours.",
    405: "Go to the queue and take it from there.",
    503: "Try again in a minute. If that does not help, tell whoever runs this installation.",
}
_OTHERWISE = "If it happens again, tell whoever runs this installation."


def error_page(request: Request, report: Report) -> Response:
    """The answer to a request of a person that failed."""
    is_part = "hx-request" in request.headers
    if report.status == 401:
        return _to_sign_in(request, is_part=is_part)
    response = html(
        ErrorPage(
            title=report.title,
            shell=_shell(request),
            status=report.status,
            detail=sentence(report.detail),
            hint=_HINTS.get(report.status, _OTHERWISE),
            request_id=report.request_id,
        ),
        report.status,
    )
    response.headers.update(report.headers)
    if is_part:
        # htmx shows no failed part; the whole page says what is wrong.
        response.headers["HX-Redirect"] = _whole_page(request)
    return response


def _to_sign_in(request: Request, *, is_part: bool) -> Response:
    then = _whole_page(request) if is_part or request.method == "GET" else "/queue"
    address = f"/sign-in?{urlencode({'then': then})}"
    if is_part:
        return Response(status_code=401, headers={"HX-Redirect": address})
    return RedirectResponse(address, status_code=303)


_AS_SENT = "%!$&'()*+,;=:@/?"
"""What an address is made of beside letters and figures; bytes of no text are escaped."""


def _whole_page(request: Request) -> str:
    """The page that was asked for, or that the part asked for belongs to."""
    # As it was sent: what was decoded is another address, and cannot stand in a header.
    sent = request.scope.get("raw_path") or request.scope["path"].encode("utf-8", "surrogatepass")
    path = quote(sent.partition(b"?")[0], safe=_AS_SENT)
    asked = quote(request.scope["query_string"], safe=_AS_SENT)
    query = f"?{asked}" if asked else ""
    return f"{'/queue' if path == '/queue/rows' else path}{query}"


def _shell(request: Request) -> Shell:
    caller = request.scope.get("state", {}).get("caller")
    if caller is None or caller.csrf is None:
        return Shell()
    return Shell(caller=caller.name, role=caller.role, csrf=caller.csrf)
