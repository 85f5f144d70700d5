"""Can the page of reports be read in a narrow window, in the dark, by keyboard, and without a report?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from page_company import add_people, serving, workspace_at
from playwright.sync_api import Page, expect
from watched_company import watched

from features.clock import DAY
from training.loop.reports import keep, make_report

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[str]:
    """A service with a report about fourteen weeks."""
    company = watched(tmp_path_factory.mktemp("reports"), migrated_sqlite, weeks=14)
    add_people(company.workspace.store)
    keep(company.workspace, make_report(company.workspace, now=company.after(14)))
    with serving(company.workspace, now=company.after(14) + DAY) as found:
        yield found


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    wider = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert isinstance(wider, int)
    return wider


@pytest.mark.parametrize(("width", "scheme"), [(400, "light"), (1280, "dark")])
def test_the_report_is_no_wider_than_the_window_and_its_tables_scroll_by_themselves(
    open_page: OpenPage, address: str, width: int, scheme: str
) -> None:
    page = open_page(
        address,
        "ines",
        "/reports",
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
    )
    assert overflow(page) <= 0
    bands = page.get_by_role("region", name="What was promised, and what came").last
    expect(bands.get_by_role("row")).to_have_count(8)
    for picture in page.get_by_role("img").all():
        expect(picture).to_be_visible()
    # A region that scrolls is reached by the keyboard.
    assert page.locator(".scroll:not([tabindex])").count() == 0


def test_without_a_report_the_page_says_what_to_do(
    open_page: OpenPage, tmp_path: Path, migrated_sqlite: Path
) -> None:
    workspace = workspace_at(tmp_path, migrated_sqlite)
    add_people(workspace.store)
    with serving(workspace) as found:
        page = open_page(found, "ines", "/queue", viewport={"width": 400, "height": 800})
        page.get_by_role("link", name="Reports").click()
        expect(page.get_by_role("heading", name="No report has been made yet")).to_be_visible()
        assert overflow(page) <= 0
