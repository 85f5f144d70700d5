"""Is a lead that is read in one go the lead that the pipeline would have seen? To the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from agreed import NOW, agreed
from bits import row_bits
from hypothesis import given
from hypothesis import strategies as st
from models_made import made_model

from features.errors import InputError
from features.facts import Queries
from features.gather import FactsBuilder
from features.pipeline import build_catalog, compute_features
from serving.contracts import ScoreRequest
from serving.plain_leads import plain_leads
from serving.records import of_score_request
from serving.standing import standings

DEFINITION = agreed()

TEXTS = st.sampled_from(["Retail", "Öffentlich", "Select", "Bonn", "", "Zürich"]) | st.text(
    max_size=4
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**17), 10**17)
VALUES = TEXTS | NUMBERS | st.booleans() | st.none()
ATTRIBUTES = st.dictionaries(
    st.sampled_from([attribute.name for attribute in DEFINITION.attributes]), VALUES
)
RIGHT = st.fixed_dictionaries(
    {},
    optional={
        "industry": st.sampled_from(["Retail", "No", None]),
        "city": TEXTS,
        "channel": TEXTS,
        "employees": NUMBERS,
        "growth": NUMBERS | st.none(),
        "newsletter": st.booleans(),
        "age": NUMBERS,
        "close_reason": TEXTS,
        "founded": st.none(),
    },
)


def usual(kind: str, attributes: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """The row and the standing that the pipeline sees of what a request brings."""
    sent = ScoreRequest.model_validate({"lead": "sent", "kind": kind, "attributes": attributes})
    records = of_score_request(sent, DEFINITION, NOW, NOW, "the lead")
    facts = FactsBuilder.of_records(DEFINITION, records).build()
    query = Queries.at(np.zeros(1, dtype=np.int64), NOW)
    (row,) = compute_features(facts, query, DEFINITION).rows()
    (standing,) = standings(facts, query, DEFINITION)
    return row, standing


@given(RIGHT | ATTRIBUTES, st.sampled_from(["prospect", "client"]))
def test_who_is_read_in_one_go_has_the_pipelines_row(attributes: dict[str, Any], kind: str) -> None:
    found = plain_leads(DEFINITION).read(kind, attributes)
    if found is None:
        return
    row, standing = usual(kind, attributes)
    assert row_bits(found.row) == row_bits(row)
    assert list(found.row) == [spec.name for spec in build_catalog(DEFINITION)]
    assert found.standing == standing


@given(ATTRIBUTES)
def test_who_breaks_a_rule_is_left_to_those_who_say_which(attributes: dict[str, Any]) -> None:
    try:
        usual("prospect", attributes)
    except (InputError, ValueError):
        assert plain_leads(DEFINITION).read("prospect", attributes) is None


@given(st.lists(RIGHT, min_size=1, max_size=5))
def test_rows_are_encoded_as_their_frame_would_be(leads: list[dict[str, Any]]) -> None:
    model = made_model().model
    read = [plain_leads(model.definition).read("prospect", attributes) for attributes in leads]
    rows = [lead.row for lead in read if lead is not None]
    kinds = {spec.name: spec.kind for spec in model.catalog}
    frame = type(made_model().frame).of_rows(rows, kinds)
    matrix, unseen = model.encoder.encoded(rows)
    expected = model.encoder.matrix(frame)
    assert matrix.tobytes() == expected.tobytes() or np.array_equal(
        matrix, expected, equal_nan=True
    )
    assert unseen == model.encoder.unseen(frame, expected)
