"""Two leads and what closes them, for tests of whoever writes deals and of whoever reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from agreed import NOW, agreed
from hypothesis import strategies as st
from sqlalchemy import Connection

from features.clock import DAY, HOUR
from features.facts import LeadVersion, Queries
from features.lifecycle import is_open
from features.store.engine import Store
from features.store.history import load_facts
from features.store.ingest import IngestReport, ingest
from features.store.outcomes import ENDINGS, Deal, load_outcomes
from features.store.recording import record_deals

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
INSTANTS = [NOW - n * HOUR + 1 for n in range(6)]


def record(store: Store, *given_deals: Deal, now: int = NOW) -> IngestReport:
    """Write the two leads, where they are not there yet, and these deals."""
    with store.write() as connection:
        ingest(connection, OPENING, AGREED, NOW)
        return record_deals(connection, given_deals, AGREED, now)


def read_outcomes(
    connection: Connection, before: int, leads: Sequence[str] = LEADS
) -> list[Outcome]:
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


def who_is_open(connection: Connection, as_of: int) -> dict[str, bool]:
    """Whether each of the two leads is open at an instant."""
    facts = load_facts(connection, AGREED, LEADS, as_of)
    found = is_open(facts, Queries.at([0, 1], as_of), AGREED)
    return dict(zip(LEADS, found.tolist(), strict=True))


def open_at(connection: Connection, instants: Sequence[int]) -> list[bool]:
    """Whether the first lead, then the second, is open at each of the instants."""
    facts = load_facts(connection, AGREED, LEADS, NOW)
    asked = Queries(np.repeat([0, 1], len(instants)), np.tile(instants, 2))
    return [bool(open_) for open_ in is_open(facts, asked, AGREED)]


def outcomes_now(store: Store, before: int = NOW + 1) -> list[Outcome]:
    """The same, of whatever was recorded before an instant."""
    with store.read() as connection:
        return read_outcomes(connection, before)


def ada_is_open(store: Store, as_of: int = NOW + 1) -> bool:
    """Whether the first of the two leads is open."""
    with store.read() as connection:
        return who_is_open(connection, as_of)["ada"]


@st.composite
def many_revisions(draw: st.DrawFn) -> list[Deal]:
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
