"""What has the lead done? The edges of windows and days, by hand; `tests/parity` compares the rest."""

from __future__ import annotations

import pytest
from agreed import NOW, agreed

from features.clock import DAY, HOUR
from features.engagement import window_name
from features.facts import Event, Queries
from features.gather import FactsBuilder
from features.pipeline import compute_features

AGREED = agreed()


def _row(*ages: int, channel: str | None = None) -> dict[str, str | float | None]:
    """The features of a lead that visited at these ages, in microseconds before noon."""
    visits = [
        Event(
            lead="ada",
            kind="visit",
            channel=channel,
            occurred_at=NOW - age,
            recorded_at=NOW - age,
            external_id=f"visit {i}",
        )
        for i, age in enumerate(ages)
    ]
    facts = FactsBuilder.of_records(AGREED, visits).build()
    return compute_features(facts, Queries.at([0], NOW), AGREED).row(0)


@pytest.mark.parametrize(
    ("age", "counted"),
    [(0, 0.0), (1, 1.0), (12 * HOUR - 1, 1.0), (12 * HOUR, 1.0), (12 * HOUR + 1, 0.0)],
)
def test_a_window_of_twelve_hours_holds_its_begin_and_not_its_end(age: int, counted: float) -> None:
    assert _row(age)["ev_visit_12h"] == counted


@pytest.mark.parametrize(
    ("ages", "days"),
    [
        ((1, DAY), 1.0),
        ((1, DAY + 1), 2.0),
        ((DAY, DAY + 1), 2.0),
        ((DAY + 1, 2 * DAY), 1.0),
        ((1, 2, 3), 1.0),
    ],
)
def test_days_are_counted_back_from_the_as_of_and_hold_their_begin(
    ages: tuple[int, ...], days: float
) -> None:
    """The day before noon is [yesterday noon, today noon): no time zone enters."""
    assert _row(*ages)["ev_days_7d"] == days


def test_the_trend_is_the_share_of_the_longest_window_that_lies_in_the_shortest() -> None:
    assert _row(HOUR, 2 * HOUR, 8 * DAY, 9 * DAY)["ev_trend"] == 0.25
    assert _row(40 * DAY)["ev_trend"] is None


def test_silence_is_measured_in_usual_gaps() -> None:
    """Gaps of two days and silent for four: twice the usual."""
    assert _row(4 * DAY, 6 * DAY, 8 * DAY)["ev_silence"] == 2.0
    assert _row(4 * DAY)["ev_silence"] is None
    assert _row(4 * DAY, 4 * DAY)["ev_silence"] is None


def test_events_without_a_channel_count_in_all_but_through_none() -> None:
    row = _row(HOUR, 2 * HOUR)
    assert (row["ev_any_ever"], row["ev_channels"], row["ev_via_web_726h"]) == (2.0, 0.0, 0.0)
    row = _row(HOUR, 2 * HOUR, channel="web")
    assert (row["ev_channels"], row["ev_via_web_726h"]) == (1.0, 2.0)


@pytest.mark.parametrize(
    ("length", "name"),
    [(1, "1d"), (30.25, "726h"), (1 / 1440, "1min"), (1 / 86400, "1s"), (3650, "3650d")],
)
def test_a_window_is_named_in_the_largest_unit_in_which_it_is_whole(
    length: float, name: str
) -> None:
    assert window_name(length) == name
