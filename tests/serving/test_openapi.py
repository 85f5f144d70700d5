"""Does the service keep the promise it publishes, to those who keep to it and to those who do not?"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from jsonschema_rs import validator_for
from models_made import workspace_of
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from served import Clock, Served, calm

from features.store.engine import Store
from serving.app import create_app
from serving.security import ACCESS, PUBLIC, SIGNED

GOLDEN = Path(__file__).parents[1] / "golden" / "openapi.json"


@pytest.fixture
def app(sqlite_store: Store, tmp_path: Path) -> FastAPI:
    return create_app(calm(), workspace_of(sqlite_store, tmp_path), Clock())


def test_the_published_promise_is_the_one_that_was_reviewed(app: FastAPI) -> None:
    """After a change that is meant: PROPENSITY_GOLDEN=write, and read the difference."""
    said = json.dumps(app.openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get("PROPENSITY_GOLDEN") == "write":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(said, encoding="utf-8")
    assert said == GOLDEN.read_text(encoding="utf-8")


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_operation_is_named_described_and_says_who_may_and_what_can_go_wrong(
    app: FastAPI,
) -> None:
    names = []
    for route, operation in operations(app.openapi()):
        names.append(operation["operationId"])
        assert operation["description"], route
        failures = {status for status in operation["responses"] if status >= "400"}
        assert {"404", "422", "500", "503"} <= failures
        if ACCESS[route] is PUBLIC:
            assert "security" not in operation
        else:
            assert {"401", "403"} <= failures
            assert operation["x-roles"] == sorted(ACCESS[route])
        if "requestBody" in operation:
            assert {"400", "413"} <= failures
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)


def test_every_json_body_and_answer_has_an_example_that_fits_its_schema(app: FastAPI) -> None:
    document = app.openapi()
    schemas = document["components"]["schemas"]
    for route, operation in operations(document):
        contents = [operation["responses"]["200"]["content"]]
        if "requestBody" in operation:
            contents.append(operation["requestBody"]["content"])
        for content in contents:
            if "application/json" not in content:
                continue
            schema = content["application/json"]["schema"]
            found = list(_examples(schema, schemas))
            assert found, route
            checker = validator_for({**schema, "components": document["components"]})
            for example in found:
                assert checker.is_valid(example), (route, example)


def _examples(schema: dict[str, Any], schemas: dict[str, Any]) -> Iterator[Any]:
    if "$ref" in schema:
        yield from schemas[schema["$ref"].rpartition("/")[2]].get("examples", [])
    for part in schema.get("anyOf", ()):
        if part.get("type") == "array":
            yield from ([one] for one in _examples(part["items"], schemas))
        if part.get("type") == "object":
            rows = _examples(part["properties"]["rows"]["items"], schemas)
            yield from ({"rows": [one]} for one in rows)


def test_the_examples_of_requests_are_understood(served_lite: Served) -> None:
    """They speak of another company: its names may be refused, their shape may not."""
    for route, operation in operations(served_lite.get("/openapi.json").json()):
        if "requestBody" not in operation or route in SIGNED:
            continue
        document = served_lite.get("/openapi.json").json()
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        method, path = route.split(" ")
        for example in _examples(schema, document["components"]["schemas"]):
            answer = served_lite.call(method, path.replace("{lead}", "L-0001"), json=example)
            assert answer.status_code in (200, 404, 422), route
            for problem in answer.json().get("problems", ()):
                assert problem["message"] not in ("is missing", "is not known here"), route


def test_no_page_loads_anything_from_elsewhere(served_lite: Served) -> None:
    for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
        assert served_lite.get(path).status_code == 404


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
EXAMPLES = 12
"""Requests of each operation and kind; enough to meet every field, and done in half a minute."""


def test_requests_made_from_the_promise_good_and_bad_are_answered_as_promised(
    served_lite: Served,
) -> None:
    document = served_lite.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(document)
    tried, statuses = set(), Counter[int]()

    def answered(case: schemathesis.Case) -> None:
        sent = case.as_transport_kwargs(headers=served_lite.headers("admin"))
        if isinstance(sent.get("data"), bytes):
            sent["content"] = sent.pop("data")
        answer = served_lite.client.request(**{**sent, "cookies": None})
        statuses[answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)

    for found in schema.get_all_operations():
        operation = found.ok()
        tried.add(operation.label)
        for mode in schemathesis.GenerationMode:
            # What takes nothing cannot be asked wrongly.
            with suppress(Unsatisfiable):
                FEW(given(operation.as_strategy(generation_mode=mode))(answered))()
    assert tried == {route for route in ACCESS if " /v" in route or route.endswith("/metrics")}
    assert {200, 400, 404, 422} <= set(statuses), statuses


FEW = settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
