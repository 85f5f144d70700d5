"""What came of what was promised? The page of reports: full, empty, old, hostile, and by role."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_company import Visitor, add_people, serving, words
from watched_company import Watched, watched

from features.clock import DAY
from features.store.reports import Report, record_report
from models.workspace import Workspace
from training.loop.reports import keep, make_report

HOSTILE = '<script>window.hacked=1</script>"'


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Watched:
    """Fourteen weeks of scores with their outcomes, and a report about them."""
    found = watched(tmp_path_factory.mktemp("reports"), migrated_sqlite, weeks=14)
    add_people(found.workspace.store)
    keep(found.workspace, make_report(found.workspace, now=found.after(14)))
    return found


@pytest.fixture(scope="module")
def office(company: Watched) -> Iterator[str]:
    with serving(company.workspace, now=company.after(14) + DAY) as address:
        yield address


def test_the_page_shows_the_verdict_the_sections_and_the_decisions(office: str) -> None:
    page = Visitor(office).signed_in("ines").get("/reports")
    text = words(page.text)
    for said in (
        "Nothing to do. What was said comes true", "Won ÷ promised", "silent",
        "What was promised, and what came", "Observed ÷ expected by route, source and segment",
        "Whose fault, period by period", "The alarm of the probabilities",
        "Which model scored when", "Decisions", "here was no champion yet", "Reports so far",
    ):  # fmt: skip
        assert said in text, said
    assert 'href="/reports" aria-current="page"' in page.text
    assert "This report is old" not in text


def test_beside_every_picture_stands_a_table(office: str) -> None:
    page = Visitor(office).signed_in("root").get("/reports").text
    sections = re.findall(r'<section class="panel".*?</section>', page, re.DOTALL)
    with_pictures = [section for section in sections if 'role="img"' in section]
    assert len(with_pictures) >= 3
    assert all("<table" in section for section in with_pictures)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_reps_have_no_link_and_no_page(office: str) -> None:
    anna = Visitor(office).signed_in("anna")
    assert anna.get("/reports").status_code == 403
    assert "/reports" not in anna.get("/queue").text
    assert 'href="/reports"' in Visitor(office).signed_in("ines").get("/queue").text


def test_without_a_report_the_page_says_how_to_get_one(empty: Workspace) -> None:
    with serving(empty) as address:
        text = words(Visitor(address).signed_in("ines").get("/reports").text)
    assert "No report has been made yet" in text
    assert "propensity monitor" in text
    assert "Nothing has been decided yet" in text


def test_an_old_report_is_called_old(company: Watched) -> None:
    with serving(company.workspace, now=company.after(14) + 20 * DAY) as address:
        text = words(Visitor(address).signed_in("ines").get("/reports").text)
    assert "This report is old. It was made 20 days ago." in text


def test_names_in_a_report_are_text_and_an_unknown_shape_is_left_out(empty: Workspace) -> None:
    section = {"key": "parts", "title": HOSTILE, "words": [HOSTILE], "head": [HOSTILE],
               "rows": [[HOSTILE]], "numbers": [], "off": [0],
               "picture": {"kind": "of tomorrow", "words": HOSTILE}}  # fmt: skip
    report = Report(
        kind="monitor",
        made_at=1_777_000_000_000_000,
        through=None,
        bundle="",
        summary={"verdict": {"action": "of tomorrow", "reason": HOSTILE}},
        body={"sections": [section]},
    )
    with empty.store.write() as connection:
        record_report(connection, report)
    with serving(empty) as address:
        page = Visitor(address).signed_in("ines").get("/reports")
    assert page.status_code == 200
    assert "<script>window" not in page.text
    assert page.text.count("&lt;script&gt;window.hacked=1") >= 4
