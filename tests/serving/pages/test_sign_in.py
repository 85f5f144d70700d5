"""Who gets in, who sees what, and what no other site can do."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

import httpx
import pytest
from page_company import (
    PASSWORD,
    Outline,
    Visitor,
    leads_in,
    serving,
    token_in,
    words,
)

from features.store import access
from models.workspace import Workspace
from serving.attempts import WINDOW, FailedSignIns, Hashing
from serving.errors import BusyError
from serving.routes.sign_in import own_path


def test_a_rep_sees_the_own_leads_only_whatever_is_asked_for(office: str) -> None:
    ben = Visitor(office).signed_in("ben")
    for path in (
        "/queue",
        "/queue?owner=Anna+Berg",
        "/queue/rows?owner=Anna+Berg",
        "/queue?owner=",
    ):
        assert sorted(leads_in(ben.get(path).text)) == [f"B{i}" for i in range(6)], path
    assert 'name="owner"' not in ben.get("/queue").text


def test_anothers_lead_is_the_same_page_as_a_lead_that_does_not_exist(office: str) -> None:
    ben = Visitor(office).signed_in("ben")
    assert ben.get("/leads/B1").status_code == 200
    anothers, nobodys, nothing = (ben.get(f"/leads/{lead}") for lead in ("A01", "N0", "nothing"))
    assert {anothers.status_code, nobodys.status_code, nothing.status_code} == {404}
    number = re.compile(r"<code>\w+</code>")
    assert (
        number.sub("", anothers.text)
        == number.sub("", nothing.text)
        == number.sub("", nobodys.text)
    )
    assert "A01" not in anothers.text


def test_an_analyst_and_an_admin_see_everybodys_leads_and_may_choose_an_owner(office: str) -> None:
    for name in ("ines", "root"):
        visitor = Visitor(office).signed_in(name)
        page = visitor.get("/queue").text
        assert "rows 1–50 of 78" in words(page)
        assert 'name="owner"' in page
        chosen = visitor.get("/queue?owner=Ben+Ode").text
        assert sorted(leads_in(chosen)) == [f"B{i}" for i in range(6)]
        assert visitor.get("/leads/A01").status_code == 200
        assert visitor.get("/leads/N0").status_code == 200


def test_a_machines_account_has_no_business_on_the_pages(office: str) -> None:
    machine = Visitor(office).signed_in("crm")
    for path in ("/queue", "/queue/rows", "/leads/A01", "/model"):
        answer = machine.get(path)
        assert answer.status_code == 403, path
        assert "A01" not in answer.text


@pytest.mark.parametrize(
    "path", ["/queue", "/queue?q=a%26b", "/leads/A01", "/leads/100%25%2F%E2%82%AC", "/model"]
)
def test_who_is_not_signed_in_goes_to_the_sign_in_and_comes_back(office: str, path: str) -> None:
    visitor = Visitor(office)
    sent = visitor.get(path)
    assert sent.status_code == 303
    form = visitor.http.get(sent.headers["location"])
    outline = Outline(form.text)
    (then,) = [i["value"] for i in outline.all("input") if i.get("name") == "then"]
    assert then == path
    assert visitor.try_password("anna", PASSWORD, then=str(then)).headers["location"] == path


def test_a_part_asked_for_without_a_session_sends_the_whole_page_to_the_sign_in(
    office: str,
) -> None:
    # A script accepts anything: it is its own header that says for whom it asks.
    answer = Visitor(office).get("/queue/rows?q=x", **{"hx-request": "true", "accept": "*/*"})
    assert answer.status_code == 401
    assert answer.headers["hx-redirect"] == "/sign-in?then=%2Fqueue%3Fq%3Dx"
    assert answer.text == ""


def test_a_part_whose_address_no_header_can_hold_breaks_nothing(
    office: str,
) -> None:
    for path in ("/leads/%E2%82%AC", "/nowhere/%E2%82%AC?q=%E2%82%AC"):
        answer = Visitor(office).get(path, **{"hx-request": "true", "accept": "*/*"})
        assert answer.status_code in (401, 404)
        assert path in unquote(answer.headers["hx-redirect"]).replace("€", "%E2%82%AC")


def test_a_key_is_not_a_person_and_gets_no_page_in_a_browsers_clothes(office: str) -> None:
    answer = Visitor(office).get("/queue", authorization="Bearer pk_nonsense")
    assert answer.status_code == 303


def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(office: str) -> None:
    visitor = Visitor(office)
    known = visitor.try_password("anna", "not the password")
    unknown = visitor.try_password("anne", "not the password")
    assert known.status_code == unknown.status_code == 401
    assert known.text.replace("anna", "anne") == unknown.text
    assert "Name or password is wrong." in known.text
    assert "propensity_session" not in known.headers.get("set-cookie", "")
    assert "not the password" not in known.text


def test_the_session_cookie_is_out_of_reach_for_scripts_and_other_sites(office: str) -> None:
    answer = Visitor(office).try_password("anna", PASSWORD)
    (cookie,) = [
        c for c in answer.headers.get_list("set-cookie") if c.startswith("propensity_session=")
    ]
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/", "max-age=43200"} <= attributes
    assert len(cookie.split(";")[0]) > 40


def test_signing_out_ends_the_session_also_for_who_kept_the_cookie(office: str) -> None:
    visitor = Visitor(office).signed_in("anna")
    kept = dict(visitor.http.cookies)
    answer = visitor.http.post("/sign-out", data={"csrf": token_in(visitor.get("/queue").text)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert (
        httpx.get(f"{office}/queue", cookies=kept, headers={"accept": "text/html"}).status_code
        == 303
    )


@pytest.mark.parametrize("token", ["", "wrong", None])
def test_a_form_without_its_token_signs_nobody_in(office: str, token: str | None) -> None:
    visitor = Visitor(office)
    visitor.form_token()
    given = {} if token is None else {"csrf": token}
    answer = visitor.http.post("/sign-in", data={"name": "anna", "password": PASSWORD, **given})
    assert answer.status_code == 403
    assert visitor.get("/queue").status_code == 303


def test_a_form_of_another_site_signs_nobody_in(office: str) -> None:
    visitor = Visitor(office)
    fields_ = {"name": "anna", "password": PASSWORD, "csrf": visitor.form_token()}
    for site in ("cross-site", "same-site"):
        answer = visitor.http.post("/sign-in", data=fields_, headers={"sec-fetch-site": site})
        assert answer.status_code == 403, site
    # Another site can send a form, but not the cookie that belongs to it.
    assert httpx.post(f"{office}/sign-in", data=fields_).status_code == 403
    assert httpx.post(f"{office}/sign-in", data={**fields_, "csrf": ""}).status_code == 403


def test_nobody_is_signed_out_on_another_sites_behalf(office: str) -> None:
    visitor = Visitor(office).signed_in("anna")
    assert visitor.http.post("/sign-out").status_code == 403
    assert visitor.http.post("/sign-out", data={"csrf": "x" * 43}).status_code == 403
    token = token_in(visitor.get("/queue").text)
    forged = visitor.http.post(
        "/sign-out", data={"csrf": token}, headers={"sec-fetch-site": "cross-site"}
    )
    assert forged.status_code == 403
    assert visitor.get("/queue").status_code == 200


ELSEWHERE = [
    "https://evil.example/queue",
    "//evil.example/queue",
    "/\\evil.example",
    "\\\\evil.example",
    "/queue\\..\\..",
    "/queue\n//evil.example",
    "/\t/evil.example",
    "javascript:alert(1)",
    "queue",
    "/v1/model",
    "/sign-out",
    "http:/evil.example",
    "///evil.example",
    "http://[",
    "",
]


@pytest.mark.parametrize("then", ELSEWHERE)
def test_after_signing_in_nobody_is_sent_elsewhere(office: str, then: str) -> None:
    assert own_path(then) == "/queue"
    assert Visitor(office).try_password("anna", PASSWORD, then=then).headers["location"] == "/queue"
    signed_in = Visitor(office).signed_in("anna")
    assert signed_in.http.get("/sign-in", params={"then": then}).headers["location"] == "/queue"


def test_guessing_is_stopped_for_a_while_and_only_for_the_guesser(empty: Workspace) -> None:
    with serving(empty) as address:
        guesser = Visitor(address)
        for i in range(5):
            assert guesser.try_password("anna", f"guess number {i}").status_code == 401
        refused = guesser.try_password("anna", PASSWORD)
        assert refused.status_code == 429
        assert "wait 15 minutes" in refused.text
        assert Visitor(address).try_password("ben", PASSWORD).status_code == 303


def test_failed_sign_ins_are_forgotten_after_a_while_and_after_a_success() -> None:
    attempts = FailedSignIns(of_pair=2, of_address=4, of_name=4)
    assert attempts.begin("anna", "here", 0) == 0
    assert attempts.begin("anna", "here", 10) == 0
    assert attempts.begin("anna", "here", 20) == WINDOW - 20
    assert attempts.begin("ben", "here", 20) == attempts.begin("anna", "there", 20) == 0
    assert attempts.begin("anna", "here", WINDOW) == 0
    attempts.succeeded("anna", "here", WINDOW)
    assert attempts.begin("anna", "here", WINDOW + 1) == 0


def test_a_success_takes_back_its_own_count_and_nobody_elses() -> None:
    attempts = FailedSignIns(of_pair=2, of_address=3, of_name=3)
    for now in range(20):
        assert attempts.begin("anna", "here", now) == 0
        attempts.succeeded("anna", "here", now)
    for name in ("ben", "cleo", "dora"):
        assert attempts.begin(name, "here", 30) == 0
    attempts.succeeded("ben", "here", 30)
    assert attempts.begin("ben", "here", 31) == 0
    assert attempts.begin("anna", "here", 32) > 0


def test_many_names_from_one_address_and_many_addresses_for_one_name_are_stopped() -> None:
    attempts = FailedSignIns(of_pair=2, of_address=4, of_name=4)
    for i in range(4):
        attempts.begin(f"name {i}", "here", 0)
        attempts.begin("anna", f"address {i}", 0)
    assert attempts.begin("somebody new", "here", 1) > 0
    assert attempts.begin("anna", "a new address", 1) > 0
    assert attempts.begin("somebody new", "a new address", 1) == 0


def test_guessing_with_endless_names_takes_bounded_memory() -> None:
    attempts = FailedSignIns()
    for i in range(30_000):
        attempts.begin(f"name {i}", f"address {i}", i)
    assert len(attempts._failures) <= 20_000
    assert attempts.begin("x", f"address {29_999}", 29_999) == 0


def test_guesses_sent_all_at_once_are_counted_before_a_password_is_hashed(
    empty: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    matches = access._matches
    monkeypatch.setattr(access, "_matches", lambda *given: hashed.append(1) or matches(*given))
    with serving(empty) as address, ThreadPoolExecutor(12) as pool:
        visitor = Visitor(address)
        visitor.form_token()
        guess = lambda i: visitor.try_password("anna", f"guess number {i}").status_code  # noqa: E731
        statuses = list(pool.map(guess, range(12)))
    assert len(hashed) <= 5
    assert set(statuses) <= {401, 429, 503}
    assert statuses.count(429) >= 7


def test_few_passwords_are_hashed_at_once_and_few_wait() -> None:
    hashing = Hashing(at_once=1, waiting=1)
    waits, came = threading.Event(), threading.Event()

    def second() -> None:
        waits.set()
        with hashing.turn():
            came.set()

    with hashing.turn():
        other = threading.Thread(target=second)
        other.start()
        assert waits.wait(10)
        deadline = time.monotonic() + 10
        while hashing._places._value and time.monotonic() < deadline:  # type: ignore[attr-defined]
            time.sleep(0.001)
        assert not came.is_set()
        with pytest.raises(BusyError), hashing.turn():
            pass
    other.join(10)
    assert came.is_set()
    with hashing.turn():
        pass


def test_signing_in_again_ends_the_session_that_was_there(office: str) -> None:
    before = Visitor(office).signed_in("anna").http.cookies["propensity_session"]
    again = Visitor(office)
    fields_ = {"name": "ben", "password": PASSWORD, "csrf": again.form_token()}
    again.http.cookies.set("propensity_session", before)
    assert again.http.post("/sign-in", data=fields_).status_code == 303
    kept = httpx.get(
        f"{office}/queue",
        cookies={"propensity_session": before},
        headers={"accept": "text/html"},
    )
    assert kept.status_code == 303
