"""How are figures and times said to people? Probabilities, odds, spans of time, counts.

No probability is ever shown as 0 % or 100 %: what is certain is not a prediction.
"""

from __future__ import annotations

import math

from features.clock import DAY, HOUR, SECOND, to_datetime

MINUS = "\N{MINUS SIGN}"

_SPANS = (
    (365 * DAY, "year"),
    (30 * DAY, "month"),
    (DAY, "day"),
    (HOUR, "hour"),
    (60 * SECOND, "minute"),
)


def percent(probability: float) -> str:
    """A probability in whole percent, never 0 or 100.

    >>> percent(0.234), percent(0.004), percent(0.996)
    ('23 %', '<1 %', '>99 %')
    """
    if probability < 0.01:
        return "<1 %"
    if probability > 0.99:
        return ">99 %"
    return f"{probability * 100:.0f} %"


def percent_exactly(probability: float) -> str:
    """A probability with two decimals, for those who ask; never 0 or 100.

    >>> percent_exactly(0.23456), percent_exactly(0.00001)
    ('23.46 %', '<0.01 %')
    """
    if probability < 0.0001:
        return "<0.01 %"
    if probability > 0.9999:
        return ">99.99 %"
    return f"{probability * 100:.2f} %"


def threshold(probability: float) -> str:
    """A threshold somebody agreed on, as written: `25 %`, `2.5 %`, `0 %`."""
    return f"{probability * 100:.10g} %"


def in_a_hundred(probability: float) -> str:
    """A probability as so many of a hundred.

    >>> in_a_hundred(0.234), in_a_hundred(0.004)
    ('about 23 in 100', 'fewer than 1 in 100')
    """
    if probability < 0.01:
        return "fewer than 1 in 100"
    if probability > 0.99:
        return "more than 99 in 100"
    return f"about {probability * 100:.0f} in 100"


def odds(log_odds: float) -> str:
    """What a reason does to the odds of buying: a factor of two figures.

    >>> odds(0.588), odds(-0.844), odds(3.0), odds(0.0)
    ('× 1.8', '× 0.43', '× 20', '× 1.0')
    """
    factor = math.exp(max(-50.0, min(50.0, log_odds)))
    if factor >= 9.95:
        return f"× {factor:,.0f}" if factor < 1e6 else "× over a million"
    if factor >= 0.995:
        return f"× {factor:.1f}"
    if factor >= 0.0995:
        return f"× {factor:.2f}"
    return f"× {factor:.1g}" if factor >= 1e-4 else "× under 0.0001"


def signed(figure: float, digits: int = 2) -> str:
    """A figure with its sign, the minus as long as the plus.

    >>> signed(0.5), signed(-0.5), signed(-0.001)
    ('+0.50', '−0.50', '+0.00')
    """
    rounded = round(figure, digits)
    return f"{MINUS if rounded < 0 else '+'}{abs(rounded):.{digits}f}"


def plain(figure: float, digits: int = 2) -> str:
    """A figure with a sign only when it is negative.

    >>> plain(1.234), plain(-1.234)
    ('1.23', '−1.23')
    """
    return signed(figure, digits).removeprefix("+")


def counted(number: int, one: str, many: str | None = None) -> str:
    """A count with its noun.

    >>> counted(1, "lead"), counted(9874, "lead"), counted(0, "entry", "entries")
    ('1 lead', '9,874 leads', '0 entries')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def span(length: int) -> str:
    """A length of time by its largest unit, rounded down.

    >>> span(3 * 3_600_000_000), span(59_000_000), span(400 * 86_400_000_000)
    ('3 hours', 'less than a minute', '1 year')
    """
    for unit, name in _SPANS:
        if abs(length) >= unit:
            return counted(abs(length) // unit, name)
    return "less than a minute"


def ago(instant: int, now: int) -> str:
    """When something was, seen from now.

    >>> ago(0, 5 * 86_400_000_000), ago(0, 30_000_000), ago(7_200_000_000, 0)
    ('5 days ago', 'just now', 'in 2 hours')
    """
    if abs(now - instant) < 60 * SECOND:
        return "just now"
    return f"{span(now - instant)} ago" if instant <= now else f"in {span(instant - now)}"


def on_day(instant: int) -> str:
    """A day: `3 May 2026`."""
    moment = to_datetime(instant)
    return f"{moment.day} {moment:%b %Y}"


def at_minute(instant: int) -> str:
    """A minute, with its time zone: `3 May 2026, 14:05 UTC`."""
    return f"{on_day(instant)}, {to_datetime(instant):%H:%M} UTC"


def hours(number: float) -> str:
    """A time to respond in: hours up to two days, then days where they are whole.

    >>> hours(4), hours(24), hours(1), hours(0.5), hours(120)
    ('4 hours', '24 hours', '1 hour', '30 minutes', '5 days')
    """
    if number < 1:
        return counted(round(number * 60), "minute")
    if number >= 48 and number % 24 == 0:
        return f"{number / 24:.0f} days"
    return f"{number:g} hour{'' if number == 1 else 's'}"


def horizon(length_days: float | None) -> str:
    """What a probability promises.

    >>> horizon(90), horizon(None)
    ('within 90 days', 'before it closes')
    """
    return "before it closes" if length_days is None else f"within {length_days:g} days"


def promise(length_days: float | None) -> str:
    """How a probability is to be read, in a sentence."""
    if length_days is None:
        return "20 % means: one in five of such leads buys in the end."
    return f"20 % means: one in five of such leads buys {horizon(length_days)}."


def short(digest: str) -> str:
    """The first digits of a digest."""
    return digest[:8]
