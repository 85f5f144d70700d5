"""How is a REST interface asked for outcomes? A JSON list, page by page, however it counts its pages.

Pages may come in any order of the rows, so a pull is through only with the last one; where it stood is
kept, and a pull that was killed goes on there. A source that gives one page twice or has no end is told
from one that is long: the first is an error, the second ends at `most_pages`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from features.clock import iso, to_datetime
from features.errors import SourceError
from features.store.pull.config import Auth, Rest, SourceConfig
from features.store.pull.http import Answer, Ask, Host, Patience
from features.store.pull.mapping import at as at_path
from features.store.pull.source import Page, Row

_LINK = re.compile(r"<([^>]*)>\s*;[^,]*\brel=\"?next\"?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins: its number, the rows before it, or what the page before it said."""

    page: int
    offset: int
    cursor: str | None = None

    def __str__(self) -> str:
        return json.dumps([self.page, self.offset, self.cursor])

    @classmethod
    def of(cls, text: str | None, start: int) -> _Place:
        if not text:
            return cls(start, 0)
        page, offset, cursor = json.loads(text)
        return cls(page, offset, cursor)


class RestSource:
    """Rows behind an address.

    Args:
        config: a source whose `how` is `Rest`.
        environment: where the secret is, under the name that the configuration gives.
        patience: by default as the configuration says.

    Raises:
        SourceError: there is no such variable.
    """

    def __init__(
        self,
        config: SourceConfig,
        environment: Mapping[str, str],
        patience: Patience | None = None,
    ) -> None:
        assert isinstance(config.how, Rest), "see open_source"
        self.config, self._how = config, config.how
        self._secret = _secret(config.name, config.how.auth, environment)
        how = config.how
        patience = patience or Patience(how.attempts)
        self._host = Host(
            config.name, how.url, how.private, how.timeout_seconds, how.most_bytes, patience
        )

    def pages(self, since: int | None, at: str | None = None) -> Iterator[Page]:
        """See `OutcomeSource`; `through` stays unknown, because rows come in any order."""
        place = _Place.of(at, self._how.paging.start)
        before: list[Row] | None = None
        for _ in range(self._how.most_pages):
            answer = self._host.ask(self._ask(place, since))
            rows = self._rows(answer.content)
            if rows and rows == before:
                raise self._wrong("it gives the same page again: `paging` is not what it expects")
            following = self._next(place, rows, answer)
            yield Page(rows, next=None if following is None else str(following))
            if following is None:
                return
            place, before = following, rows
        raise self._wrong(f"it has no end: {self._how.most_pages:,} pages and more to come")

    def _rows(self, content: Any) -> list[Row]:
        how = self._how
        if how.error is not None and at_path(content, how.error) is not None:
            raise self._wrong(f"its answer holds an error at {how.error!r}")
        rows = at_path(content, how.rows) if how.rows else content
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._wrong(f"there is no list of objects at {how.rows or 'the top'!r}")
        return rows

    def _next(self, place: _Place, rows: list[Row], answer: Answer) -> _Place | None:
        """Where the page after this one begins; None: it was the last."""
        paging, page, offset = self._how.paging, place.page + 1, place.offset + len(rows)
        if paging.kind in ("page", "offset"):
            return _Place(page, offset) if rows else None
        if paging.kind == "cursor":
            told = at_path(answer.content, str(paging.cursor))
            cursor = None if told in (None, "", False) else str(told)
        elif paging.kind == "link":
            found = _LINK.search(", ".join(answer.headers.get_all("Link", [])))
            cursor = self._host.own(found[1]) if found else None
        else:
            return None
        if cursor is not None and cursor == place.cursor:
            raise self._wrong("its cursor does not move")
        return None if cursor is None else _Place(page, offset, cursor)

    def _ask(self, place: _Place, since: int | None) -> Ask:
        how, headers = self._how, {"Accept": "application/json", "User-Agent": "propensity"}
        if how.auth is not None:
            headers |= _header(how.auth, self._secret)
        url = self._url(place, since)
        if how.method == "GET":
            return Ask(url, "GET", headers)
        known: dict[str, Any] = {
            "{since}": self._written(since or 0),
            "{page}": place.page,
            "{offset}": place.offset,
            "{cursor}": place.cursor,
            "{limit}": how.page_rows,
            "{secret}": self._secret,
        }
        body = json.dumps(_filled(dict(how.body or {}), known)).encode()
        return Ask(url, "POST", {**headers, "Content-Type": "application/json"}, body)

    def _url(self, place: _Place, since: int | None) -> str:
        how, paging = self._how, self._how.paging
        if place.cursor is not None and (paging.kind == "link" or "://" in place.cursor):
            return self._host.own(place.cursor)
        if place.cursor is not None and place.cursor.startswith("/"):
            return self._host.own(place.cursor)
        if how.method == "POST":
            return how.url
        asked = dict(how.query)
        if how.changed_param and since is not None:
            asked[how.changed_param] = str(self._written(since))
        if paging.size_param:
            asked[paging.size_param] = str(how.page_rows)
        counted = {"page": str(place.page), "offset": str(place.offset), "cursor": place.cursor}
        if (value := counted.get(paging.kind)) is not None:
            asked[paging.param or paging.kind] = value
        parts = urlsplit(how.url)
        query = urlencode({**dict(parse_qsl(parts.query)), **asked})
        return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))

    def _written(self, since: int) -> str | int:
        how = self._how
        if how.changed_as == "iso":
            return iso(since)
        if how.changed_as == "text":
            return to_datetime(since).astimezone(how.zone).strftime(how.changed_format)
        return since // (1_000_000 if how.changed_as == "seconds" else 1_000)

    def _wrong(self, why: str) -> SourceError:
        return SourceError(f"{self.config.name}: {why}", hint="See its part of the sources' file.")


def _secret(name: str, auth: Auth | None, environment: Mapping[str, str]) -> str:
    if auth is None:
        return ""
    secret = environment.get(auth.env, "").strip()
    if not secret:
        raise SourceError(
            f"{name}: the variable {auth.env} is not set", hint="It holds the key or the password."
        )
    if not secret.isascii() or not secret.isprintable():
        raise SourceError(f"{name}: what {auth.env} holds cannot be sent in a header")
    return secret


def _header(auth: Auth, secret: str) -> dict[str, str]:
    if auth.kind == "header":
        return {auth.header: secret}
    if auth.kind == "basic":
        return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}
    return {"Authorization": f"Bearer {secret}"}


def _filled(part: Any, known: Mapping[str, Any]) -> Any:
    """A body with its places filled in: each becomes what it stands for, a number stays a number."""
    if isinstance(part, dict):
        return {key: _filled(value, known) for key, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, known) for value in part]
    return known.get(part, part) if isinstance(part, str) else part
