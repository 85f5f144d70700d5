"""Cohorts are the open leads of each instant, found by plain loops too, and nothing later moves them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from agreed import DEFINITION_TEXT, NOW
from hypothesis import given
from hypothesis import strategies as st
from oracles.naive_labels import naive_cohort
from strategies import FAR, histories, instants, unseen

from features.clock import DAY, HOUR
from features.definition import Definition, parse_definition
from features.facts import LeadVersion, Queries, Record, StageChange
from features.gather import FactsBuilder
from features.store.engine import Store
from features.store.history import load_facts
from features.store.ingest import ingest
from features.store.outcomes import Deal
from features.store.recording import record_deals
from training import cohorts
from training.cohorts import cohort_queries


def agreed_with(rule: str) -> Definition:
    return parse_definition(DEFINITION_TEXT.replace("{every_days: 30}", f"{{{rule}}}"))


MONTHLY = agreed_with("every_days: 30")
ODD = agreed_with("every_days: 12.5")
LANDMARK = agreed_with("after_opening_hours: 36.5")
AT_ONCE = agreed_with("after_opening_hours: 0")
rules = st.sampled_from([MONTHLY, ODD, LANDMARK, AT_ONCE])
GRID = NOW // (30 * DAY) * 30 * DAY
"""The last instant of the monthly grid before the present."""


def rows_of(records: Sequence[Record], definition: Definition, cutoff: int) -> set[tuple[str, int]]:
    facts = FactsBuilder.of_records(definition, records).build()
    found = cohort_queries(facts, definition, cutoff)
    rows = [(facts.lead_ids[i], t) for i, t in zip(found.lead, found.as_of, strict=True)]
    assert len(set(rows)) == len(rows), "a row is there once"
    return {(lead, int(as_of)) for lead, as_of in rows}


def version(lead: str, occurred_at: int, recorded_at: int | None = None) -> LeadVersion:
    known = occurred_at if recorded_at is None else recorded_at
    return LeadVersion(lead=lead, occurred_at=occurred_at, recorded_at=known)


def stage(lead: str, name: str, occurred_at: int, recorded_at: int | None = None) -> StageChange:
    known = occurred_at if recorded_at is None else recorded_at
    return StageChange(lead=lead, stage=name, occurred_at=occurred_at, recorded_at=known)


@given(histories(), rules, instants())
def test_rows_are_those_that_plain_loops_find(
    history: list[Record], definition: Definition, cutoff: int
) -> None:
    assert rows_of(history, definition, cutoff) == naive_cohort(history, definition, cutoff)


@given(histories(), rules, instants(), instants())
def test_whoever_trains_later_gets_the_same_earlier_rows(
    history: list[Record], definition: Definition, one: int, other: int
) -> None:
    early, late = sorted((one, other))
    later = rows_of(history, definition, late)
    assert rows_of(history, definition, early) == {row for row in later if row[1] < early}


@given(st.data(), histories(), rules, instants())
def test_a_later_fact_changes_no_earlier_row(
    data: st.DataObject, history: list[Record], definition: Definition, as_of: int
) -> None:
    newcomer = data.draw(unseen(as_of))
    before = {row for row in rows_of(history, definition, FAR) if row[1] <= as_of}
    after = {row for row in rows_of([*history, newcomer], definition, FAR) if row[1] <= as_of}
    assert after == before


def test_the_grid_hangs_on_the_epoch_and_not_on_the_leads() -> None:
    found = rows_of([version("ada", GRID - 45 * DAY)], MONTHLY, NOW)
    assert found == {("ada", GRID - 30 * DAY), ("ada", GRID)}


def test_a_lead_opened_at_the_instant_itself_is_not_known_yet() -> None:
    assert rows_of([version("ada", GRID)], MONTHLY, GRID + 1) == set()
    assert rows_of([version("ada", GRID - 1)], MONTHLY, GRID + 1) == {("ada", GRID)}
    assert rows_of([version("ada", GRID - 9, recorded_at=GRID)], MONTHLY, GRID + 1) == set()


def test_an_instant_at_the_cutoff_is_no_cohort_yet() -> None:
    assert rows_of([version("ada", GRID - 1)], MONTHLY, GRID) == set()


def test_a_closed_lead_is_absent_from_when_its_closing_is_known() -> None:
    opened, closed = version("ada", GRID - 100 * DAY), GRID - 40 * DAY
    known_at_once = rows_of([opened, stage("ada", "parked", closed)], MONTHLY, NOW)
    known_late = rows_of([opened, stage("ada", "parked", closed, GRID - 30 * DAY)], MONTHLY, NOW)
    assert known_at_once == {("ada", GRID - 90 * DAY), ("ada", GRID - 60 * DAY)}
    assert known_late - known_at_once == {("ada", GRID - 30 * DAY)}


def test_a_lead_of_which_only_events_are_known_is_in_no_cohort() -> None:
    assert rows_of([stage("ada", "new", GRID - 100 * DAY)], MONTHLY, NOW) == set()


def test_after_opening_asks_once_a_microsecond_past_the_age() -> None:
    opened = NOW - 10 * DAY
    assert rows_of([version("ada", opened)], LANDMARK, NOW) == {
        ("ada", opened + 365 * HOUR // 10 + 1)
    }
    assert rows_of([version("ada", opened)], AT_ONCE, NOW) == {("ada", opened + 1)}


def test_after_opening_leaves_out_who_closed_by_then() -> None:
    opened = NOW - 10 * DAY
    closed = [version("ada", opened), stage("ada", "lost", opened + HOUR)]
    assert rows_of(closed, LANDMARK, NOW) == set()
    assert rows_of(closed, AT_ONCE, NOW) == {("ada", opened + 1)}


def test_after_opening_waits_until_the_opening_is_known() -> None:
    late = version("ada", NOW - 10 * DAY, recorded_at=NOW - 3 * DAY)
    assert rows_of([late], LANDMARK, NOW) == {("ada", NOW - 3 * DAY + 1)}


def test_after_opening_is_not_moved_by_an_earlier_date_learned_of_later() -> None:
    first = version("ada", NOW - 10 * DAY)
    corrected = version("ada", NOW - 30 * DAY, recorded_at=NOW - 2 * DAY)
    assert rows_of([first, corrected], LANDMARK, NOW) == rows_of([first], LANDMARK, NOW)


def test_after_opening_waits_until_the_age_is_reached() -> None:
    opened = NOW - 2 * DAY
    reached = opened + 365 * HOUR // 10 + 1
    assert rows_of([version("ada", opened)], LANDMARK, reached) == set()
    assert rows_of([version("ada", opened)], LANDMARK, reached + 1) == {("ada", reached)}


def test_no_leads_give_no_rows() -> None:
    facts = FactsBuilder(MONTHLY, []).build()
    for definition in (MONTHLY, LANDMARK):
        assert len(cohort_queries(facts, definition, NOW)) == 0


def test_a_lead_dated_centuries_ago_costs_the_newest_cohorts_nothing() -> None:
    ancient, recent = version("ada", -100_000 * DAY), version("bo", GRID - 45 * DAY)
    found = rows_of([ancient, recent], MONTHLY, NOW)
    assert {row for row in found if row[0] == "bo"} == rows_of([recent], MONTHLY, NOW)
    assert len({as_of for _, as_of in found}) == cohorts.MOST_INSTANTS


@pytest.mark.parametrize("every_days", [0.25, 1.0, 30.0])
def test_rows_come_by_lead_then_by_time(every_days: float) -> None:
    definition = agreed_with(f"every_days: {every_days}")
    records = [version(lead, NOW - 70 * DAY + i) for i, lead in enumerate("cab")]
    found: Queries = cohort_queries(
        FactsBuilder.of_records(definition, records).build(), definition, NOW
    )
    order = np.lexsort((found.as_of, found.lead))
    assert order.tolist() == list(range(len(found)))


def test_a_deal_takes_its_lead_out_of_the_cohorts_until_it_is_annulled(store: Store) -> None:
    won = Deal(
        lead="ada",
        ending="won",
        occurred_at=GRID - 70 * DAY,
        recorded_at=GRID - 65 * DAY,
        external_id="d1",
    )
    annulled = Deal(
        lead="ada",
        ending="void",
        occurred_at=GRID - 70 * DAY,
        recorded_at=GRID - 20 * DAY,
        external_id="d1",
    )
    with store.write() as connection:
        assert not ingest(connection, [version("ada", GRID - 130 * DAY)], MONTHLY, NOW).problems
        assert not record_deals(connection, [won, annulled], MONTHLY, NOW).problems
    with store.read() as connection:
        facts = load_facts(connection, MONTHLY, ["ada"], NOW)
    found = cohort_queries(facts, MONTHLY, NOW).as_of
    assert ((GRID - found) // DAY).tolist() == [120, 90, 0]
