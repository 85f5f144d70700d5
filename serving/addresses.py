"""How does an address name a lead whose id holds a slash? Percent-encoded, as `/v1/leads/a%2Fb/score`.

Servers decode an address before routes are looked at, and then a slash of an id cannot be told from
one between its parts. So the id's part is put back encoded, and decoded where the id is read: every id
can be addressed, also one that ends like an address of ours (`a/score`).
"""

from __future__ import annotations

from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

BEFORE = "/v1/leads/"


class LeadIds:
    """Keeps slashes and percent signs of a lead's id encoded until a route was chosen.

    Args:
        app: what comes next.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and scope["path"].startswith(BEFORE):
            # In place: those around us read from the same scope which route was chosen.
            scope["path"] = routed(scope["path"], scope.get("raw_path") or b"")
        await self._app(scope, receive, send)


def routed(path: str, raw: bytes) -> str:
    """The address by which routes are chosen.

    >>> routed("/v1/leads/a/b/score", b"/v1/leads/a%2Fb/score?reasons=3")
    '/v1/leads/a%2Fb/score'
    """
    given = raw.partition(b"?")[0].decode("latin-1")
    if not given.startswith(BEFORE) or "%2" not in given:
        return path
    lead, slash, rest = given.removeprefix(BEFORE).partition("/")
    encoded = unquote(lead).replace("%", "%25").replace("/", "%2F")
    return f"{BEFORE}{encoded}{slash}{unquote(rest)}"


def lead_of(part: object) -> object:
    """The id that an address names.

    >>> lead_of("a%2Fb"), lead_of("100%")
    ('a/b', '100%')
    """
    return unquote(part, errors="surrogateescape") if isinstance(part, str) else part
