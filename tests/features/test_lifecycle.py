"""A lead is open until its last stage closes it; a close that is only a date closes its whole day."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from agreed import NOW, agreed
from hypothesis import given
from hypothesis import strategies as st
from oracles.naive_features import naive_is_open, naive_stage

from features.clock import DAY, HOUR
from features.facts import LeadVersion, Queries, StageChange
from features.gather import FactsBuilder
from features.lifecycle import is_open, stage_at

AGREED = agreed()
MIDNIGHT = NOW // DAY * DAY
NAMES = [stage.name for stage in AGREED.all_stages]
OPENED = LeadVersion(lead="ada", occurred_at=MIDNIGHT - 9 * DAY, recorded_at=MIDNIGHT - 9 * DAY)


def entered(stage: str, at: int, recorded_at: int | None = None) -> StageChange:
    return StageChange(
        lead="ada",
        stage=stage,
        occurred_at=at,
        recorded_at=at if recorded_at is None else recorded_at,
        external_id=f"{stage}-{at}-{recorded_at}",
    )


def asked(changes: Sequence[StageChange], as_of: int) -> tuple[bool, str | None]:
    facts = FactsBuilder.of_records(AGREED, [OPENED, *changes]).build()
    query = Queries.at([0], as_of)
    stage = int(stage_at(facts, query, AGREED)[0])
    return bool(is_open(facts, query, AGREED)[0]), NAMES[stage] if stage >= 0 else None


def test_a_close_without_a_time_of_day_closes_the_stages_of_that_day() -> None:
    changes = [entered("won", MIDNIGHT), entered("qualified", MIDNIGHT + 9 * HOUR)]
    assert asked(changes, MIDNIGHT + DAY) == (False, "won")
    assert asked(changes, MIDNIGHT + 10 * HOUR) == (False, "won")


def test_before_the_close_is_known_the_lead_is_open_in_its_stage() -> None:
    changes = [
        entered("qualified", MIDNIGHT + 9 * HOUR),
        entered("won", MIDNIGHT, MIDNIGHT + 20 * HOUR),
    ]
    assert asked(changes, MIDNIGHT + 20 * HOUR) == (True, "qualified")
    assert asked(changes, MIDNIGHT + 20 * HOUR + 1) == (False, "won")


def test_the_next_day_a_stage_reopens_the_lead() -> None:
    changes = [entered("won", MIDNIGHT), entered("qualified", MIDNIGHT + DAY)]
    assert asked(changes, MIDNIGHT + 2 * DAY) == (True, "qualified")


def test_what_annuls_a_deal_reopens_its_lead_on_the_same_day_too() -> None:
    changes = [entered("won", MIDNIGHT), entered("reopened", MIDNIGHT + HOUR)]
    assert asked(changes, MIDNIGHT + DAY) == (True, "reopened")


def test_a_close_with_a_time_of_day_lets_a_later_stage_reopen_the_lead() -> None:
    changes = [entered("won", MIDNIGHT + 1), entered("qualified", MIDNIGHT + 9 * HOUR)]
    assert asked(changes, MIDNIGHT + DAY) == (True, "qualified")


@pytest.mark.parametrize("lead_too_many", [True, False])
def test_another_leads_date_closes_nobody_else(lead_too_many: bool) -> None:
    mine = entered("qualified", MIDNIGHT + 9 * HOUR)
    others = StageChange(
        lead="bo", stage="won", occurred_at=MIDNIGHT, recorded_at=MIDNIGHT, external_id="x"
    )
    changes = [mine, others] if lead_too_many else [mine]
    assert asked(changes, MIDNIGHT + DAY) == (True, "qualified")


_AT = [MIDNIGHT + day * DAY + step for day in (-1, 0, 1) for step in (0, 1, HOUR, DAY - 1)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES), st.sampled_from(_AT), st.sampled_from([0, HOUR, 2 * DAY])
        ),
        max_size=7,
    ),
    st.lists(st.sampled_from([at + 1 for at in _AT]), min_size=1, max_size=4),
)
def test_stage_and_open_are_what_plain_loops_say_on_the_edges_of_days(
    drawn: list[tuple[str, int, int]], instants: list[int]
) -> None:
    changes = [entered(stage, at, at + lag) for stage, at, lag in drawn]
    history = [OPENED, *changes]
    for as_of in instants:
        assert asked(changes, as_of) == (
            naive_is_open(history, "ada", as_of, AGREED),
            naive_stage(history, "ada", as_of, AGREED),
        )
