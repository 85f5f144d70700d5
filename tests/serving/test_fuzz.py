"""Whoever asks, and whatever follows on what: is it answered as published, and never by a failure?"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from served import Clock, Served, TestClient, make_keys
from workers import working

from features.store.access import ROLES
from features.store.engine import Store
from models.workspace import Workspace

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
CALLERS = ("anonymous", "revoked", *ROLES)


def limits(examples: int, steps: int = 50) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )


def asked(served: Served, case: schemathesis.Case, role: str) -> Any:
    """The answer to a case, checked against what is published."""
    sent = case.as_transport_kwargs(headers=served.headers(role))
    if isinstance(sent.get("data"), bytes):
        sent["content"] = sent.pop("data")
    answer = served.client.request(**{**sent, "cookies": None})
    case.validate_response(answer, checks=CHECKS)
    return answer


def fuzz(served: Served, role: str, examples: int) -> set[int]:
    """Ask every operation well and badly; the statuses that came."""
    schema = schemathesis.openapi.from_dict(served.get("/openapi.json").json())
    statuses = set()

    def answered(case: schemathesis.Case) -> None:
        # What the client itself does not put on a wire says nothing of the server.
        with suppress(httpx.LocalProtocolError, httpx.InvalidURL):
            statuses.add(asked(served, case, role).status_code)

    for found in schema.get_all_operations():
        for mode in schemathesis.GenerationMode:
            # What takes nothing cannot be asked wrongly.
            with suppress(Unsatisfiable):
                strategy = found.ok().as_strategy(generation_mode=mode)
                limits(examples)(given(strategy)(answered))()
    return statuses


def test_a_rep_who_may_little_is_answered_as_promised(served_lite: Served) -> None:
    assert 403 in fuzz(served_lite, "rep", 2)


@pytest.mark.slow
@pytest.mark.parametrize("role", CALLERS)
def test_every_caller_is_answered_as_promised(served_lite: Served, role: str) -> None:
    statuses = fuzz(served_lite, role, 60)
    assert statuses & {200, 401}
    assert max(statuses) < 500


@pytest.mark.slow
@pytest.mark.parametrize("role", ["crm", "anonymous"])
def test_a_real_process_answers_as_promised_over_the_wire(
    company_store: Store, tmp_path: Path, role: str
) -> None:
    """Where the server reads HTTP itself and plain scores are answered from their connection."""
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": str(tmp_path)})
    keys = make_keys(workspace.store)
    with working(workspace, keys["admin"], {"PROPENSITY_KEY_RATE": "0"}) as worker:
        del worker.client.headers["Authorization"]
        served = Served(cast("TestClient", worker.client), workspace, Clock(), keys)
        statuses = fuzz(served, role, 12)
        assert worker.process.poll() is None
    assert max(statuses) < 500
    workspace.store.close()


@pytest.mark.slow
@pytest.mark.parametrize("role", ["crm", "admin"])
def test_whatever_follows_on_what_is_answered_as_promised(served_lite: Served, role: str) -> None:
    """What one answer says (an id of a lead) is put into the next question, along the links found."""
    published = served_lite.get("/openapi.json").json()
    linked = {
        link["operationId"]
        for operations in published["paths"].values()
        for operation in operations.values()
        for link in operation["responses"].get("200", {}).get("links", {}).values()
    }
    schema = schemathesis.openapi.from_dict(published)
    tried = set()

    class Workflow(schema.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, Any]:
            return {}

        def call(self, case: schemathesis.Case, **_: Any) -> Any:
            tried.add(case.operation.definition.raw["operationId"])
            answer = asked(served_lite, case, role)
            made = Response.from_httpx(answer, verify=True)
            # It is noted as a request of another library.
            made.request = requests.Request(case.method, str(answer.request.url)).prepare()
            return made

        def validate_response(self, *_: Any, **__: Any) -> None:
            """Checked when asked."""

    Workflow.run(settings=limits(20, 10))
    assert len(linked) > 5
    assert linked <= tried
