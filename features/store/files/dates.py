"""When does a cell say it was? Text into instants, as its column writes dates.

A cell that does not fit raises `ValueError` with a message for people. Whether the day comes first is
settled once per column (`features.store.files.styles`): `01/02/2026` alone cannot tell.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from features.clock import to_instant
from features.errors import DefinitionError, shown
from features.store.files.values import LONGEST

_TIME = (
    r"(?:(?:\s*,)?[\sT]+(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?(?:\d{2})?)?)?"
)
_SLASHED = re.compile(
    r"(?P<a>\d{1,2})(?P<sep>[./-])(?P<b>\d{1,2})(?P=sep)(?P<year>\d{4}|\d{2})" + _TIME, re.ASCII
)
_WRITTEN_DATES = tuple(
    re.compile(date + _TIME, re.ASCII)
    for date in (
        r"(?P<year>\d{4})(?P<sep>[./-])(?P<month>\d{1,2})(?P=sep)(?P<day>\d{1,2})",
        r"(?:[A-Za-z]{3,9},?\s+)?(?P<day>\d{1,2})\.?[\s/-]*(?P<month>[A-Za-z]{3,9})\.?,?[\s/-]*(?P<year>\d{4}|\d{2})",
        r"(?:[A-Za-z]{3,9},?\s+)?(?P<month>[A-Za-z]{3,9})\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<year>\d{4})",
    )
)
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_EPOCHS = {10: 1_000_000, 13: 1_000, 16: 1}
"""Digits of a time since 1970 -> microseconds a unit: seconds, milliseconds, microseconds."""


def instant(text: str, day_first: bool = False, zone: tzinfo = UTC) -> int:
    """A moment as microseconds since the epoch.

    Args:
        text: ISO 8601 with or without zone, `31.12.2025`, `12/31/2025 2:05 PM`, `31 Dec 2025`,
            `20251231`, or digits since 1970 (10: seconds, 13: milliseconds, 16: microseconds).
        day_first: whether the column writes the day before the month, where both are numbers.
        zone: the time zone of moments that name none.

    Raises:
        ValueError: it is no date or time.
    """
    if text[4:5] == "-":
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = _moment(text, day_first)
    elif text.isdigit() and text.isascii():
        return _digits(text, zone)
    else:
        moment = _moment(text, day_first)
    return to_instant(moment if moment.tzinfo else moment.replace(tzinfo=zone))


def _digits(text: str, zone: tzinfo) -> int:
    if len(text) in _EPOCHS:
        return int(text) * _EPOCHS[len(text)]
    if len(text) == 8:
        try:
            return to_instant(datetime.fromisoformat(text).replace(tzinfo=zone))
        except ValueError:
            pass
    raise _no_date()


def _moment(text: str, day_first: bool) -> datetime:
    text = text[: LONGEST + 1]
    if found := _SLASHED.fullmatch(text):
        month, day = (found["b"], found["a"]) if day_first else (found["a"], found["b"])
        return _composed(found, month, day, "day" if day_first else "month")
    for pattern in _WRITTEN_DATES:
        if found := pattern.fullmatch(text):
            return _composed(found, found["month"], found["day"])
    raise _no_date()


def _composed(found: re.Match[str], month: str, day: str, first: str | None = None) -> datetime:
    part = (found["part"] or "").ljust(6, "0")[:6]
    clock = (int(found["minute"] or 0), int(found["second"] or 0), int(part))
    try:
        date = (_year(found["year"]), month_number(month), int(day))
        moment = datetime(*date, _hour(found), *clock)  # noqa: DTZ001 - the zone follows
        return moment.replace(tzinfo=_offset(found["zone"]))
    except ValueError:
        raise ValueError(f"is no date with the {first} first" if first else "is no date") from None


def _year(text: str) -> int:
    year = int(text)
    if len(text) == 4:
        return year
    # POSIX: 69 to 99 are of the last century.
    return year + (1900 if year >= 69 else 2000)


def _hour(found: re.Match[str]) -> int:
    hour, half = int(found["hour"] or 0), (found["half"] or "").lower()
    if not half:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError
    return hour % 12 + (12 if half.startswith("p") else 0)


def _offset(zone: str | None) -> tzinfo | None:
    if not zone:
        return None
    if zone in ("Z", "UTC", "GMT"):
        return UTC
    return datetime.strptime(zone.replace(":", "").ljust(5, "0"), "%z").tzinfo


def month_number(text: str) -> int:
    """1 to 12 of a month's English name, its first three letters, or its number.

    Raises:
        ValueError: there is no such month.
    """
    lower = text.lower().rstrip(".")
    if lower.isdigit() and lower.isascii() and 1 <= int(lower) <= 12:
        return int(lower)
    for number, month in enumerate(_MONTHS, start=1):
        if lower in (month, month[:3]) or (lower == "sept" and number == 9):
            return number
    raise ValueError("must be a month, such as may or 5")


def _no_date() -> ValueError:
    return ValueError("must be a date or time, such as 2026-05-01 or 2026-05-01T12:00:00Z")


def time_zone(name: str, where: str) -> tzinfo:
    """The time zone of that name.

    Raises:
        DefinitionError: there is none.
    """
    if name.upper() in ("UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:  # a name that is not known is a KeyError
        raise DefinitionError(
            f"{where}: there is no time zone {shown(name)}",
            hint="Write it as in Europe/Berlin, or UTC.",
        ) from error


def day_evidence(text: str) -> str:
    """What a cell tells about its column's dates.

    Returns:
        `day` or `month`: what comes first; `?.`, `?/` or `?-`: both parts are 12 or less (with the
        separator used); empty where the order does not matter.
    """
    found = _SLASHED.fullmatch(text)
    if not found:
        return ""
    first, second = int(found["a"]), int(found["b"])
    if first > 12:
        return "day"
    if second > 12:
        return "month"
    return "" if first == second else f"?{found['sep']}"
