"""What has the lead done? Counts, recency, rhythm and trend of engagement events before the as-of.

Windows are `[as_of − w, as_of)`; days are counted back from the as-of, so that no time zone enters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.catalog import FeatureSpec
from features.clock import DAY, days, in_window
from features.definition import Definition
from features.facts import Facts, Ints, Queries
from features.frames import Column
from features.plans import planned
from features.windows import Seen, count, count_by, days_since, distinct, first, last, see

Floats = NDArray[np.float64]


def window_name(length_days: float) -> str:
    """A window as part of a column's name: `7d`, `12h`, `90min`.

    >>> window_name(7), window_name(0.5), window_name(0.0625)
    ('7d', '12h', '90min')
    """
    for unit, per_day in (("d", 1), ("h", 24), ("min", 1440)):
        amount = length_days * per_day
        if abs(amount - round(amount)) < 1e-9:
            return f"{round(amount)}{unit}"
    return f"{round(length_days * 86400)}s"


def _window_words(length_days: float) -> str:
    name = window_name(length_days)
    for unit, word in (("min", "minutes"), ("d", "days"), ("h", "hours"), ("s", "seconds")):
        if name.endswith(unit):
            return f"in {name.removesuffix(unit)} {word}"
    return name


def compute(facts: Facts, queries: Queries, definition: Definition) -> dict[str, Column]:
    """The columns of `specs`, each of shape (n,)."""
    kinds = [kind.name for kind in definition.engagement.kinds]
    if not kinds:
        return {}
    seen = see(facts.events, queries)
    columns: dict[str, Column] = {}
    totals = [
        _windowed(seen, days(w), window_name(w), kinds, columns)
        for w in definition.engagement.windows_days
    ]
    ever = count_by(seen, seen.code, len(kinds))
    for i, kind in enumerate(kinds):
        mine = seen.where(seen.code == i)
        columns[f"ev_{kind}_ever"] = ever[:, i].astype(np.float64)
        columns[f"ev_{kind}_recency_days"] = days_since(mine, last(mine))
    columns |= _rhythm(seen, totals)
    columns |= _channels(seen, definition)
    return {spec.name: columns[spec.name] for spec in specs(definition)}


def _windowed(seen: Seen, width: int, name: str, kinds: list[str], into: dict[str, Column]) -> Ints:
    """Counts in one window, by kind and in all; returns the latter."""
    inside = seen.where(in_window(-seen.age, np.zeros(1, dtype=np.int64), width))
    by_kind = count_by(inside, inside.code, len(kinds))
    for i, kind in enumerate(kinds):
        into[f"ev_{kind}_{name}"] = by_kind[:, i].astype(np.float64)
    total = count(inside)
    into[f"ev_any_{name}"] = total.astype(np.float64)
    into[f"ev_days_{name}"] = distinct(inside, (inside.age - 1) // DAY).astype(np.float64)
    return total


def _rhythm(seen: Seen, totals: list[Ints]) -> dict[str, Column]:
    """Recency, trend, and silence: the days since the last event over the usual gap between events."""
    number = count(seen)
    recency, oldest = days_since(seen, last(seen)), days_since(seen, first(seen))
    gap = _ratio(oldest - recency, number.astype(np.float64) - 1.0)
    return {
        "ev_any_ever": number.astype(np.float64),
        "ev_any_recency_days": recency,
        "ev_first_days": oldest,
        "ev_trend": _ratio(totals[0].astype(np.float64), totals[-1].astype(np.float64)),
        "ev_silence": _ratio(recency, gap),
    }


def _channels(seen: Seen, definition: Definition) -> dict[str, Column]:
    channels = definition.engagement.channels
    if not channels:
        return {}
    width = definition.engagement.windows_days[-1]
    inside = seen.where(in_window(-seen.age, np.zeros(1, dtype=np.int64), days(width)))
    by_channel = count_by(inside, inside.detail, len(channels))
    columns: dict[str, Column] = {
        f"ev_via_{channel}_{window_name(width)}": by_channel[:, i].astype(np.float64)
        for i, channel in enumerate(channels)
    }
    columns["ev_channels"] = (by_channel > 0).sum(axis=1).astype(np.float64)
    return columns


def _ratio(above: Floats, below: Floats) -> Floats:
    """The quotient where the divisor is positive, NaN elsewhere."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)


@planned
def specs(definition: Definition) -> list[FeatureSpec]:
    """The features this module makes: none without kinds of events."""
    engagement = definition.engagement
    if not engagement.kinds:
        return []
    found: list[FeatureSpec] = []
    for kind in engagement.kinds:
        fact, label, what = f"event:{kind.name}", kind.words, kind.words.lower()
        for width in engagement.windows_days:
            name = f"ev_{kind.name}_{window_name(width)}"
            found.append(
                _count(name, fact, label, f"{{value}} × {what} {_window_words(width)}", width)
            )
        found.append(_count(f"ev_{kind.name}_ever", fact, label, f"{{value}} × {what} so far"))
        found.append(
            _days(
                f"ev_{kind.name}_recency_days",
                fact,
                label,
                f"{what}: last one {{value}} days ago",
                f"no {what} yet",
            )
        )
    for width in engagement.windows_days:
        words = _window_words(width)
        for stem, phrase in (
            ("any", f"{{value}} events {words}"),
            ("days", f"active on {{value}} days {words}"),
        ):
            found.append(
                _count(f"ev_{stem}_{window_name(width)}", "event:all", "Engagement", phrase, width)
            )
    return [*found, *_RHYTHM, _trend(engagement.windows_days), *_channel_specs(definition)]


def _trend(windows: Sequence[float]) -> FeatureSpec:
    shortest, longest = _window_words(windows[0]), _window_words(windows[-1])
    phrase = f"{{value}} of the events {longest} came in the last {shortest.removeprefix('in ')}"
    return replace(_count("ev_trend", "event:all", "Engagement", phrase), unit="share")


def _channel_specs(definition: Definition) -> list[FeatureSpec]:
    engagement = definition.engagement
    if not engagement.channels:
        return []
    width = engagement.windows_days[-1]
    return [
        *(
            _count(
                f"ev_via_{channel}_{window_name(width)}",
                f"channel:{channel}",
                f"Channel {channel}",
                f"{{value}} events via {channel} {_window_words(width)}",
                width,
            )
            for channel in engagement.channels
        ),
        _count(
            "ev_channels",
            "event:all",
            "Engagement",
            f"{{value}} channels used {_window_words(width)}",
        ),
    ]


def _count(
    name: str, fact: str, label: str, phrase: str, window: float | None = None
) -> FeatureSpec:
    return FeatureSpec(
        name=name,
        kind="number",
        fact=fact,
        label=label,
        phrase=phrase,
        missing="none",
        window_days=window,
    )


def _days(name: str, fact: str, label: str, phrase: str, missing: str) -> FeatureSpec:
    return FeatureSpec(
        name=name,
        kind="number",
        fact=fact,
        label=label,
        phrase=phrase,
        missing=missing,
        unit="days",
    )


_RHYTHM = (
    _count("ev_any_ever", "event:all", "Engagement", "{value} events so far"),
    _days(
        "ev_any_recency_days",
        "event:all",
        "Engagement",
        "last active {value} days ago",
        "never active",
    ),
    _days(
        "ev_first_days", "event:all", "Engagement", "first active {value} days ago", "never active"
    ),
    _count("ev_silence", "event:all", "Engagement", "silent for {value} × the usual gap"),
)
