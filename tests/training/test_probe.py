"""Planted leaks are caught through the definition's columns, and honest columns are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from agreed import NOW, agreed

from features.clock import DAY
from features.facts import Event, LeadVersion
from features.frames import Category
from features.store.engine import Store
from features.store.ingest import ingest
from features.store.outcomes import Deal
from features.store.recording import record_deals
from training.dataset import Dataset, build_dataset
from training.leakage import Finding
from training.probe import find_leakage, late_values

AGREED = agreed()
START = NOW - 500 * DAY
LEADS = 700


def outcome(lead: int) -> tuple[bool, int]:
    """Whether a lead is won, and after how many days; no two tests need to agree on more."""
    rng = np.random.default_rng(lead)
    return bool(rng.random() < 0.3), int(rng.integers(40, 300))


@pytest.fixture
def filled(sqlite_store: Store) -> Store:
    """Leads with honest attributes; growth is filled in with the close, the contract's end before it."""
    versions, events, deals = [], [], []
    for lead in range(LEADS):
        name, (won, after) = f"lead-{lead}", outcome(lead)
        rng, closed = np.random.default_rng([lead, 1]), START + after * DAY
        told = {
            "employees": float(rng.lognormal(4, 1)) * (1.3 if won else 1.0),
            "city": ["Basel", "Bern", "Biel"][int(rng.integers(3))],
            "contract_ends": float(closed + rng.integers(-400, 400) * DAY),
        }
        versions += [
            LeadVersion(lead=name, occurred_at=START, recorded_at=START, attributes=told),
            LeadVersion(
                lead=name,
                occurred_at=closed,
                recorded_at=closed,
                attributes={**told, "growth": 0.1},
            ),
        ]
        kind = AGREED.engagement.kinds[0].name
        events += [
            Event(lead=name, kind=kind, occurred_at=START + n * DAY, recorded_at=START + n * DAY)
            for n in rng.integers(0, 40, int(rng.poisson(2 + won))).tolist()
        ]
        ending = "won" if won else "lost"
        deals.append(Deal(lead=name, ending=ending, occurred_at=closed, recorded_at=closed))
    with sqlite_store.write() as connection:
        assert not ingest(connection, [*versions, *events], AGREED, NOW).problems
        assert not record_deals(connection, deals, AGREED, NOW).problems
    return sqlite_store


def matured(store: Store) -> Dataset:
    return build_dataset(store, AGREED, NOW, most_leads=10**6, seed=0).matured()


def with_column(rows: Dataset, name: str, column: np.ndarray | Category) -> Dataset:
    columns = {**rows.frame.columns, name: column}
    return replace(rows, frame=replace(rows.frame, columns=columns))


def blocking(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(finding.column, finding.kind) for finding in findings if finding.blocking]


def test_honest_columns_pass_and_what_is_filled_in_with_the_close_does_not(filled: Store) -> None:
    rows = matured(filled)
    assert find_leakage(rows, AGREED) == ()
    late = late_values(filled, AGREED, NOW)
    assert late["growth"] == 1.0
    assert late["employees"] == late["city"] == late["contract_ends"] == 0.0
    assert blocking(find_leakage(rows, AGREED, late=late)) == [("growth", "late")]
    assert blocking(find_leakage(rows, AGREED, late=late, allow=["growth"])) == []


@pytest.mark.parametrize("kind", ["copy", "amount", "level", "date"])
def test_each_kind_of_planted_column_is_caught_under_the_attributes_name(
    filled: Store, kind: str
) -> None:
    rows = matured(filled)
    rng, y = np.random.default_rng(2), rows.y
    by_lead = rng.random(LEADS)[rows.lead]
    column: np.ndarray | Category
    match kind:
        case "copy":
            name, column = "attr_employees", np.where(by_lead < 0.05, 1 - y, y).astype(float)
        case "amount":
            name, column = "attr_growth", np.where(y == 1, 100 * (1 + by_lead), np.nan)
        case "level":
            codes = np.where((y == 1) & (by_lead < 0.6), 2, (by_lead * 50).astype(np.int64) % 2)
            name, column = "attr_city", Category(codes, ("Basel", "Bern", "Biel"))
        case _:
            assert rows.follow is not None
            ended = np.where(rows.follow.ended > 200 * DAY, np.nan, rows.follow.ended / DAY)
            name, column = "attr_contract_ends_days", -np.floor(ended)
    found = blocking(find_leakage(with_column(rows, name, column), AGREED))
    assert [attribute for attribute, _ in found] == [
        name.removeprefix("attr_").removesuffix("_days")
    ]


def test_without_dates_nothing_is_known_of_late_values(filled: Store) -> None:
    undated = AGREED.model_copy(update={"time": "none"})
    assert late_values(filled, undated, NOW) == {}
