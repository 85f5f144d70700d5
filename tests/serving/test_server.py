"""Does a connection that keeps us waiting end, whatever it waits with, and does nobody else notice?"""

from __future__ import annotations

import gc
import signal
import socket
import statistics
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest
from agreed import NOW
from page_company import serving, workspace_at
from workers import working

from features.store.engine import Store
from features.store.keys import create_key
from models.workspace import Workspace
from serving.app import STATIC
from serving.server import PatientProtocol

SOON = 20.0
"""Seconds in which something must have happened; far more than it takes."""


@contextmanager
def connected(address: str, window: int | None = None) -> Iterator[socket.socket]:
    """A connection, perhaps of one who takes only so many bytes before reading."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    with closing(socket.socket()) as line:
        if window is not None:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        line.settimeout(SOON)
        line.connect((host, int(port)))
        yield line


def said_until_closed(line: socket.socket) -> bytes:
    """What the server says before it closes the connection, which it must."""
    found = b""
    while piece := line.recv(65_536):
        found += piece
    return found


def status_of_the_next(line: socket.socket) -> int:
    """The status of one answer, which is read to its end."""
    with closing(HTTPResponse(line)) as answer:
        answer.begin()
        answer.read()
        return answer.status


def dribble(line: socket.socket, piece: bytes, until_closed: float = SOON) -> bytes:
    """Send a piece again and again until the server closes; what it said."""
    line.settimeout(0.05)
    found, deadline = b"", time.monotonic() + until_closed
    while time.monotonic() < deadline:
        try:
            line.sendall(piece)
            got = line.recv(65_536)
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            return found
        if not got:
            return found
        found += got
    raise AssertionError("the server waits for ever")


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[str]:
    """A service that waits for nobody."""
    workspace = workspace_at(tmp_path_factory.mktemp("hurried"), migrated_sqlite)
    with serving(
        workspace,
        header_seconds=0.3,
        body_seconds=0.3,
        body_deadline_seconds=0.5,
        answer_seconds=0.3,
        max_connections=20,
        send_buffer=4_096,
    ) as address:
        yield address
    workspace.store.close()


def test_a_connection_that_says_nothing_is_closed(hurried: str) -> None:
    with connected(hurried) as line:
        assert said_until_closed(line) == b""


def test_headers_that_never_end_are_cut_off(hurried: str) -> None:
    with connected(hurried) as line:
        line.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n")
        assert dribble(line, b"x-a: b\r\n").startswith(b"HTTP/1.1 408 ")


def test_line_breaks_between_requests_keep_no_connection(hurried: str) -> None:
    with connected(hurried) as line:
        line.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert line.recv(65_536).startswith(b"HTTP/1.1 200 ")
        dribble(line, b"\r\n")


def test_headers_without_measure_are_refused_while_they_come(hurried: str) -> None:
    with connected(hurried) as line:
        line.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nx-a: " + b"b" * 100_000)
        assert said_until_closed(line).startswith(b"HTTP/1.1 431 ")


def test_a_body_that_dribbles_is_cut_off_although_it_is_never_silent(hurried: str) -> None:
    with connected(hurried) as line:
        head = (
            b"POST /sign-in HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\n"
            b"content-type: application/x-www-form-urlencoded\r\n\r\n"
        )
        line.sendall(head)
        said = said_until_closed(line)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"too-slow" in said


def test_a_body_that_nobody_reads_any_more_is_not_waited_for(hurried: str) -> None:
    with connected(hurried) as line:
        line.sendall(b"POST /v1/scores HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\n\r\n")
        assert line.recv(65_536).startswith(b"HTTP/1.1 401 ")
        dribble(line, b"x")


def test_a_reader_who_takes_nothing_of_an_answer_is_let_go(hurried: str) -> None:
    with connected(hurried) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_024)
        line.settimeout(0.2)
        request = b"GET /static/htmx.min.js HTTP/1.1\r\nhost: x\r\n\r\n"
        deadline = time.monotonic() + SOON
        # Answers pile up until the buffers of both sides are full.
        while _took(line, request):
            assert time.monotonic() < deadline, "the server waits for ever"
    assert httpx.get(f"{hurried}/health").status_code == 200


@pytest.mark.parametrize("after", [b"connection: close", b"connection: keep-alive"])
def test_an_answer_that_is_complete_and_never_taken_is_not_kept_for_ever(
    hurried: str, after: bytes
) -> None:
    with connected(hurried, window=1_024) as line:
        line.sendall(b"GET /static/htmx.min.js HTTP/1.1\r\nhost: x\r\n" + after + b"\r\n\r\n")
        # Nothing is read until well after all that the server waits for, slow as its machine may be.
        time.sleep(3.0)
        assert len(said_until_closed(line)) < (STATIC / "htmx.min.js").stat().st_size


def _took(line: socket.socket, request: bytes) -> bool:
    """Whether the connection is still there, whatever became of the request."""
    try:
        line.sendall(request)
    except TimeoutError:
        return True
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[str]:
    """A service with few connections and fewer places, that would wait for long."""
    workspace = workspace_at(tmp_path_factory.mktemp("narrow"), migrated_sqlite)
    with serving(workspace, send_buffer=4_096, max_connections=20, max_in_flight=8) as address:
        yield address
    workspace.store.close()


_LENGTH = (
    b"host: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 999\r\n\r\n"
)


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /sign-in HTTP/1.1\r\n" + _LENGTH,
        b"POST /v1/webhooks/crm HTTP/1.1\r\n" + _LENGTH,
        b"POST /v1/scores HTTP/1.1\r\n" + _LENGTH,
    ],
    ids=["answered", "form", "webhook", "key"],
)
def test_whoever_is_yet_to_send_something_keeps_nobody_out(narrow: str, begun: bytes) -> None:
    with ExitStack() as idle:
        for _ in range(30):
            line = idle.enter_context(connected(narrow))
            line.sendall(begun)
        assert httpx.get(f"{narrow}/health").status_code == 200
        # Nor do they take the places of those who are known.
        assert httpx.get(f"{narrow}/v1/model").status_code == 401


def test_idling_connections_make_room_for_those_who_ask(narrow: str) -> None:
    with ExitStack() as idle:
        lines = [idle.enter_context(connected(narrow)) for _ in range(40)]
        for line in lines:
            line.sendall(b"GET / HTTP/1.1\r\n")
        assert httpx.get(f"{narrow}/health").status_code == 200
        # The first of them had to go.
        assert said_until_closed(lines[0]) == b""


def test_requests_in_pieces_and_in_rows_are_answered_as_ever(narrow: str) -> None:
    with connected(narrow) as line:
        for piece in (b"GET /hea", b"lth HTTP/1.1\r\nho", b"st: x\r\n", b"\r\n"):
            line.sendall(piece)
            time.sleep(0.01)
        assert line.recv(65_536).startswith(b"HTTP/1.1 200 ")
        line.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" * 3)
        line.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert said_until_closed(line).count(b"HTTP/1.1 200 ") == 4


def test_nobody_speaks_anything_but_http_here(hurried: str) -> None:
    upgrade = (
        b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: eA==\r\n\r\n"
    )
    with connected(hurried) as line:
        line.sendall(upgrade)
        assert b" 101 " not in line.recv(65_536)
    for garbage in (b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0" * 100):
        with connected(hurried) as line:
            line.sendall(garbage)
            assert not said_until_closed(line).startswith(b"HTTP/1.1 2")


@pytest.fixture
def workspace(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Workspace]:
    made = workspace_at(tmp_path, migrated_sqlite)
    yield made
    made.store.close()


def test_a_connection_that_is_reset_leaves_nothing_behind(hurried: str) -> None:
    def kept() -> int:
        gc.collect()
        return sum(isinstance(one, PatientProtocol) for one in gc.get_objects())

    before = kept()
    for _ in range(50):
        with connected(hurried) as line:
            line.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            assert status_of_the_next(line) == 200
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    deadline = time.monotonic() + SOON
    while kept() > before + 5 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert kept() <= before + 5, "their keep-alive would have held them for 75 seconds"


@pytest.mark.parametrize("begun", [b"", b"GET /health HTTP/1.1\r\nho"], ids=["idle", "in-headers"])
def test_a_server_that_was_suspended_answers_whatever_came_meanwhile(
    company_store: Store, tmp_path: Path, begun: bytes
) -> None:
    """Its clocks have run out when it wakes, and the requests lie in the sockets, unread."""
    request = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
    settings = {"PROPENSITY_KEEP_ALIVE_SECONDS": "1", "PROPENSITY_HEADER_SECONDS": "1"}
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": str(tmp_path)})
    with working(workspace, "nobody's", settings) as served, ExitStack() as opened:
        address = str(served.client.base_url)
        lines = [opened.enter_context(connected(address)) for _ in range(10)]
        for line in lines:
            line.sendall(request)
            assert status_of_the_next(line) == 200
            line.sendall(begun)
        served.process.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        for line in lines:
            line.sendall(request.removeprefix(begun))
        served.process.send_signal(signal.SIGCONT)
        assert [status_of_the_next(line) for line in lines] == [200] * 10
        assert said_until_closed(lines[0]) == b"", "who sends nothing more is hung up on, as ever"
    workspace.store.close()


@pytest.mark.parametrize(("trusted", "statuses"), [("127.0.0.1", {303}), ("192.0.2.1", {303, 429})])
def test_only_a_trusted_proxy_may_say_from_where_a_request_comes(
    workspace: Workspace, trusted: str, statuses: set[int]
) -> None:
    limits = {"stranger_rate": 0.01, "stranger_burst": 1}
    with serving(workspace, trusted_proxies=trusted, **limits) as address:
        given = {
            httpx.get(f"{address}/", headers={"x-forwarded-for": f"203.0.113.{i}"}).status_code
            for i in range(3)
        }
    assert given == statuses


@pytest.mark.slow
def test_two_hundred_senders_of_one_byte_a_second_move_nobody_elses_p99(
    workspace: Workspace,
) -> None:
    with workspace.store.write() as connection:
        key = create_key(connection, "crm", "crm", NOW)
    stop = threading.Event()
    with serving(workspace) as address, ExitStack() as attack:
        headers = {"authorization": f"Bearer {key}"}
        http = attack.enter_context(httpx.Client(base_url=address, headers=headers))
        seconds(http, 100)
        alone = p99(seconds(http, 1_000))
        threads = [
            threading.Thread(target=_keep_dribbling, args=(address, 50, kind, stop))
            for kind in range(4)
        ]
        for thread in threads:
            thread.start()
        time.sleep(3)
        among = p99(seconds(http, 1_000))
        stop.set()
        for thread in threads:
            thread.join(30)
    print(f"p99 alone {1e3 * alone:.2f} ms, among 200 dribblers {1e3 * among:.2f} ms")
    assert among < 5 * alone


def seconds(http: httpx.Client, n: int) -> list[float]:
    found = []
    for _ in range(n):
        began = time.perf_counter()
        assert http.get("/v1/queue").status_code == 200
        found.append(time.perf_counter() - began)
    return found


def p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[-1]


_BEGINNINGS = (
    b"",
    b"GET / HTTP/1.1\r\nx-a: ",
    b"POST /v1/scores HTTP/1.1\r\nhost: x\r\ncontent-length: 99999\r\n\r\n",
    b"POST /v1/events HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
)


def _keep_dribbling(address: str, n: int, kind: int, stop: threading.Event) -> None:
    """Hold `n` connections with a byte a second each; a new one for each that is closed."""
    lines: list[socket.socket] = []
    with ExitStack() as opened:
        while not stop.wait(1.0):
            while len(lines) < n:
                lines.append(opened.enter_context(connected(address)))
                lines[-1].sendall(_BEGINNINGS[kind])
            lines = [line for line in lines if _sent(line)]


def _sent(line: socket.socket) -> bool:
    try:
        line.sendall(b"x")
    except OSError:
        return False
    return True
