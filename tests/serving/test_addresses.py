"""Can every lead that may be stored be addressed?"""

from __future__ import annotations

from urllib.parse import quote

import pytest
from agreed import NOW
from hypothesis import given
from hypothesis import strategies as st
from served import Served

from features.clock import SECOND
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


@pytest.mark.parametrize("lead", ODD)
def test_a_lead_with_an_odd_id_is_stored_scored_and_shown(served_lite: Served, lead: str) -> None:
    address = f"/v1/leads/{quote(lead, safe='')}"
    put = served_lite.put(address, json={"owner": "anna", "name": lead})
    assert (put.status_code, put.json()["lead"]) == (200, lead)
    served_lite.clock.now = NOW + SECOND
    assert served_lite.get(address).json()["name"] == lead
    assert served_lite.get(f"{address}/score").json()["lead"] == lead
    assert served_lite.get(f"{address}/scores").json()["lead"] == lead
    assert served_lite.put(f"{address}/do-not-score", json={"do_not_score": True}).is_success
    assert served_lite.call("DELETE", address).json()["lead_versions"] == 1


@pytest.mark.parametrize("lead", [".", ".."])
def test_an_id_that_no_address_can_name_is_refused_with_its_reason(
    served_lite: Served, lead: str
) -> None:
    row = {"lead": lead, "kind": "visit", "occurred_at": "2026-04-30T00:00:00Z"}
    answer = served_lite.post("/v1/events", json=[row])
    assert answer.status_code == 422
    assert "no address can name it" in answer.text
