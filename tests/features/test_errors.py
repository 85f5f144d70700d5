"""Does an error say what was wrong, where, with which value, and what to do next?"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import errors
from features.errors import InputError, Problem, PropensityError, shown

KINDS = [kind for kind in PropensityError.__subclasses__() if kind.__module__ == errors.__name__]


def test_every_error_has_a_code_of_its_own_and_a_status_that_http_knows() -> None:
    assert len({kind.code for kind in KINDS} | {PropensityError.code}) == len(KINDS) + 1
    assert all(400 <= kind.status <= 599 for kind in KINDS)


def test_the_tree_in_the_module_lists_every_error_with_its_status() -> None:
    lines = (errors.__doc__ or "").splitlines()
    listed = {
        words[1]: int(words[2])
        for words in map(str.split, lines)
        if words[:1] in (["├──"], ["└──"])
    }
    assert listed == {kind.__name__: kind.status for kind in KINDS}


def test_an_error_tells_its_message_its_problems_and_its_hint() -> None:
    error = InputError(
        "two rows cannot be used",
        hint="Correct them and send them again.",
        problems=[
            Problem("row 1", "lead", "", "must not be empty"),
            Problem("row 2", "kind", "'x'", "no"),
        ],
    )
    assert str(error).splitlines() == [
        "two rows cannot be used",
        "  - row 1: lead: must not be empty",
        "  - row 2: kind = 'x': no",
        "Correct them and send them again.",
    ]


@pytest.mark.parametrize(("number", "rest"), [(50, None), (51, 1), (1_000, 950)])
def test_of_very_many_problems_fifty_are_told_and_the_rest_counted(
    number: int, rest: int | None
) -> None:
    error = InputError("bad", problems=(Problem(f"row {i}", "a", "", "no") for i in range(number)))
    assert len(error.problems) == number
    lines = str(error).splitlines()
    assert len(lines) == (51 if rest is None else 52)
    assert rest is None or lines[-1] == f"  … and {rest} more"


def test_a_problem_as_json_is_flat() -> None:
    problem = Problem("row 1", "lead", "'x'", "no such lead")
    assert json.loads(json.dumps(problem.to_json())) == {
        "where": "row 1",
        "field": "lead",
        "value": "'x'",
        "message": "no such lead",
    }


@given(st.text(st.characters()) | st.floats() | st.integers() | st.none(), st.integers(2, 60))
def test_a_value_is_shown_short_and_printable(value: object, limit: int) -> None:
    text = shown(value, limit)
    assert len(text) <= limit
    assert text.isprintable()
    text.encode()
