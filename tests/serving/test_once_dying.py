"""Is a request under a key carried out once, wherever the process dies that carries it out?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from keyed_requests import event, send, stored
from served import Served

from features.store import idempotency
from serving.once import Once

HELD = idempotency.HELD


class _DiedError(Exception):
    """Where it is raised, nothing runs any more; its sender gets no answer (here: a 500)."""


@contextmanager
def dying(where: str) -> Iterator[None]:
    """The process dies before the write is committed, or after it and before the answer."""
    patch = pytest.MonkeyPatch()

    def die(*_: Any) -> Any:
        raise _DiedError

    patch.setattr(Once, "keep" if where == "before" else "finish", die)
    patch.setattr(Once, "release", die)
    try:
        yield
    finally:
        patch.undo()


class _Sender(RuleBasedStateMachine):
    """Senders that ask again and again, of a service that dies now and then."""

    served: Served
    numbers: Iterator[int]

    def __init__(self) -> None:
        super().__init__()
        self.name = next(self.numbers)
        self.told: dict[int, tuple[int, bytes]] = {}
        self.asked: dict[int, int] = {}
        self.held: dict[int, int] = {}
        self.committed: set[int] = set()
        self.before = stored(self.served)

    def rows(self, body: int) -> list[dict[str, str]]:
        known = [event(1_000 * self.name + 10 * body + i) for i in range(body + 1)]
        return known if body < 3 else [event(1_000 * self.name, lead="nobody")]

    @rule(
        key=st.integers(0, 2),
        body=st.integers(0, 3),
        dies=st.sampled_from([None, "before", "after"]),
    )
    def ask(self, key: int, body: int, dies: str | None) -> None:
        name = f"{self.name}-{key}"
        if dies is None:
            answer = send(self.served, name, self.rows(body))
        else:
            with dying(dies):
                answer = send(self.served, name, self.rows(body))
        if answer.status_code == 500:
            assert dies is not None
            self.died(key, body, dies)
        else:
            self.answered(key, body, answer)

    def died(self, key: int, body: int, where: str) -> None:
        assert key not in self.told
        assert self.asked.setdefault(key, body) == body
        self.held[key] = self.served.clock.now + HELD
        if where == "after" and body < 3:
            self.committed.add(body)

    def answered(self, key: int, body: int, answer: Any) -> None:
        if self.asked.get(key, body) != body:
            assert answer.status_code == 422
            assert "key-reused" in answer.text
            return
        if answer.status_code == 409:
            assert self.served.clock.now < self.held[key]
            return
        if body == 3:
            # Nothing was written: the key is free again, for whatever request.
            assert answer.status_code == 422
            assert self.asked.pop(key, 3) == 3
            return
        self.asked[key] = body
        told = (answer.status_code, answer.content)
        assert answer.status_code == 200
        self.committed.add(body)
        assert self.told.setdefault(key, told) == told

    @rule()
    def wait(self) -> None:
        self.served.clock.now += HELD

    @invariant()
    def what_was_written_is_what_was_asked_each_once(self) -> None:
        assert stored(self.served) - self.before == sum(body + 1 for body in self.committed)


def _run(served: Served, examples: int) -> None:
    machine = type("Sender", (_Sender,), {"served": served, "numbers": count(1)})
    few = settings(
        max_examples=examples,
        stateful_step_count=12,
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    run_state_machine_as_test(machine, settings=few)


def test_whatever_dies_a_request_is_carried_out_once_and_answered_alike(bare_lite: Served) -> None:
    _run(bare_lite, 10)


@pytest.mark.slow
def test_whatever_dies_the_same_on_both_databases(bare: Served) -> None:
    _run(bare, 150)


@pytest.mark.parametrize("where", ["before", "after"])
def test_after_a_death_who_asks_again_is_told_what_was_done(bare: Served, where: str) -> None:
    with dying(where):
        assert send(bare, "k", [event(1)]).status_code == 500
    assert stored(bare) == (where == "after")
    if where == "before":
        busy = send(bare, "k", [event(1)])
        assert (busy.status_code, busy.headers["retry-after"]) == (409, "1")
        bare.clock.now += HELD
    told = send(bare, "k", [event(1)])
    assert told.json() == {"added": 1, "unchanged": 0, "rejected": [], "rescored": 0}
    assert send(bare, "k", [event(1)]).content == told.content
    assert stored(bare) == 1
