"""Can the alarms that are shipped ever ring? Their figures, labels, routes and steps are the code's."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
import yaml
from fenced import ROOT
from prometheus_client.metrics import MetricWrapperBase
from promql import Asked, Expression

from serving.metrics import Metrics
from serving.security import ACCESS
from training.loop.schedule import usual

RULES = ROOT / "docs" / "examples" / "alarms.yaml"
PAGE = ROOT / "docs" / "operations.md"
OF_PROMETHEUS = {"job", "instance"}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return list(group["rules"])


EACH = pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])


@cache
def labels_of() -> dict[str, set[str]]:
    """Every sample that a scrape may hold, and its labels."""
    found: dict[str, set[str]] = {"up": set()}
    for metric in vars(Metrics()).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            labels = set(metric._labelnames)
            if family.type == "histogram":
                found |= {f"{family.name}_count": labels, f"{family.name}_sum": labels}
                found[f"{family.name}_bucket"] = labels | {"le"}
            else:
                found[f"{family.name}_total" if family.type == "counter" else family.name] = labels
    return found


def wrong(expression: Expression) -> list[str]:
    """What an expression asks for that no scrape can hold."""
    found = [said for asked in expression.asked for said in _wrong(asked)]
    known = set().union(*(labels_of().get(asked.name, set()) for asked in expression.asked))
    return found + [f"by {label}" for label in expression.grouped - known - OF_PROMETHEUS]


def _wrong(asked: Asked) -> list[str]:
    if asked.name not in labels_of():
        return [asked.name]
    known = labels_of()[asked.name] | OF_PROMETHEUS
    steps = {line.step for line in usual()}
    found = [f"{asked.name}{{{label}}}" for label, _, _ in asked.matchers if label not in known]
    routes = {name.split()[1] for name in ACCESS}
    for label, operator, value in asked.matchers:
        if operator == "=" and label == "route" and value not in routes:
            found.append(f"route {value}")
        if operator == "=" and label == "step" and value not in steps:
            found.append(f"step {value}")
    return found


@EACH
def test_an_alarm_asks_for_figures_that_there_are(rule: dict[str, Any]) -> None:
    assert wrong(Expression(rule["expr"])) == []


@EACH
def test_an_alarm_says_why_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "annotations"}
    assert re.fullmatch(r"\d+[smhd]", rule.get("for", "0s"))
    assert set(rule["annotations"]) == {"summary", "description"}


def test_every_alarm_is_in_the_table_and_no_other() -> None:
    table = PAGE.read_text(encoding="utf-8").split("<!-- generated: alarms -->")[1]
    rows = table.split("<!-- end of alarms -->")[0].strip().splitlines()[2:]
    told = {row.split("`")[1]: " ".join(row.split("`")[3].split()) for row in rows}
    assert told == {rule["alert"]: " ".join(rule["expr"].split()) for rule in rules()}
    assert len(told) == len(rules()) > 15


@pytest.mark.parametrize(
    "broken",
    [
        'rate(propensity_requests_total{status=~"5.."}[5m] > 0',
        "rate(propensity_requests_total) > 0",
        "average(propensity_trouble) > 0",
        "sum by propensity_trouble > 0",
        "propensity_trouble{of=model} == 1",
        "propensity_trouble == == 1",
        "propensity_trouble == 1 1",
        "time(1)",
        "1 = 1",
    ],
)
def test_what_is_no_expression_is_refused(broken: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Expression(broken)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("propensity_troubles == 1", ["propensity_troubles"]),
        ('propensity_trouble{off="model"} == 1', ["propensity_trouble{off}"]),
        ("sum by (model) (propensity_trouble) > 0", ["by model"]),
        ('propensity_request_seconds_bucket{route="/v1/score"} > 0', ["route /v1/score"]),
        ('propensity_step_failed{step="backups"} == 1', ["step backups"]),
        ("propensity_request_seconds > 1", ["propensity_request_seconds"]),
    ],
)
def test_what_no_scrape_can_hold_is_found(expression: str, found: list[str]) -> None:
    assert wrong(Expression(expression)) == found
