"""A dataset is cohorts × features × labels exactly as loops find them, however the store is read."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from agreed import NOW, agreed
from bits import row_bits, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles.naive_features import naive_features
from oracles.naive_labels import naive_cohort, naive_label
from small_datasets import dataset_of, labels
from sqlalchemy import Connection, select
from strategies import FAR, LEADS, histories

from features.clock import DAY
from features.definition import parse_definition
from features.errors import NotEnoughEvidenceError
from features.facts import Event, LeadVersion, Record, StageChange
from features.store.engine import Store
from features.store.history import iter_facts
from features.store.ingest import ingest, set_do_not_score
from features.store.merges import Merge
from features.store.outcomes import ENDINGS, Deal
from features.store.recording import record_deals, record_merged
from features.store.tables import leads, stages
from training import dataset as module
from training.dataset import Dataset, build_dataset, draw, newest_cutoff
from training.labels import REASONS

DEFINITION = agreed()
HORIZON = 90 * DAY


def built(store: Store, cutoff: int = NOW, most_leads: int = 1_000, seed: int = 0) -> Dataset:
    return build_dataset(store, DEFINITION, cutoff, most_leads=most_leads, seed=seed)


def versions(leads: Sequence[str], days_ago: int = 200) -> list[LeadVersion]:
    at = NOW - days_ago * DAY
    return [
        LeadVersion(lead=lead, occurred_at=at, recorded_at=at, attributes={"employees": float(i)})
        for i, lead in enumerate(leads)
    ]


def fill(store: Store, records: Sequence[Record], deals: Sequence[Deal] = ()) -> None:
    with store.write() as connection:
        assert not ingest(connection, records, DEFINITION, FAR).problems
        assert not record_deals(connection, deals, DEFINITION, FAR).problems


@pytest.fixture
def new_store(tmp_path: Path, migrated_sqlite: Path) -> Callable[[], Store]:
    """Makes an empty store, always in the same place."""

    def make() -> Store:
        path = tmp_path / "one.db"
        for old in tmp_path.glob("one.db*"):
            old.unlink()
        shutil.copy(migrated_sqlite, path)
        return Store(f"sqlite:///{path}")

    return make


@st.composite
def outcomes(draw: st.DrawFn, leads: Sequence[str]) -> list[Deal]:
    found = []
    for number in range(draw(st.integers(0, 3))):
        at = NOW - draw(st.integers(0, 400)) * DAY
        found.append(
            Deal(
                lead=draw(st.sampled_from(leads)),
                ending=draw(st.sampled_from(ENDINGS)),
                occurred_at=at,
                recorded_at=at + draw(st.sampled_from([0, 1, 10 * DAY])),
                external_id=f"deal-{number}",
            )
        )
    return found


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_rows_features_and_labels_are_those_of_plain_loops(
    new_store: Callable[[], Store], data: st.DataObject
) -> None:
    known = versions(LEADS, 300)
    # Facts without ids that differ in nothing but their recording are one fact, the first written.
    history = [replace(r, external_id=f"{i}") for i, r in enumerate(data.draw(histories(most=12)))]
    deals = data.draw(outcomes(LEADS))
    cutoff = data.draw(st.sampled_from([NOW, NOW - 60 * DAY, NOW - 3 * DAY + 1]))
    store = new_store()
    fill(store, [*known, *history], deals)
    found = built(store, cutoff)
    with store.read() as connection:
        closings = _closings(connection)
    store.close()
    records = [*known, *history, *closings]
    expected = sorted(naive_cohort(records, DEFINITION, cutoff))
    order = sorted(range(len(found)), key=lambda i: (found.frame.lead_ids[i], found.as_of[i]))
    assert [(found.frame.lead_ids[i], int(found.as_of[i])) for i in order] == expected
    cells = rows(found.frame)
    for i, (lead, as_of) in zip(order, expected, strict=True):
        assert cells[i] == row_bits(naive_features(records, lead, as_of, DEFINITION))
        label = naive_label(deals, lead, as_of, DEFINITION, cutoff)
        assert (int(found.y[i]), REASONS[int(found.reason[i])]) == label
    numbers = dict(zip(found.frame.lead_ids, found.lead.tolist(), strict=True))
    assert [numbers[lead] for lead in found.frame.lead_ids] == found.lead.tolist()
    assert len(set(numbers.values())) == len(numbers)


def _closings(connection: Connection) -> list[Record]:
    """The stage changes that deals have made, as records."""
    query = select(leads.c.external_id.label("lead"), stages).join(leads)
    return [
        StageChange(
            lead=row.lead,
            stage=row.stage,
            occurred_at=row.occurred_at,
            recorded_at=row.recorded_at,
            external_id=row.external_id,
        )
        for row in connection.execute(query.where(stages.c.external_id.like("deal:%")))
    ]


def test_portions_of_leads_make_no_difference(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"lead-{i}" for i in range(7)]
    won = Deal(
        lead="lead-5",
        ending="won",
        occurred_at=NOW - 150 * DAY,
        recorded_at=NOW - 150 * DAY,
        external_id="d",
    )
    fill(store, versions(names), [won])
    whole = built(store)
    monkeypatch.setattr(module, "iter_facts", partial(iter_facts, portion=2))
    parts = built(store)
    assert parts.fingerprint == whole.fingerprint
    assert parts.lead.tolist() == whole.lead.tolist()
    assert sorted(set(whole.y.tolist())) == [-1, 0, 1]
    assert parts.follow is not None
    assert whole.follow is not None
    assert parts.follow.ended.tolist() == whole.follow.ended.tolist()
    won_at = whole.as_of[whole.follow.won] + whole.follow.ended[whole.follow.won]
    assert set(won_at.tolist()) == {NOW - 150 * DAY}
    chosen = whole.take(np.flatnonzero(whole.y == 1)).follow
    assert chosen is not None
    assert chosen.won.all()


def test_who_objects_to_being_scored_is_not_learned_from(store: Store) -> None:
    fill(store, versions(["ada", "bo"]))
    with store.write() as connection:
        set_do_not_score(connection, "ada", True)
    assert set(built(store).frame.lead_ids) == {"bo"}


def test_a_sample_takes_whole_leads_about_as_many_as_asked_and_always_the_same(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"lead-{i}" for i in range(400)]
    fill(sqlite_store, versions(names))
    whole, sample = built(sqlite_store), built(sqlite_store, most_leads=100)
    rows_of = [d.frame.lead_ids.count(lead) for d in (whole, sample) for lead in names[:1]]
    chosen = set(sample.frame.lead_ids)
    # Binomial with 400 draws of a quarter: 100 ± 8.7; four standard deviations err once in 16,000.
    assert 65 <= len(chosen) <= 135
    assert len(sample) == len(chosen) * rows_of[0]
    monkeypatch.setattr(module, "iter_facts", partial(iter_facts, portion=33))
    assert built(sqlite_store, most_leads=100).fingerprint == sample.fingerprint
    assert set(built(sqlite_store, most_leads=100, seed=1).frame.lead_ids) != chosen
    assert set(built(sqlite_store, most_leads=50).frame.lead_ids) < chosen


def test_what_samples_leads_says_nothing_about_what_splits_them() -> None:
    names = [f"lead-{i}" for i in range(4_000)]
    for_sample = np.array([draw(lead, 3) for lead in names])
    for_piece = np.array([draw(lead, 3, "piece") for lead in names])
    assert 0 <= min(for_sample.min(), for_piece.min()) <= max(for_sample.max(), for_piece.max()) < 1
    sampled = for_piece[for_sample < 0.1]
    # A uniform mean of about 400 draws is .5 ± .0144; four standard deviations err once in 16,000.
    assert abs(sampled.mean() - 0.5) < 0.058


def test_progress_is_told_in_leads(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, versions([f"lead-{i}" for i in range(5)]))
    monkeypatch.setattr(module, "iter_facts", partial(iter_facts, portion=2))
    told: list[tuple[int, int]] = []
    build_dataset(
        store,
        DEFINITION,
        NOW,
        most_leads=9,
        seed=0,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(2, 5), (4, 5), (5, 5)]


def test_a_store_without_open_leads_says_what_to_do(store: Store) -> None:
    with pytest.raises(NotEnoughEvidenceError, match="nothing to learn from") as caught:
        built(store)
    assert "propensity import" in caught.value.hint
    fill(store, versions(["ada"], days_ago=0))
    with pytest.raises(NotEnoughEvidenceError, match="nothing to learn from"):
        built(store, cutoff=NOW)


def test_only_rows_with_a_known_outcome_are_matured(store: Store) -> None:
    fill(store, versions(["ada"]))
    found = built(store)
    matured = found.matured()
    # The grid's instants lie 24.5, 54.5 … 174.5 days ago; horizon and lag are 93 days.
    assert found.reasons() == {"not won within the horizon": 3, "horizon not over": 3}
    assert len(matured) == 3
    assert matured.reasons() == {"not won within the horizon": 3}
    assert matured.as_of.max() + HORIZON + 3 * DAY <= NOW


def changed(value: Dataset) -> list[Dataset]:
    """The dataset with one thing changed, each time another."""
    frame = value.frame
    sizes, colours = frame.columns["size"].copy(), frame.columns["colour"]
    sizes[1] = 5.5
    renamed = replace(colours, levels=("green", *colours.levels[1:]))
    return [
        replace(value, y=1 - value.y),
        replace(value, frame=replace(frame, as_of=frame.as_of + 1)),
        replace(value, frame=replace(frame, lead_ids=("other", *frame.lead_ids[1:]))),
        replace(value, frame=replace(frame, columns={**frame.columns, "size": sizes})),
        replace(value, frame=replace(frame, columns={**frame.columns, "colour": renamed})),
        replace(value, frame=replace(frame, columns={"size": frame.columns["size"]})),
        value.take(np.array([1, 0, 2])),
    ]


def small() -> Dataset:
    columns = {"size": np.array([1.0, np.nan, 3.0]), "colour": labels(["blue", "red", None])}
    return dataset_of([0, 1, 1], [1, 2, 3], [0, 1, 0], columns)


def test_the_fingerprint_changes_with_every_row_value_and_label() -> None:
    prints = [small().fingerprint, *(other.fingerprint for other in changed(small()))]
    assert len(set(prints)) == len(prints)


def test_the_fingerprint_does_not_depend_on_how_levels_are_listed() -> None:
    one = small()
    colours = one.frame.columns["colour"]
    listed = type(colours)(np.array([2, 0, -1]), ("red", "unused", "blue"))
    columns = {**one.frame.columns, "colour": listed}
    other = replace(one, frame=replace(one.frame, columns=columns))
    assert other.fingerprint == one.fingerprint
    assert len(one.fingerprint) == len(hashlib.sha256().hexdigest())


def test_a_definition_with_another_horizon_gives_other_labels_on_the_same_rows(
    sqlite_store: Store,
) -> None:
    fill(sqlite_store, versions(["ada"]))
    longer = parse_definition(DEFINITION.to_yaml().replace("horizon_days: 90", "horizon_days: 120"))
    found = build_dataset(sqlite_store, longer, NOW, most_leads=9, seed=0)
    assert found.as_of.tolist() == built(sqlite_store).as_of.tolist()
    assert (found.y >= 0).sum() == 2, "those 144.5 and 174.5 days ago"


def test_events_that_go_on_after_the_deals_move_no_horizon(sqlite_store: Store) -> None:
    """What closed after the last deal came in is not known: silence is not a loss."""
    definition = agreed()
    old, new = NOW - 400 * DAY, NOW - DAY
    with sqlite_store.write() as connection:
        records = [
            LeadVersion(lead="a", occurred_at=old, recorded_at=old),
            Event(
                lead="a", kind=definition.engagement.kinds[0].name, occurred_at=new, recorded_at=new
            ),
        ]
        ingest(connection, records, definition, NOW)
    with pytest.raises(NotEnoughEvidenceError, match="no closed deals"):
        newest_cutoff(sqlite_store)
    closed = old + 10 * DAY
    with sqlite_store.write() as connection:
        deal = Deal(lead="a", ending="won", occurred_at=closed, recorded_at=closed)
        record_deals(connection, [deal], definition, NOW)
    assert newest_cutoff(sqlite_store) == closed + 1


def test_rows_of_leads_that_became_one_are_rows_of_one_in_the_sample_and_in_the_splits(
    new_store: Callable[[], Store],
) -> None:
    names = [f"P{i:02d}" for i in range(40)]
    store = new_store()
    fill(store, versions(names))
    with store.write() as connection:
        told = [
            Merge(lead=one, survivor=other, recorded_at=NOW - 20 * DAY)
            for one, other in zip(names[:20], names[20:], strict=True)
        ]
        assert record_merged(connection, told, DEFINITION, NOW).added == 20
    person = {name: i % 20 for i, name in enumerate(names)}
    for found in (built(store), built(store, most_leads=12)):
        here = {
            (person[name], number)
            for name, number in zip(found.frame.lead_ids, found.lead.tolist(), strict=True)
        }
        assert len(here) == len({one for one, _ in here}) == len({number for _, number in here})
        present = set(found.frame.lead_ids)
        assert all(
            (one in present) == (other in present)
            for one, other in zip(names[:20], names[20:], strict=True)
        )
    assert 0 < len(here) < 20
    store.close()
