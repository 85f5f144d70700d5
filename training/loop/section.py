"""What is a section of the report? A title, a few sentences, a table and perhaps a picture, as JSON.

The page of the service and the file for the meeting show the same sections, so they are put in words
once, in training. A picture repeats what stands in the table beside it: nobody needs to see it to get a
figure. Names of segments are other people's text: whoever shows a section escapes all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

JSON = dict[str, Any]
Rows = list[list[str]]

MOST_ROWS = 26
"""Rows of a long table that are shown; the JSON has all."""


def section(
    key: str,
    title: str,
    words: Sequence[str],
    head: Sequence[str] = (),
    rows: Rows | None = None,
    *,
    numbers: Sequence[int] = (),
    off: Sequence[int] = (),
    picture: JSON | None = None,
) -> JSON:
    """A section as JSON.

    Args:
        key: what it is called in an address.
        title: for people.
        words: sentences before the table; empty ones are left out.
        head: of the table.
        rows: of the table, as text.
        numbers: which columns hold figures.
        off: which rows are to be looked at.
        picture: what a picture of the table shows: its `kind`, its `words`, its figures.
    """
    return {
        "key": key,
        "title": title,
        "words": [said for said in words if said],
        "head": list(head),
        "rows": rows or [],
        "numbers": list(numbers),
        "off": list(off),
        "picture": picture,
    }


def share(value: float | None, digits: int = 1) -> str:
    """A share in percent; a dash where it is not known."""
    return "–" if value is None else f"{value:.{digits}%}"


def figure(value: float | None, digits: int = 3) -> str:
    """A figure; a dash where it is not known."""
    return "–" if value is None else f"{value:.{digits}f}"


def ratio(interval: Mapping[str, Any] | None) -> str:
    """Observed over expected with its interval."""
    if interval is None or interval["upper"] is None:
        return "–"
    return f"{interval['estimate']:.2f} ({interval['lower']:.2f} to {interval['upper']:.2f})"


def shares(interval: Mapping[str, Any] | None) -> str:
    """A share with its interval, in percent."""
    if interval is None or interval["estimate"] is None:
        return "–"
    ends = f"{share(interval['lower'])} to {share(interval['upper'])}"
    return f"{share(interval['estimate'])} ({ends})"
