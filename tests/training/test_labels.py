"""Labels are what plain loops say, are unknown until a whole cohort can be, and look only forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from agreed import DEFINITION_TEXT, NOW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles.naive_labels import naive_label, standing
from stores import undone
from strategies import LEADS

from features.clock import DAY
from features.definition import Definition, parse_definition
from features.facts import LeadVersion, Queries
from features.store.engine import Store
from features.store.ingest import ingest
from features.store.outcomes import ENDINGS, Deal, Deals, load_outcomes
from features.store.recording import record_deals
from training.labels import REASONS, Labels, label

HORIZON, LAG = 90 * DAY, 3 * DAY
DATED = parse_definition(DEFINITION_TEXT)
UNTIL_CLOSED = parse_definition(
    DEFINITION_TEXT.replace("horizon_days: 90", "horizon_days: null").replace(
        "{every_days: 30}", "{after_opening_hours: 0}"
    )
)
AS_OFS = tuple(NOW - n * DAY for n in (0, 30, 92, 93, 94, 200))
_NEAR = sorted(
    {as_of + far + step for as_of in AS_OFS for far in (0, HORIZON, LAG) for step in (-1, 0, 1)}
)
near = st.sampled_from(_NEAR)
definitions = st.sampled_from([DATED, UNTIL_CLOSED])
cutoffs = st.sampled_from([a + HORIZON + LAG + s for a in AS_OFS[2:] for s in (-1, 0, 1)] + [NOW])


@st.composite
def deals(draw: st.DrawFn) -> list[Deal]:
    """Deals of a few leads, some revised; revisions of one deal are recorded at different times."""
    found = []
    for number in range(draw(st.integers(0, 6))):
        lead = draw(st.sampled_from(LEADS))
        for recorded in draw(st.lists(near, min_size=1, max_size=3, unique=True)):
            found.append(
                Deal(
                    lead=lead,
                    ending=draw(st.sampled_from(ENDINGS)),
                    occurred_at=draw(near),
                    recorded_at=recorded,
                    external_id=f"deal-{number}",
                )
            )
    return draw(st.permutations(found))


rows = st.lists(st.tuples(st.sampled_from(LEADS), st.sampled_from(AS_OFS)), min_size=1, max_size=8)


def columns(found: Sequence[Deal]) -> Deals:
    return Deals(
        np.array([LEADS.index(deal.lead) for deal in found], dtype=np.int64),
        np.array([deal.occurred_at for deal in found], dtype=np.int64),
        np.array([deal.recorded_at for deal in found], dtype=np.int64),
        np.array([ENDINGS.index(deal.ending) for deal in found], dtype=np.int64),
        np.full(len(found), np.nan),
    )


def queries(asked: Sequence[tuple[str, int]]) -> Queries:
    return Queries.at(
        [LEADS.index(lead) for lead, _ in asked], np.array([t for _, t in asked], dtype=np.int64)
    )


def said(labels: Labels) -> list[tuple[int, str]]:
    pairs = zip(labels.y.tolist(), labels.reason.tolist(), strict=True)
    return [(y, REASONS[reason]) for y, reason in pairs]


def deal(ending: str, occurred_at: int, recorded_at: int | None = None, name: str = "d") -> Deal:
    assert ending in ENDINGS
    recorded = occurred_at if recorded_at is None else recorded_at
    return Deal(
        lead="ada", ending=ending, occurred_at=occurred_at, recorded_at=recorded, external_id=name
    )


def one(
    *found: Deal, as_of: int, definition: Definition = DATED, cutoff: int = NOW
) -> tuple[int, str]:
    return said(label(queries([("ada", as_of)]), columns(found), definition, cutoff))[0]


@settings(max_examples=300)
@given(deals(), rows, definitions, cutoffs)
def test_labels_are_what_plain_loops_say(
    found: list[Deal], asked: list[tuple[str, int]], definition: Definition, cutoff: int
) -> None:
    # One revision a deal here, and some recorded after the cutoff: those must not be looked at.
    known = standing(found, NOW + 400 * DAY)
    expected = [naive_label(known, lead, t, definition, cutoff) for lead, t in asked]
    assert said(label(queries(asked), columns(known), definition, cutoff)) == expected


@pytest.fixture
def leads_store(sqlite_store: Store) -> Store:
    """A store that knows the leads; all examples of a test share it, and undo what they write."""
    versions = [LeadVersion(lead=lead, occurred_at=0, recorded_at=0) for lead in LEADS]
    with sqlite_store.write() as connection:
        assert not ingest(connection, versions, DATED, NOW).problems
    return sqlite_store


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_labels_from_the_store_follow_revisions_in_whatever_order_they_came(
    leads_store: Store, data: st.DataObject
) -> None:
    found, asked = data.draw(deals()), data.draw(rows)
    definition, cutoff = data.draw(definitions), data.draw(cutoffs)
    with undone(leads_store) as connection:
        for part in found:
            report = record_deals(connection, [part], definition, NOW + 400 * DAY)
            assert not report.problems
        known = load_outcomes(connection, LEADS, cutoff)
    expected = [naive_label(found, lead, t, definition, cutoff) for lead, t in asked]
    assert said(label(queries(asked), known, definition, cutoff)) == expected


AS_OF = NOW - 200 * DAY


def test_the_horizon_holds_its_first_instant_and_not_its_last() -> None:
    assert one(deal("won", AS_OF), as_of=AS_OF)[0] == 1
    assert one(deal("won", AS_OF - 1), as_of=AS_OF)[0] == 0
    assert one(deal("won", AS_OF + HORIZON - 1), as_of=AS_OF)[0] == 1
    assert one(deal("won", AS_OF + HORIZON), as_of=AS_OF) == (0, "not won within the horizon")


def test_a_win_counts_before_a_loss_however_they_are_ordered() -> None:
    lost = deal("lost", AS_OF + DAY, name="a")
    won = deal("won", AS_OF + 50 * DAY, name="b")
    assert one(lost, won, as_of=AS_OF)[0] == one(won, lost, as_of=AS_OF)[0] == 1


def test_a_loss_is_told_from_silence_and_both_are_zero() -> None:
    assert one(deal("lost", AS_OF + DAY), as_of=AS_OF) == (0, "lost within the horizon")
    assert one(as_of=AS_OF) == (0, "not won within the horizon")


def test_what_did_not_close_on_merit_was_not_bought_and_is_told_from_a_loss() -> None:
    junk = deal("off_merit", AS_OF + DAY, name="a")
    assert one(junk, as_of=AS_OF) == (0, "closed, but not on merit")
    assert one(junk, as_of=AS_OF, definition=UNTIL_CLOSED) == (0, "closed, but not on merit")
    lost = deal("lost", AS_OF + 9 * DAY, name="b")
    assert one(junk, lost, as_of=AS_OF) == (0, "lost within the horizon")
    assert one(junk, deal("won", AS_OF + 9 * DAY, name="b"), as_of=AS_OF)[0] == 1


def test_an_early_win_of_an_unfinished_cohort_is_not_used() -> None:
    early = deal("won", NOW - 80 * DAY)
    as_of = NOW - 85 * DAY
    assert one(early, as_of=as_of) == (-1, "horizon not over")
    cohort = queries([("ada", as_of), ("bo", as_of)])
    assert label(cohort, columns([early]), DATED, NOW).y.tolist() == [-1, -1]


def test_a_cohort_matures_to_the_microsecond_when_horizon_and_lag_have_passed() -> None:
    ripe = AS_OF + HORIZON + LAG
    won = deal("won", AS_OF + DAY)
    assert one(won, as_of=AS_OF, cutoff=ripe - 1)[0] == -1
    assert one(won, as_of=AS_OF, cutoff=ripe)[0] == 1


def test_a_deal_recorded_at_the_cutoff_is_not_seen() -> None:
    late = deal("won", AS_OF + DAY, recorded_at=NOW)
    assert one(late, as_of=AS_OF, cutoff=NOW)[0] == 0
    assert one(late, as_of=AS_OF, cutoff=NOW + 1)[0] == 1


def test_until_closed_the_first_deal_decides_and_silence_is_not_known() -> None:
    lost, won = deal("lost", AS_OF + DAY, name="a"), deal("won", AS_OF + 2 * DAY, name="b")
    assert one(lost, won, as_of=AS_OF, definition=UNTIL_CLOSED)[0] == 0
    assert one(replace(won, occurred_at=AS_OF), lost, as_of=AS_OF, definition=UNTIL_CLOSED)[0] == 1
    assert one(as_of=AS_OF, definition=UNTIL_CLOSED) == (-1, "not closed yet")
    far = deal("won", AS_OF + 199 * DAY)
    assert one(far, as_of=AS_OF, definition=UNTIL_CLOSED)[0] == 1


def test_a_lead_that_came_back_is_labelled_by_what_lies_ahead_of_each_row() -> None:
    first, second = (
        deal("won", AS_OF - 60 * DAY, name="a"),
        deal("lost", AS_OF + 60 * DAY, name="b"),
    )
    assert one(first, second, as_of=AS_OF - 100 * DAY)[0] == 1
    assert one(first, second, as_of=AS_OF) == (0, "lost within the horizon")


def test_annulling_a_deal_takes_its_label_back_from_when_it_is_known(store: Store) -> None:
    won = deal("won", AS_OF + DAY)
    void = replace(won, ending="void", recorded_at=NOW - DAY)
    with store.write() as connection:
        ingest(connection, [LeadVersion(lead="ada", occurred_at=0, recorded_at=0)], DATED, NOW)
        assert not record_deals(connection, [won, void], DATED, NOW).problems
    asked = queries([("ada", AS_OF)])
    with store.read() as connection:
        for cutoff, y in ((NOW - DAY, 1), (NOW - DAY + 1, 0)):
            known = load_outcomes(connection, ["ada"], cutoff)
            assert label(asked, known, DATED, cutoff).y.tolist() == [y]


def test_other_leads_deals_are_nobodys_label() -> None:
    others = replace(deal("won", AS_OF + DAY), lead="bo")
    asked = queries([("ada", AS_OF), ("bo", AS_OF), ("ada", AS_OF)])
    assert label(asked, columns([others]), DATED, NOW).y.tolist() == [0, 1, 0]


def test_no_rows_and_no_deals_are_labelled_without_fuss() -> None:
    assert len(label(queries([]), columns([]), DATED, NOW).y) == 0
