"""Can the evaluation be brought to a meeting? A real browser opens the file, wide, narrow, printed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from trained_company import trained_company

from training.evaluate import evaluate

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = trained_company().read_only()
    path = tmp_path_factory.mktemp("evaluation") / "evaluation.html"
    path.write_text(evaluate(workspace, "newest").page(), encoding="utf-8")
    workspace.store.close()
    return path


@pytest.fixture(params=[1200, 390])
def page(request: pytest.FixtureRequest, browser: Browser, file: Path) -> Iterator[Page]:
    """The page at a width; anything it complains of or asks for fails the test."""
    found = browser.new_page(viewport={"width": request.param, "height": 900})
    complaints: list[str] = []
    found.on("console", lambda message: complaints.append(message.text))
    found.on("pageerror", lambda error: complaints.append(str(error)))
    found.on(
        "request",
        lambda asked: (
            complaints.append(asked.url)
            if not asked.url.startswith(("data:", file.as_uri()))
            else None
        ),
    )
    found.goto(file.as_uri())
    yield found
    found.close()
    assert complaints == []


def test_nothing_runs_over_the_edge(page: Page) -> None:
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]  # type: ignore[index]


def test_every_picture_is_there_and_fits(page: Page) -> None:
    pictures = page.locator("img").all()
    assert len(pictures) >= 8
    for picture in pictures:
        assert picture.evaluate("image => image.complete && image.naturalWidth > 300")
        box = picture.bounding_box()
        assert box is not None
        assert box["width"] > 180


def test_wide_tables_can_be_scrolled_with_the_keyboard(page: Page) -> None:
    for table in page.get_by_role("region").all():
        assert table.get_attribute("tabindex") == "0"
        assert table.get_attribute("aria-label")


def test_dark_text_stands_on_white_whatever_the_reader_prefers(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    ground, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert ground == "rgb(255, 255, 255)"
    assert ink == "rgb(17, 24, 39)"


def test_printed_the_tables_show_all_their_columns(page: Page) -> None:
    page.emulate_media(media="print")
    hidden = page.locator(".scroll").evaluate_all(
        "boxes => boxes.filter(box => getComputedStyle(box).overflowX !== 'visible').length"
    )
    assert hidden == 0
