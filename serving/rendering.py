"""How does a page become HTML? The templates, and the addresses of static files.

All text is escaped and no template marks any as safe; a name that a page does not have is an error.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Final

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from serving.pages import Page, QueueRows

HERE = Path(__file__).parent
STATIC = HERE / "static"

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Sent with every page: nothing inline, nothing from elsewhere, nothing framed, nothing kept."""


def render(page: Page | QueueRows) -> str:
    """A page as HTML."""
    variables = {each.name: getattr(page, each.name) for each in fields(page)}
    return environment().get_template(page.template).render(variables)


@cache
def environment() -> Environment:
    """The templates: everything escaped, an unknown name an error."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(asset=asset)
    return made


@cache
def asset(name: str) -> str:
    """The address of a static file; it changes with the content, so that browsers may keep it."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()
    return f"/static/{name}?v={digest[:12]}"


def html(page: Page | QueueRows, status: int = 200) -> HTMLResponse:
    """A page as a response that no cache keeps and in which nothing foreign runs."""
    return HTMLResponse(render(page), status_code=status, headers=HEADERS)
