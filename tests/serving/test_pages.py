"""What do the pages show, to whom, and what can nobody do with them? Against the service as it runs."""

from __future__ import annotations

import html as html_text
import json
import random
import re
from collections.abc import Iterator
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from agreed import NOW, agreed
from jinja2 import meta
from page_company import (
    PASSWORD,
    REASONS,
    Visitor,
    add_leads,
    add_people,
    fill,
    lead_facts,
    leads_in,
    model_of,
    place,
    place_many,
    promote_model,
    serving,
    token_in,
    workspace_at,
)

from features.clock import DAY, HOUR
from features.store.engine import Store
from features.store.ledger import read_queue, score_history
from models.workspace import Workspace
from serving.attempts import WINDOW, FailedSignIns
from serving.pages import PAGES, SignInPage
from serving.rendering import environment, render
from serving.routes.sign_in import own_path

HOSTILE = [
    "<script>window.hacked=1</script>",
    '"><img src=x onerror=window.hacked=1>',
    "' onmouseover='window.hacked=1",
    "{{ 7 * 7 }}{% raw %}",
    "</title></head><body onload=hacked()>",
    "\u202egnp.exe\u2066 RTL \u200f",
    "😀 Łódź 株式会社 " + "\U0001f469\u200d\U0001f680",
    "x" * 300,
    "javascript:alert(1)//",
    "a/b?c=d&e#f%20",
    "..%2f..%2fetc",
]


@pytest.fixture(scope="module")
def office_store(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path
) -> Iterator[Store]:
    """The database behind `office`."""
    workspace = workspace_at(tmp_path_factory.mktemp("office"), migrated_sqlite)
    fill(workspace)
    yield workspace.store
    workspace.store.close()


@pytest.fixture(scope="module")
def office(office_store: Store) -> Iterator[str]:
    """The address of a service with scored leads; nobody changes anything in it."""
    directory = Path(str(office_store.url.database)).parent
    with serving(Workspace.of({"PROPENSITY_DATA_DIR": str(directory)})) as address:
        yield address


@pytest.fixture
def empty(tmp_path: Path, migrated_sqlite: Path) -> Workspace:
    """An installation with people, without leads and without a model."""
    workspace = workspace_at(tmp_path, migrated_sqlite)
    add_people(workspace.store)
    return workspace


class Outline(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += " " if tag in ("dt", "dd", "td", "th", "p", "li", "div") else ""

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def words(page: str) -> str:
    """A page's text as it is read: one space between words."""
    return " ".join(Outline(page).text.split())


# What templates may use


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.__name__)
def test_every_variable_of_a_template_is_a_field_of_its_page(page: type) -> None:
    loader, known = environment().loader, {each.name for each in fields(page)}
    assert loader is not None
    used, seen, wanted = set(), set(), [page.template]
    while wanted:
        name = wanted.pop()
        seen.add(name)
        tree = environment().parse(loader.get_source(environment(), name)[0])
        used |= meta.find_undeclared_variables(tree)
        wanted += [
            other for other in meta.find_referenced_templates(tree) if other and other not in seen
        ]
    # `parts` is what templates call the macros that they import.
    used -= {*environment().globals, "parts"}
    assert used <= known
    assert known - used == set(), "a field that no template shows is a promise nobody keeps"


def test_a_page_that_lacks_an_attribute_is_refused_not_left_blank() -> None:
    page = SignInPage(title="t", shell=object(), csrf="", then="", name="", problem=None)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="has no attribute 'caller'"):
        render(page)


def test_templates_mark_nothing_as_safe_and_hold_no_inline_code_or_style() -> None:
    loader = environment().loader
    assert loader is not None
    for name in environment().list_templates():
        source = loader.get_source(environment(), name)[0]
        assert not re.search(
            r"\|\s*safe|autoescape|<style|style=|\son\w+=|hx-on|javascript:", source
        ), name
        for script in re.findall(r"<script[^>]*>", source):
            assert "src=" in script, name


def test_the_vendored_script_is_the_one_whose_hash_its_notice_names() -> None:
    import hashlib

    static = Path(__file__).parents[2] / "serving" / "static"
    digest = hashlib.sha256((static / "htmx.min.js").read_bytes()).hexdigest()
    notice = (static / "htmx.NOTICE.txt").read_text()
    assert digest in notice
    assert "htmx 2.0.11" in notice
    assert "2.0.11" in (static / "htmx.min.js").read_text()


# The order of the queue


def test_the_queue_lists_leads_in_the_ledgers_order(office: str, office_store: Store) -> None:
    visitor = Visitor(office).signed_in("anna")
    shown = leads_in(visitor.get("/queue").text) + leads_in(visitor.get("/queue?page=2").text)
    with office_store.read() as connection:
        ledger = read_queue(connection, owner="Anna Berg", limit=1_000)
    assert len(shown) == 70
    assert shown == [row["lead_id"] for row in ledger.rows]


def test_ties_go_by_latest_touch_then_by_id_and_leads_never_touched_come_last(
    empty: Workspace,
) -> None:
    rng = random.Random(3)
    leads = [
        (
            f"T{i:02}",
            rng.choice([-1.0, 0.5, 2.0]),
            {"last_touch": rng.choice([None, NOW - DAY, NOW - HOUR])},
        )
        for i in range(40)
    ]
    place_many(empty.store, leads)
    # The rule in plain words: higher raw first; then touched before never; then newer; then id.
    expected = sorted(
        leads,
        key=lambda lead: (
            -lead[1],
            lead[2]["last_touch"] is None,
            -(lead[2]["last_touch"] or 0),
            lead[0],
        ),
    )
    with serving(empty) as address:
        page = Visitor(address).signed_in("anna").get("/queue").text
    assert leads_in(page) == [lead for lead, _, _ in expected]
    assert "ties by the latest touch, then by id" in words(page)


def test_equal_percentages_do_not_hide_the_order_of_raw_scores(empty: Workspace) -> None:
    place_many(empty.store, [("low", -1.0001, {}), ("high", -1.0, {}), ("middle", -1.00005, {})])
    with serving(empty) as address:
        page = Visitor(address).signed_in("anna").get("/queue").text
    assert leads_in(page) == ["high", "middle", "low"]
    assert re.findall(r'class="percent">([^<]+)<', page) == ["27 %"] * 3


# Who sees what


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


@pytest.mark.parametrize("path", ["/queue", "/queue?q=a%26b", "/leads/A01", "/model"])
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


def test_a_key_is_not_a_person_and_gets_no_page_in_a_browsers_clothes(office: str) -> None:
    answer = Visitor(office).get("/queue", authorization="Bearer pk_nonsense")
    assert answer.status_code == 303


# Signing in and out


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
    attempts.failed("anna", "here", 0)
    assert attempts.wait("anna", "here", 1) == 0
    attempts.failed("anna", "here", 10)
    assert attempts.wait("anna", "here", 10) == WINDOW - 10
    assert attempts.wait("anna", "here", WINDOW) == 0
    assert attempts.wait("ben", "here", 10) == attempts.wait("anna", "there", 10) == 0
    attempts.succeeded("anna", "here")
    assert attempts.wait("anna", "here", 10) == 0


def test_many_names_from_one_address_and_many_addresses_for_one_name_are_stopped() -> None:
    attempts = FailedSignIns(of_pair=2, of_address=4, of_name=4)
    for i in range(4):
        attempts.failed(f"name {i}", "here", 0)
        attempts.failed("anna", f"address {i}", 0)
    assert attempts.wait("somebody new", "here", 1) > 0
    assert attempts.wait("anna", "a new address", 1) > 0
    assert attempts.wait("somebody new", "a new address", 1) == 0


def test_guessing_with_endless_names_takes_bounded_memory() -> None:
    attempts = FailedSignIns()
    for i in range(30_000):
        attempts.failed(f"name {i}", f"address {i}", i)
    assert len(attempts._failures) <= 20_000
    assert attempts.wait("x", f"address {29_999}", 29_999) == 0


# What a row says


def test_a_row_says_everything_a_rep_asks(empty: Workspace) -> None:
    place(empty.store, "L/1", -1.2, name="Müller & Söhne", kind="client", last_touch=NOW - 3 * DAY)
    promote_model(empty, model_of(agreed()))
    with serving(empty) as address:
        page = Visitor(address).signed_in("anna").get("/queue").text
    text = words(page)
    for said in (
        "Müller & Söhne", "L/1", "client", "23 %", "nurture", "3 days ago", "new",
        "+ raises the chance: 3 × webinar in 7 days × 1.8",
        "− lowers the chance: Industry: Retail × 0.78",
        "20 % means: one in five of such leads buys within 90 days.",
    ):  # fmt: skip
        assert said in text, said
    assert "4 weaker reasons" not in text
    assert '<time datetime="2026-04-28T12:00:00Z" title="28 Apr 2026, 12:00 UTC">' in page
    assert 'href="/leads/L%2F1"' in page
    # 1 / (1 + exp(1.2)) = 0.23147521650098238, by hand.
    assert 'title="23.15 %, raw score −1.200"' in page


@pytest.mark.parametrize(
    ("raw", "percent"),
    [(-9.2, "<1 %"), (9.2, ">99 %"), (-4.59, "1 %"), (-4.61, "<1 %"), (0.0, "50 %")],
)
def test_no_probability_is_shown_as_0_or_100_percent(
    empty: Workspace, raw: float, percent: str
) -> None:
    place(empty.store, "x", raw)
    with serving(empty) as address:
        page = Visitor(address).signed_in("anna").get("/queue").text
    (shown,) = re.findall(r'class="percent">([^<]+)<', page)
    assert html_text.unescape(shown) == percent


def test_reasons_are_told_by_sign_and_words_and_not_by_colour_alone(office: str) -> None:
    page = Visitor(office).signed_in("anna").get("/queue").text
    signs = re.findall(r'class="sign (up|down)">(.)<span class="hidden"> (\w+) the chance', page)
    assert signs
    assert set(signs) <= {("up", "+", "raises"), ("down", "−", "lowers")}


# Filters, pages, emptiness


def test_filters_narrow_and_combine_and_the_address_says_them(
    office: str, office_store: Store
) -> None:
    visitor = Visitor(office).signed_in("ines")
    answer = visitor.get("/queue/rows?q=a1&route=sales_ready&kind=prospect&owner=Anna+Berg")
    with office_store.read() as connection:
        every = read_queue(connection, limit=1_000).rows
    expected = [
        row["lead_id"]
        for row in every
        if "a1" in row["lead_id"].lower() + (row["name"] or "").lower()
        and (row["route"], row["kind"], row["owner"]) == ("sales_ready", "prospect", "Anna Berg")
    ]
    assert leads_in(answer.text) == expected
    assert expected
    assert (
        answer.headers["hx-push-url"]
        == "/queue?q=a1&route=sales_ready&kind=prospect&owner=Anna+Berg"
    )
    whole = visitor.get(answer.headers["hx-push-url"]).text
    assert leads_in(whole) == expected
    outline = Outline(whole)
    assert [i["value"] for i in outline.all("input") if "checked" in i] == ["sales_ready"]
    assert [i["value"] for i in outline.all("input") if i.get("name") == "q"] == ["a1"]
    assert {o["value"] for o in outline.all("option") if "selected" in o} == {
        "prospect",
        "Anna Berg",
    }


def test_the_form_works_without_scripts(office: str) -> None:
    outline = Outline(Visitor(office).signed_in("anna").get("/queue").text)
    (form,) = [f for f in outline.all("form") if f.get("id") == "filters"]
    assert (form["method"], form["action"]) == ("get", "/queue")
    assert "noscript" in [tag for tag, _ in outline.tags]
    names = {i["name"] for i in [*outline.all("input"), *outline.all("select")] if i.get("name")}
    assert {"q", "route", "kind"} <= names


def test_counts_of_routes_add_up_to_all_and_follow_the_owner(office: str) -> None:
    visitor = Visitor(office).signed_in("ines")
    for path, total in (("/queue", 78), ("/queue/rows?owner=Ben+Ode", 6)):
        counts = re.findall(r'id="count-(\d)"[^>]*>([\d,]+)<', visitor.get(path).text)
        numbers = [int(count.replace(",", "")) for _, count in counts]
        assert numbers[0] == total == sum(numbers[1:]), path


def test_pages_hold_50_rows_and_leave_no_lead_out(empty: Workspace) -> None:
    place_many(empty.store, [(f"P{i:03}", i / 10, {}) for i in range(120)])
    with serving(empty) as address:
        visitor = Visitor(address).signed_in("anna")
        first, second, third, fourth = (visitor.get(f"/queue?page={i}").text for i in (1, 2, 3, 4))
    assert leads_in(first) + leads_in(second) + leads_in(third) == [
        f"P{i:03}" for i in range(119, -1, -1)
    ]
    assert [len(leads_in(page)) for page in (first, second, third)] == [50, 50, 20]
    assert "rows 51–100 of 120" in words(second)
    assert 'rel="prev" href="/queue"' in second
    assert 'rel="next" href="/queue?page=3"' in second
    assert 'rel="prev"' not in first
    assert 'rel="next"' not in third
    assert re.findall(r'class="place num">(\d+)<', second)[:2] == ["51", "52"]
    assert "past the end of the list" in fourth


@pytest.mark.parametrize("page", ["0", "-3", "x", "1e3", "99999999999999999999", "٣", ""])
def test_a_page_number_that_makes_no_sense_is_the_first_page(office: str, page: str) -> None:
    visitor = Visitor(office).signed_in("anna")
    answer = visitor.http.get("/queue", params={"page": page})
    assert answer.status_code == 200
    assert "rows 1–50 of 70" in words(answer.text)


@pytest.mark.parametrize("nonsense", ["%", "_", "'", '"', "\\", "\0", "\ud800", "<b>", "x" * 5_000])
def test_a_search_for_signs_is_a_search_and_no_error(office: str, nonsense: str) -> None:
    visitor = Visitor(office).signed_in("anna")
    raw = nonsense.encode("utf-8", "surrogatepass")
    for field in ("q", "route", "kind", "owner"):
        answer = visitor.http.get(
            "/queue/rows", params=httpx.QueryParams({field: raw.decode("latin-1")})
        )
        assert answer.status_code == 200, field
    listed = (
        leads_in(visitor.http.get("/queue", params={"q": nonsense[:1]}).text)
        if raw.isascii()
        else []
    )
    # Only NUL, which is taken out, leaves nothing to search for.
    assert len(listed) == (50 if nonsense == "\0" else 0) or nonsense.startswith("x")


def test_an_empty_queue_says_why_and_what_to_do(empty: Workspace) -> None:
    promote_model(empty, model_of(agreed()))
    with serving(empty) as address:
        text = words(Visitor(address).signed_in("anna").get("/queue").text)
    assert "No open leads of Anna Berg" in text
    assert "is the owner written in the CRM exactly as in the account here?" in text


def test_without_a_model_the_queue_and_the_model_page_say_what_to_do(empty: Workspace) -> None:
    with serving(empty) as address:
        visitor = Visitor(address).signed_in("ines")
        for path in ("/queue", "/model"):
            answer = visitor.get(path)
            assert answer.status_code == 200
            assert "No model scores yet" in words(answer.text)
            assert "propensity train" in words(answer.text)


def test_filtered_to_nothing_offers_to_clear_the_filters(office: str) -> None:
    page = Visitor(office).signed_in("ines").get("/queue?q=nobody+is+called+so&owner=Ben+Ode").text
    assert "No lead matches" in words(page)
    assert '<a class="button" href="/queue?owner=Ben+Ode">' in page


def test_old_scores_and_an_old_model_are_warned_of_once_and_not_in_every_row(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    workspace = workspace_at(tmp_path, migrated_sqlite)
    fill(workspace)
    with serving(workspace, now=NOW + 200 * DAY) as address:
        page = Visitor(address)
        text = words(page.signed_in("anna").get("/queue").text)
    assert "These scores are 6 months old." in text
    assert text.count("more than 180 days ago") == 1


def test_a_promotion_that_the_list_does_not_show_yet_is_said(empty: Workspace) -> None:
    place(empty.store, "x", 0.0)
    promote_model(empty, model_of(agreed()))
    with serving(empty) as address:
        text = words(Visitor(address).signed_in("anna").get("/queue").text)
    assert "A new model has been promoted." in text


def test_ten_thousand_leads_are_a_page_like_any_other(empty: Workspace) -> None:
    place_many(empty.store, [(f"M{i:05}", (i * 7919 % 10_007) / 1_000, {}) for i in range(10_000)])
    with serving(empty) as address:
        visitor = Visitor(address).signed_in("anna")
        first, last = visitor.get("/queue"), visitor.get("/queue?page=200")
    assert "rows 1–50 of 10,000" in words(first.text)
    assert "rows 9,951–10,000 of 10,000" in words(last.text)
    assert len(leads_in(last.text)) == 50
    assert len(first.text) < 200_000


def test_the_queue_of_one_owner_is_read_through_its_index(empty: Workspace) -> None:
    place_many(empty.store, [(f"M{i:04}", i / 100, {}) for i in range(2_000)])
    with empty.store.engine.connect() as connection:
        plan = connection.exec_driver_sql(
            "EXPLAIN QUERY PLAN SELECT score FROM current_scores WHERE owner = 'Anna Berg' "
            "AND is_open = 1 ORDER BY raw DESC LIMIT 50"
        )
        assert "ix_current_queue" in " ".join(row[-1] for row in plan)


# A lead's page


def test_the_account_of_a_score_adds_up_and_says_what_is_recorded(
    office: str, office_store: Store
) -> None:
    page = Visitor(office).signed_in("anna").get("/leads/A11").text
    with office_store.read() as connection:
        score = score_history(connection, "A11")[0]
    rows = re.findall(r'<tr role="row" class="(base|reason|sum)">.*?</tr>', page, re.DOTALL)
    figures = [
        float(figure.replace("−", "-").replace("+", ""))
        for figure in re.findall(r'class="num log-odds">([^<]+)<', page)
    ]
    assert rows[0] == "base"
    assert rows[-1] == "sum"
    assert len(figures) == len(rows) >= 3
    # Each figure is rounded to two decimals: half a hundredth each.
    assert sum(figures[:-1]) == pytest.approx(figures[-1], abs=0.005 * len(figures))
    assert figures[-1] == pytest.approx(score["raw"], abs=0.005)
    for reason in score["reasons"]:
        assert html_text.escape(reason["label"]) in page


def test_a_lead_page_says_who_does_what_by_when(office: str) -> None:
    text = words(Visitor(office).signed_in("anna").get("/leads/A11").text)
    for said in (
        "Company A11", "Of 100 leads like this one, about", "buy within 90 days",
        "Responsible Sales", "Respond within 4 hours", "If not accepted nurture",
        "Looks after qualified Sales", "owner: Anna Berg",
    ):  # fmt: skip
        assert said in text, said


def test_bant_tells_answered_asked_in_vain_and_not_asked_apart(office: str) -> None:
    page = Visitor(office).signed_in("anna").get("/leads/A11").text
    cards = re.findall(r'<li class="(answered|unknown|open)">(.*?)</li>', page, re.DOTALL)
    told = {words(card) for _, card in cards}
    assert [state for state, _ in cards] == ["answered", "unknown", "open", "open", "open"]
    assert any(
        card.startswith("budget Is there a budget? Yes · 1 month ago")
        and "best of 3 for sales, 2nd of 3 for marketing" in card
        for card in told
    )
    assert any("Asked, no answer" in card for card in told)
    assert any(card == "need pain Not asked yet" for card in told)


def test_sensitive_attributes_are_counted_and_never_shown(empty: Workspace) -> None:
    add_leads(
        empty.store,
        agreed(),
        lead_facts("S", age=57.0, close_reason="price", founded=0.0, newsletter=True),
    )
    with serving(empty) as address:
        page = Visitor(address).signed_in("anna").get("/leads/S").text
    text = words(page)
    assert "57" not in text
    assert "1 sensitive attribute is on file: never part of a score, and not shown." in text
    assert "price known only during the sale: not part of the score" in text
    assert "founded 1 Jan 1970" in text
    assert "newsletter yes" in text
    assert "city not known" in text


def test_the_timeline_is_newest_first_paged_and_holds_every_fact_once(empty: Workspace) -> None:
    add_leads(empty.store, agreed(), lead_facts("T", strength=90))
    with serving(empty) as address:
        visitor = Visitor(address).signed_in("anna")
        pages = [visitor.get(f"/leads/T?t={i}").text for i in (1, 2, 3)]
    times = [
        time
        for page in pages
        for time in re.findall(r'class="when"><time datetime="([^"]+)"', page)
    ]
    assert len(times) == 94
    assert times == sorted(times, reverse=True)
    assert "1–40 of 94 entries, newest first" in words(pages[0])
    assert "81–94 of 94 entries, newest first" in words(pages[2])
    assert 'href="/leads/T?t=2#timeline"' in pages[0]


def test_a_fact_that_was_recorded_late_says_so_and_a_changed_record_says_what_changed(
    empty: Workspace,
) -> None:
    from features.facts import LeadVersion

    facts = [
        LeadVersion(lead="V", occurred_at=NOW - 30 * DAY, recorded_at=NOW - 20 * DAY, owner="Anna Berg",
                    attributes={"industry": "Retail", "age": 44.0}),
        LeadVersion(lead="V", occurred_at=NOW - 5 * DAY, recorded_at=NOW - 5 * DAY, owner="Anna Berg",
                    attributes={"industry": "Software", "employees": 1234.0, "age": 45.0}),
    ]  # fmt: skip
    add_leads(empty.store, agreed(), facts)
    with serving(empty) as address:
        text = words(Visitor(address).signed_in("anna").get("/leads/V").text)
    assert "recorded 10 days later" in text
    assert "Industry: Retail → Software; employees: not known → 1,234 people" in text
    assert "44" not in text
    assert "45" not in text


def test_what_is_recorded_later_than_now_is_not_on_the_page(empty: Workspace) -> None:
    add_leads(empty.store, agreed(), lead_facts("F"))
    with serving(empty, now=NOW - 10 * DAY) as address:
        page = Visitor(address).signed_in("anna").get("/leads/F").text
    assert "webinar" not in words(page).lower()


def test_the_history_shows_every_score_of_the_stored_lead_and_a_picture_of_them(
    empty: Workspace,
) -> None:
    from features.store.ledger import ScoreEntry, record_scores

    add_leads(empty.store, agreed(), lead_facts("H"))
    shown = [
        (0.05, "a" * 64, "queue"),
        (0.2, "a" * 64, "api"),
        (0.35, "b" * 64, "queue"),
        (0.9, "b" * 64, "payload"),
    ]
    entries = [
        ScoreEntry(lead="H", as_of=NOW - (9 - i) * DAY, scored_at=NOW - (9 - i) * DAY, raw=float(i),
                   probability=p, route="nurture", bundle=bundle, definition="d", inputs={},
                   reasons=REASONS, channel=channel)
        for i, (p, bundle, channel) in enumerate(shown)
    ]  # fmt: skip
    with empty.store.write() as connection:
        record_scores(connection, entries, [None] * len(entries))
    with serving(empty) as address:
        page = Visitor(address).signed_in("anna").get("/leads/H").text
    text = words(page)
    assert "3 scores as shown, newest first" in text
    assert "+15.0 points" in text
    assert "90 %" not in text, "what-if scores of facts that only a request knew are not the lead's"
    assert page.count('class="dot"') == 3
    assert page.count('class="fresh"') == 1


def test_a_lead_that_must_not_be_scored_shows_no_score_and_no_history(empty: Workspace) -> None:
    place(empty.store, "D", 1.5, name="Quiet")
    with empty.store.write() as connection:
        connection.exec_driver_sql("UPDATE leads SET do_not_score = 1")
    with serving(empty) as address:
        visitor = Visitor(address).signed_in("anna")
        page, queue = visitor.get("/leads/D").text, visitor.get("/queue").text
    assert "This lead is not scored, as asked." in words(page)
    assert "82 %" not in page
    assert "Score history" not in page
    assert leads_in(queue) == []


def test_a_closed_lead_says_that_it_is_closed(empty: Workspace) -> None:
    from features.facts import StageChange

    won = StageChange(lead="C", stage="won", occurred_at=NOW - HOUR, recorded_at=NOW - HOUR)
    add_leads(empty.store, agreed(), [*lead_facts("C"), won])
    with serving(empty) as address:
        text = words(Visitor(address).signed_in("anna").get("/leads/C").text)
    assert "This lead is closed: won." in text


# Whatever a lead is called


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_name_is_text_and_nothing_else(empty: Workspace, hostile: str) -> None:
    lead = hostile[:290]
    add_leads(
        empty.store,
        agreed(),
        lead_facts(lead, name=hostile, city=hostile, industry="Retail", channel=hostile),
    )
    place(empty.store, lead, 0.4, name=hostile, reasons=[
        {"fact": "attribute:city", "label": hostile, "words": hostile, "log_odds": 0.9},
        {"fact": "event:x", "label": hostile, "words": hostile, "log_odds": -0.9},
    ], warnings=[hostile])  # fmt: skip
    plain = ("html", "head", "body", "script", "img", "title")
    with serving(empty) as address:
        visitor = Visitor(address).signed_in("anna")
        (url,) = re.findall(r'class="lead-name" href="([^"]+)"', visitor.get("/queue").text)
        pages = [
            visitor.get("/queue"),
            visitor.get(url),
            visitor.http.get("/queue", params={"q": hostile[:200]}),
        ]
    for page in pages:
        assert page.status_code == 200
        outline = Outline(page.text)
        assert hostile in outline.text or " ".join(hostile.split()) in words(page.text)
        counts = [len(outline.all(tag)) for tag in plain]
        assert counts[:3] == [1, 1, 1]
        assert counts[3] == len(
            [s for s in outline.all("script") if str(s["src"]).startswith("/static/")]
        )
        assert counts[4] == 0
        for _, attributes in outline.tags:
            assert not [name for name in attributes if name.startswith("on") or name == "style"]
            assert not str(attributes.get("href", "")).lower().startswith("javascript")


@pytest.mark.parametrize(
    "lead", ["%00", "%ff%fe", "a%0d%0aSet-Cookie:x=1", "%ed%a0%80", "x" * 3_000]
)
def test_a_lead_that_cannot_exist_is_not_found(office: str, lead: str) -> None:
    answer = Visitor(office).signed_in("ines").get(f"/leads/{lead}")
    assert answer.status_code == 404
    assert "x=1" not in str(answer.headers)


# The model


def test_the_model_page_shows_card_figures_and_decisions_to_everybody(office: str) -> None:
    for name in ("anna", "ines"):
        page = Visitor(office).signed_in(name).get("/model").text
        text = words(page)
        for said in (
            "Office supplies: the probability to buy", "Order (AUC) 0.812 0.790 to 0.830",
            "promoted", "There was no champion yet.", "by ines",
        ):  # fmt: skip
            assert said in text, said
        assert "<strong>one in five</strong>" in page
        assert "<code>age</code>" in page
        assert "&lt;script&gt;alert(&#34;card&#34;)&lt;/script&gt;" in page
        assert len(Outline(page).all("table")) == 1


# Errors, headers, files


@pytest.mark.parametrize(
    ("path", "status"), [("/nothing", 404), ("/leads/none", 404), ("/sign-out", 405)]
)
def test_an_error_is_a_page_for_people_and_a_problem_for_programs(
    office: str, path: str, status: int
) -> None:
    visitor = Visitor(office).signed_in("anna")
    page, problem = visitor.get(path), visitor.get(path, accept="application/json")
    assert page.status_code == problem.status_code == status
    assert page.headers["content-type"].startswith("text/html")
    assert "To the queue" in page.text
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["status"] == status


def test_pages_run_nothing_foreign_are_not_framed_and_not_kept(office: str) -> None:
    visitor = Visitor(office).signed_in("anna")
    for path in ("/queue", "/queue/rows", "/leads/A01", "/model", "/nothing"):
        headers = visitor.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["cache-control"] == "no-store"


def test_pages_name_only_files_that_are_there(office: str) -> None:
    visitor = Visitor(office).signed_in("anna")
    for path in ("/queue", "/leads/A01", "/model"):
        outline = Outline(visitor.get(path).text)
        named = [link["href"] for link in outline.all("link")] + [
            s["src"] for s in outline.all("script")
        ]
        assert named
        for address in named:
            assert str(address).startswith("/static/")
            assert visitor.get(str(address)).status_code == 200


def test_the_configuration_of_htmx_is_json_and_forbids_what_it_can(office: str) -> None:
    (config,) = [
        m["content"]
        for m in Outline(Visitor(office).signed_in("anna").get("/queue").text).all("meta")
        if m.get("name") == "htmx-config"
    ]
    said = json.loads(str(config))
    assert (said["allowEval"], said["selfRequestsOnly"], said["historyCacheSize"]) == (
        False,
        True,
        0,
    )
