"""Is everything that is wrong with a fact found, and everything that is right let through?"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from agreed import NOW, agreed
from hypothesis import given
from hypothesis import strategies as st
from strategies import FAR, records

from features.definition import Definition
from features.facts import Answer, Event, LeadVersion, Record, StageChange
from features.quality import (
    CLOCK_SKEW,
    EARLIEST,
    LATEST,
    is_finite,
    record_problems,
    text_problem,
)

AGREED = agreed()
VERSION = LeadVersion(lead="ada", occurred_at=NOW, recorded_at=NOW)
ANSWER = Answer(lead="ada", question="role", answer="Uses", occurred_at=NOW, recorded_at=NOW)
EVENT = Event(lead="ada", kind="visit", channel="web", occurred_at=NOW, recorded_at=NOW)
STAGE = StageChange(lead="ada", stage="new", occurred_at=NOW, recorded_at=NOW)


def _found(record: Record, now: int = NOW) -> list[str]:
    return [str(problem) for problem in record_problems(record, AGREED, now, "row 7")]


@given(records())
def test_facts_that_keep_the_rules_have_no_problems(record: Record) -> None:
    assert _found(record, FAR) == []


@pytest.mark.parametrize("record", [VERSION, ANSWER, EVENT, STAGE])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"lead": ""}, "lead: must not be empty"),
        ({"lead": "a\0"}, "lead = 'a\\x00': contains a NUL character"),
        ({"lead": "\ud800"}, "lead = '\\ud800': contains half of a surrogate pair"),
        ({"external_id": "\udfff"}, "external_id = '\\udfff': contains half of a surrogate pair"),
        ({"source": "a\0"}, "source = 'a\\x00': contains a NUL character"),
        ({"occurred_at": EARLIEST - 1}, "occurred_at = -62135596800000001: lies outside the years"),
        (
            {"recorded_at": LATEST},
            "recorded_at = 253402300800000000: lies outside the years 1 to 99",
        ),
        (
            {"occurred_at": NOW + CLOCK_SKEW + 1},
            "occurred_at = 2026-05-01T12:05:00.000001Z: lies in the future (it is 2026-05-01T12:00",
        ),
        (
            {"recorded_at": NOW + CLOCK_SKEW + 1},
            "recorded_at = 2026-05-01T12:05:00.000001Z: lies in",
        ),
    ],
)
def test_whom_it_is_about_and_when_it_was_are_checked_for_every_sort_of_fact(
    record: Record, change: dict[str, Any], problem: str
) -> None:
    (found,) = _found(replace(record, **change))
    assert found.startswith(f"row 7: {problem}")


@pytest.mark.parametrize(
    ("field", "longest"), [("lead", 300), ("external_id", 300), ("source", 64)]
)
def test_names_may_be_as_long_as_their_column_and_no_longer(field: str, longest: int) -> None:
    change: dict[str, Any] = {field: "ü" * longest}
    assert _found(replace(EVENT, **change)) == []
    change = {field: "ü" * (longest + 1)}
    (found,) = _found(replace(EVENT, **change))
    assert found.endswith(f"is longer than {longest} characters ({longest + 1})")
    assert len(found) < 500


@pytest.mark.parametrize("instant", [EARLIEST, NOW, NOW + CLOCK_SKEW])
def test_times_from_the_year_1_to_a_clock_running_ahead_are_allowed(instant: int) -> None:
    assert _found(replace(EVENT, occurred_at=instant, recorded_at=instant)) == []


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (replace(VERSION, kind="robot"), "kind = 'robot': must be prospect or client"),
        (replace(VERSION, owner="a\0"), "owner = 'a\\x00': contains a NUL character"),
        (replace(VERSION, name="x" * 301), f"name = '{58 * 'x'}…: is longer than 300 characters"),
        (
            replace(ANSWER, question="age"),
            "question = 'age': must be one of ['budget_allocated', 'role', 'pain', 'replaces', ",
        ),
        (
            replace(ANSWER, answer="decides"),
            "answer = 'decides': must be one of ['Decides', 'Advises', 'Uses', 'unknown'] (unknown: ",
        ),
        (
            replace(EVENT, kind="Visit"),
            "kind = 'Visit': must be one of ['visit', 'webinar', 'email",
        ),
        (
            replace(EVENT, channel="fax"),
            "channel = 'fax': must be one of ['web', 'email', 'phone']",
        ),
        (
            replace(STAGE, stage="gone"),
            "stage = 'gone': must be one of ['new', 'qualified', 'parked', 'won', 'lost', 'reopened']",
        ),
    ],
)
def test_what_the_definition_does_not_list_is_named_with_what_it_lists(
    record: Record, problem: str
) -> None:
    (found,) = _found(record)
    assert found.startswith(f"row 7: {problem}")


def test_asked_and_unknown_is_an_answer_to_every_question() -> None:
    for question in AGREED.question_by_name:
        assert _found(replace(ANSWER, question=question, answer="unknown")) == []


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("size", 1.0, f"is no attribute; there are {sorted(AGREED.attribute_by_name)}"),
        ("industry", "Farming", "must be one of ['Retail', 'Software', 'No', 'Öffentlich']"),
        ("city", 5.0, "must be text"),
        ("city", 0.0, "must be text"),
        ("industry", "", "must be one of ['Retail', 'Software', 'No', 'Öffentlich']"),
        ("employees", False, "must be a number"),
        ("newsletter", 0.0, "must be true or false"),
        ("city", True, "must be text"),
        ("city", "a\0", "contains a NUL character"),
        ("city", "\udc00", "contains half of a surrogate pair"),
        ("city", "x" * 301, "is longer than 300 characters (301)"),
        ("employees", "many", "must be a number"),
        ("employees", True, "must be a number"),
        ("employees", math.nan, "must be a finite number"),
        ("employees", math.inf, "must be a finite number"),
        ("employees", -math.inf, "must be a finite number"),
        ("employees", 10**400, "must be a finite number"),
        ("newsletter", 1.0, "must be true or false"),
        ("newsletter", "yes", "must be true or false"),
        ("founded", "2020-01-01", "must be a date"),
        ("founded", True, "must be a date"),
        ("founded", math.nan, "must be a finite number"),
        ("founded", 1e300, "lies outside the years 1 to 9999"),
        ("founded", float(LATEST), "lies outside the years 1 to 9999"),
    ],
)
def test_a_value_that_an_attribute_cannot_have_is_a_problem(
    name: str, value: Any, problem: str
) -> None:
    (found,) = _found(replace(VERSION, attributes={name: value}))
    assert found.endswith(f": {problem}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("industry", "No"),
        ("city", ""),
        ("city", "Zürich 𝄞"),
        ("employees", 5),
        ("employees", -1.5e308),
        ("newsletter", False),
        ("founded", float(EARLIEST)),
        ("contract_ends", float(NOW * 2)),
        *((name, None) for name in AGREED.attribute_by_name),
    ],
)
def test_a_value_that_an_attribute_can_have_is_none(name: str, value: Any) -> None:
    assert _found(replace(VERSION, attributes={name: value})) == []


def test_all_problems_of_a_fact_are_found_at_once() -> None:
    worst = LeadVersion(
        lead="",
        occurred_at=EARLIEST - 1,
        recorded_at=NOW + 10**12,
        attributes={"x": 1.0, "city": 5.0, "employees": math.nan},
        kind="robot",  # type: ignore[arg-type]
        owner="\0",
        name="\0",
        source="\0",
        external_id="\0",
    )
    fields = [problem.field for problem in record_problems(worst, AGREED, NOW, "row 1")]
    assert fields == [
        *("external_id", "source", "lead", "occurred_at", "recorded_at"),
        *("kind", "owner", "name", "'x'", "city", "employees"),
    ]


def test_without_events_in_the_definition_no_event_is_allowed() -> None:
    bare = Definition(name="bare")
    found = [str(problem) for problem in record_problems(EVENT, bare, NOW, "row 1")]
    assert found == [
        "row 1: kind = 'visit': must be one of []",
        "row 1: channel = 'web': must be one of []",
    ]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=300))
def test_every_text_that_utf_8_can_write_can_be_stored(text: str) -> None:
    assert text_problem(text) is None


@given(st.text(st.characters(categories=["Cs"]), min_size=1), st.text())
def test_no_text_that_utf_8_cannot_write_can_be_stored(half: str, rest: str) -> None:
    assert text_problem(rest + half) is not None


@pytest.mark.parametrize(
    ("number", "finite"), [(0, True), (10**308, True), (10**309, False), (-(10**400), False)]
)
def test_whole_numbers_of_any_size_are_asked_whether_a_float_can_hold_them(
    number: int, finite: bool
) -> None:
    assert is_finite(number) == finite
