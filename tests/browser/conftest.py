"""A real browser: the system's Chromium, driven by Playwright; what it complains of fails the test.

Which one: CHROMIUM, else what `chromium`, `chromium-browser` or `google-chrome` is. Without one, tests
are skipped with the reason; where CI is set they fail, because there nobody reads reasons.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from page_company import PASSWORD
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    sync_playwright,
)

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> Path | None:
    """The browser to drive; None when there is none."""
    named = os.environ.get("CHROMIUM")
    known = (named,) if named else ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in known if name and (path := shutil.which(name))), None)
    return Path(found) if found else None


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    path = chromium()
    if path is None:
        reason = "there is no Chromium; install one, or name it in CHROMIUM"
        if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield started
        started.close()


class Watch:
    """Everything a page did that it should not have: errors, and requests to other hosts."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def over(self, page: Page, address: str) -> None:
        """Watch a page of the service at this address."""
        host = urlsplit(address).netloc
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

        def asked(request: Request) -> None:
            self.requests.append(request.url)
            if urlsplit(request.url).netloc != host:
                self.complaints.append(f"left the host: {request.url}")

        page.on("request", asked)

    def expect(self, words: str) -> None:
        """A complaint that the test brings about; it must have been made."""
        found = [complaint for complaint in self.complaints if words in complaint]
        assert found, self.complaints
        self.complaints = [complaint for complaint in self.complaints if words not in complaint]

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text}")


OpenPage = Callable[..., Page]


@pytest.fixture
def watch() -> Watch:
    """What the pages of this test did that they should not have."""
    return Watch()


@pytest.fixture
def open_page(browser: Browser, watch: Watch) -> Iterator[OpenPage]:
    """Opens a page of a service, signed in on demand; complaints fail the test at its end."""
    contexts: list[BrowserContext] = []

    def open_(
        address: str, name: str | None = None, path: str = "/queue", **options: object
    ) -> Page:
        options.setdefault("viewport", {"width": 1280, "height": 900})
        context = browser.new_context(**options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        watch.over(page, address)
        if name is not None:
            sign_in(page, address, name)
        page.goto(f"{address}{path}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert watch.complaints == []
    assert watch.requests


def sign_in(page: Page, address: str, name: str) -> None:
    """Sign in as a person does."""
    page.goto(f"{address}/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/queue")
