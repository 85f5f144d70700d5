"""Does a request that is answered from its connection get the answer that the application would give?"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import uvloop
from agreed import NOW
from page_company import fill, serving, workspace_at
from starlette.types import Scope
from uvicorn import Config

from features.store.engine import Store
from features.store.keys import create_key
from models.propensity import PropensityModel
from models.workspace import Workspace
from serving import at_once, rounds
from serving.at_once import AtOnce
from serving.lead_score import Scorer

LONG = "?plain=no"
"""A parameter that nobody knows takes a request to the application, and changes nothing."""

SENT = {"lead": "sent", "attributes": {"employees": 12}}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Workspace]:
    workspace = workspace_at(tmp_path_factory.mktemp("at_once"), migrated_sqlite)
    fill(workspace)
    yield workspace
    workspace.store.close()


@pytest.fixture
def key(office: Workspace) -> str:
    """A key of its own for each test, which nobody has asked with before."""
    with office.store.write() as connection:
        return create_key(connection, f"machine-{uuid4()}", "crm", NOW)


@pytest.fixture(scope="module")
def address(office: Workspace) -> Iterator[str]:
    with serving(office) as found:
        yield found


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each request that was looked at whether it was answered from the connection."""
    found: list[bool] = []
    take = AtOnce.take

    def counted(self: AtOnce, scope: Scope, body: bytes, send: at_once.Send) -> bool:
        found.append(take(self, scope, body, send))
        return found[-1]

    monkeypatch.setattr(AtOnce, "take", counted)
    return found


class Line:
    """One connection, spoken to by hand."""

    def __init__(self, address: str, key: str) -> None:
        host, _, port = address.removeprefix("http://").rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)
        self._key = key
        self._left = b""

    def close(self) -> None:
        self.socket.close()

    def request(self, body: Any, query: str = "", *more: str) -> bytes:
        content = json.dumps(body).encode()
        lines = [
            f"POST /v1/scores{query} HTTP/1.1",
            "host: x",
            f"authorization: Bearer {self._key}",
            f"content-length: {len(content)}",
            *more,
        ]
        return "\r\n".join([*lines, "", ""]).encode() + content

    def ask(self, body: Any, query: str = "", *more: str) -> tuple[int, list[str], Any]:
        self.socket.sendall(self.request(body, query, *more))
        return self.answer()

    def answer(self) -> tuple[int, list[str], Any]:
        """The next answer: its status, the names of its headers, its content."""
        while b"\r\n\r\n" not in self._left:
            self._left += self.socket.recv(65_536) or b"\r\n\r\n"
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        status, *headers = head.decode().split("\r\n")
        named = dict(line.split(": ", 1) for line in headers)
        while len(self._left) < (length := int(named["content-length"])):
            self._left += self.socket.recv(65_536)
        content, self._left = self._left[:length], self._left[length:]
        return int(status.split()[1]), [*named], json.loads(content)


@pytest.fixture
def line(address: str, key: str, keys_stay_known: None) -> Iterator[Line]:
    with closing(Line(address, key)) as found:
        found.ask({"lead": "nobody"}, LONG)  # the key is known from here on
        yield found


def told(content: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in content.items() if k not in ("score_id", "request_id")}


@pytest.mark.parametrize("body", [SENT, {"lead": "nobody"}, {"lead": "sent", "kind": "client"}])
def test_both_ways_say_the_same_in_the_same_headers(
    line: Line, taken: list[bool], body: Any
) -> None:
    short, long = line.ask(body), line.ask(body, LONG)
    assert taken == [True, False]
    assert short[:2] == long[:2]
    assert told(short[2]) == told(long[2])


def test_who_breaks_off_behind_two_requests_costs_nobody_an_answer(
    office: Workspace, key: str
) -> None:
    """The connection is closed before the first answer is there, of which its cycle is told nothing."""
    places = 4
    with serving(office, max_in_flight=places, key_rate=0) as address:
        with closing(Line(address, key)) as line:
            line.ask({"lead": "nobody"}, LONG)
        for _ in range(5 * places):
            with closing(Line(address, key)) as rude:
                rude.socket.sendall(2 * rude.request(SENT) + b"\x01GARBAGE\r\n\r\n")
                while rude.socket.recv(65_536):
                    pass
        with closing(Line(address, key)) as line:
            answers: list[int] = []
            while answers.count(200) < 2 * places:  # what was left behind may still be worked on
                assert len(answers) < 200, answers
                answers.append(line.ask(SENT)[0])
                time.sleep(0.02)


class HeldRound:
    """Keeps the round of the lead `first` from being computed: who asks meanwhile is of the next."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()
        self.rounds: list[list[str]] = []
        self._usual = rounds.computed
        monkeypatch.setattr(rounds, "computed", self._computed)

    def _computed(self, store: Store, scorer: Scorer, asked: Any, **rest: Any) -> Any:
        self.rounds.append([ask.lead for ask, _ in asked])
        if self.rounds[-1] == ["first"]:
            self.has_begun.set()
            assert self.may_go_on.wait(30)
        return self._usual(store, scorer, asked, **rest)


def test_who_breaks_off_in_the_middle_of_a_round_costs_nobody_of_it_an_answer(
    address: str, key: str, line: Line, taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rude one is told first, and its connection is gone: that is when uvloop's transports raise."""
    assert Config(app="none").get_loop_factory() is uvloop.new_event_loop
    polite, held = ["anna", "ben", "cleo"], HeldRound(monkeypatch)
    with ExitStack() as opened:
        lines = [opened.enter_context(closing(Line(address, key))) for _ in polite]
        rude = opened.enter_context(closing(Line(address, key)))
        line.ask({"lead": "nobody"}, LONG)  # a key is known for a second
        taken.clear()
        line.socket.sendall(line.request({"lead": "first"}))
        assert held.has_begun.wait(30)
        rude.socket.sendall(2 * rude.request({"lead": "rude"}) + b"\x01GARBAGE\r\n\r\n")
        while rude.socket.recv(65_536):
            pass
        for one, lead in zip(lines, polite, strict=True):
            one.socket.sendall(one.request({"lead": lead}))
        while len(taken) < 5:
            time.sleep(0.01)
        held.may_go_on.set()
        for one in (line, *lines):
            one.socket.settimeout(10)
            assert one.answer()[0] == 404
    assert held.rounds[-2:] == [["first"], ["rude", *polite]]
    assert taken == [True] * 5


def test_who_sends_an_id_finds_it_in_the_answer(line: Line, taken: list[bool]) -> None:
    line.socket.sendall(line.request(SENT, "", "x-request-id: mine-7"))
    assert b"\r\nx-request-id: mine-7\r\n" in line.socket.recv(65_536)
    assert taken == [True]


def test_what_comes_in_pieces_or_asks_first_is_answered_by_the_application(
    line: Line, taken: list[bool]
) -> None:
    whole = line.request(SENT)
    for cut in (len(whole) - 5, whole.index(b"\r\n\r\n") + 4):
        line.socket.sendall(whole[:cut])
        line.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            line.socket.recv(1)
        line.socket.settimeout(30)
        line.socket.sendall(whole[cut:])
        assert line.answer()[0] == 200
    assert taken == []
    assert line.ask(SENT)[0] == 200
    assert taken == [True]


def test_requests_that_do_not_wait_for_answers_get_them_in_their_order(line: Line) -> None:
    asked = [
        ({"lead": f"sent-{i}", "attributes": {}}, LONG if i % 3 == 1 else "") for i in range(9)
    ]
    line.socket.sendall(b"".join(line.request(*one) for one in asked))
    assert [line.answer()[2]["lead"] for _ in asked] == [f"sent-{i}" for i in range(9)]


def test_a_connection_that_is_to_be_closed_is(line: Line) -> None:
    status, headers, _ = line.ask(SENT, "", "connection: close")
    assert (status, "connection" in headers) == (200, True)
    assert line.socket.recv(1) == b""


def test_a_stranger_and_a_key_in_two_headers_are_the_applications(
    address: str, key: str, line: Line, taken: list[bool]
) -> None:
    with closing(Line(address, "pk_" + "0" * 40)) as stranger:
        assert stranger.ask(SENT)[0] == 401
    assert line.ask(SENT, "", f"authorization: Bearer {key}")[0] in (200, 401)
    assert taken == [False, False]


def test_what_nobody_foresaw_is_a_500_and_the_connection_goes_on(
    line: Line, taken: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a secret")

    with monkeypatch.context() as patch:
        patch.setattr(PropensityModel, "_told", broken)
        short, long = line.ask(SENT), line.ask(SENT, LONG)
    assert taken == [True, False]
    assert short[:2] == long[:2]
    assert short[0] == 500
    assert set(short[2]) == set(long[2])
    assert "secret" not in str(short[2])
    assert line.ask(SENT)[0] == 200


def test_a_sender_that_left_before_its_answer_takes_nobodys_place(
    office: Workspace, key: str, taken: list[bool]
) -> None:
    with serving(office, max_in_flight=1) as address, closing(Line(address, key)) as line:
        line.ask(SENT, LONG)
        for _ in range(5):
            with closing(Line(address, key)) as gone:
                gone.socket.sendall(gone.request(SENT))
        # One place in all: had one of them kept it, this would be a 503 for ever.
        answers = [line.ask(SENT)[0] for _ in range(50)]
    assert answers[-1] == 200
