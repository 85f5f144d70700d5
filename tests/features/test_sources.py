"""Does a mapping say what it means, and does a label become a usable name?"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from features.sources import Join, Source, as_name


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Email Open", "email_open"),
        ("W_Nabellen offertes", "w_nabellen_offertes"),
        ("2nd call", "n2nd_call"),
        ("  --Web/Site--  ", "web_site"),
        ("Größe", "gr_e"),
        ("", "n"),
        ("!", "n"),
        ("x" * 80, "x" * 63),
    ],
)
def test_a_label_becomes_a_name(label: str, name: str) -> None:
    assert as_name(label) == name


@given(st.text())
def test_every_label_becomes_a_name_that_a_definition_accepts_and_stays_it(label: str) -> None:
    name = as_name(label)
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name)
    assert as_name(name) == name.strip("_")


def test_the_key_of_a_join_may_be_called_differently_on_both_sides() -> None:
    assert Join(file="accounts.csv", on="account").keys == ("account", "account")
    assert Join(file="accounts.csv", on={"account": "id"}).keys == ("account", "id")


def test_a_join_by_two_keys_is_refused() -> None:
    with pytest.raises(ValidationError, match="one column"):
        Join(file="accounts.csv", on={"a": "b", "c": "d"})


def test_rows_that_belong_to_no_lead_and_describe_none_are_refused() -> None:
    with pytest.raises(ValidationError, match="without `lead` every row is a lead"):
        Source(file="events.csv", events={"kind": "type", "at": "time"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "described",
    [
        {"attributes": {"city": "City"}},
        {"answers": {"role": "Role"}},
        {"opened_at": "Created"},
        {"name": "Name"},
        {"owner": "Rep"},
    ],
)
def test_a_row_that_describes_a_lead_needs_no_lead_column(described: dict[str, object]) -> None:
    source = Source.model_validate({"file": "leads.csv", **described})
    assert source.opens_leads


def test_what_the_definition_does_not_know_is_named() -> None:
    source = Source(file="leads.csv", attributes={"city": "A", "x": "B"}, answers={"y": "C"})
    assert source.unmapped({"city": None}, {}) == [
        "sources.leads.csv.attributes: x is not among the attributes",
        "sources.leads.csv.answers: y is not among the BANT questions",
    ]
