"""Do the figures say what they should? Each expected text was written by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.clock import DAY, HOUR, SECOND
from serving import wording


@pytest.mark.parametrize(
    ("probability", "said"),
    [
        (1e-4, "<1 %"),
        (0.00999, "<1 %"),
        (0.01, "1 %"),
        (0.0149, "1 %"),
        (0.155, "16 %"),
        (0.5, "50 %"),
        (0.99, "99 %"),
        (0.9901, ">99 %"),
    ],
)
def test_a_probability_is_said_in_whole_percent(probability: float, said: str) -> None:
    assert wording.percent(probability) == said


@given(st.floats(min_value=0.0, max_value=1.0))
def test_no_probability_is_ever_said_to_be_0_or_100(probability: float) -> None:
    for said in (wording.percent(probability), wording.percent_exactly(probability)):
        assert said.removesuffix(" %") not in ("0", "100", "0.00", "100.00")


@given(st.floats(min_value=0.0, max_value=1.0), st.floats(min_value=0.0, max_value=1.0))
def test_a_higher_probability_is_never_said_to_be_lower(one: float, other: float) -> None:
    def rank(said: str) -> float:
        return float(said.removesuffix(" %").replace("<1", "0").replace(">99", "100"))

    low, high = sorted((one, other))
    assert rank(wording.percent(low)) <= rank(wording.percent(high))


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1.0, "× 1.0"),
        (1.84, "× 1.8"),
        (0.431, "× 0.43"),
        (0.05, "× 0.05"),
        (9.96, "× 10"),
        (1234.0, "× 1,234"),
        (0.999, "× 1.0"),
    ],
)
def test_odds_are_a_factor_of_two_figures(factor: float, said: str) -> None:
    assert wording.odds(math.log(factor)) == said


@given(st.floats(allow_nan=False))
def test_odds_of_any_size_are_said_shortly(log_odds: float) -> None:
    assert len(wording.odds(log_odds)) <= 20


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (0, "just now"),
        (59 * SECOND, "just now"),
        (60 * SECOND, "1 minute ago"),
        (HOUR, "1 hour ago"),
        (47 * HOUR, "1 day ago"),
        (29 * DAY, "29 days ago"),
        (31 * DAY, "1 month ago"),
        (365 * DAY, "1 year ago"),
        (-2 * DAY, "in 2 days"),
    ],
)
def test_the_past_is_said_by_its_largest_unit(length: int, said: str) -> None:
    assert wording.ago(10_000 * DAY - length, 10_000 * DAY) == said


def test_absolute_times_name_their_zone() -> None:
    assert wording.at_minute(1_777_636_800_000_000) == "1 May 2026, 12:00 UTC"


@pytest.mark.parametrize(
    ("number", "said"),
    [(0.25, "15 minutes"), (1, "1 hour"), (4, "4 hours"), (36, "36 hours"), (48, "2 days")],
)
def test_response_times_are_hours_until_they_are_days(number: float, said: str) -> None:
    assert wording.hours(number) == said


def test_the_promise_says_what_20_percent_means_with_and_without_a_horizon() -> None:
    assert wording.promise(90.0) == "20 % means: one in five of such leads buys within 90 days."
    assert wording.promise(None) == "20 % means: one in five of such leads buys in the end."


def test_figures_carry_a_minus_as_long_as_the_plus_and_no_minus_zero() -> None:
    assert [wording.signed(x) for x in (0.5, -0.5, -0.001, 0.0)] == [
        "+0.50",
        "−0.50",
        "+0.00",
        "+0.00",
    ]
