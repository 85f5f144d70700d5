"""Can a rep work with it? A real browser signs in, reads the queue in order, filters, opens a lead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from agreed import NOW, agreed
from page_company import (
    add_leads,
    add_people,
    fill,
    lead_facts,
    place,
    place_many,
    score_queue,
    serving,
    workspace_at,
)
from playwright.sync_api import Page, expect

from features.clock import DAY
from features.store.ledger import read_queue, score_history
from models.workspace import Workspace

pytestmark = pytest.mark.browser

WIDTHS = (1280, 375)

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Workspace]:
    """A filled company whose leads were scored twice, so that there is a history."""
    workspace = workspace_at(tmp_path_factory.mktemp("browser"), migrated_sqlite)
    champion = fill(workspace)
    score_queue(workspace, champion, NOW - 3 * DAY)
    yield workspace
    workspace.store.close()


@pytest.fixture(scope="module")
def address(company: Workspace) -> Iterator[str]:
    """The address of its service."""
    with serving(Workspace.of({"PROPENSITY_DATA_DIR": str(company.data_dir)})) as found:
        yield found


@pytest.fixture
def empty(tmp_path: Path, migrated_sqlite: Path) -> Workspace:
    """An installation with people only."""
    workspace = workspace_at(tmp_path, migrated_sqlite)
    add_people(workspace.store)
    return workspace


def leads_on(page: Page) -> list[str]:
    """The leads as the page lists them."""
    urls = page.locator("a.lead-name").evaluate_all(
        "links => links.map(link => link.getAttribute('href'))"
    )
    return [unquote(url.removeprefix("/leads/")) for url in urls]


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    wider = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert isinstance(wider, int)
    return wider


def ledger_order(workspace: Workspace, **filters: str) -> list[str]:
    """What the page must list, read from the ledger."""
    with workspace.store.read() as connection:
        return [row["lead_id"] for row in read_queue(connection, limit=50, **filters).rows]  # type: ignore[arg-type]


def test_a_rep_signs_in_and_reads_the_queue_in_order(
    open_page: OpenPage, address: str, company: Workspace
) -> None:
    page = open_page(address, "anna")
    expect(page).to_have_title("Your queue · propensity")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your queue")
    assert leads_on(page) == ledger_order(company, owner="Anna Berg")
    shares = [
        float(s)
        for s in page.locator("td.chance .fill").evaluate_all(
            "b => b.map(x => x.getAttribute('width'))"
        )
    ]
    assert shares == sorted(shares, reverse=True)
    assert page.locator("a.lead-name").count() == 50
    page.get_by_role("link", name="Next →").click()
    expect(page.get_by_role("status")).to_have_text("rows 51–70 of 70")


def test_searching_follows_the_typing_and_the_address_follows_the_search(
    open_page: OpenPage, address: str, company: Workspace
) -> None:
    page = open_page(address, "anna")
    page.get_by_label("Search by name or id").press_sequentially("a1", delay=20)
    expect(page.locator("a.lead-name")).to_have_count(10)
    expect(page).to_have_url(re.compile(r"/queue\?q=a1$"))
    assert leads_on(page) == ledger_order(company, owner="Anna Berg", search="a1")
    expect(page.get_by_label("Search by name or id")).to_be_focused()
    page.reload()
    expect(page.locator("a.lead-name")).to_have_count(10)
    expect(page.get_by_label("Search by name or id")).to_have_value("a1")
    page.get_by_label("Search by name or id").fill("nobody is called so")
    expect(page.get_by_text("No lead matches")).to_be_visible()
    page.get_by_role("link", name="Clear the filters").click()
    expect(page.locator("a.lead-name")).to_have_count(50)


def test_a_route_is_chosen_with_the_keyboard_and_back_goes_back(
    open_page: OpenPage, address: str, company: Workspace
) -> None:
    page = open_page(address, "anna")
    page.get_by_role("radio", name="All open leads").focus()
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"route=sales_ready"))
    expected = ledger_order(company, owner="Anna Berg", route="sales_ready")
    expect(page.locator("a.lead-name")).to_have_count(len(expected))
    assert leads_on(page) == expected
    assert {text.strip() for text in page.locator("tbody .chip").all_text_contents()} == {
        "sales ready"
    }
    page.go_back()
    expect(page.locator("a.lead-name")).to_have_count(50)
    expect(page.get_by_role("radio", name="All open leads")).to_be_checked()


def test_an_analyst_chooses_an_owner_and_the_counts_follow(
    open_page: OpenPage, address: str
) -> None:
    page = open_page(address, "ines")
    expect(page.locator("#count-0")).to_have_text("78")
    page.get_by_label("Owner").select_option("Ben Ode")
    expect(page.locator("#count-0")).to_have_text("6")
    expect(page.locator("a.lead-name")).to_have_count(6)


def test_opening_a_lead_shows_why_it_stands_where_it_stands(
    open_page: OpenPage, address: str, company: Workspace
) -> None:
    page = open_page(address, "anna")
    first = leads_on(page)[0]
    shown = page.locator("tbody .percent").first.inner_text()
    page.locator("a.lead-name").first.click()
    page.wait_for_url(f"**/leads/{first}")
    expect(page.locator(".figure")).to_have_text(shown)
    with company.store.read() as connection:
        score = score_history(connection, first)[0]
    account = page.get_by_role("table", name="Start, reasons and raw score")
    for reason in score["reasons"]:
        row = account.get_by_role("row").filter(has_text=reason["label"])
        expect(row).to_contain_text("+" if reason["log_odds"] > 0 else "−")
        expect(row).to_contain_text("×")
    expect(account.get_by_role("row").last).to_contain_text(f"{score['raw']:.2f}".replace("-", "−"))
    expect(page.get_by_role("heading", name="Timeline", exact=True)).to_be_visible()
    expect(page.locator("svg.chart")).to_be_visible()
    page.get_by_text("scores as shown, newest first").click()
    expect(page.get_by_role("region", name="Score history").get_by_role("row")).to_have_count(3)
    page.get_by_role("link", name="← Queue").click()
    assert leads_on(page)[0] == first


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_the_window(
    open_page: OpenPage, address: str, watch: Any, width: int, scheme: str
) -> None:
    page = open_page(address, "ines", viewport={"width": width, "height": 800}, color_scheme=scheme)
    for path in (
        "/queue",
        "/queue?q=zzz",
        "/queue?page=2",
        "/leads/A11",
        "/model",
        "/nothing",
        "/queue?page=9",
    ):
        response = page.goto(f"{address}{path}")
        assert response is not None
        assert overflow(page) <= 0, path
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    assert overflow(page) <= 0
    watch.expect("404")


def test_on_a_phone_the_table_is_cards_that_still_say_everything(
    open_page: OpenPage, address: str
) -> None:
    page = open_page(address, "anna", viewport={"width": 375, "height": 800})
    card = page.locator("tbody tr").first
    box = card.bounding_box()
    assert box is not None
    assert 300 < box["width"] <= 375
    for part in (".lead-name", ".percent", ".chip", ".reasons", ".stage", ".touched"):
        expect(card.locator(part)).to_be_visible()
    # The roles make it a table still for those who hear it.
    expect(page.get_by_role("table", name="Open leads, the most promising first")).to_be_visible()
    assert page.get_by_role("row").count() >= 50


def test_hostile_names_run_nothing_and_break_no_layout(
    open_page: OpenPage, empty: Workspace
) -> None:
    names = [
        "<script>window.hacked = 1</script>",
        '"><img src=x onerror="window.hacked = 1">',
        "' onmouseover='window.hacked = 1' x='",
        "\u202egnp.exe RTL",
        "W" * 300,
        "😀" * 80,
        "{{ 7 * 7 }}",
    ]
    for i, name in enumerate(names):
        lead = f"{i}{name}"[:290]
        add_leads(empty.store, agreed(), lead_facts(lead, name=name, city=name, strength=2))
        reason = {"fact": "attribute:city", "label": name, "words": name, "log_odds": 1.0 - i / 3}
        place(empty.store, lead, 2.0 - i / 10, name=name, reasons=[reason], warnings=[name])
    with serving(empty) as address:
        for width in WIDTHS:
            page = open_page(address, "anna", viewport={"width": width, "height": 800})
            assert page.locator("a.lead-name").all_text_contents() == names
            assert overflow(page) <= 0
            for i in range(len(names)):
                page.goto(f"{address}/queue")
                page.locator("a.lead-name").nth(i).hover()
                page.locator("a.lead-name").nth(i).click()
                expect(page.get_by_role("heading", level=1)).to_have_text(names[i])
                assert overflow(page) <= 0, names[i]
            assert page.evaluate("typeof window.hacked") == "undefined"


def test_ten_thousand_leads_are_listed_searched_and_paged(
    open_page: OpenPage, empty: Workspace
) -> None:
    place_many(
        empty.store,
        [
            (f"M{i:05}", (i * 7919 % 10_007) / 2_000 - 3, {"name": f"Company {i:05}"})
            for i in range(10_000)
        ],
    )
    with serving(empty) as address:
        page = open_page(address, "anna")
        expect(page.get_by_role("status")).to_have_text("rows 1–50 of 10,000")
        page.get_by_label("Search by name or id").fill("company 0123")
        expect(page.locator("a.lead-name")).to_have_count(10)
        page.goto(f"{address}/queue?page=200")
        expect(page.get_by_role("status")).to_have_text("rows 9,951–10,000 of 10,000")
        assert overflow(page) <= 0


def test_an_empty_queue_is_a_page_that_helps(open_page: OpenPage, empty: Workspace) -> None:
    with serving(empty) as address:
        for width in WIDTHS:
            page = open_page(address, "anna", viewport={"width": width, "height": 800})
            expect(page.get_by_role("heading", name="No model scores yet")).to_be_visible()
            assert overflow(page) <= 0


def test_a_session_that_ended_leads_to_the_sign_in_from_a_filter_too(
    open_page: OpenPage, address: str, watch: Any
) -> None:
    page = open_page(address, "anna")
    # Ended here, as it would be after twelve hours; the page in the browser does not know.
    page.context.clear_cookies()
    page.get_by_label("Kind of lead").select_option("client")
    page.wait_for_url(re.compile(r"/sign-in\?then=%2Fqueue%3F"))
    expect(page.get_by_label("Password")).to_be_visible()
    watch.expect("401")


def test_the_keyboard_reaches_everything_and_the_first_stop_skips_the_header(
    open_page: OpenPage, address: str
) -> None:
    page = open_page(address, "anna")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    inside = page.evaluate("document.activeElement.closest('main') !== null")
    assert inside


def test_without_scripts_filters_and_pages_work_all_the_same(
    open_page: OpenPage, address: str
) -> None:
    page = open_page(address, "anna", java_script_enabled=False)
    page.get_by_label("Search by name or id").fill("a1")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/queue?*q=a1*")
    assert page.locator("a.lead-name").count() == 10
