"""Is it read off the log who was worked, and how probable that was?"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

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
from features.store.queue_order import lots
from features.store.trials import Rules, note_rules
from serving.placing_by_lot import Placed, placed
from training.dataset import Dataset
from training.loop.attention import attention_of

AGREED = agreed()
LEADS = ["a", "b", "c", "d"]
AS_OF = NOW - 100 * DAY


def shown(lead: str, day: int, rank: int, chance: float | None) -> Shown:
    at = AS_OF + day * DAY
    return Shown(
        lead=lead,
        score=ord(lead),
        at=at,
        list="everybody",
        rank=rank,
        channel="page",
        chance=chance,
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
        shown("b", 1, 40, 0.5),
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
    # d was on no page of the list; on both days it had the chance of the others.
    expected = [q * then + (1 - q) * else_ for q in (0.75, 0.75, 1.0, 0.75)]
    assert found.chance == pytest.approx(expected)


MANY = [f"L{i:02d}" for i in range(30)]
LOOKS = range(1, 13)
RULES = Rules(explore=0.2, holdout=0.3, top=8)


def test_the_chance_of_ever_standing_first_is_what_many_drawn_worlds_say(
    sqlite_store: Store,
) -> None:
    """Somebody looks at one page a day; most leads are on none. Arms and numbers of places are given."""
    opened = [
        LeadVersion(lead=lead, occurred_at=AS_OF - DAY, recorded_at=AS_OF - DAY) for lead in MANY
    ]
    ordered = list(enumerate(MANY))
    with sqlite_store.write() as connection:
        ingest(connection, opened, AGREED, NOW)
        note_rules(connection, RULES, AS_OF - DAY)

        def lists(salt: int) -> list[list[Placed]]:
            """The lists of all days in a world; the lots of world 0 are the database's."""

            def drawn(texts: Sequence[str]) -> Sequence[float]:
                given = known.setdefault(tuple(texts), lots(connection, texts))
                own = [
                    text.startswith(("place:", "seat:")) or text.count(":") == 3 for text in texts
                ]
                if not salt:
                    return given
                return [
                    random.Random(f"{salt}:{text}").random() if mine else lot
                    for text, mine, lot in zip(texts, own, given, strict=True)
                ]

            first_day = AS_OF // DAY
            return [placed(ordered, RULES, "everybody", first_day + day, drawn) for day in LOOKS]

        known: dict[tuple[str, ...], Sequence[float]] = {}
        first = set()
        for day, found in zip(LOOKS, lists(0), strict=True):
            at = AS_OF // DAY * DAY + day * DAY + 3_600_000_000
            page = [
                Shown(
                    lead=MANY[one.key],
                    score=one.key,
                    at=at,
                    list="everybody",
                    rank=rank,
                    channel="page",
                    place=one.place,
                    chance=one.chance,
                )
                for rank, one in enumerate(found[: RULES.top + 2], start=1)
            ]
            record_shown(connection, page)
            first |= {one.lead for one in page if one.rank <= RULES.top}
        work = [
            Answer(lead=lead, question="pain", answer="Some", occurred_at=at, recorded_at=at + 1)
            for lead in first
            for at in [AS_OF + 20 * DAY]
        ]
        assert not ingest(connection, work, AGREED, NOW).problems
        worlds = 300
        ever = Counter(
            key
            for salt in range(1, worlds + 1)
            for key in {one.key for found in lists(salt) for one in found[: RULES.top]}
        )
        facts = load_facts(connection, AGREED, MANY, NOW)
    frame = compute_features(facts, Queries.at(np.arange(len(MANY)), AS_OF), AGREED)
    none = np.zeros(len(MANY), np.int64)
    found = attention_of(
        sqlite_store, Dataset(frame, np.arange(len(MANY)), none, none, NOW), AGREED, RULES.top
    )
    # Worked is who ever stood first, and nobody else: the chance of the one is that of the other.
    assert found.worked.tolist() == [lead in first for lead in MANY]
    truth = np.array([ever[key] / worlds for key in range(len(MANY))])
    assert 0.1 < truth.min() < 0.9, "there are leads whose place was a matter of luck"
    error = np.sqrt(np.maximum(truth * (1 - truth), 0.01) / worlds)
    assert np.all(np.abs(found.chance - truth) < 4.5 * error)
