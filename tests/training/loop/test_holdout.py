"""Does the holdout tell what the order brings, and only when it does?"""

from __future__ import annotations

import numpy as np
import pytest
from agreed import NOW, agreed
from on_record import scored

from features.clock import DAY, iso
from features.errors import NotEnoughEvidenceError
from features.facts import LeadVersion
from features.store.engine import Store
from features.store.ingest import ingest
from features.store.ledger import QueueEntry, record_scores
from features.store.merges import Merge
from features.store.outcomes import Deal
from features.store.queue_order import lots
from features.store.recording import record_deals, record_merged
from features.store.trials import Rules, arm_text, note_rules
from training.loop.holdout import HoldoutReadout, compared, read_holdout

AGREED = agreed()
START = NOW - 200 * DAY
LEADS = [f"L{i}" for i in range(60)]


def bought(lead: str, day: int, amount: float) -> Deal:
    at = START + day * DAY
    return Deal(lead=lead, ending="won", occurred_at=at, recorded_at=at + DAY, amount=amount)


def held_in(store: Store, deals: list[Deal]) -> list[bool]:
    """Leads scored a day apart from one another, of whom some are held out: which; and these deals."""
    seen = QueueEntry(
        last_touch=None, owner=None, name=None, stage=None, kind="prospect", is_open=True
    )
    with store.write() as connection:
        note_rules(connection, Rules(0.0, 0.4, 10), START)
        opened = [
            LeadVersion(lead=lead, occurred_at=START - DAY, recorded_at=START - DAY)
            for lead in [*LEADS, "never scored"]
        ]
        ingest(connection, opened, AGREED, NOW)
        given = [(lead, START + i * DAY) for i, lead in enumerate(LEADS)]
        given += [(lead, START + (i + 5) * DAY) for i, lead in enumerate(LEADS)]
        given += [("L0", START - DAY), ("L1", NOW - DAY)]
        entries = [scored(lead, at, channel="queue") for lead, at in given]
        record_scores(connection, entries, [seen] * len(entries))
        assert not record_deals(connection, deals, AGREED, NOW).problems
        drawn = lots(connection, [arm_text(lead) for lead in LEADS])
    return [lot < 0.4 for lot in drawn]


def test_every_lead_of_an_arm_counts_from_its_first_score_whether_shown_or_not(
    store: Store,
) -> None:
    deals = [bought(lead, i + 89 + i % 2, float(i)) for i, lead in enumerate(LEADS)]
    held = held_in(store, deals)
    found = read_holdout(store, AGREED, NOW)
    for arm, is_held in ((found.held_out, True), (found.scored, False)):
        leads = [i for i in range(60) if held[i] == is_held]
        won = [i for i in leads if i % 2 == 0]  # the others bought on the day after their horizon
        assert (arm.leads, arm.won) == (len(leads), len(won))
        assert arm.revenue.estimate == pytest.approx(sum(won) / len(leads))
    assert found.to_json()["since"] == iso(START)
    assert found.share == 0.4


def test_leads_that_have_become_one_count_once_in_the_arm_of_the_first_that_was_scored(
    store: Store,
) -> None:
    """What any of them bought counts, and each amount once, also where the survivor was never scored."""
    deals = [bought(lead, i + 89 + i % 2, float(i)) for i, lead in enumerate(LEADS)]
    deals += [bought("L13", 50, 1_000.0), bought("never scored", 60, 3_000.0)]
    held = held_in(store, deals)
    families = [[1, 0], [12, 13], [20, 21, 22], [31, 30], [40]]
    ends = {12: "L13", 20: "L21", 21: "L22", 1: "L0", 31: "L30", 40: "never scored"}
    merges = [
        Merge(lead=f"L{lead}", survivor=end, recorded_at=NOW - DAY) for lead, end in ends.items()
    ]
    merges.append(Merge(lead="L50", survivor="L51", recorded_at=NOW))  # nobody knows of it yet
    with store.write() as connection:
        assert not record_merged(connection, merges, AGREED, NOW).problems
    found = read_holdout(store, AGREED, NOW)
    people = [*families, *([i] for i in range(60) if not any(i in one for one in families))]
    for arm, is_held in ((found.held_out, True), (found.scored, False)):
        here = [one for one in people if held[min(one)] == is_held]
        said = []
        for one in here:
            names = [f"L{i}" for i in one] + ["never scored"] * (one == [40])
            start = START + min(one) * DAY
            said.append(
                [
                    d.amount
                    for d in deals
                    if d.lead in names and 0 <= d.occurred_at - start < 90 * DAY
                ]
            )
        assert (arm.leads, arm.won) == (len(here), sum(map(bool, said)))
        assert arm.revenue.estimate == pytest.approx(sum(map(sum, said)) / len(here))


def test_no_holdout_and_one_that_is_too_young_are_told(sqlite_store: Store) -> None:
    with pytest.raises(NotEnoughEvidenceError, match="no lead was ever held out"):
        read_holdout(sqlite_store, AGREED, NOW)
    with sqlite_store.write() as connection:
        note_rules(connection, Rules(0.0, 0.1, 10), NOW - 9 * DAY)
    with pytest.raises(NotEnoughEvidenceError, match="has had its horizon yet"):
        read_holdout(sqlite_store, AGREED, NOW)


def read_out(n: int, gain: float, rng: np.random.Generator) -> HoldoutReadout:
    held = rng.random(n) < 0.3
    won = (rng.random(n) < np.where(held, 0.1, 0.1 + gain)).astype(np.float64)
    return compared(won, won * rng.exponential(100.0, n), held, (START, NOW), 0.3)


def test_a_difference_that_is_there_is_found_and_one_that_is_not_is_not() -> None:
    rng = np.random.default_rng(2)
    none = [read_out(2_000, 0.0, rng) for _ in range(200)]
    assert np.mean([one.is_decisive for one in none]) <= 0.02
    assert np.mean([one.revenue.contains(0.0) for one in none]) >= 0.98
    some = [read_out(2_000, 0.08, rng) for _ in range(50)]
    assert np.mean([one.is_decisive for one in some]) > 0.85
    assert np.mean([one.difference.contains(0.08) for one in some]) >= 0.95
    small = read_out(400, 0.02, np.random.default_rng(0))
    assert not small.is_decisive
    assert small.leads_missing is not None
    assert small.leads_missing > 0
    assert small.to_json()["power"] == 0.8


def test_looked_at_every_week_for_two_years_it_hardly_ever_claims_what_is_not_there() -> None:
    """30 matured leads a week; one look's interval claims a difference at some look in a third."""
    rng, claimed = np.random.default_rng(6), 0
    for _ in range(60):
        held = rng.random(104 * 30) < 0.3
        won = (rng.random(len(held)) < 0.1).astype(np.float64)
        looks = [
            compared(won[:n], won[:n], held[:n], (START, NOW), 0.3)
            for n in range(30, len(held) + 1, 30)
            if held[:n].any() and not held[:n].all()
        ]
        claimed += any(look.is_decisive for look in looks)
    assert claimed <= 3


def test_one_arm_alone_is_nothing_to_compare() -> None:
    with pytest.raises(NotEnoughEvidenceError, match="in one arm"):
        compared(np.ones(3), np.ones(3), np.zeros(3, bool), (START, NOW), 0.1)
