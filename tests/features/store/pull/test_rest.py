"""Is a REST interface read to its end, whatever it does on the way, and nobody else asked?"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest
from crm_server import Asked, Crm, Reply, crm

from features.errors import SourceError
from features.store.pull.config import SourceConfig, parse_sources
from features.store.pull.http import Patience
from features.store.pull.rest import RestSource
from features.yaml_text import write_yaml

ROWS = [{"id": i, "lead": f"L{i}", "stage": "won", "closed": "2026-04-01"} for i in range(7)]
SECOND = 1_000_000


class Waits:
    """Sleeps that take no time, and how long they would have been."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def patience(self, attempts: int = 4) -> Patience:
        return Patience(attempts, sleep=self.seconds.append, lots=Random(0), longest_seconds=60.0)


def config(server: Crm, **more: Any) -> SourceConfig:
    rest = {
        "kind": "rest",
        "url": f"{server.url}/deals",
        "private": True,
        "page_rows": 3,
        "fields": {"id": "id", "lead": "lead", "ending": "stage", "closed_at": "closed"},
    }
    text = write_yaml({"format": 1, "sources": {"crm": rest | more}})
    return parse_sources(text)["crm"]


def fetched(
    server: Crm, since: int | None = None, patience: Patience | None = None, **more: Any
) -> list[Any]:
    source = RestSource(config(server, **more), {"KEY": "s3cret"}, patience or Waits().patience())
    return [row for page in source.pages(since) for row in page.rows]


def slices(asked: Asked) -> Reply:
    """However the pages are asked for: by number, by offset or by cursor, three rows each."""
    size = int(asked.query.get("size", 3))
    at = int(asked.query.get("offset") or asked.query.get("after") or 0)
    at = (int(asked.query["page"]) - 1) * size if "page" in asked.query else at
    more = at + size if at + size < len(ROWS) else None
    link = {} if more is None else {"Link": f'<?after={more}>; rel="next", <?after=0>; rel="first"'}
    body = {"found": ROWS[at : at + size], "next": {"after": more}}
    return Reply(body, headers=link)


@pytest.fixture
def server() -> Iterator[Crm]:
    with crm(slices) as running:
        yield running


PAGINGS: Sequence[dict[str, Any]] = (
    {"kind": "page", "size_param": "size"},
    {"kind": "offset"},
    {"kind": "cursor", "cursor": "next.after", "param": "after"},
    {"kind": "link"},
)


@pytest.mark.parametrize("paging", PAGINGS, ids=lambda paging: paging["kind"])
def test_every_row_comes_once_however_pages_are_counted(
    server: Crm, paging: dict[str, Any]
) -> None:
    assert fetched(server, rows="found", paging=paging) == ROWS


@pytest.mark.parametrize("paging", PAGINGS, ids=lambda paging: paging["kind"])
def test_a_pull_that_stopped_goes_on_at_the_page_where_it_stopped(
    server: Crm, paging: dict[str, Any]
) -> None:
    source = RestSource(config(server, rows="found", paging=paging), {}, Waits().patience())
    first = next(source.pages(None))
    again = [row for page in source.pages(None, first.next) for row in page.rows]
    assert [*first.rows, *again] == ROWS


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_what_may_pass_is_waited_for_and_longer_each_time(server: Crm, status: int) -> None:
    server.replies = [Reply(status=status)] * 3
    waits = Waits()
    assert fetched(server, patience=waits.patience(), rows="found") == ROWS[:3]
    assert len(waits.seconds) == 3
    assert all(0.25 * 2**i <= wait <= 0.5 * 2**i for i, wait in enumerate(waits.seconds))


def test_it_waits_as_long_as_it_is_asked_to_and_not_for_hours(server: Crm) -> None:
    server.replies = [Reply(status=429, headers={"Retry-After": "7"})]
    waits = Waits()
    fetched(server, patience=waits.patience(), rows="found")
    assert waits.seconds == [7.0]
    server.replies = [Reply(status=429, headers={"Retry-After": "7200"})]
    with pytest.raises(SourceError, match="answers 429"):
        fetched(server, patience=waits.patience(), rows="found")
    assert waits.seconds == [7.0]


HTML = Reply(b"<html>Sign in</html>", kind="text/html")


@pytest.mark.parametrize(
    ("reply", "said", "tries"),
    [
        (Reply(status=500), "answers 500", 2),
        (Reply(status=404), "answers 404", 1),
        (Reply(status=401), "answers 401: is what the variable holds still good", 1),
        (HTML, r"20 bytes \(text/html\) is not JSON", 1),
        (Reply({"found": ROWS}, cut=True), "ends too early", 2),
        (Reply({"found": {"no": "list"}}), "no list of objects at 'found'", 1),
        (Reply({"found": [1, 2]}), "no list of objects at 'found'", 1),
        (Reply([]), "no list of objects at 'found'", 1),
        (Reply({"found": ["x" * 2_000]}), "more than 1,000 bytes", 1),
        (Reply({"found": ROWS}, slow=0.02), "within 0.2 s", 2),
        (Reply({"error": {"code": 200}}), "holds an error at 'error'", 1),
        (Reply(b"[" * 900), "not JSON", 1),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_answer_that_is_none_is_told_and_repeats_nothing_of_it(
    server: Crm, reply: Reply, said: str, tries: int
) -> None:
    server.replies = [reply] * 2
    limits = {"most_bytes": 1_000, "timeout_seconds": 0.2 if reply.slow else 20.0, "error": "error"}
    with pytest.raises(SourceError, match=said) as failure:
        fetched(server, patience=Waits().patience(2), rows="found", **limits)
    assert len(server.asked) == tries
    assert "Sign in" not in str(failure.value)


def test_nobody_there_is_told_after_as_many_tries(server: Crm) -> None:
    gone = config(server)
    waits = Waits()
    source = RestSource(
        gone.model_copy(
            update={"how": gone.how.model_copy(update={"url": "http://127.0.0.1:1/deals"})}
        ),
        {},
        waits.patience(3),
    )
    with pytest.raises(SourceError, match=r"no whole answer: ConnectionRefusedError \(tried 3"):
        list(source.pages(None))
    assert len(waits.seconds) == 2


def test_pages_without_end_and_a_page_again_and_again_are_errors() -> None:
    def endless(asked: Asked) -> Reply:
        return Reply([{"id": len(server.asked)}])

    with crm(endless) as server:
        with pytest.raises(SourceError, match="no end: 5 pages"):
            fetched(server, paging={"kind": "page"}, most_pages=5)
        server.answer = lambda _: Reply([{"id": 1}])
        with pytest.raises(SourceError, match="the same page again"):
            fetched(server, paging={"kind": "page"})
        server.answer = lambda _: Reply({"rows": [{"id": len(server.asked)}], "next": "x"})
        with pytest.raises(SourceError, match="cursor does not move"):
            fetched(server, rows="rows", paging={"kind": "cursor", "cursor": "next"})


@pytest.mark.parametrize("to", ["http://169.254.169.254/", "https://example.com/", "//evil/x"])
def test_no_answer_makes_us_ask_another_host(server: Crm, to: str) -> None:
    server.replies = [Reply(status=302, headers={"Location": to})]
    with pytest.raises(SourceError, match="leads to another host"):
        fetched(server)
    server.replies = [Reply([{"id": 1}], headers={"Link": f'<{to}>; rel="next"'})]
    with pytest.raises(SourceError, match="leads to another host"):
        fetched(server, paging={"kind": "link"})
    cursor = Reply({"rows": [{"id": 1}], "next": to})
    server.replies = [cursor]
    with pytest.raises(SourceError, match=r"another host|cursor does not move|no list"):
        fetched(server, rows="rows", paging={"kind": "cursor", "cursor": "next"})
    assert len(server.asked) <= 4


def test_a_redirect_within_the_host_is_followed_and_a_ring_is_not(server: Crm) -> None:
    server.replies = [Reply(status=307, headers={"Location": "/new"})]
    assert fetched(server, rows="found") == ROWS[:3]
    assert [asked.path for asked in server.asked] == ["/deals", "/new"]
    server.replies = [Reply(status=307, headers={"Location": "/new"})] * 9
    with pytest.raises(SourceError, match="redirects in a ring"):
        fetched(server, rows="found")


def test_our_own_network_is_asked_only_when_that_is_allowed(server: Crm) -> None:
    inside = config(server)
    how = inside.how.model_copy(update={"private": False})
    source = RestSource(inside.model_copy(update={"how": how}), {}, Waits().patience())
    with pytest.raises(SourceError, match="private network"):
        list(source.pages(None))
    assert server.asked == []


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"kind": "bearer"}, "Authorization", "Bearer s3cret"),
        ({"kind": "basic"}, "Authorization", f"Basic {base64.b64encode(b's3cret').decode()}"),
        ({"kind": "header", "header": "X-Token"}, "X-Token", "s3cret"),
    ],
)
def test_who_we_are_is_said_as_it_is_wanted(
    server: Crm, auth: dict[str, str], header: str, value: str
) -> None:
    fetched(server, rows="found", auth={**auth, "env": "KEY"})
    assert server.asked[0].headers[header] == value


def test_a_secret_that_is_not_set_is_named_and_one_that_breaks_a_header_is_refused(
    server: Crm,
) -> None:
    named = config(server, auth={"kind": "bearer", "env": "KEY"})
    with pytest.raises(SourceError, match="the variable KEY is not set"):
        RestSource(named, {})
    with pytest.raises(SourceError, match="cannot be sent in a header") as failure:
        RestSource(named, {"KEY": "a\nEvil: 1"})
    assert "Evil" not in str(failure.value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("iso", "2026-05-01T12:00:00Z"),
        ("seconds", "1777636800"),
        ("milliseconds", "1777636800000"),
        ("text", "2026-05-01 14:00:00"),
    ],
)
def test_what_changed_since_is_asked_for_as_it_is_written_there(
    server: Crm, written: str, value: str
) -> None:
    more = {"changed_param": "since", "changed_as": written, "timezone": "Europe/Berlin"}
    fetched(server, 1_777_636_800 * SECOND, rows="found", **more)
    assert server.asked[0].query["since"] == value
    fetched(server, None, rows="found", **more)
    assert "since" not in server.asked[-1].query


def test_a_body_is_filled_in_and_numbers_stay_numbers(server: Crm) -> None:
    body = {"args": [["write_date", ">=", "{since}"], "{secret}"], "offset": "{offset}", "n": 5}
    server.answer = lambda asked: Reply(ROWS[asked.body["offset"] :][:4])
    found = fetched(
        server, method="POST", body=body, paging={"kind": "offset"},
        auth={"kind": "bearer", "env": "KEY"}, changed_as="text",
    )  # fmt: skip
    assert found == ROWS
    assert server.asked[0].body == {
        "args": [["write_date", ">=", "1970-01-01 00:00:00"], "s3cret"],
        "offset": 0,
        "n": 5,
    }
    assert [asked.body["offset"] for asked in server.asked] == [0, 4, 7]
