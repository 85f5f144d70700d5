"""Is there a bound to the work under way, and does whoever is turned away learn when to come again?"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import own_loop
import pytest

from serving.crowd import Crowd
from serving.errors import BusyError
from serving.limits import PROBES, _a_place


class Visits:
    """An app in which requests stay until they are let go, and what was answered."""

    def __init__(self, most: int) -> None:
        self.door = asyncio.Event()
        self.crowd = Crowd(self._stay, most)
        self.inside = 0
        self.most_inside = 0

    async def _stay(self, scope: Any, receive: Any, send: Any) -> None:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            await self.door.wait()
            if scope["path"] == "/fails":
                raise RuntimeError("as it happens")
            await send({"type": "http.response.start", "status": 200, "headers": []})
        finally:
            self.inside -= 1

    async def ask(
        self, path: str, where: str = "192.0.2.1"
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "path": path, "headers": [], "client": (where, 1)}
        await self.crowd(scope, None, send)  # type: ignore[arg-type]
        body = b"".join(message.get("body", b"") for message in sent)
        return sent[0]["status"], dict(sent[0]["headers"]), body


def test_more_requests_than_there_may_be_are_told_to_come_again() -> None:
    async def run() -> None:
        visits = Visits(most=3)
        staying = [asyncio.create_task(visits.ask("/v1/scores")) for _ in range(3)]
        await asyncio.sleep(0)
        status, headers, body = await visits.ask("/v1/scores")
        assert (status, headers[b"retry-after"]) == (503, b"1")
        assert json.loads(body)["type"] == "urn:propensity:problem:busy"
        # Probes and strangers' forms take no place, and find one.
        more = [asyncio.create_task(visits.ask(path)) for path in (*PROBES, "/sign-in")]
        await asyncio.sleep(0)
        visits.door.set()
        assert {status for status, *_ in await asyncio.gather(*staying, *more)} == {200}
        assert (await visits.ask("/v1/scores"))[0] == 200

    own_loop.run(run())


def test_senders_who_may_be_anybody_take_no_callers_place_and_one_address_not_all_of_theirs() -> (
    None
):
    async def run() -> None:
        visits = Visits(most=16)
        path = "/v1/webhooks/crm"
        held = [asyncio.create_task(visits.ask(path)) for _ in range(2)]
        held += [asyncio.create_task(visits.ask(path, f"192.0.2.{i}")) for i in range(2, 16)]
        await asyncio.sleep(0)
        assert (await visits.ask(path))[0] == 503, "the eighth part is taken"
        assert visits.inside == 16
        assert (await visits.ask(path, "192.0.2.99"))[0] == 503, "all are taken"
        held += [asyncio.create_task(visits.ask("/v1/scores")) for _ in range(16)]
        await asyncio.sleep(0)
        visits.door.set()
        assert {status for status, *_ in await asyncio.gather(*held)} == {200}
        assert [(await visits.ask(path))[0] for _ in range(20)] == [200] * 20

    own_loop.run(run())


def test_whoever_reads_slowly_has_given_the_place_back() -> None:
    async def run() -> None:
        visits, taken = Visits(most=1), asyncio.Event()
        visits.door.set()

        async def send(_: Any) -> None:
            await taken.wait()

        scope = {"type": "http", "path": "/v1/scores", "headers": []}
        slow = asyncio.create_task(visits.crowd(scope, None, send))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        assert [(await visits.ask("/v1/scores"))[0] for _ in range(2)] == [200, 200]
        taken.set()
        await slow
        assert (await visits.ask("/v1/scores"))[0] == 200

    own_loop.run(run())


def test_a_request_that_fails_gives_its_place_back() -> None:
    async def run() -> None:
        visits = Visits(most=1)
        visits.door.set()
        for _ in range(3):
            with pytest.raises(RuntimeError):
                await visits.ask("/fails")
        assert (await visits.ask("/v1/scores"))[0] == 200

    own_loop.run(run())


def test_bodies_with_many_rows_wait_their_turn_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []

    async def visit(places: asyncio.Semaphore, name: str, seconds: float) -> None:
        async with _a_place(places):
            order.append(name)
            await asyncio.sleep(seconds)

    async def run() -> None:
        places = asyncio.Semaphore(1)
        await asyncio.gather(visit(places, "first", 0.0), visit(places, "second", 0.0))
        assert order == ["first", "second"]
        holding = asyncio.create_task(visit(places, "long", 3_600))
        await asyncio.sleep(0)
        monkeypatch.setattr("serving.limits._BULK_PATIENCE_SECONDS", 0.05)
        with pytest.raises(BusyError):
            await visit(places, "late", 0.0)
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        await visit(places, "after", 0.0)
        assert order[-2:] == ["long", "after"]

    own_loop.run(run())
