"""Why does a lead stand where it stands? Its account, answers, attributes, timeline, history."""

from __future__ import annotations

import html as html_text
import re

import pytest
from agreed import NOW, agreed
from on_record import scored
from page_company import (
    REASONS,
    Outline,
    Visitor,
    add_leads,
    lead_facts,
    leads_in,
    place,
    serving,
    words,
)

from features.clock import DAY, HOUR
from features.facts import LeadVersion, StageChange
from features.store.engine import Store
from features.store.ledger import record_scores, score_history
from models.workspace import Workspace


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
    add_leads(empty.store, agreed(), lead_facts("H"))
    shown = [
        (0.05, "a" * 64, "queue"),
        (0.2, "a" * 64, "api"),
        (0.35, "b" * 64, "queue"),
        (0.9, "b" * 64, "payload"),
    ]
    entries = [
        scored("H", NOW - (9 - i) * DAY, raw=float(i), probability=p, bundle=bundle,
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
    won = StageChange(lead="C", stage="won", occurred_at=NOW - HOUR, recorded_at=NOW - HOUR)
    add_leads(empty.store, agreed(), [*lead_facts("C"), won])
    with serving(empty) as address:
        text = words(Visitor(address).signed_in("anna").get("/leads/C").text)
    assert "This lead is closed: won." in text


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
