"""Is a rehearsal judged by as many pieces of evidence as there were people?"""

from __future__ import annotations

import numpy as np
from agreed import NOW, agreed

from features.clock import DAY
from features.facts import LeadVersion
from features.store.engine import Store
from features.store.ingest import ingest
from features.store.merges import Merge
from features.store.outcomes import Deal
from features.store.recording import record_deals, record_merged
from training.loop.rehearse import WEEK, Rehearsal, Week
from training.loop.rehearsed import NAMES, figures, judged

AGREED = agreed()
FIRST = NOW - 200 * DAY
LEADS = ("ada", "bo", "cy", "dora")


def bought(lead: str, at: int) -> Deal:
    return Deal(lead=lead, ending="won", occurred_at=at, recorded_at=at)


def test_leads_that_have_become_one_are_one_piece_of_evidence(store: Store) -> None:
    """What either bought is an outcome of both; a merge that nobody knows of yet is none."""
    merges = [
        Merge(lead="ada", survivor="bo", recorded_at=NOW - 9 * DAY),
        Merge(lead="cy", survivor="dora", recorded_at=NOW),
    ]
    with store.write() as connection:
        opened = [
            LeadVersion(lead=lead, occurred_at=FIRST - DAY, recorded_at=FIRST - DAY)
            for lead in LEADS
        ]
        ingest(connection, opened, AGREED, NOW)
        deals = [bought("ada", FIRST + 20 * DAY), bought("cy", NOW - DAY)]
        assert not record_deals(connection, deals, AGREED, NOW).problems
        assert not record_merged(connection, merges, AGREED, NOW).problems
    said = {name: np.array([0.5, 0.25, 0.125, 0.25]) for name in NAMES}
    weeks = tuple(Week(FIRST + i * WEEK, LEADS, said, None) for i in range(2))
    rehearsal = Rehearsal(weeks, dict.fromkeys(NAMES, 0))
    found = judged(store, AGREED, rehearsal)
    one, other, *others = found.lead.tolist()[:4]
    assert one == other
    assert len({one, *others}) == 3
    assert found.lead.tolist() == [one, other, *others] * 2
    assert found.y.tolist() == [1, 1, 0, 0] * 2
    assert (figures(found, rehearsal)["rows"], figures(found, rehearsal)["leads"]) == (8, 3)
