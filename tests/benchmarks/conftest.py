"""The small sets, written once, and read once where a test only looks."""

from __future__ import annotations

import pytest
from tiny_sets import Tiny, write_set

from benchmarks.sets import History


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """`dated` with 600 leads and `undated` with 250."""
    place = tmp_path_factory.mktemp("sets")
    return Tiny(
        place,
        {
            "dated": write_set(place / "dated", 600, 1, dated=True),
            "undated": write_set(place / "undated", 250, 2, dated=False),
        },
    )


@pytest.fixture(scope="session")
def dated(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> History:
    """The set with dates, read."""
    return tiny.history("dated", tmp_path_factory.mktemp("dated"))


@pytest.fixture(scope="session")
def undated(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> History:
    """The set without time, read."""
    return tiny.history("undated", tmp_path_factory.mktemp("undated"))
