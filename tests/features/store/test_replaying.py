"""Is what was recorded between two instants written as it was then, merges as well?"""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

from agreed import NOW, agreed

from features.clock import DAY
from features.facts import LeadVersion
from features.store.engine import Store
from features.store.ingest import ingest, set_do_not_score
from features.store.merges import Merge, known_families
from features.store.outcomes import Deal, load_outcomes
from features.store.recording import record_deals, record_merged
from features.store.replaying import copy_recorded

AGREED = agreed()
LEADS = ("ada", "bo", "cy", "objects", "late")
OPENED = NOW - 90 * DAY


def merge(lead: str, survivor: str, days_ago: int) -> Merge:
    return Merge(lead=lead, survivor=survivor, recorded_at=NOW - days_ago * DAY)


def test_merges_are_copied_as_they_were_recorded(
    sqlite_store: Store, tmp_path: Path, migrated_sqlite: Path
) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "copy.db")
    target = Store(f"sqlite:///{tmp_path / 'copy.db'}")
    opened = dict.fromkeys(LEADS, OPENED) | {"late": NOW - 3 * DAY}
    told = [merge("ada", "bo", 10), merge("objects", "bo", 9), merge("late", "cy", 8)]
    won = Deal(lead="ada", ending="won", occurred_at=NOW - 20 * DAY, recorded_at=NOW - 20 * DAY)
    with sqlite_store.write() as connection:
        versions = [
            LeadVersion(lead=lead, occurred_at=at, recorded_at=at) for lead, at in opened.items()
        ]
        assert not ingest(connection, versions, AGREED, NOW).problems
        assert not record_deals(connection, [won], AGREED, NOW).problems
        assert record_merged(connection, told, AGREED, NOW).added == 3
        set_do_not_score(connection, "objects", True)
    found = []
    steps = [0, NOW - 10 * DAY, NOW - 5 * DAY, NOW]
    for since, until in pairwise(steps):
        copy_recorded(sqlite_store, target, AGREED, since=since, until=until)
        with target.read() as connection:
            deals = load_outcomes(connection, ("ada", "bo"), until)
            families = known_families(connection, None).last_survivors()
            found.append((families, deals.lead.tolist()))
    target.close()
    ada = {"ada": "bo"}
    assert found == [({}, [0]), (ada, [0, 1]), (ada | {"late": "cy"}, [0, 1])]
