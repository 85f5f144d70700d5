"""Is the database asked seldom, and is what it said believed for a second and no longer?"""

from __future__ import annotations

import pytest

from features.errors import StoreError
from serving import reach
from serving.reach import Reach


class Sometimes:
    """A database that is there or not, and counts who asks."""

    def __init__(self) -> None:
        self.is_there = True
        self.asked = 0

    def check(self) -> None:
        self.asked += 1
        if not self.is_there:
            raise StoreError("gone")


def test_it_is_asked_once_a_second_whatever_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(reach.time, "monotonic", lambda: now)
    store = Sometimes()
    asked = Reach(store)  # type: ignore[arg-type]
    assert [asked.is_there() for _ in range(5)] == [True] * 5
    store.is_there = False
    now = 100.9
    assert asked.is_there()
    now = 101.1
    assert [asked.is_there() for _ in range(5)] == [False] * 5
    store.is_there = True
    now = 102.2
    assert asked.is_there()
    assert store.asked == 3
