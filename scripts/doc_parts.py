"""What does the code say about itself? Each function makes one part of `docs/` as Markdown.

Nothing is said here that the code does not say: names, defaults and meanings come from where they are
used, so that a page cannot drift from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.metrics import MetricWrapperBase
from pydantic.fields import FieldInfo
from typer.main import get_command

import propensity
from features.catalog import FeatureSpec
from features.definition import parse_definition
from features.errors import PropensityError
from features.pipeline import build_catalog
from models import workspace as places_module
from serving import errors as served_errors
from serving.metrics import Metrics
from serving.security import ACCESS, EVERYBODY, PUBLIC, SIGNED
from serving.settings import Settings

_ALARMS = Path(__file__).parent.parent / "docs" / "examples" / "alarms.yaml"
_FENCED = re.compile(r"```yaml\n(.*?)```", re.DOTALL)
_PLACE = re.compile(r"^ {4}(PROPENSITY_\w+) +(.+)$", re.MULTILINE)
_DIRECTIONS = {1: "never lowers", -1: "never raises", 0: ""}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; bars inside a cell are escaped."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    cells = ([str(cell).replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def features(page: str) -> str:
    """The catalogue of the first definition on the page."""
    fenced = _FENCED.search(page)
    if fenced is None:
        raise ValueError("docs/features.md has no definition to make the catalogue of")
    catalog = build_catalog(parse_definition(fenced[1], "docs/features.md"))
    head = ("column", "kind", "fact", "direction", "in words", "when not known")
    return table(head, (_feature(spec) for spec in catalog))


def _feature(spec: FeatureSpec) -> tuple[str, ...]:
    words = spec.phrase.replace("{value}", "…")
    direction = _DIRECTIONS[spec.monotone]
    return f"`{spec.name}`", spec.kind, f"`{spec.fact}`", direction, words, spec.missing


def places(_page: str) -> str:
    """The variables that say where an installation is, from the module that reads them."""
    found = _PLACE.findall(places_module.__doc__ or "")
    return table(("variable", "meaning"), ((f"`{name}`", _sentence(said)) for name, said in found))


def settings(_page: str) -> str:
    """Every setting of the service."""
    prefix = Settings.model_config["env_prefix"].upper()
    rows = (
        (f"`{prefix}{name.upper()}`", _default(field), field.description or "")
        for name, field in Settings.model_fields.items()
    )
    return table(("variable", "default", "meaning"), rows)


def _default(field: FieldInfo) -> str:
    value = field.default
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def commands(_page: str) -> str:
    """Every command with its arguments and options."""
    return "\n\n".join(_commands(get_command(propensity.app), "propensity"))


def _commands(command: Any, name: str) -> Iterator[str]:
    children: Mapping[str, Any] = getattr(command, "commands", {})
    if not children or command.invoke_without_command:
        yield _command(command, name)
    for child, found in children.items():
        yield from _commands(found, f"{name} {child}")


def _command(command: Any, name: str) -> str:
    given = [p for p in command.params if p.name != "help" and not getattr(p, "hidden", False)]
    arguments = [p for p in given if p.param_type_name == "argument"]
    options = [p for p in given if p.param_type_name == "option"]
    usage = " ".join([name, *map(_usage, arguments), *(["[OPTIONS]"] if options else [])])
    text = f"## {name}\n{_about(command)}\n\n```text\n{usage}\n```"
    rows = [(_call(param), _given(param), _sentence(param.help or "")) for param in given]
    head = ("argument or option", "default", "meaning")
    return f"{text}\n\n{table(head, rows)}" if rows else text


def _about(command: Any) -> str:
    said = command.help or getattr(command.callback, "__doc__", None) or ""
    return " ".join(said.split())


def _usage(param: Any) -> str:
    many = "…" if param.nargs == -1 else ""
    name = param.name.upper()
    return f"{name}{many}" if param.required else f"[{name}{many}]"


def _call(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{param.name.upper()}`"
    names = [*param.opts, *param.secondary_opts]
    return ", ".join(f"`{name}`" for name in names)


def _given(param: Any) -> str:
    if param.required:
        return "required"
    value = param.default
    if value is None or value == () or value == []:
        return "none"
    if param.param_type_name == "option" and param.is_flag:
        return f"`{str(value).lower()}`"
    return f"`{getattr(value, 'value', value)}`"


def routes(_page: str) -> str:
    """Every route of the API and the roles that may call it."""
    api = {name: roles for name, roles in ACCESS.items() if "/v1/" in name or "/v2/" in name}
    api |= {name: ACCESS[name] for name in ("GET /metrics", "GET /openapi.json")}
    return table(
        ("route", "roles"), ((f"`{name}`", _whose(name, roles)) for name, roles in api.items())
    )


def _whose(name: str, roles: frozenset[Any]) -> str:
    return "whoever signs" if name in SIGNED else _roles(roles)


def _roles(roles: frozenset[Any]) -> str:
    if roles == PUBLIC:
        return "open to everybody"
    if roles == EVERYBODY:
        return "every role"
    return ", ".join(sorted(roles))


def errors(_page: str) -> str:
    """Every kind of error that the API answers with."""
    status = {kind.code: kind.status for kind in _kinds(PropensityError)}
    status |= {"too-slow": 408, "misdirected": 421}
    rows = (
        (str(status[code]), f"`{code}`", title) for code, title in served_errors._TITLES.items()
    )
    return table(("status", "code", "what it means"), sorted(rows))


def _kinds(kind: type[PropensityError]) -> Iterator[type[PropensityError]]:
    """A kind of error and all under it."""
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)


def metrics(_page: str) -> str:
    """Every figure that Prometheus can read."""
    found = [one for one in vars(Metrics()).values() if isinstance(one, MetricWrapperBase)]
    head = ("name", "type", "labels", "meaning")
    return table(head, (_metric(one) for one in found))


def _metric(metric: MetricWrapperBase) -> tuple[str, ...]:
    (family,) = metric.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"`{name}`", family.type, labels, family.documentation


def alarms(_page: str) -> str:
    """Every alarm that is shipped for Prometheus."""
    (group,) = yaml.safe_load(_ALARMS.read_text(encoding="utf-8"))["groups"]
    return table(("alarm", "when", "because", "do"), (_alarm(rule) for rule in group["rules"]))


def _alarm(rule: Mapping[str, Any]) -> tuple[str, ...]:
    lasting = f", for {rule['for']}" if "for" in rule else ""
    told = rule["annotations"]
    when = f"`{rule['expr']}`{lasting}"
    return f"`{rule['alert']}`", when, told["summary"], told["description"]


def _sentence(said: str) -> str:
    """A remark as a sentence."""
    text = " ".join(said.split())
    return (
        f"{text[0].upper()}{text[1:]}" + ("" if text.endswith((".", "?", "!")) else ".")
        if text
        else ""
    )
