"""Has every error one shape, tells what to do, and tells nothing of what was sent or what is inside?"""

from __future__ import annotations

import json
from typing import Any

import pytest
import structlog
from agreed import NOW
from served import Serve, Served

from features.clock import DAY, iso
from features.errors import BundleError, PropensityError, StoreError
from features.store.engine import Store
from models.propensity import PropensityModel
from serving.errors import Report, report_of, told

SHAPE = {"type", "title", "status", "detail", "hint", "problems", "request_id"}
SECRET = "password of the database"


def every_class(base: type[PropensityError]) -> list[type[PropensityError]]:
    """All errors of ours."""
    return [base, *(one for below in base.__subclasses__() for one in every_class(below))]


@pytest.mark.parametrize(
    ("method", "path", "status", "sent"),
    [
        ("GET", "/nowhere", 404, {}),
        ("GET", "/v1/leads/nobody", 404, {}),
        ("DELETE", "/v1/scores", 405, {}),
        ("PATCH", "/v1/leads/L-0001", 405, {}),
        ("POST", "/v1/scores", 400, {"content": b"{"}),
        ("POST", "/v1/scores", 422, {"json": {}}),
        ("POST", "/v1/scores", 413, {"content": b" " * 2**21}),
        ("GET", "/v1/queue?limit=x", 422, {}),
        ("GET", "/static/nothing.css", 404, {}),
        ("GET", "/v1/scores/", 404, {}),
    ],
)
def test_every_error_has_the_one_shape(
    served_lite: Served, method: str, path: str, status: int, sent: dict[str, Any]
) -> None:
    answer = served_lite.call(method, path, **sent)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert set(said) == SHAPE
    assert said["status"] == status
    assert said["type"].startswith("urn:propensity:problem:")
    assert said["title"]
    assert said["detail"]
    assert said["request_id"] == answer.headers["x-request-id"]
    for problem in said["problems"]:
        assert set(problem) == {"where", "field", "message"}


def test_405_says_what_is_allowed(served_lite: Served) -> None:
    assert served_lite.call("DELETE", "/v1/scores").headers["allow"] == "POST"


def test_what_nobody_foresaw_is_a_500_that_tells_nothing(
    served_lite: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr(PropensityModel, "told", broken)
    answer = served_lite.post("/v1/scores", json={"lead": "L-0001"})
    assert answer.status_code == 500
    assert set(answer.json()) == SHAPE
    assert SECRET not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    logged = capsys.readouterr().out
    assert answer.json()["request_id"] in logged
    assert served_lite.get("/v2/health/live").status_code == 200


@pytest.mark.parametrize("error", every_class(PropensityError))
def test_every_error_of_ours_can_be_told(error: type[PropensityError]) -> None:
    report = report_of(error("what was wrong", hint="what to do"), "r-1")
    assert report.status == error.status
    assert set(report.to_json()) == SHAPE
    assert json.dumps(report.to_json())
    can_wait = report.status in (429, 503) or report.code == "in-flight"
    assert can_wait == ("Retry-After" in report.headers)


@pytest.mark.parametrize("error", [StoreError, BundleError, PropensityError])
def test_what_went_wrong_inside_is_not_told(error: type[PropensityError]) -> None:
    report = report_of(error(SECRET, hint=SECRET), "r-1")
    assert SECRET not in json.dumps(report.to_json())


def test_a_database_that_fails_is_a_503_and_comes_back(serve: Serve, company_store: Store) -> None:
    served = serve(company_store)
    assert served.get("/v1/queue").status_code == 200
    with company_store.write() as connection:
        connection.exec_driver_sql("ALTER TABLE current_scores RENAME TO hidden")
    answer = served.get("/v1/queue")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert "current_scores" not in answer.text
    with company_store.write() as connection:
        connection.exec_driver_sql("ALTER TABLE hidden RENAME TO current_scores")
    assert served.get("/v1/queue").status_code == 200


def test_many_problems_are_cut_and_counted(served_lite: Served) -> None:
    rows = [{"lead": "nobody", "kind": "visit", "occurred_at": iso(NOW - DAY)}] * 150
    problems = served_lite.post("/v1/events", json=rows).json()["problems"]
    assert len(problems) == 101
    assert problems[-1]["message"] == "50 more problems are not listed"
    assert told([]) == []


def test_a_long_or_unprintable_name_of_a_field_is_shortened(served_lite: Served) -> None:
    name = "\u2028" + "k" * 900
    answer = served_lite.post("/v1/scores", json={"lead": "x", name: 1})
    (field,) = [problem["field"] for problem in answer.json()["problems"]]
    assert len(field) == 60
    assert field.isprintable()
    assert field.startswith("\\u2028kkk")


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [("r-1.A_b", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ("<b>", False)],
)
def test_a_harmless_id_of_the_request_is_kept(
    served_lite: Served, given: str, is_kept: bool
) -> None:
    answer = served_lite.get("/v2/health/live", headers={"X-Request-Id": given})
    assert (answer.headers["x-request-id"] == given) is is_kept


def test_every_answer_carries_the_security_headers(served_lite: Served) -> None:
    for path in ("/v1/queue", "/v2/health/live", "/nowhere", "/metrics", "/openapi.json"):
        headers = served_lite.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert len(headers["x-request-id"]) == 32


def test_the_log_names_routes_and_nobody(
    served_lite: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    served_lite.put("/v1/leads/N-7", json={"name": "Erika Mustermann", "owner": "anna"})
    served_lite.get("/v1/leads/N-7/score")
    served_lite.get("/v1/queue?q=Mustermann")
    served_lite.get("/v1/leads/Mustermann")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    assert [line["route"] for line in requests] == [
        "/v1/leads/{lead}",
        "/v1/leads/{lead}/score",
        "/v1/queue",
        "/v1/leads/{lead}",
    ]
    assert [line["status"] for line in requests] == [200, 422, 200, 404]
    for line in requests:
        assert {"request_id", "method", "ms", "level"} < set(line)
    everything = json.dumps(lines)
    assert "Mustermann" not in everything
    assert "N-7" not in everything


def test_an_error_of_http_keeps_its_own_words() -> None:
    report = Report(status=418, code="im-a-teapot", detail="no coffee")
    assert report.title == "I'm a Teapot"
    assert structlog.is_configured()
