"""When is a fact known? The only place that compares instants.

An instant is an int64: microseconds since 1970-01-01 UTC. A fact is known at `as_of` if and only
if it happened *and* was recorded strictly before `as_of`; windows are half-open `[as_of − w, as_of)`
and outcomes `[as_of, as_of + h)`. One example, used throughout the tests: as_of = 12:00, w = 2 h;
10:00 is inside, 09:59:59.999999 and 12:00 are not; a deal at 12:00 is an outcome, not a fact.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from features.errors import InputError

Instants = NDArray[np.int64]
Mask = NDArray[np.bool_]

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_instant(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime.

    Raises:
        InputError: the datetime is naive; its time zone would be a guess.
    """
    if moment.tzinfo is None:
        raise InputError(
            f"the time {moment.isoformat()} has no time zone",
            hint="Write it with an offset, such as 2026-05-01T12:00:00Z.",
        )
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(instant: int) -> datetime:
    """The aware UTC datetime of an instant."""
    return _EPOCH + timedelta(microseconds=int(instant))


def iso(instant: int) -> str:
    """An instant as text for people and JSON: `2026-05-01T12:00:00Z`, fractions only where there are."""
    return to_datetime(instant).isoformat().replace("+00:00", "Z")


def days(length: float) -> int:
    """A length in days as microseconds."""
    return round(length * DAY)


def in_days(span: NDArray[np.int64]) -> NDArray[np.float64]:
    """Spans in microseconds, shape (n,), as days."""
    return span / float(DAY)


def before(one: int, other: int) -> bool:
    """Whether one instant lies strictly before another."""
    return one < other


def known(occurred_at: Instants, recorded_at: Instants, as_of: Instants) -> Mask:
    """Which facts are known at their as-of: both times strictly before it. Shapes broadcast."""
    return (occurred_at < as_of) & (recorded_at < as_of)


def known_since(occurred_at: Instants, recorded_at: Instants) -> Instants:
    """The instant after which a fact is known: the later of its two times, shape (n,)."""
    return np.maximum(occurred_at, recorded_at)


def in_window(occurred_at: Instants, as_of: Instants, width: int) -> Mask:
    """Which instants lie in `[as_of − width, as_of)`. Shapes broadcast."""
    return (occurred_at >= as_of - width) & (occurred_at < as_of)


def in_horizon(occurred_at: Instants, as_of: Instants, horizon: int | None) -> Mask:
    """Which outcomes lie in `[as_of, as_of + horizon)`; None means: at any later time."""
    begun = occurred_at >= as_of
    return begun if horizon is None else begun & (occurred_at < as_of + horizon)


def horizon_passed(as_of: Instants, horizon: int, lag: int, cutoff: int) -> Mask:
    """Which horizons have fully passed at `cutoff`, with `lag` for outcomes still being recorded."""
    return as_of + horizon + lag <= cutoff
