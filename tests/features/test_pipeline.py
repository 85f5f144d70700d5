"""Do the columns and the catalogue that describes them always agree?"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from agreed import NOW, agreed
from hypothesis import given
from hypothesis import strategies as st

from features import pipeline
from features.catalog import column_kinds
from features.clock import DAY
from features.definition import Definition, parse_definition
from features.errors import DefinitionError
from features.facts import Answer, Event, LeadVersion, Queries, Record
from features.frames import Category
from features.gather import FactsBuilder
from features.pipeline import build_catalog, compute_features

AGREED = agreed()
BARE = Definition(name="bare")


def _row(records: list[Record], as_of: int = NOW) -> dict[str, str | float | None]:
    facts = FactsBuilder.of_records(AGREED, records).build()
    return compute_features(facts, Queries.at([0], as_of), AGREED).row(0)


def _names(definition: Definition) -> list[str]:
    return [spec.name for spec in build_catalog(definition)]


@pytest.mark.parametrize("definition", [AGREED, BARE], ids=["agreed", "bare"])
def test_columns_are_named_typed_and_ordered_as_in_the_catalogue(definition: Definition) -> None:
    facts = FactsBuilder(definition, ["ada"]).build()
    for leads in ([], [0], [0, 0, 0]):
        frame = compute_features(facts, Queries.at(leads, NOW), definition)
        kinds = {
            name: "category" if isinstance(column, Category) else "number"
            for name, column in frame.columns.items()
        }
        assert list(kinds.items()) == list(column_kinds(build_catalog(definition)).items())
        assert {len(column) for column in frame.columns.values()} == {len(leads)}
        dtypes = [
            column.dtype for column in frame.columns.values() if isinstance(column, np.ndarray)
        ]
        assert set(dtypes) == {np.dtype(np.float64)}


@pytest.mark.parametrize("definition", [AGREED, BARE], ids=["agreed", "bare"])
def test_names_are_unique_and_safe_for_every_tool(definition: Definition) -> None:
    names = _names(definition)
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in names)


def test_every_feature_can_be_put_into_words() -> None:
    for spec in build_catalog(AGREED):
        assert spec.phrase.count("{value}") == 1
        assert "{" not in spec.phrase.format(value="3")
        assert spec.missing
        assert spec.label
        assert ":" in spec.fact


def test_levels_are_listed_where_the_definition_lists_them() -> None:
    levels = {spec.name: spec.levels for spec in build_catalog(AGREED) if spec.kind == "category"}
    assert levels == {
        "lead_kind": ("prospect", "client"),
        "attr_industry": ("Retail", "Software", "No", "Öffentlich"),
        "attr_city": None,
        "attr_channel": None,
        "bant_budget_allocated": ("Yes", "Next year", "No", "unknown"),
        "bant_role": ("Decides", "Advises", "Uses", "unknown"),
        "bant_pain": ("Severe", "Some", "None at all", "unknown"),
        "bant_replaces": ("Competitor", "Nothing", "unknown"),
        "bant_buys_within": ("A month", "A quarter", "A year", "Later", "unknown"),
    }


def test_only_what_the_definition_ranks_is_monotone() -> None:
    signs = {spec.name: spec.monotone for spec in build_catalog(AGREED) if spec.monotone}
    ranked = ("budget_allocated", "role", "buys_within")
    assert signs == {
        "attr_employees": 1,
        "attr_founded_days": 1,
        "bant_pain_sales": 1,
        "bant_agreed": 1,
        **{f"bant_{name}_{side}": 1 for name in ranked for side in ("sales", "marketing")},
    }


def test_sensitive_and_late_attributes_have_no_column() -> None:
    assert not [name for name in _names(AGREED) if name[5:] == "age" or "close_reason" in name]


def test_a_question_on_which_both_sides_agree_has_one_ranking() -> None:
    names = _names(AGREED)
    assert "bant_pain_marketing" not in names
    assert "bant_role_marketing" in names


def test_windows_of_every_length_have_a_name_of_their_own() -> None:
    windows = {
        spec.window_days: spec.name for spec in build_catalog(AGREED) if "ev_any_" in spec.name
    }
    assert windows == {
        0.0625: "ev_any_90min",
        0.5: "ev_any_12h",
        7.0: "ev_any_7d",
        30.25: "ev_any_726h",
        None: "ev_any_recency_days",
    }


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        (
            "attributes: [{name: seen, type: date}, {name: seen_days, type: number}]",
            "attr_seen_days: is a column of attribute:seen and of attribute:seen_days",
        ),
        (
            "bant: {need: [{name: answers, answers: [a]}]}",
            "bant_answers: is a column of bant:answers",
        ),
        (
            "bant: {need: [{name: a, answers: [x]}, {name: a_sales, answers: [x]}]}",
            "bant_a_sales: is a column of bant:a and of bant:a_sales",
        ),
        ("engagement: {kinds: [any]}", "ev_any_7d: is a column of event:any and of event:all"),
        (
            "engagement: {kinds: [via_web], channels: [web]}",
            "ev_via_web_90d: is a column of event:via_web and of channel:web",
        ),
        (
            "engagement: {kinds: [visit], windows_days: [0.00001, 0.000012]}",
            "ev_visit_1s: is a column of event:visit and of event:visit",
        ),
    ],
)
def test_two_facts_that_would_share_a_column_are_refused(text: str, shared: str) -> None:
    definition = parse_definition(f"{{name: a, {text}}}")
    with pytest.raises(DefinitionError, match="columns would share a name") as refusal:
        build_catalog(definition)
    assert any(shared in str(problem) for problem in refusal.value.problems)


def test_a_lead_of_whom_nothing_is_known_has_counts_of_none_and_values_not_known() -> None:
    facts = FactsBuilder(AGREED, ["ada"]).build()
    row = compute_features(facts, Queries.at([0], NOW), AGREED).row(0)
    none = {name for name, value in row.items() if value == 0.0}
    counted = {name for name in row if name.startswith("ev_")} - {
        *(name for name in row if name.endswith("_days")),
        "ev_trend",
        "ev_silence",
    }
    in_all = {"agreed", "asked_share", "answered_share", "unknown", "contradictions", "answers"}
    assert none == {"lead_updates", *counted, *(f"bant_{name}" for name in in_all)}
    assert {value for name, value in row.items() if name not in none} == {None}


def test_a_lead_as_people_would_describe_it() -> None:
    """The numbers are worked out by hand: noon, and facts at round distances before it."""
    day, records = DAY, list[Record]()
    for days_ago, city in ((40, "Köln"), (10, "Bonn")):
        at = NOW - days_ago * day
        records.append(
            LeadVersion(lead="ada", occurred_at=at, recorded_at=at, attributes={"city": city})
        )
    for days_ago, answer in ((30, "Uses"), (20, "unknown"), (5, "Advises")):
        at = NOW - days_ago * day
        records.append(
            Answer(lead="ada", question="role", answer=answer, occurred_at=at, recorded_at=at)
        )
    for days_ago in (29, 8, 2):
        at = NOW - days_ago * day
        records.append(
            Event(lead="ada", kind="visit", channel="web", occurred_at=at, recorded_at=at)
        )
    row = _row(records)
    expected = {
        "lead_age_days": 40.0,
        "lead_updates": 1.0,
        "attr_city": "Bonn",
        "bant_role": "Advises",
        "bant_role_sales": 0.5,
        "bant_role_marketing": 0.0,
        "bant_role_age_days": 5.0,
        "bant_agreed": (2 * (0.5 + 0.0) / 2 - 1) / 5,
        "bant_asked_share": 0.2,
        "bant_answered_share": 0.2,
        "bant_contradictions": 1.0,
        "bant_answers": 3.0,
        "bant_last_days": 5.0,
        "ev_visit_7d": 1.0,
        "ev_visit_726h": 3.0,
        "ev_visit_ever": 3.0,
        "ev_visit_recency_days": 2.0,
        "ev_days_726h": 3.0,
        "ev_first_days": 29.0,
        "ev_silence": 2.0 / 13.5,
        "ev_via_web_726h": 3.0,
        "ev_channels": 1.0,
    }
    assert {name: row[name] for name in expected} == expected


def test_asked_in_vain_is_neither_not_asked_nor_an_answer() -> None:
    at = NOW - DAY
    row = _row(
        [Answer(lead="a", question="role", answer="unknown", occurred_at=at, recorded_at=at)]
    )
    assert (row["bant_role"], row["bant_role_sales"], row["bant_unknown"]) == ("unknown", None, 1.0)
    assert (row["bant_asked_share"], row["bant_answered_share"]) == (0.2, 0.0)
    assert row["bant_agreed"] == -0.5 / 5


def test_a_date_still_to_come_is_a_negative_number_of_days() -> None:
    at, ends = NOW - DAY, float(NOW + 3 * DAY)
    row = _row(
        [LeadVersion(lead="a", occurred_at=at, recorded_at=at, attributes={"contract_ends": ends})]
    )
    assert row["attr_contract_ends_days"] == -3.0


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(1, 20))
def test_portions_hold_every_query_in_order_and_no_more_pairs_than_asked_for(
    events: list[int], most: int
) -> None:
    """One query may hold more by itself: it cannot be split."""
    builder = FactsBuilder(BARE, [f"lead {i}" for i in range(len(events))])
    builder._events = [(lead, 0, 0, 0, -1) for lead, n in enumerate(events) for _ in range(n)]
    queries = Queries.at(np.arange(len(events)), np.arange(len(events)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "PAIRS_AT_ONCE", most)
        parts = list(_portions(builder, queries))
    assert [lead for part in parts for lead in part.lead.tolist()] == list(range(len(events)))
    assert [t for part in parts for t in part.as_of.tolist()] == list(range(len(events)))
    for part in parts:
        pairs = [events[lead] for lead in part.lead.tolist()]
        assert sum(pairs) <= most or sum(pairs) - pairs[0] < most


def _portions(builder: FactsBuilder, queries: Queries) -> Iterator[Queries]:
    return pipeline._portions(builder.build(), queries)
