"""Is every outcome found that was missed, and nothing invented?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from agreed import NOW, agreed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import undone

from features.clock import DAY
from features.definition import parse_definition
from features.errors import DefinitionError, InputError
from features.facts import LeadVersion
from features.store.engine import Store
from features.store.files.deals_told import deals_told
from features.store.ingest import ingest
from features.store.outcomes import Deal, Ending
from features.store.reconciliation import catch_up, found_so_far, note_run, reconcile
from features.store.recording import record_deals

AGREED = agreed()
LEADS = ("ada", "bo")
AGO = NOW - 9 * DAY
DEFINITION = """
name: deals
horizon_days: 60
sources:
  - file: exports/deals.csv
    lead: lead
    outcome: {column: status, won: [won], lost: [lost], at: closed, amount: amount, id: deal}
  - {file: leads.csv, lead: lead, opened_at: since}
"""


def deal(number: int, ending: Ending = "won", lead: str = "ada", **changes: object) -> Deal:
    made = Deal(
        lead=lead,
        ending=ending,
        occurred_at=AGO,
        recorded_at=AGO,
        source="crm",
        external_id=f"d{number}",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def fill(store: Store, *known: Deal) -> None:
    opening = [
        LeadVersion(lead=lead, occurred_at=NOW - 99 * DAY, recorded_at=NOW - 99 * DAY)
        for lead in LEADS
    ]
    with store.write() as connection:
        ingest(connection, opening, AGREED, NOW)
        assert not record_deals(connection, known, AGREED, NOW - DAY).problems


def test_missing_differing_and_unknown_deals_are_told_apart(store: Store) -> None:
    fill(store, deal(1), deal(2), deal(3), deal(9, source="other"))
    export = [deal(1), deal(2, "lost", amount=5.0), deal(4, lead="bo")]
    with store.read() as connection:
        found = reconcile(connection, export, "crm")
    assert found.same == 1
    assert [one.external_id for one in found.missing] == ["d4"]
    assert [(one.there.external_id, one.fields) for one in found.differing] == [
        ("d2", ["ending", "amount"])
    ]
    assert [one.external_id for one in found.unknown] == ["d3"]
    assert found.to_json()["differing"][0]["in"] == ["ending", "amount"]


def test_what_was_missed_is_written_and_then_nothing_is_missing(store: Store) -> None:
    fill(store, deal(1), deal(2))
    export = [deal(1), deal(2, "lost"), deal(4, lead="bo"), deal(5, lead="nobody")]
    with store.write() as connection:
        done = catch_up(connection, reconcile(connection, export, "crm"), AGREED, NOW)
    assert done.added == 2
    assert [problem.field for problem in done.problems] == ["lead"]
    with store.write() as connection:
        again = reconcile(connection, export, "crm")
        assert [one.external_id for one in again.missing] == ["d5"]
        assert not again.differing
        note_run(connection, "crm", done, NOW)
        note_run(connection, "crm", again, NOW + 1)
        assert found_so_far(connection) == (2, NOW + 1)


def test_before_the_first_comparison_nothing_was_found(store: Store) -> None:
    with store.read() as connection:
        assert found_so_far(connection) == (0, None)


def test_a_deal_annulled_here_is_not_unknown_there_and_comes_back_when_told(store: Store) -> None:
    fill(store, deal(1), deal(1, "void", recorded_at=AGO + DAY))
    with store.write() as connection:
        assert not reconcile(connection, [], "crm").unknown
        found = reconcile(connection, [deal(1)], "crm")
        assert len(found.differing) == 1
        catch_up(connection, found, AGREED, NOW)
        assert reconcile(connection, [deal(1)], "crm").same == 1


ANY = st.lists(
    st.builds(
        deal,
        st.integers(0, 4),
        st.sampled_from(["won", "lost", "off_merit"]),
        st.sampled_from(LEADS),
        amount=st.sampled_from([None, 1.0]),
    ),
    max_size=6,
)


@given(ANY, ANY)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_catching_up_leaves_nothing_missing_and_nothing_differing(
    sqlite_store: Store, here: list[Deal], there: list[Deal]
) -> None:
    with undone(sqlite_store) as connection:
        opening = [LeadVersion(lead=one, occurred_at=AGO, recorded_at=AGO) for one in LEADS]
        ingest(connection, opening, AGREED, NOW)
        record_deals(connection, here, AGREED, NOW - DAY)
        catch_up(connection, reconcile(connection, there, "crm"), AGREED, NOW)
        left = reconcile(connection, there, "crm")
    assert not left.missing
    assert not left.differing
    assert left.same == len({one.external_id for one in there})
    assert {one.external_id for one in left.unknown} == {one.external_id for one in here} - {
        one.external_id for one in there
    }


def test_an_export_is_read_as_an_import_would_read_it(tmp_path: Path) -> None:
    path = tmp_path / "tonight.csv"
    path.write_text(
        "deal,lead,status,closed,amount\nd1,ada,Won,2026-04-01,12.5\nd2,bo,open,,\nd3,bo,won,soon,\n",
        encoding="utf-8",
    )
    definition = parse_definition(DEFINITION, "deals.yaml")
    told = deals_told(definition, path, NOW, mapping="deals.csv", source="crm")
    assert [(one.external_id, one.ending, one.amount, one.source) for one in told.deals] == [
        ("d1", "won", 12.5, "crm")
    ]
    assert [problem.field for problem in told.problems] == ["closed"]
    assert deals_told(definition, path, NOW, mapping="deals.csv").source == "exports/deals.csv"
    with pytest.raises(InputError, match=r"no source of outcomes called 'tonight.csv'"):
        deals_told(definition, path, NOW)
    with pytest.raises(InputError, match="no source of outcomes"):
        deals_told(definition, path, NOW, mapping="leads.csv")
    path.write_text("deal,lead\n", encoding="utf-8")
    with pytest.raises(DefinitionError, match="columns are missing"):
        deals_told(definition, path, NOW, mapping="deals.csv")
