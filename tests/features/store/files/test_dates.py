"""Dates in all the ways of writing them; expected instants come from Python's own datetime."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.clock import to_datetime, to_instant
from features.errors import DefinitionError
from features.store.files.dates import day_evidence, instant, month_number, time_zone

NOON = datetime(2025, 12, 31, 14, 5, tzinfo=UTC)
DAY = datetime(2025, 12, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-12-31", DAY),
        ("20251231", DAY),
        ("2025/12/31", DAY),
        ("2025.12.31", DAY),
        ("31.12.2025", DAY),
        ("31/12/2025", DAY),
        ("31-12-25", DAY),
        ("31 Dec 2025", DAY),
        ("31. December 2025", DAY),
        ("31-Dec-25", DAY),
        ("Dec 31, 2025", DAY),
        ("December 31st, 2025", DAY),
        ("Wed, 31 Dec 2025", DAY),
        ("2025-12-31T14:05:00Z", NOON),
        ("2025-12-31 14:05", NOON),
        ("2025-12-31T15:05:00+01:00", NOON),
        ("2025-12-31 15:05:00 +0100", NOON),
        ("2025-12-31 14:05:00 UTC", NOON),
        ("31.12.2025 14:05", NOON),
        ("31.12.2025, 14:05:00", NOON),
        ("31/12/2025 2:05 PM", NOON),
        ("31/12/2025 02:05:00 p.m.", NOON),
        ("2025-12-31T14:05:00.250Z", NOON + timedelta(milliseconds=250)),
        ("2025-12-31T14:05:00.250000999Z", NOON + timedelta(milliseconds=250)),
        ("1767189900", NOON),
        ("1767189900000", NOON),
        ("1767189900000000", NOON),
    ],
)
def test_moments_are_read_as_people_and_programs_write_them(text: str, moment: datetime) -> None:
    assert instant(text, day_first=True) == to_instant(moment)


def test_the_order_of_day_and_month_is_the_columns() -> None:
    assert instant("01/02/2026", day_first=True) == to_instant(datetime(2026, 2, 1, tzinfo=UTC))
    assert instant("01/02/2026", day_first=False) == to_instant(datetime(2026, 1, 2, tzinfo=UTC))
    with pytest.raises(ValueError, match="month first"):
        instant("31/12/2025", day_first=False)


@pytest.mark.parametrize(("text", "year"), [("1/1/68", 2068), ("1/1/69", 1969), ("1/1/00", 2000)])
def test_two_digit_years_are_of_the_century_that_posix_says(text: str, year: int) -> None:
    assert to_datetime(instant(text)).year == year


def test_naive_times_are_in_the_columns_zone_and_others_keep_their_own() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    summer, winter = (
        instant("2025-07-01 12:00", zone=berlin),
        instant("2025-01-01 12:00", zone=berlin),
    )
    assert to_datetime(summer).hour == 10
    assert to_datetime(winter).hour == 11
    assert to_datetime(instant("2025-07-01T12:00Z", zone=berlin)).hour == 12
    assert to_datetime(instant("20250701", zone=berlin)) == datetime(2025, 6, 30, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "x", "2025-13-01", "2025-02-30", "31.02.2025", "0000-00-00", "99999999", "2025", "12:30",
     "31/12/2025 13:05 PM", "31/12/2025 25:00", "Foo 31, 2025", "2025-12-31Tx", "1" * 30,
     "31.12.2025" + " " * 100 + "14:05", "2025-12-31 14:05 +9999"],
)  # fmt: skip
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="date"):
        instant(text, day_first=True)


ZONED = st.datetimes(
    min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))),
)  # fmt: skip


@given(ZONED)
def test_iso_times_are_read_to_the_microsecond(moment: datetime) -> None:
    assert instant(moment.isoformat()) == to_instant(moment)
    assert instant(moment.isoformat(sep=" ")) == to_instant(moment)


@given(st.dates(), st.sampled_from("./-"), st.booleans())
def test_dates_with_numbers_are_read_in_both_orders(day: datetime, sign: str, first: bool) -> None:
    parts = (day.day, day.month) if first else (day.month, day.day)
    text = sign.join([*(str(part) for part in parts), f"{day.year:04d}"])
    assert instant(text, day_first=first) == to_instant(
        datetime(day.year, day.month, day.day, tzinfo=UTC)
    )


@given(st.text(max_size=80))
def test_any_text_is_a_moment_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(instant(text.strip()), int)


@pytest.mark.parametrize(
    ("text", "month"),
    [("jan", 1), ("May", 5), ("SEP", 9), ("sept", 9), ("September", 9), ("dec.", 12), ("7", 7),
     ("07", 7)],
)  # fmt: skip
def test_months_have_names_and_numbers(text: str, month: int) -> None:
    assert month_number(text) == month


@pytest.mark.parametrize("text", ["", "ja", "janua", "13", "0", "mai", "²"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a month"):
        month_number(text)


@pytest.mark.parametrize("name", ["Nowhere/Land", "../../etc/passwd", "", "Europe"])
def test_a_zone_that_is_none_is_named(name: str) -> None:
    with pytest.raises(DefinitionError, match="no time zone"):
        time_zone(name, "sources.x")


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("31/12/2025", "day"),
        ("12/31/2025", "month"),
        ("01/02/2025", "?/"),
        ("01.02.2025 10:00", "?."),
        ("01-02-25", "?-"),
        ("05/05/2025", ""),
        ("2025-02-01", ""),
        ("1 Feb 2025", ""),
        ("x", ""),
    ],
)
def test_a_cell_tells_the_order_only_where_it_can(text: str, evidence: str) -> None:
    assert day_evidence(text) == evidence
