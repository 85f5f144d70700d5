"""Is a body refused for what it is before it costs anything: length, silence, keys, depth, nonsense?"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import own_loop
import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import Served, calm
from starlette.requests import ClientDisconnect

from serving.errors import MalformedError, TooLargeError
from serving.limits import BULK, BodyLimit, parse_json

SMALL = calm(max_keys=10, max_values=100, max_depth=5)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_what_is_json_is_read_as_python_reads_it(value: Any) -> None:
    body = json.dumps(value).encode()
    assert parse_json(body, calm()) == json.loads(body)


@given(st.binary(max_size=60))
def test_what_is_read_is_what_python_reads_and_the_rest_is_refused_by_name(body: bytes) -> None:
    try:
        found = parse_json(body, calm())
    except (MalformedError, TooLargeError):
        return
    assert found == json.loads(body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a": 1,}', "not JSON"),
        (b'{"a": 1} x', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"[NaN]", "NaN"),
        (b'{"a": Infinity}', "infinities"),
        (b'{"a": -Infinity}', "infinities"),
        (b"[1e400]", "too large"),
        (b"[-1e400]", "too large"),
        (b"[" + b"9" * 19 + b"]", "digits"),
        (b"[" + b"9" * 5_000 + b"]", "digits"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'[{"b": {"a": 1, "\\u0061": 2}}]', "twice"),
        (b'"\xff"', "UTF-8"),
        (b"\xff\xfe{\x00}\x00", "UTF-8"),
        (b'"\x00"', "not JSON"),
        (b"[[[[[[1]]]]]]", "nested"),
        (b'{"a":' * 6 + b"1" + b"}" * 6, "nested"),
        (b"[" * 90 + b"]" * 90, "nested"),
    ],
)
def test_what_is_not_json_is_malformed_and_says_why(body: bytes, said: str) -> None:
    with pytest.raises(MalformedError, match=said) as caught:
        parse_json(body, SMALL)
    assert "\ufffd" not in caught.value.message


def test_nesting_that_would_exhaust_the_stack_is_malformed() -> None:
    with pytest.raises(MalformedError, match="nested"):
        parse_json(b"[" * 1_000_000, calm())


def test_a_byte_order_mark_is_forgiven() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 1}', calm()) == {"a": 1}


def test_depth_keys_and_values_are_counted_exactly_enough() -> None:
    assert parse_json(b"[[[[[1]]]]]", SMALL) == [[[[[1]]]]]
    keys = {f"k{i}": i for i in range(11)}
    ten = {name: keys[name] for name in list(keys)[:10]}
    assert parse_json(json.dumps(ten).encode(), SMALL) == ten
    with pytest.raises(TooLargeError, match="keys"):
        parse_json(json.dumps(keys).encode(), SMALL)
    assert parse_json(json.dumps([1] * 100).encode(), SMALL) == [1] * 100
    with pytest.raises(TooLargeError, match="values"):
        parse_json(json.dumps([1] * 102).encode(), SMALL)


def test_a_body_that_says_that_it_is_too_long_is_refused_unread(served_lite: Served) -> None:
    body = b'{"lead": "' + b"x" * (10 * 2**20) + b'"}'
    answer = served_lite.post("/v1/scores", content=body)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_a_body_that_does_not_say_how_long_it_is_is_counted(served_lite: Served) -> None:
    def chunks(total: int) -> Any:
        for _ in range(total // 65_536):
            yield b" " * 65_536

    assert served_lite.post("/v1/scores", content=chunks(10 * 2**20)).status_code == 413
    # What comes in pieces and fits is read: white space is no JSON.
    assert served_lite.post("/v1/scores", content=chunks(2**19)).status_code == 400


@pytest.mark.parametrize("path", BULK)
def test_bulk_addresses_take_more_than_the_others(served_lite: Served, path: str) -> None:
    body = b" " * (2 * 2**20)
    assert served_lite.post(path, content=body).status_code == 400
    body = b" " * (33 * 2**20)
    assert served_lite.post(path, content=body).status_code == 413


def test_600_000_keys_are_refused(served_lite: Served) -> None:
    body = json.dumps({f"k{i}": 1 for i in range(600_000)}).encode()
    assert served_lite.post("/v1/scores", content=body).status_code == 413
    assert served_lite.post("/v1/scores/batch", content=body).status_code == 413
    nested = b'{"leads": [' + body + b"]}"
    assert served_lite.post("/v1/scores/batch", content=nested).status_code == 413


def test_what_is_wrong_with_a_body_is_said(served_lite: Served) -> None:
    for content, said in (
        (b'{"a": NaN}', "NaN"),
        (b"{", "character 1"),
        (b'{"a":1,"a":1}', "twice"),
    ):
        answer = served_lite.post("/v1/scores", content=content)
        assert answer.status_code == 400
        assert answer.json()["type"] == "urn:propensity:problem:malformed"
        assert said in answer.json()["detail"]


def test_a_sender_that_leaves_is_nobodys_error() -> None:
    from serving.metrics import Metrics
    from serving.middleware import Envelope

    metrics, sent = Metrics(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ClientDisconnect

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "path": "/v1/scores", "headers": [], "method": "POST"}
    own_loop.run(Envelope(app, metrics)(scope, receive, send))
    assert sent == []
    labels = {"method": "POST", "route": "none", "status": "499"}
    assert metrics.registry.get_sample_value("propensity_requests_total", labels) == 1


def test_a_sender_that_falls_silent_is_told_so() -> None:
    settings = calm(body_seconds=0.2)
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        raise AssertionError("the body never ends")

    async def receive() -> Any:
        if not sent:
            sent.append("first piece")
            return {"type": "http.request", "body": b"{", "more_body": True}
        await asyncio.sleep(3_600)
        return None

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/v1/scores", "headers": [], "method": "POST"}
    own_loop.run(BodyLimit(app, settings)(scope, receive, send))
    assert sent[1]["status"] == 408
    assert json.loads(sent[2]["body"])["type"] == "urn:propensity:problem:too-slow"


def test_an_answer_that_has_begun_is_not_answered_again() -> None:
    settings = calm(max_body_bytes=1_024)
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()

    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * 2_000, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "http", "path": "/v1/scores", "headers": [], "method": "POST"}
    own_loop.run(BodyLimit(app, settings)(scope, receive, send))
    assert sent == ["http.response.start"]


@pytest.mark.parametrize(
    "kind",
    [None, "text/plain", "application/x-www-form-urlencoded", "application/vnd.crm+xml", "?"],
)
def test_json_is_read_whatever_its_sender_calls_it(served_lite: Served, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    answer = served_lite.post("/v1/scores", content=b'{"lead": "L-0001"}', headers=headers)
    assert answer.status_code == 200
