"""Can every lead that may be stored be addressed?"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import Served

from features.clock import SECOND
from features.store.engine import Store
from serving.addresses import BEFORE, lead_of, routed

ODD = [
    "a/b",
    "/",
    "//a",
    "a/",
    "a/score",
    "a/scores",
    "a/do-not-score",
    "a%2Fb",
    "100%",
    "%",
    "%25",
    "a?b",
    "a#b",
    "a b",
    "a+b",
    "...",
    "a/../b",
    "a;b=c",
    "Ö/ü",
    "https://crm.example/leads/7?x=1",
]


@pytest.fixture
def bare(serve: Any, sqlite_store: Store) -> Served:
    """A service without a model."""
    served: Served = serve(sqlite_store, with_model=False)
    return served


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.sampled_from(["", "/score"])
)
def test_an_encoded_id_is_read_as_it_was(lead: str, rest: str) -> None:
    raw = f"{BEFORE}{quote(lead, safe='')}{rest}"
    path = routed(f"{BEFORE}{lead}{rest}", raw.encode())
    part, slash, after = path.removeprefix(BEFORE).partition("/")
    # What has neither a slash nor a percent sign is left as the server decoded it.
    assert lead_of(part) == lead
    assert slash + after == rest


def test_leads_with_odd_ids_are_stored_shown_and_erased(bare: Served) -> None:
    for lead in ODD:
        address = f"/v1/leads/{quote(lead, safe='')}"
        put = bare.put(address, json={"owner": "anna", "name": lead})
        assert (put.status_code, put.json()["lead"]) == (200, lead)
        assert bare.get(address).json()["name"] == lead
        assert bare.get(f"{address}/scores").json() == {"lead": lead, "scores": []}
        assert bare.put(f"{address}/do-not-score", json={"do_not_score": True}).is_success
        assert bare.call("DELETE", address).json()["lead_versions"] == 1


def test_a_lead_whose_id_ends_like_an_address_is_scored_by_its_own(served_lite: Served) -> None:
    for lead in ("a/score", "a%2Fb"):
        address = f"/v1/leads/{quote(lead, safe='')}"
        served_lite.put(address, json={"owner": "anna"})
        served_lite.clock.now += SECOND
        assert served_lite.get(f"{address}/score").json()["lead"] == lead


def test_an_id_that_no_address_can_name_is_refused_with_its_reason(bare: Served) -> None:
    for lead in (".", ".."):
        row = {"lead": lead, "kind": "visit", "occurred_at": "2026-04-30T00:00:00Z"}
        answer = bare.post("/v1/events", json=[row])
        assert answer.status_code == 422
        assert "no address can name it" in answer.text
