"""Does a lead move in the queue as soon as it is described anew?"""

from __future__ import annotations

from pathlib import Path

from agreed import NOW, agreed
from on_record import scored

from features.clock import DAY
from features.definition import parse_definition
from features.facts import LeadVersion
from features.store.engine import Store
from features.store.files.load import load
from features.store.ingest import ingest
from features.store.ledger import QueueEntry, read_queue, record_scores
from features.store.placing import follow_versions

AGREED = agreed()
DEFINITION = """
name: moving
horizon_days: 60
attributes: [{name: city, type: category}]
sources:
  - {file: leads.csv, lead: id, opened_at: since, owner: owner, name: name, attributes: {city: city}}
"""


def _version(lead: str, owner: str, days_ago: int = 9) -> LeadVersion:
    at = NOW - days_ago * DAY
    return LeadVersion(lead=lead, owner=owner, name=f"of {owner}", occurred_at=at, recorded_at=at)


def _place(store: Store, *leads: str) -> None:
    entries = [scored(lead) for lead in leads]
    place = QueueEntry(
        last_touch=None, owner="anna", name="of anna", stage=None, kind="prospect", is_open=True
    )
    with store.write() as connection:
        ingest(connection, [_version(lead, "anna") for lead in leads], AGREED, NOW)
        record_scores(connection, entries, [place] * len(leads))


def _queue(store: Store, owner: str) -> list[str]:
    with store.read() as connection:
        return [row["lead_id"] for row in read_queue(connection, owner=owner).rows]


def test_a_new_owner_sees_the_lead_and_the_old_one_no_longer(store: Store) -> None:
    _place(store, "ada", "bo")
    with store.write() as connection:
        ingest(connection, [_version("ada", "ben", 1)], AGREED, NOW)
        assert follow_versions(connection, ["ada", "bo", "nobody"]) == 1
        assert follow_versions(connection, ["ada", "bo"]) == 0
    assert (_queue(store, "anna"), _queue(store, "ben")) == (["bo"], ["ada"])


def test_an_older_version_that_comes_late_moves_nothing(store: Store) -> None:
    _place(store, "ada")
    with store.write() as connection:
        ingest(connection, [_version("ada", "ben", 20)], AGREED, NOW)
        assert follow_versions(connection, ["ada"]) == 0
    assert _queue(store, "anna") == ["ada"]


def test_an_import_moves_leads_at_once(store: Store, tmp_path: Path) -> None:
    _place(store, "ada", "bo")
    (tmp_path / "leads.csv").write_text(
        "id,since,owner,name,city\nada,2026-04-30,ben,Ada Ltd,Bonn\n", encoding="utf-8"
    )
    definition = parse_definition(DEFINITION, "moving.yaml")
    load(store, definition, now=NOW, rejects=tmp_path, directory=tmp_path)
    assert (_queue(store, "anna"), _queue(store, "ben")) == (["bo"], ["ada"])
