"""What can nobody do with a page? Templates, hostile names, headers, errors, files."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from agreed import agreed
from jinja2 import meta
from page_company import (
    PASSWORD,
    Outline,
    Visitor,
    add_leads,
    fill,
    lead_facts,
    leads_in,
    place,
    serving,
    words,
    workspace_at,
)

from features.store.engine import Store
from features.store.ledger import read_queue
from models.workspace import Workspace
from serving.pages import PAGES, SignInPage
from serving.rendering import environment, render


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
    # `parts` and `charts` are what templates call the macros that they import.
    used -= {*environment().globals, "parts", "charts"}
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
    static = Path(__file__).parents[3] / "serving" / "static"
    digest = hashlib.sha256((static / "htmx.min.js").read_bytes()).hexdigest()
    notice = (static / "htmx.NOTICE.txt").read_text()
    assert digest in notice
    assert "htmx 2.0.11" in notice
    assert "2.0.11" in (static / "htmx.min.js").read_text()


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


def test_pages_are_the_same_on_both_databases(store: Store, tmp_path: Path) -> None:
    url = store.url.render_as_string(hide_password=False)
    workspace = workspace_at(tmp_path, url=url)
    fill(workspace)
    with serving(workspace) as address:
        visitor = Visitor(address).signed_in("anna")
        with store.read() as connection:
            expected = [row["lead_id"] for row in read_queue(connection, owner="Anna Berg").rows]
        assert leads_in(visitor.get("/queue").text) == expected
        for nonsense in ("%", "\0", "\\", "'", "\ud800", "😀"):
            shown = visitor.http.get("/queue", params={"q": nonsense.encode("utf-8", "replace")})
            assert shown.status_code == 200, nonsense
        assert visitor.get("/leads/A11").status_code == 200
        assert visitor.get("/leads/%00").status_code == 404
        assert visitor.get("/model").status_code == 200
        assert Visitor(address).try_password("an\0na", PASSWORD).status_code == 401


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
