"""Is every step due when it should be, and what was missed run once?"""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.clock import DAY, HOUR, MINUTE, iso, to_instant
from features.errors import InputError
from training.loop.schedule import Line, read_schedule, usual

WEEK = 7 * DAY


def at(text: str) -> int:
    return to_instant(datetime.fromisoformat(text))


lines = st.builds(
    lambda every, share: Line("loop", every, int(every * share)),
    st.sampled_from([15 * MINUTE, HOUR, DAY, WEEK, 4 * WEEK]),
    st.floats(0, 0.99),
)
instants = st.integers(19_000 * DAY, 21_000 * DAY)


@given(lines, instants)
def test_the_newest_due_time_is_past_and_the_next_is_to_come(line: Line, now: int) -> None:
    assert line.newest(now) <= now < line.next(now)
    assert line.next(now) - line.newest(now) == line.every
    assert line.newest(line.newest(now)) == line.newest(now)


@given(lines, st.lists(instants, min_size=1, max_size=30))
def test_however_many_were_missed_a_step_is_run_once(line: Line, looks: list[int]) -> None:
    """A worker that looks at any instants, hours or years apart, against a plain loop over due times."""
    answered: int | None = None
    ran: list[int] = []
    for now in sorted(looks):
        due = line.due(now, answered)
        if due is not None:
            ran.append(due)
            answered = due
    expected = sorted({now - (now - line.newest(0)) % line.every for now in looks})
    assert ran == expected, "once for each due time that was the newest at some look, and in order"


@given(lines, instants)
def test_an_answered_due_time_is_never_asked_again(line: Line, now: int) -> None:
    due = line.due(now, None)
    assert due is not None
    assert line.due(now, due) is None
    assert line.due(line.next(now) - 1, due) is None
    assert line.due(line.next(now), due) == line.next(now)


def test_days_begin_at_midnight_and_weeks_on_monday_utc() -> None:
    (daily,) = read_schedule("- {step: loop, every: 1 day, after: 2 hours}")
    assert iso(daily.newest(at("2026-05-06T01:59:59+00:00"))) == "2026-05-05T02:00:00Z"
    assert iso(daily.newest(at("2026-05-06T02:00:00+00:00"))) == "2026-05-06T02:00:00Z"
    (weekly,) = read_schedule("- {step: loop, every: 1 week}")
    assert iso(weekly.newest(at("2026-05-06T00:00:00+00:00"))) == "2026-05-04T00:00:00Z"


def test_the_usual_schedule_holds_together_and_looks_before_it_backs_up() -> None:
    names = [line.step for line in usual()]
    assert names.index("score") < names.index("loop") < names.index("backup")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("loop", "must be a list"),
        ("- {step: loop}", "must say step and every"),
        ("- {step: loop, every: 1 day, at: 3}", "must say step and every"),
        ("- {step: loop, every: daily}", "must be a length"),
        ("- {step: loop, every: 0 days}", "must be a length"),
        ("- {step: loop, every: 1 day, after: 1 week}", "must be shorter than every"),
        ("- {step: lopo, every: 1 day}", "must be one of"),
        ("- {step: loop, every: 1 day}\n- {step: loop, every: 1 week}", "is there twice"),
        ("- [", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_said(text: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        read_schedule(text, ["loop"])
    assert said in str(raised.value)
