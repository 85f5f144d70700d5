"""The page shows other people's text as text, asks nobody for anything, and can be read unseen."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from features.frames import Category
from models.propensity import PropensityModel
from training.evidence import Evidence
from training.pictures import draw_all
from training.report import report_of
from training.report_page import report_page, text


class Seen(HTMLParser):
    """What a browser would make of it: tags with their attributes, and headings in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


HOSTILE = "<script>alert('x')</script>\"><img src=http://evil.example/x onerror=alert(1)>"


@pytest.fixture(scope="module")
def hostile_page(
    model: PropensityModel, evidence: Evidence, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """A page on which a region, a warning and the model's name are hostile."""
    region = evidence.rows.frame.columns["attr_region"]
    assert isinstance(region, Category)
    levels = tuple(HOSTILE if level == "DACH" else level for level in region.levels)
    columns = {**evidence.rows.frame.columns, "attr_region": Category(region.codes, levels)}
    frame = replace(evidence.rows.frame, columns=columns)
    about = {**model.about, "name": HOSTILE, "warnings": [HOSTILE]}
    there = replace(evidence, rows=replace(evidence.rows, frame=frame), how=HOSTILE)
    report = report_of(replace(model, about=about), there)
    return report_page(report, draw_all(tmp_path_factory.mktemp("pictures"), model, report, there))


def test_hostile_names_are_text_and_nothing_else(hostile_page: str) -> None:
    assert text(HOSTILE) in hostile_page
    assert HOSTILE not in hostile_page
    tags = Seen(hostile_page).tags
    assert not [tag for tag, _ in tags if tag in ("script", "iframe", "object", "form")]
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]


def test_the_page_asks_nobody_for_anything(hostile_page: str) -> None:
    tags = Seen(hostile_page).tags
    addresses = [
        value
        for _, attributes in tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "poster")
    ]
    assert addresses
    assert all((value or "").startswith("data:") for value in addresses)
    policy = next(a["content"] for _, a in tags if a.get("http-equiv"))
    assert (policy or "").startswith("default-src 'none'")


def test_the_page_can_be_read_without_seeing_it(hostile_page: str) -> None:
    tags = Seen(hostile_page).tags
    headings = [int(tag[1]) for tag, _ in tags if tag in ("h1", "h2", "h3")]
    assert headings.count(1) == 1
    assert headings[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    pictures = [attributes for tag, attributes in tags if tag == "img"]
    assert len(pictures) >= 8
    assert all(len(attributes["alt"] or "") > 30 for attributes in pictures)
    assert ("html", {"lang": "en"}) in tags
