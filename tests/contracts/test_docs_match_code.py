"""Do the pages say what the code does? Keys, defaults, routes, commands, names, paths and links.

A page may say less than the code only where this file does not look; it never says more.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from fenced import ROOT, blocks, pages
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.main import get_command

import propensity
from features import definition as definition_module
from features import sources as sources_module
from features.clock import to_instant
from features.definition import parse_definition, read_definition
from features.errors import DefinitionError
from features.store.engine import Store
from features.store.files.load import load
from models.workspace import Workspace
from scripts import docs, tour_csv
from serving.metrics import Metrics
from serving.security import ACCESS
from serving.settings import Settings

NOW = "2026-05-01T12:00:00+00:00"
DOCS = ROOT / "docs"
KEYS = re.compile(r"<!-- keys: (\w+) -->\n\n((?:\|.*\n)+)")
FILE = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]*\w(?:\.\w+)?/?)`")
COMMAND = re.compile(r"\bpropensity((?: +[a-z][a-z-]*)+)([^`|\n#]*)")
INLINE = re.compile(r"`([^`\n]+)`")
WORLD = ("http://", "https://", "mailto:")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


EACH_PAGE = pytest.mark.parametrize("page", pages(), ids=named)


# What is generated


def test_generated_parts_are_what_the_code_says() -> None:
    assert not docs.stale(), "run `make docs`"


def test_the_check_fails_on_a_page_that_was_edited_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in docs.PARTS:
        said = text_of(DOCS / page)
        (tmp_path / page).write_text(said.replace("Port to listen on.", "A port."), "utf-8")
    monkeypatch.setattr(docs, "DOCS", tmp_path)
    assert docs.main(["--check"]) == 1
    assert docs.main([]) == 0
    assert docs.main(["--check"]) == 0


def test_the_made_up_export_is_the_one_that_its_script_makes() -> None:
    with tour_csv.PATH.open(encoding="utf-8", newline="") as file:
        head, *rows = (tuple(line.rstrip("\n").split(";")) for line in file)
    assert head == tour_csv.HEAD
    assert rows == tour_csv.lines()


# The lead definition


def parts_of_a_definition() -> dict[str, type[BaseModel]]:
    """Every sort of object that a definition's file may hold, by name."""
    found = {}
    for module in (definition_module, sources_module):
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, BaseModel) and not name.startswith("_") and kind is not BaseModel:
                found[name] = kind
    return found


@cache
def documented() -> Mapping[str, Mapping[str, str]]:
    """Sort of object -> key -> the default that docs/definition.md gives."""
    found = {}
    for name, rows in KEYS.findall(text_of(DOCS / "definition.md")):
        cells = [[cell.strip() for cell in row.split("|")] for row in rows.splitlines()[2:]]
        found[name] = {row[1].strip("`"): row[2] for row in cells}
    return found


def test_every_part_of_a_definition_has_its_table() -> None:
    assert set(documented()) == set(parts_of_a_definition())


@pytest.mark.parametrize("name", sorted(parts_of_a_definition()))
def test_a_table_has_just_the_keys_there_are(name: str) -> None:
    assert list(documented()[name]) == list(parts_of_a_definition()[name].model_fields)


@pytest.mark.parametrize("name", sorted(parts_of_a_definition()))
def test_defaults_are_those_of_the_code(name: str) -> None:
    for key, field in parts_of_a_definition()[name].model_fields.items():
        said, default = documented()[name][key], field.default
        if default is PydanticUndefined:
            assert said == "required", key
        elif said.startswith("`"):
            assert yaml.safe_load(said.strip("`")) == as_plain(default), key
        else:
            assert said != "required", key


def as_plain(value: Any) -> Any:
    """A default as YAML would give it."""
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_none=True)
    return list(value) if isinstance(value, tuple) else value


def test_every_definition_that_is_shown_as_a_whole_holds_together(tmp_path: Path) -> None:
    for name, content in FILE.findall(text_of(DOCS / "data.md")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    assert [read_definition(path).name for path in sorted(tmp_path.glob("*/*.yaml"))] == [
        "log",
        "tables",
        "wide",
    ]


@pytest.mark.parametrize("shape", ["wide", "tables", "log"])
def test_the_files_shown_are_imported_by_the_mapping_shown(
    shape: str, tmp_path: Path, sqlite_store: Store
) -> None:
    for name, content in FILE.findall(text_of(DOCS / "data.md")):
        if name.startswith(f"{shape}/"):
            (tmp_path / Path(name).name).write_text(content, encoding="utf-8")
    report = load(
        sqlite_store,
        read_definition(tmp_path / "definition.yaml"),
        now=to_instant(definition_time()),
        directory=tmp_path,
        rejects=tmp_path / "rejects",
    )
    assert report.rejected == 0
    assert all(one.added or one.unchanged for one in report.files)
    assert not any(one.warnings for one in report.files)


def definition_time() -> Any:
    from datetime import datetime

    return datetime.fromisoformat(NOW)


def test_the_message_shown_for_a_bad_definition_is_the_one_that_comes() -> None:
    (shown,) = (b.text for b in blocks(DOCS / "definition.md", "text"))
    bad = {
        "name": "x",
        "attributes": [{"name": "a", "type": "number"}, {"name": "b", "type": "text"}],
        "bant": {
            "budget": [
                {"name": "q", "answers": {"sales": ["yes", "planned"], "marketing": ["yes"]}}
            ]
        },
        "routes": [{"name": "high", "at_least": 30}, {"name": "rest"}],
    }
    with pytest.raises(DefinitionError) as caught:
        parse_definition(yaml.safe_dump(bad), "definition.yaml")
    assert f"error: {caught.value}\n" == shown


# The API


def api_routes() -> list[str]:
    """The routes that docs/api.md must show a request for."""
    of_pages = {
        "/",
        "/sign-in",
        "/sign-out",
        "/queue",
        "/queue/rows",
        "/model",
        "/reports",
        "/static",
    }
    found = [name for name in ACCESS if name.split()[1] not in of_pages]
    return [n for n in found if not n.startswith(("GET /health", "GET /leads"))]


@cache
def requests_shown() -> tuple[tuple[str, str], ...]:
    """Method and path of every request in docs/api.md."""
    found = []
    for block in blocks(DOCS / "api.md", "sh"):
        for call in re.finditer(r'curl -s( -X (\w+))? "?\$URL([^\s"?]+)', block.text):
            method = call[2] or ("POST" if " -d " in block.text else "GET")
            found.append((method, call[3]))
    return tuple(found)


@pytest.mark.parametrize("route", api_routes())
def test_every_route_has_a_request_that_can_be_copied(route: str) -> None:
    method, path = route.split()
    pattern = re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path))
    assert [m for m, p in requests_shown() if m == method and pattern.fullmatch(p)], route


def test_no_request_is_shown_that_no_route_answers() -> None:
    patterns = [
        (name.split()[0], re.compile(re.sub(r"\{[^}]+\}", "[^/]+", name.split()[1])))
        for name in ACCESS
    ]
    for method, path in requests_shown():
        assert any(m == method and p.fullmatch(path) for m, p in patterns), (method, path)


def test_the_limits_shown_are_the_defaults() -> None:
    settings = Settings()
    shown = text_of(DOCS / "api.md").split("## Limits")[1]
    for words in (
        f"{settings.max_body_bytes // 2**20} MiB",
        f"{settings.max_bulk_bytes // 2**20} MiB",
        f"| rows in one request | {settings.max_rows:,} |",
        f"| keys in one object | {settings.max_keys:,} |",
        f"| values in one body | {settings.max_values:,} |",
        f"| nesting | {settings.max_depth} levels |",
        f"| silence in the middle of a body | {settings.body_seconds:g} s |",
        f"| connections at once | {settings.max_connections:,} |",
    ):
        assert words in shown, words


def test_how_often_the_queue_is_renewed_is_the_default() -> None:
    hours = Settings().queue_refresh_minutes / 60
    assert f"renewed every {hours:g} hours" in text_of(DOCS / "api.md")


# Names


@cache
def metric_names() -> frozenset[str]:
    found = set()
    for metric in vars(Metrics()).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            found.add(f"{family.name}_total" if family.type == "counter" else family.name)
    return frozenset(found)


def test_operations_names_every_figure_and_no_other() -> None:
    said = set(re.findall(r"\bpropensity_\w+", text_of(DOCS / "operations.md")))
    assert {name.removesuffix("_bucket") for name in said} == metric_names()


class Asked(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return default


@cache
def variables() -> frozenset[str]:
    """Every variable of ours that is read."""
    asked = Asked()
    Workspace.of(asked)
    prefix = str(Settings.model_config["env_prefix"]).upper()
    of_tests = {"PROPENSITY_TEST_DATABASE_URL", "PROPENSITY_DATA"}
    return frozenset(asked.names | {prefix + n.upper() for n in Settings.model_fields} | of_tests)


def test_settings_names_every_variable() -> None:
    said = set(re.findall(r"`(PROPENSITY_\w+)`", text_of(DOCS / "settings.md")))
    assert said == variables()


def files_that_name_variables() -> list[Path]:
    more = ["Dockerfile", "compose.yaml", ".env.example", "Makefile", ".ci/run"]
    return [*pages(), *(ROOT / n for n in more), *sorted((DOCS / "examples").iterdir())]


@pytest.mark.parametrize("page", files_that_name_variables(), ids=named)
def test_no_variable_is_named_that_nobody_reads(page: Path) -> None:
    assert set(re.findall(r"\bPROPENSITY_[A-Z_]+[A-Z]\b", text_of(page))) <= variables()


@cache
def commands() -> Mapping[tuple[str, ...], Any]:
    """Every command, by its words."""
    return dict(_commands(get_command(propensity.app), ()))


def _commands(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, command
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, (*words, name))


def commands_typed(page: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """What a page tells people to type: the words after `propensity`, and the rest of the line."""
    text = text_of(page)
    code = [block.text for block in blocks(page, "sh")] + re.findall(
        r"`(propensity [^`\n]+)`", text
    )
    if page.suffix != ".md":
        code = [text]
    for part in code:
        for found in COMMAND.finditer(part):
            yield tuple(found[1].split()), found[2]


@pytest.mark.parametrize("page", [*pages(), *sorted((DOCS / "examples").iterdir())], ids=named)
def test_every_command_that_is_shown_exists_with_its_options(page: Path) -> None:
    for words, rest in commands_typed(page):
        known = max((w for w in commands() if words[: len(w)] == w), key=len)
        assert known, f"propensity {' '.join(words)}"
        command = commands()[known]
        left_over = words[len(known) :]
        takes_more = any(p.param_type_name == "argument" for p in command.params)
        assert takes_more or not left_over, f"propensity {' '.join(words)}"
        there = {opt for p in command.params for opt in (*p.opts, *p.secondary_opts)}
        asked = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", rest))
        assert asked <= there | {"--help"}, f"{known}: {asked - there}"


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))


@EACH_PAGE
def test_every_make_target_that_is_shown_exists(page: Path) -> None:
    code = [block.text for block in blocks(page, "sh")] + INLINE.findall(text_of(page))
    shown = re.findall(r"(?:^|&& )make ([a-z-]+)", "\n".join(code), re.MULTILINE)
    assert set(shown) <= make_targets()


# Paths and links


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, made as hosts of Markdown make them."""
    found: set[str] = set()
    in_fence = False
    for line in text_of(page).splitlines():
        in_fence ^= line.startswith("```")
        if line.startswith("#") and not in_fence:
            title = re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower())
            found.add(title.replace(" ", "-"))
    return found


@EACH_PAGE
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(text_of(page)):
        if link.startswith(WORLD):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@EACH_PAGE
def test_every_path_of_the_repository_that_is_named_exists(page: Path) -> None:
    tops = {path.name for path in ROOT.iterdir()} - {"var", ".venv"}
    for path in PATH.findall(text_of(page)):
        first = path.split("/")[0]
        if first in tops:
            assert (ROOT / path).exists(), path


@EACH_PAGE
def test_shell_commands_are_ones_that_a_shell_can_read(page: Path) -> None:
    for block in blocks(page, "sh"):
        done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True)
        assert done.returncode == 0, f"line {block.line}: {done.stderr}"


@EACH_PAGE
def test_python_and_yaml_that_is_shown_can_be_read(page: Path) -> None:
    for block in blocks(page, "python"):
        ast.parse(block.text)
    for block in blocks(page, "yaml"):
        yaml.safe_load(block.text)
