"""Whom shall I call next? Order, filters, pages, emptiness and what a row says."""

from __future__ import annotations

import html as html_text
import random
import re
from pathlib import Path

import httpx
import pytest
from agreed import NOW, agreed
from page_company import (
    Outline,
    Visitor,
    fill,
    leads_in,
    model_of,
    place,
    place_many,
    promote_model,
    serving,
    words,
    workspace_at,
)

from features.clock import DAY, HOUR
from features.store.engine import Store
from features.store.ledger import read_queue
from models.workspace import Workspace


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


def test_what_is_true_of_every_score_is_said_above_the_list_and_the_rest_in_its_row(
    empty: Workspace,
) -> None:
    promote_model(empty, model_of(agreed()))
    old = "the model was made 2026-04-11, more than 180 days ago"
    place_many(
        empty.store,
        [(f"W{i}", float(i), {"warnings": [old, "Industry: not learned"]}) for i in range(3)],
    )
    with serving(empty, now=NOW + 200 * DAY) as address:
        text = words(Visitor(address).signed_in("anna").get("/queue").text)
    assert text.lower().count(old) == 1
    assert text.count("Industry: not learned") == 3


def test_the_order_is_the_raw_scores_also_where_calibrations_differ(empty: Workspace) -> None:
    place_many(empty.store, [("a", 0.2, {"probability": 0.3}), ("b", 0.1, {"probability": 0.6})])
    with serving(empty) as address:
        page = Visitor(address).signed_in("anna").get("/queue").text
    assert leads_in(page) == ["a", "b"]
    assert re.findall(r'class="percent">([^<]+)<', page) == ["30 %", "60 %"]


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
