"""Do deals end up the same in whatever order they arrive, and do they close their leads?"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from agreed import NOW, agreed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select
from stores import counts, state, undone

from features.clock import DAY, HOUR, iso
from features.definition import parse_definition
from features.facts import LeadVersion, Queries, StageChange
from features.lifecycle import is_open
from features.store.engine import Store
from features.store.history import iter_facts, load_facts
from features.store.ingest import IngestReport, ingest
from features.store.outcomes import ENDINGS, Deal, deals, load_outcomes, record_deals

AGREED = agreed()
LEADS = ("ada", "bo")
OPENING = [
    LeadVersion(lead=lead, occurred_at=NOW - 99 * DAY, recorded_at=NOW - 99 * DAY) for lead in LEADS
]
WON = Deal(
    lead="ada",
    ending="won",
    occurred_at=NOW - 9 * DAY,
    recorded_at=NOW - 9 * DAY,
    amount=100.0,
    external_id="d1",
)

Outcome = tuple[str, int, int, str, float | None]


def _record(store: Store, *given_deals: Deal, now: int = NOW) -> IngestReport:
    with store.write() as connection:
        ingest(connection, OPENING, AGREED, NOW)
        return record_deals(connection, given_deals, AGREED, now)


def _outcomes(connection: Connection, before: int, leads: Sequence[str] = LEADS) -> list[Outcome]:
    """The deals as rows: lead, close, record, ending, amount."""
    found = load_outcomes(connection, leads, before)
    return [
        (leads[lead], occurred, recorded, ENDINGS[ending], None if np.isnan(amount) else amount)
        for lead, occurred, recorded, ending, amount in zip(
            found.lead.tolist(),
            found.occurred_at.tolist(),
            found.recorded_at.tolist(),
            found.ending.tolist(),
            found.amount.tolist(),
            strict=True,
        )
    ]


def _open(connection: Connection, as_of: int) -> dict[str, bool]:
    facts = load_facts(connection, AGREED, LEADS, as_of)
    found = is_open(facts, Queries.at([0, 1], as_of), AGREED)
    return dict(zip(LEADS, found.tolist(), strict=True))


def _open_at(connection: Connection, instants: Sequence[int]) -> list[bool]:
    """Whether the first lead, then the second, is open at each of the instants."""
    facts = load_facts(connection, AGREED, LEADS, NOW)
    asked = Queries(np.repeat([0, 1], len(instants)), np.tile(instants, 2))
    return [bool(open_) for open_ in is_open(facts, asked, AGREED)]


def _now(store: Store, before: int = NOW + 1) -> list[Outcome]:
    with store.read() as connection:
        return _outcomes(connection, before)


def _is_open(store: Store, as_of: int = NOW + 1) -> bool:
    with store.read() as connection:
        return _open(connection, as_of)["ada"]


def test_a_deal_is_there_and_has_closed_its_lead(store: Store) -> None:
    assert _record(store, WON).added == 1
    assert _now(store) == [("ada", WON.occurred_at, WON.recorded_at, "won", 100.0)]
    with store.read() as connection:
        assert _open(connection, NOW) == {"ada": False, "bo": True}


def test_a_lead_is_open_at_the_instant_of_its_deal_and_closed_one_microsecond_later(
    store: Store,
) -> None:
    _record(store, WON)
    assert _is_open(store, WON.occurred_at)
    assert not _is_open(store, WON.occurred_at + 1)


def test_sending_deals_again_changes_nothing(store: Store) -> None:
    given_deals = [WON, replace(WON, lead="bo", ending="lost", amount=None, external_id="d2")]
    _record(store, *given_deals)
    with store.read() as connection:
        before = state(connection)
    report = _record(store, *given_deals)
    assert (report.added, report.unchanged, report.problems) == (0, 2, {})
    with store.read() as connection:
        assert state(connection) == before


def test_a_deal_recorded_at_or_after_the_cutoff_is_not_known_yet(store: Store) -> None:
    _record(store, replace(WON, recorded_at=NOW - 2 * DAY))
    assert _now(store, before=NOW - 2 * DAY) == []
    assert len(_now(store, before=NOW - 2 * DAY + 1)) == 1


def test_a_revision_replaces_what_was_said_before_and_not_what_was_known_before(
    store: Store,
) -> None:
    _record(store, WON, replace(WON, amount=250.0, recorded_at=NOW - DAY))
    assert [row[-1] for row in _now(store)] == [250.0]
    assert [row[-1] for row in _now(store, before=NOW - DAY)] == [100.0]


def test_an_annulled_deal_is_gone_and_its_lead_open_again(store: Store) -> None:
    _record(store, WON)
    _record(store, replace(WON, ending="void", recorded_at=NOW - DAY))
    assert _now(store) == []
    assert not _is_open(store, NOW - DAY)
    assert _is_open(store, NOW)


def test_annulling_a_deal_that_never_was_reopens_nothing(store: Store) -> None:
    with store.write() as connection:
        before = WON.occurred_at - DAY
        lost = StageChange(lead="ada", stage="lost", occurred_at=before, recorded_at=before)
        ingest(connection, [*OPENING, lost], AGREED, NOW)
    _record(store, replace(WON, ending="void", recorded_at=NOW))
    assert _now(store) == []
    assert not _is_open(store)


def test_a_deal_closed_again_after_it_was_annulled_counts_and_closes_its_lead(store: Store) -> None:
    """The third revision says what the first one said; it is the last one all the same."""
    _record(store, WON)
    _record(store, replace(WON, ending="void", recorded_at=NOW - 2 * DAY))
    _record(store, replace(WON, recorded_at=NOW - DAY))
    assert _now(store) == [("ada", WON.occurred_at, NOW - DAY, "won", 100.0)]
    assert _is_open(store, NOW - DAY)
    assert not _is_open(store, NOW)


def test_a_deal_annulled_under_an_earlier_date_leaves_its_lead_open(store: Store) -> None:
    """What closed the lead last happened after the date under which the deal is annulled."""
    _record(store, WON)
    _record(store, replace(WON, occurred_at=NOW - 3 * DAY, recorded_at=NOW - 3 * DAY))
    _record(store, replace(WON, ending="void", recorded_at=NOW - DAY))
    assert _now(store) == []
    assert _is_open(store)


def test_a_revision_that_arrives_late_does_not_outdo_one_recorded_after_it(store: Store) -> None:
    """The last revision says what the first one says; it has not been forgotten meanwhile."""
    _record(store, WON)
    _record(store, replace(WON, recorded_at=NOW - DAY))
    _record(store, replace(WON, amount=1.0, recorded_at=NOW - 2 * DAY))
    assert [row[-1] for row in _now(store)] == [100.0]
    assert [row[-1] for row in _now(store, before=NOW - DAY)] == [1.0]


def test_of_two_revisions_recorded_at_once_one_counts(store: Store) -> None:
    _record(store, WON, replace(WON, amount=1.0))
    assert len(_now(store)) == 1


def test_a_nightly_resend_of_all_deals_revises_nothing(store: Store) -> None:
    for night in range(3):
        now = NOW + night * DAY
        report = _record(store, replace(WON, recorded_at=now), now=now)
        assert (report.added, report.unchanged) == ((1, 0) if night == 0 else (0, 1))
    with store.read() as connection:
        assert counts(connection)["deals"] == counts(connection)["stages"] == 1


def test_a_deal_off_merit_closes_its_lead(store: Store) -> None:
    _record(store, replace(WON, ending="off_merit"))
    assert [row[3] for row in _now(store)] == ["off_merit"]
    assert not _is_open(store)


def test_a_reopened_lead_is_open_though_its_deal_stands(store: Store) -> None:
    _record(store, WON)
    with store.write() as connection:
        again = StageChange(
            lead="ada", stage="qualified", occurred_at=NOW - DAY, recorded_at=NOW - DAY
        )
        ingest(connection, [again], AGREED, NOW)
    assert _is_open(store)
    assert len(_now(store)) == 1


def test_a_deal_that_moves_to_another_lead_is_no_longer_the_first_ones(store: Store) -> None:
    _record(store, WON, replace(WON, lead="bo", recorded_at=NOW - DAY))
    assert [row[0] for row in _now(store)] == ["bo"]
    with store.read() as connection:
        assert _outcomes(connection, NOW, ["ada"]) == [], "whether or not the other is asked about"
        assert [row[0] for row in _outcomes(connection, NOW - DAY, ["ada"])] == ["ada"]


def test_a_lead_without_deal_ids_has_one_deal_a_close_date(store: Store) -> None:
    bare = replace(WON, external_id=None)
    _record(store, bare, replace(bare, amount=5.0, recorded_at=NOW))
    _record(store, replace(bare, occurred_at=NOW - DAY, recorded_at=NOW))
    assert [row[-1] for row in _now(store)] == [5.0, 100.0]


def test_the_same_id_at_another_source_is_another_deal(store: Store) -> None:
    _record(store, WON, replace(WON, source="erp"))
    assert len(_now(store)) == 2


@st.composite
def _revisions(draw: st.DrawFn) -> list[Deal]:
    """Revisions of up to three deals of two leads, at few instants, so that they tie and cross."""
    return [
        Deal(
            lead=draw(st.sampled_from(LEADS)),
            ending=draw(st.sampled_from(ENDINGS)),
            occurred_at=recorded - draw(st.sampled_from([0, 1, HOUR, 2 * HOUR, DAY])),
            recorded_at=recorded,
            amount=draw(st.sampled_from([None, 0.0, 5.0])),
            external_id=draw(st.sampled_from(["d1", "d2", None])),
        )
        for recorded in draw(
            st.lists(st.sampled_from([NOW - n * HOUR for n in range(1, 6)]), max_size=7)
        )
    ]


_INSTANTS = [NOW - n * HOUR + 1 for n in range(6)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(_revisions(), st.data())
def test_deals_in_any_order_and_any_batches_give_the_same_outcomes_and_open_leads(
    store: Store, revisions: list[Deal], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(revisions), label="order")
    cut = data.draw(st.integers(0, len(revisions)), label="cut")
    found = []
    for batches in ([revisions], [shuffled[:cut], shuffled[cut:]], [[deal] for deal in shuffled]):
        with undone(store) as connection:
            ingest(connection, OPENING, AGREED, NOW)
            for batch in batches:
                assert not record_deals(connection, batch, AGREED, NOW).problems
            outcomes = [_outcomes(connection, instant) for instant in _INSTANTS]
            found.append((outcomes, _open_at(connection, _INSTANTS)))
    assert found[0] == found[1] == found[2]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(_revisions())
def test_outcomes_are_the_last_revisions_in_a_plain_loop(
    sqlite_store: Store, revisions: list[Deal]
) -> None:
    """Without ties: when two revisions were recorded at once, either may count."""
    distinct = {(d.recorded_at, d.external_id or (d.lead, d.occurred_at)): d for d in revisions}
    with undone(sqlite_store) as connection:
        ingest(connection, OPENING, AGREED, NOW)
        record_deals(connection, list(distinct.values()), AGREED, NOW)
        for before in _INSTANTS:
            last: dict[object, Deal] = {}
            for deal in sorted(distinct.values(), key=lambda deal: deal.recorded_at):
                if deal.recorded_at < before:
                    last[deal.external_id or (deal.lead, deal.occurred_at)] = deal
            expected = [
                (d.lead, d.occurred_at, d.recorded_at, d.ending, d.amount)
                for d in last.values()
                if d.ending != "void"
            ]
            assert sorted(_outcomes(connection, before), key=repr) == sorted(expected, key=repr)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120)
@given(_revisions(), st.randoms(use_true_random=False))
def test_a_lead_is_closed_exactly_while_a_deal_of_it_stands(
    sqlite_store: Store, revisions: list[Deal], random: st.random.Random
) -> None:
    """Any deals, voids, moves and duplicates in any order; two tables say the same.

    Without ties, as above: what closes the lead and what the outcome is are two tables.
    """
    distinct = list({deal.recorded_at: deal for deal in revisions}.values())
    shuffled = random.sample([*distinct, *distinct], 2 * len(distinct))
    with undone(sqlite_store) as connection:
        ingest(connection, OPENING, AGREED, NOW)
        for deal in shuffled:
            record_deals(connection, [deal], AGREED, NOW)
        stands = [
            any(row[0] == lead for row in _outcomes(connection, instant))
            for lead in LEADS
            for instant in _INSTANTS
        ]
        is_open_then = _open_at(connection, _INSTANTS)
        piecemeal = state(connection)
    with undone(sqlite_store) as connection:
        ingest(connection, OPENING, AGREED, NOW)
        record_deals(connection, distinct, AGREED, NOW)
        assert state(connection) == piecemeal
    assert is_open_then == [not standing for standing in stands]


def test_annulling_one_of_two_deals_leaves_the_lead_closed_by_the_other(store: Store) -> None:
    other = replace(WON, ending="lost", occurred_at=NOW - 8 * DAY, external_id="d2")
    other = replace(other, recorded_at=NOW - 8 * DAY)
    void = replace(WON, ending="void", recorded_at=NOW - 3 * DAY)
    _record(store, WON, other, void)
    assert not _is_open(store)
    _record(store, replace(other, ending="void", recorded_at=NOW - DAY))
    assert not _is_open(store, NOW - DAY)
    assert _is_open(store)


def test_annulling_the_second_of_two_deals_leaves_the_lead_closed_by_the_first(
    store: Store,
) -> None:
    second = replace(WON, occurred_at=NOW - 5 * DAY, recorded_at=NOW - 5 * DAY, external_id="d2")
    _record(store, WON, second, replace(second, ending="void", recorded_at=NOW - DAY))
    assert not _is_open(store)


def test_a_client_in_work_again_is_so_still_when_its_second_deal_is_annulled(store: Store) -> None:
    again = StageChange(
        lead="ada", stage="qualified", occurred_at=NOW - 7 * DAY, recorded_at=NOW - 7 * DAY
    )
    second = replace(WON, occurred_at=NOW - 5 * DAY, recorded_at=NOW - 5 * DAY, external_id="d2")
    with store.write() as connection:
        ingest(connection, [*OPENING, again], AGREED, NOW)
    _record(store, WON, second)
    assert not _is_open(store)
    _record(store, replace(second, ending="void", recorded_at=NOW - DAY))
    assert _is_open(store)


def test_a_deal_that_moves_to_another_lead_closes_that_one_and_reopens_the_first(
    store: Store,
) -> None:
    _record(store, WON, replace(WON, lead="bo", recorded_at=NOW - DAY))
    with store.read() as connection:
        assert _open(connection, NOW - DAY) == {"ada": False, "bo": True}
        assert _open(connection, NOW) == {"ada": True, "bo": False}


def test_a_stage_change_of_others_that_looks_like_ours_is_left_alone(store: Store) -> None:
    with store.write() as connection:
        own = StageChange(
            lead="ada", stage="qualified", occurred_at=NOW - 20 * DAY, recorded_at=NOW - 20 * DAY
        )
        ingest(connection, [*OPENING, replace(own, external_id="deal:of the month")], AGREED, NOW)
    _record(store, WON)
    with store.read() as connection:
        assert counts(connection)["stages"] == 2


def test_bad_deals_are_named_with_all_their_problems_and_good_ones_kept(store: Store) -> None:
    report = _record(
        store,
        replace(WON, lead="nobody", ending="maybe", amount=float("nan")),  # type: ignore[arg-type]
        WON,
        replace(WON, reason="x" * 301, source="y" * 65, external_id="a\0b", amount=10**400),
        replace(WON, occurred_at=NOW + HOUR, recorded_at=10**18),
    )
    assert report.added == 1
    found = {i: [str(problem) for problem in problems] for i, problems in report.problems.items()}
    assert found == {
        0: [
            "deal 1: lead = 'nobody': no such lead; send the lead first",
            "deal 1: ending = 'maybe': must be one of ['won', 'lost', 'off_merit', 'void']",
            "deal 1: amount = nan: must be a finite number",
        ],
        2: [
            f"deal 3: amount = {'1' + 58 * '0'}…: must be a finite number",
            f"deal 3: reason = '{58 * 'x'}…: is longer than 300 characters (301)",
            f"deal 3: source = '{58 * 'y'}…: is longer than 64 characters (65)",
            "deal 3: external_id = 'a\\x00b': contains a NUL character",
        ],
        3: [
            f"deal 4: occurred_at = 2026-05-01T13:00:00Z: lies in the future (it is {iso(NOW)})",
            "deal 4: recorded_at = 1000000000000000000: lies outside the years 1 to 9999",
        ],
    }


def test_the_longest_names_are_kept_and_still_close_the_lead(store: Store) -> None:
    lead = "é" * 300
    with store.write() as connection:
        ingest(connection, [replace(OPENING[0], lead=lead)], AGREED, NOW)
    for external_id in (None, "x" * 300):
        report = _record(store, replace(WON, lead=lead, external_id=external_id, source="y" * 64))
        assert (report.added, report.problems) == (1, {})
    with store.read() as connection:
        facts = load_facts(connection, AGREED, [lead], NOW)
        assert not is_open(facts, Queries.at([0], NOW), AGREED)[0]


def test_a_deal_closes_its_lead_under_a_definition_with_stages_of_its_own(store: Store) -> None:
    own = parse_definition(
        "{name: own, stages: [{name: fresh}, {name: lost, label: Gone, closed: true}]}"
    )
    with store.write() as connection:
        ingest(connection, OPENING, own, NOW)
        record_deals(connection, [replace(WON, ending="lost")], own, NOW)
        facts = load_facts(connection, own, ["ada"], NOW)
    assert not is_open(facts, Queries.at([0], NOW), own)[0]


def test_outcomes_of_many_leads_are_found_wherever_the_leads_lie(store: Store) -> None:
    """Leads that lie close together are read as a range, others by name."""
    many = [f"lead {i:04}" for i in range(300)]
    with store.write() as connection:
        ingest(connection, [replace(OPENING[0], lead=lead) for lead in many], AGREED, NOW)
        given_deals = [
            replace(WON, lead=lead, amount=float(i), external_id=lead)
            for i, lead in enumerate(many)
        ]
        record_deals(connection, given_deals, AGREED, NOW)
        apart = (many[:20:2], many[::50], [many[0], many[-1], "nobody"])
        for wanted in (many, many[::-1], *apart):
            found = load_outcomes(connection, wanted, NOW)
            expected = [i for i, lead in enumerate(wanted) if lead != "nobody"]
            assert found.lead.tolist() == expected
            assert [many[int(a)] for a in found.amount] == [wanted[i] for i in found.lead]


def test_reading_in_portions_finds_every_deal_once(store: Store) -> None:
    _record(store, WON, replace(WON, lead="bo", external_id="d2"))
    with store.read() as connection:
        found = [
            facts.lead_ids[lead]
            for facts in iter_facts(connection, AGREED, NOW, portion=1)
            for lead in load_outcomes(connection, facts.lead_ids, NOW).lead
        ]
    assert found == ["ada", "bo"]


def test_eight_writers_of_the_same_deals_write_each_once_and_agree(store: Store) -> None:
    _record(store)
    endings = [ENDINGS[i % 4] for i in range(12)]
    revisions = [
        replace(WON, ending=ending, recorded_at=NOW - (12 - i) * HOUR)
        for i, ending in enumerate(endings)
    ]
    start = threading.Barrier(8)

    def send(worker: int) -> int:
        start.wait()
        turned = revisions[worker:] + revisions[:worker]
        return sum(_record(store, *turned[i : i + 3]).added for i in range(0, 12, 3))

    with ThreadPoolExecutor(8) as pool:
        added = sum(pool.map(send, range(8)))
    assert added == 12
    with store.read() as connection:
        assert len(connection.execute(select(deals.c.id)).all()) == 12
        assert _outcomes(connection, NOW) == [], "the last of them annulled the deal"
        assert _open(connection, NOW)["ada"]


def test_an_error_after_recording_leaves_neither_the_deal_nor_the_closing(store: Store) -> None:
    _record(store)
    with pytest.raises(KeyError), store.write() as connection:  # noqa: PT012
        record_deals(connection, [WON], AGREED, NOW)
        raise KeyError
    assert _now(store) == []
    assert _is_open(store)
