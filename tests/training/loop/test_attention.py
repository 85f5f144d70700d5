"""Is it read off the log who was worked, and how probable that was?"""

from __future__ import annotations

import numpy as np
import pytest
from agreed import NOW, agreed

from features.clock import DAY
from features.facts import Answer, Facts, LeadVersion, Queries
from features.pipeline import compute_features
from features.store.engine import Store
from features.store.exposure import Shown, record_shown
from features.store.history import load_facts
from features.store.ingest import ingest
from training.dataset import Dataset
from training.loop.attention import attention_of

AGREED = agreed()
LEADS = ["a", "b", "c", "d"]
AS_OF = NOW - 100 * DAY


def shown(lead: str, day: int, rank: int, chance: float | None) -> Shown:
    at = AS_OF + day * DAY
    return Shown(
        lead=lead, score=ord(lead), at=at, list="x", rank=rank, channel="page", chance=chance
    )


def dataset(facts: Facts) -> Dataset:
    frame = compute_features(facts, Queries.at(np.arange(4), AS_OF), AGREED)
    codes = np.arange(4)
    return Dataset(frame, codes, np.zeros(4, np.int64), np.zeros(4, np.int64), NOW)


def test_work_within_the_horizon_counts_and_its_chance_is_that_of_the_first_places(
    store: Store,
) -> None:
    opened = AS_OF - DAY

    def asked(lead: str, day: int) -> Answer:
        at = AS_OF + day * DAY
        return Answer(lead=lead, question="pain", answer="Some", occurred_at=at, recorded_at=at + 1)

    facts = [LeadVersion(lead=lead, occurred_at=opened, recorded_at=opened) for lead in LEADS]
    work = [asked("a", 3), asked("b", 89), asked("c", 90)]  # c after its horizon, d never
    log = [
        shown("a", 1, 2, 0.5),
        shown("a", 2, 9, 0.5),
        shown("a", 95, 1, 1.0),
        shown("b", 1, 40, 0.1),
        shown("c", 1, 1, 1.0),
        shown("d", 1, 1, None),
    ]
    with store.write() as connection:
        assert not ingest(connection, [*facts, *work], AGREED, NOW).problems
        assert record_shown(connection, log) == len(log)
    with store.read() as connection:
        known = load_facts(connection, AGREED, LEADS, NOW)
    found = attention_of(store, dataset(known), AGREED, first_places=10)
    assert found.worked.tolist() == [True, True, False, False]
    then, else_ = 0.5, 0.5  # a and c stood there, a was worked; b and d did not, b was
    expected = [q * then + (1 - q) * else_ for q in (0.75, 0.1, 1.0, 0.0)]
    assert found.chance == pytest.approx(expected)
