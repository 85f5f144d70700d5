"""When is a fact known? The worked example of the clock, edge by edge.

as_of = 12:00 and a window of 2 hours: 10:00 is inside, 09:59:59.999999 and 12:00 are not; a deal at
12:00 is an outcome, not a fact.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from agreed import NOW
from hypothesis import given
from hypothesis import strategies as st

from features import clock
from features.clock import DAY, HOUR
from features.errors import InputError

NOON = np.array([NOW])


def _at(hour: int, minute: int = 0, second: int = 0, microsecond: int = 0) -> np.ndarray:
    moment = datetime(2026, 5, 1, hour, minute, second, microsecond, tzinfo=UTC)
    return np.array([clock.to_instant(moment)])


TEN, ELEVEN, TWELVE = _at(10), _at(11), _at(12)
BEFORE_TEN, BEFORE_TWELVE = _at(9, 59, 59, 999_999), _at(11, 59, 59, 999_999)


@pytest.mark.parametrize(
    ("occurred", "inside"),
    [(BEFORE_TEN, False), (TEN, True), (BEFORE_TWELVE, True), (TWELVE, False)],
)
def test_a_window_holds_its_begin_and_not_its_end(occurred: np.ndarray, inside: bool) -> None:
    assert clock.in_window(occurred, NOON, 2 * HOUR).tolist() == [inside]


@pytest.mark.parametrize(
    ("occurred", "recorded", "is_known"),
    [
        (ELEVEN, ELEVEN, True),
        (BEFORE_TWELVE, BEFORE_TWELVE, True),
        (TWELVE, ELEVEN, False),
        (ELEVEN, TWELVE, False),
        (TWELVE, TWELVE, False),
    ],
)
def test_a_fact_is_known_when_it_happened_and_was_recorded_before(
    occurred: np.ndarray, recorded: np.ndarray, is_known: bool
) -> None:
    assert clock.known(occurred, recorded, NOON).tolist() == [is_known]


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 12))
def test_a_fact_is_known_exactly_after_the_later_of_its_times(
    occurred: int, recorded: int, as_of: int
) -> None:
    times = np.array([occurred]), np.array([recorded])
    since = clock.known_since(*times)
    assert clock.known(*times, np.array([as_of])).tolist() == [as_of > since[0]]


@pytest.mark.parametrize(
    ("close", "within"),
    [(BEFORE_TWELVE, False), (TWELVE, True), (_at(13, 59, 59, 999_999), True), (_at(14), False)],
)
def test_a_horizon_holds_the_as_of_and_not_its_end(close: np.ndarray, within: bool) -> None:
    assert clock.in_horizon(close, NOON, 2 * HOUR).tolist() == [within]


def test_without_a_horizon_every_later_time_is_within() -> None:
    closes = np.concatenate([BEFORE_TWELVE, TWELVE, TWELVE + 10_000 * DAY])
    assert clock.in_horizon(closes, NOON, None).tolist() == [False, True, True]


@given(st.integers(-5, 5))
def test_every_instant_is_in_the_window_or_in_the_horizon_and_never_in_both(step: int) -> None:
    occurred, forever = NOON + step, 10 * DAY
    window = clock.in_window(occurred, NOON, forever)
    assert (window ^ clock.in_horizon(occurred, NOON, None)).all()


@pytest.mark.parametrize(("cutoff", "passed"), [(NOW + 3, False), (NOW + 4, True), (NOW + 5, True)])
def test_a_horizon_has_passed_when_its_end_and_the_reporting_lag_are_over(
    cutoff: int, passed: bool
) -> None:
    assert clock.horizon_passed(NOON, horizon=3, lag=1, cutoff=cutoff).tolist() == [passed]


def test_shapes_broadcast() -> None:
    facts, queries = np.array([[1], [2], [3]]), np.array([1, 2, 3, 4])
    assert clock.known(facts, facts, queries).sum(axis=0).tolist() == [0, 1, 2, 3]


def test_an_instant_is_microseconds_since_1970_in_utc() -> None:
    assert clock.to_instant(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert clock.to_instant(datetime(1970, 1, 2, tzinfo=UTC)) == DAY
    # 1777636800 is what `date -u -d 2026-05-01T12:00:00 +%s` prints.
    assert clock.to_instant(datetime(2026, 5, 1, 12, tzinfo=UTC)) == NOW == 1_777_636_800_000_000


def test_an_offset_counts() -> None:
    berlin = timezone(timedelta(hours=2))
    assert clock.to_instant(datetime(2026, 5, 1, 14, tzinfo=berlin)) == NOW


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InputError, match=r"2026-05-01T12:00:00 has no time zone") as refusal:
        clock.to_instant(datetime(2026, 5, 1, 12))  # noqa: DTZ001
    assert "2026-05-01T12:00:00Z" in refusal.value.hint


@given(st.datetimes(timezones=st.timezones()))
def test_a_time_survives_being_made_an_instant(moment: datetime) -> None:
    assert clock.to_datetime(clock.to_instant(moment)) == moment.astimezone(UTC)


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (NOW, "2026-05-01T12:00:00Z"),
        (NOW - 1, "2026-05-01T11:59:59.999999Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_an_instant_is_shown_in_utc_with_fractions_only_where_there_are(
    instant: int, text: str
) -> None:
    assert clock.iso(instant) == text


@pytest.mark.parametrize(
    ("length", "microseconds"),
    [(1, DAY), (0.5, DAY // 2), (1 / 24, HOUR), (1 / 86400, 1_000_000), (0.1, 8_640_000_000)],
)
def test_days_are_counted_in_microseconds_without_drift(length: float, microseconds: int) -> None:
    assert clock.days(length) == microseconds
    assert clock.in_days(np.array([microseconds])).tolist() == [length]
