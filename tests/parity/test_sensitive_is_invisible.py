"""A sensitive attribute changes no feature and no score, whatever it says and whenever it changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from agreed import NOW
from bits import rows
from hypothesis import given
from hypothesis import strategies as st
from strategies import AGREED, histories
from trained_company import END, trained_company

from features.clock import DAY
from features.facts import LeadVersion, Queries, Record
from features.frames import Columns
from features.gather import FactsBuilder
from features.pipeline import build_catalog, compute_features
from features.store.history import iter_open

SENSITIVE = [attribute.name for attribute in AGREED.attributes if attribute.sensitive]


def with_age(history: Sequence[Record], ages: Sequence[float | None]) -> list[Record]:
    return [
        replace(record, attributes={**record.attributes, "age": ages[i % len(ages)]})
        if isinstance(record, LeadVersion)
        else record
        for i, record in enumerate(history)
    ]


@given(
    histories(),
    st.lists(st.sampled_from([None, 0.0, 18.0, 99.0, 1e300]), min_size=1, max_size=4),
    st.lists(st.sampled_from([None, 35.0]), min_size=1, max_size=3),
)
def test_no_feature_knows_a_sensitive_attribute(
    history: list[Record], ages: list[float | None], others: list[float | None]
) -> None:
    # Versions that say something else are something else, so each gets a name of its own.
    named = [replace(record, external_id=f"{i}") for i, record in enumerate(history)]
    found = []
    for chosen in (ages, others):
        facts = FactsBuilder.of_records(AGREED, with_age(named, chosen)).build()
        everyone = np.arange(len(facts.lead_ids))
        asked = Queries.at(np.repeat(everyone, 2), np.tile([NOW - DAY, NOW], len(everyone)))
        found.append(rows(compute_features(facts, asked, AGREED)))
    assert found[0] == found[1]


def test_of_two_versions_at_one_instant_what_is_sensitive_decides_none() -> None:
    """Which of the two stands is a convention; that an age would choose the industry is a leak."""
    found = []
    for ages in ((20.0, 80.0), (80.0, 20.0)):
        versions = [
            LeadVersion(
                lead="a",
                occurred_at=NOW - DAY,
                recorded_at=NOW - DAY,
                attributes={"industry": industry, "age": age},
                external_id=industry,
            )
            for industry, age in zip(("Retail", "Software"), ages, strict=True)
        ]
        facts = FactsBuilder.of_records(AGREED, versions).build()
        found.append(rows(compute_features(facts, Queries.at(np.zeros(1, np.int64), NOW), AGREED)))
    assert found[0] == found[1]


def test_no_column_is_made_of_a_sensitive_attribute() -> None:
    assert SENSITIVE == ["age"]
    for spec in build_catalog(AGREED):
        assert not {spec.fact, spec.name} & {"attribute:age", "attr_age"}


def test_no_score_moves_when_everybodys_gender_and_birth_year_are_others() -> None:
    company = trained_company()
    workspace, model = company.read_only(), company.model()
    definition = model.definition
    assert {a.name for a in definition.attributes if a.sensitive} == {"gender", "birth_year"}
    rng = np.random.default_rng(0)
    compared = 0
    with workspace.store.read() as connection:
        for facts, queries in iter_open(connection, definition, END):
            known = facts.attributes
            values, codes = known.floats.copy(), known.codes.copy()
            at = known.categories.index("gender")
            codes[at] = rng.integers(-1, len(known.levels[at]), codes.shape[1])
            values[known.numbers.index("birth_year")] = rng.uniform(1930, 2010, codes.shape[1])
            other = Columns(known.numbers, values, known.categories, codes, known.levels)
            before = model.raw(compute_features(facts, queries, definition))
            after = model.raw(
                compute_features(replace(facts, attributes=other), queries, definition)
            )
            assert before.tobytes() == after.tobytes()
            compared += len(before)
    workspace.store.close()
    assert compared > 100
