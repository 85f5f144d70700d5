"""When is each step due? A table of (step, every, after) on a grid that everybody shares.

The grid begins on a Monday at midnight UTC and knows no host: two workers, or one that was down for a
month, find the same due times. A step is due when its newest due time was not answered yet, so however
many were missed, it is run once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from features.clock import DAY, HOUR, MINUTE
from features.errors import InputError, Problem, shown
from features.yaml_text import read_yaml

_FIRST_MONDAY = 4 * DAY
"""1970-01-05T00:00:00Z."""

_UNITS = {"minute": MINUTE, "hour": HOUR, "day": DAY, "week": 7 * DAY}
_LENGTH = re.compile(r"(\d{1,5}) (minute|hour|day|week)s?")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the schedule.

    Attributes:
        step: the name of the step.
        every: between two due times, in microseconds.
        after: of the due times behind those of the grid, in microseconds; less than `every`.
    """

    step: str
    every: int
    after: int = 0

    def newest(self, now: int) -> int:
        """The last due time that is not later than `now`."""
        begun = now - _FIRST_MONDAY - self.after
        return _FIRST_MONDAY + self.after + begun // self.every * self.every

    def due(self, now: int, answered: int | None) -> int | None:
        """The due time to be answered now; None while there is none.

        Args:
            now: the present instant.
            answered: the due time that was answered last; None: none ever was.
        """
        newest = self.newest(now)
        return newest if answered is None or answered < newest else None

    def next(self, now: int) -> int:
        """The first due time after `now`."""
        return self.newest(now) + self.every


def usual() -> tuple[Line, ...]:
    """The schedule of an installation that names none, in the order in which steps run."""
    return read_schedule(USUAL)


USUAL = """\
# step: what is run; every: how often; after: how far behind the hour, midnight or Monday (UTC).
- {step: outcomes, every: 1 hour}
- {step: score, every: 12 hours, after: 1 hour}
- {step: loop, every: 1 day, after: 2 hours}
- {step: monitor, every: 1 week, after: 3 hours}
- {step: audit, every: 1 day, after: 4 hours}
- {step: backup, every: 1 day, after: 5 hours}
- {step: prune, every: 4 weeks, after: 6 hours}
"""
"""The loop looks every night because looking is cheap; evidence decides whether it does anything."""


def read_schedule(text: str, known: Iterable[str] | None = None) -> tuple[Line, ...]:
    """The lines of a schedule.

    Args:
        text: YAML, a list of `{step, every, after}`; lengths such as `12 hours` or `1 week`.
        known: the steps there are; None: any name will do.

    Raises:
        InputError: it does not hold together; all problems at once.
    """
    try:
        content = read_yaml(text)
    except ValueError as error:
        raise InputError(f"the schedule cannot be read: {error}", hint=_HINT) from error
    if not isinstance(content, list):
        raise InputError("the schedule must be a list of steps", hint=_HINT)
    problems: list[Problem] = []
    names = None if known is None else set(known)
    lines = [_line(i, entry, names, problems) for i, entry in enumerate(content)]
    named = [line.step for line in lines if line is not None]
    problems += [
        Problem("schedule", "step", name, "is there twice")
        for name in sorted({name for name in named if named.count(name) > 1})
    ]
    if problems:
        raise InputError("the schedule does not hold together", hint=_HINT, problems=problems)
    return tuple(line for line in lines if line is not None)


_HINT = "Write lines such as `- {step: loop, every: 1 day, after: 2 hours}`."


def _line(i: int, entry: Any, known: set[str] | None, problems: list[Problem]) -> Line | None:
    where = f"line {i + 1}"
    if not isinstance(entry, Mapping) or not {"step", "every"} <= set(entry) <= _KEYS:
        problems.append(
            Problem(where, "", shown(entry), "must say step and every, and may say after")
        )
        return None
    step, every = entry["step"], _length(entry["every"])
    after = _length(entry["after"]) if "after" in entry else 0
    wrong = {
        "step": known is not None and step not in known and f"must be one of {sorted(known)}",
        "every": not every and "must be a length such as 12 hours, 1 day or 2 weeks",
        "after": after is None and "must be a length such as 2 hours",
    }
    if every and after and after >= every:
        wrong["after"] = "must be shorter than every"
    problems += [
        Problem(where, key, shown(entry.get(key)), said) for key, said in wrong.items() if said
    ]
    return None if every is None or after is None else Line(str(step), every or 1, after)


_KEYS = {"step", "every", "after"}


def _length(said: Any) -> int | None:
    found = _LENGTH.fullmatch(said) if isinstance(said, str) else None
    return None if found is None else int(found[1]) * _UNITS[found[2]]
