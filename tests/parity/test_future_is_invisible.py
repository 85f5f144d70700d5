"""Does a feature see only what was known, whatever else is in the room? To the last bit.

The oracle computes the same columns in plain loops; everything else compares `compute_features` with
itself under a change that must not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from bits import Bits, row_bits, rows
from hypothesis import given
from hypothesis import strategies as st
from oracles.naive_features import naive_features, naive_is_open, naive_opened, naive_stage
from strategies import AGREED, LEADS, SORTS, histories, queries, records, unseen

from features import pipeline
from features.facts import Queries, Record
from features.gather import FactsBuilder
from features.lifecycle import is_open, opened_at, stage_at
from features.pipeline import build_catalog, compute_features

Asked = Sequence[tuple[str, int]]
Found = tuple[list[dict[str, Bits]], list[tuple[bool, int]]]


Case = tuple[list[Record], list[tuple[str, int]]]


@st.composite
def histories_and_queries(
    draw: st.DrawFn, leads: Sequence[str] = LEADS, sorts: Sequence[str] = SORTS
) -> Case:
    history = draw(histories(leads, sorts=sorts))
    return history, draw(queries(history, _leads_of(history)))


def _leads_of(history: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(record.lead for record in history)) or [LEADS[0]]


def _built(history: Sequence[Record], leads: Sequence[str]) -> FactsBuilder:
    """The history, with the leads that are asked about known even when nothing is known of them."""
    builder = FactsBuilder.of_records(AGREED, history)
    builder.lead_ids = (
        *builder.lead_ids,
        *(lead for lead in leads if lead not in builder.lead_ids),
    )
    return builder


def _ask(
    history: Sequence[Record], asked: Asked
) -> tuple[list[dict[str, Bits]], list[tuple[bool, int]]]:
    """Every feature as bits, and whether the lead is open and in which stage."""
    builder = _built(history, [lead for lead, _ in asked])
    facts = builder.build()
    position = {lead: i for i, lead in enumerate(facts.lead_ids)}
    leads = [position[lead] for lead, _ in asked]
    query = Queries.at(leads, np.array([as_of for _, as_of in asked], dtype=np.int64))
    cycle = zip(
        is_open(facts, query, AGREED).tolist(),
        stage_at(facts, query, AGREED).tolist(),
        strict=True,
    )
    return rows(compute_features(facts, query, AGREED)), list(cycle)


@pytest.mark.parametrize("sort", SORTS)
@given(st.data())
def test_every_feature_equals_the_plain_loops_to_the_last_bit(
    sort: str, data: st.DataObject
) -> None:
    """Facts of one sort about one lead lie densely: on each other, on edges, on the as-of."""
    _compare_with_the_oracle(*data.draw(histories_and_queries(LEADS[:1], [sort])))


@given(histories_and_queries())
def test_every_feature_of_many_leads_equals_the_plain_loops_to_the_last_bit(case: Case) -> None:
    _compare_with_the_oracle(*case)


def _compare_with_the_oracle(history: Sequence[Record], asked: Asked) -> None:
    found, cycle = _ask(history, asked)
    for (lead, as_of), row, (is_open_now, stage) in zip(asked, found, cycle, strict=True):
        assert row == row_bits(naive_features(history, lead, as_of, AGREED))
        assert is_open_now == naive_is_open(history, lead, as_of, AGREED)
        names = [stage.name for stage in AGREED.all_stages]
        assert (names[stage] if stage >= 0 else None) == naive_stage(history, lead, as_of, AGREED)


@given(histories())
def test_a_lead_opens_with_its_first_version(history: list[Record]) -> None:
    facts = FactsBuilder.of_records(AGREED, history).build()
    never = np.iinfo(np.int64).max
    for lead, opened in zip(facts.lead_ids, opened_at(facts).tolist(), strict=True):
        assert (None if opened == never else opened) == naive_opened(history, lead)


def test_the_catalogue_and_the_plain_loops_name_the_same_columns_in_the_same_order() -> None:
    oracle = naive_features([], LEADS[0], 0, AGREED)
    found, _ = _ask([], [(LEADS[0], 0)])
    names = [spec.name for spec in build_catalog(AGREED)]
    assert sorted(oracle) == sorted(names)
    assert list(found[0]) == names


@given(histories_and_queries(), st.data())
def test_no_later_fact_changes_any_feature(case: Case, data: st.DataObject) -> None:
    history, asked = case
    lead, as_of = asked[0]
    later = data.draw(st.lists(unseen(as_of), min_size=1, max_size=5), label="later")
    later = [replace(record, external_id=f"later-{i}") for i, record in enumerate(later)]
    assert _ask([*history, *later], [(lead, as_of)]) == _ask(history, [(lead, as_of)])


@given(histories_and_queries(), st.randoms(use_true_random=False))
def test_the_order_of_the_facts_changes_nothing(case: Case, random: st.random.Random) -> None:
    history, asked = case
    shuffled = random.sample(history, len(history))
    assert _ask(shuffled, asked) == _ask(history, asked)


@given(histories_and_queries())
def test_a_batch_gives_what_its_queries_give_one_by_one(
    case: Case,
) -> None:
    history, asked = case
    found, cycle = _ask(history, asked)
    for i, query in enumerate(asked):
        assert _ask(history, [query]) == ([found[i]], [cycle[i]])


@given(histories_and_queries())
def test_the_facts_of_other_leads_change_nothing(
    case: Case,
) -> None:
    history, asked = case
    for lead, as_of in asked:
        alone = [record for record in history if record.lead == lead]
        assert _ask(alone, [(lead, as_of)]) == _ask(history, [(lead, as_of)])


@given(histories_and_queries(), st.integers(1, 5))
def test_the_size_of_the_portions_changes_nothing(case: Case, size: int) -> None:
    history, asked = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "PAIRS_AT_ONCE", size)
        in_portions = _ask(history, asked)
    assert in_portions == _ask(history, asked)


@given(st.lists(records(), min_size=1, max_size=10))
def test_a_fact_is_visible_one_microsecond_after_its_later_time_and_not_before(
    history: list[Record],
) -> None:
    """The test above could not fail if nothing were ever visible; this one could."""
    for record in history:
        since = max(record.occurred_at, record.recorded_at)
        alone = [record]
        nothing = _ask([], [(record.lead, since)])
        assert _ask(alone, [(record.lead, since)]) == nothing
        assert _ask(alone, [(record.lead, since + 1)]) != _ask([], [(record.lead, since + 1)])
