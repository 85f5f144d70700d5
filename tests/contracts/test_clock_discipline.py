"""Is time an argument everywhere, and compared in one place only?"""

from __future__ import annotations

import ast
import re

import pytest
from source_files import PACKAGES, parsed, python_files

ASK_THE_TIME = {
    "features/store/one_clock.py",
    "serving/logs.py",
    "propensity.py",
}
"""Where the outside world begins: commands, the one place where a request gets its time, and the log,
whose lines say when they were written."""

COMPARE_TIMES = {
    "features/clock.py",
    "features/store/ledger.py",  # which of two scores of a lead speaks for the later instant
}

_CLOCKS = re.compile(r"(datetime|date)\.(now|utcnow|today)|time\.(time|time_ns|localtime|gmtime)")
_INSTANT = re.compile(r"(_at|(^|_)as_of)$")


def _calls_of_a_clock(tree: ast.AST) -> list[str]:
    called = [ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)]
    imported = [
        f"time.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
    ]
    return [name for name in (*called, *imported) if _CLOCKS.search(name)]


def _comparisons_of_instants(tree: ast.AST) -> list[str]:
    """Comparisons by order in which a name of an instant takes part; SQL's columns are exempt."""
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for op in node.ops)
        and any(_INSTANT.search(name) for name in _names(node))
        and not any(isinstance(n, ast.Attribute) and n.attr == "c" for n in ast.walk(node))
    ]


def _names(node: ast.AST) -> list[str]:
    return [
        n.attr if isinstance(n, ast.Attribute) else n.id
        for n in ast.walk(node)
        if isinstance(n, ast.Attribute | ast.Name)
    ]


@pytest.mark.parametrize("name", python_files(*PACKAGES, "propensity.py"))
def test_only_commands_and_requests_ask_what_time_it_is(name: str) -> None:
    if name not in ASK_THE_TIME:
        assert _calls_of_a_clock(parsed(name)) == []


@pytest.mark.parametrize("name", python_files("features"))
def test_only_the_clock_compares_instants(name: str) -> None:
    if name not in COMPARE_TIMES:
        assert _comparisons_of_instants(parsed(name)) == []


def test_the_lists_of_exceptions_hold_nothing_that_needs_none() -> None:
    known = python_files(*PACKAGES, "propensity.py")
    asking = {name for name in known if _calls_of_a_clock(parsed(name))}
    comparing = {name for name in known if _comparisons_of_instants(parsed(name))}
    assert asking == ASK_THE_TIME
    assert comparing >= COMPARE_TIMES


@pytest.mark.parametrize(
    "statement",
    [
        "datetime.now(UTC)",
        "x = datetime.datetime.utcnow()",
        "time.time()",
        "from time import time_ns",
        "date.today().year",
        "time.time_ns() // 1000",
    ],
)
def test_asking_for_the_time_is_seen(statement: str) -> None:
    assert _calls_of_a_clock(ast.parse(statement))


@pytest.mark.parametrize(
    ("expression", "seen"),
    [
        ("occurred_at < as_of", True),
        ("facts.recorded_at[fact] <= cutoff", True),
        ("0 < fact.as_of - width", True),
        ("as_of == other", False),
        ("best < worst", False),
        ("events.c.recorded_at < before", False),
    ],
)
def test_comparing_instants_is_seen(expression: str, seen: bool) -> None:
    assert bool(_comparisons_of_instants(ast.parse(expression))) == seen
