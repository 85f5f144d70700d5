"""Is the newest report to be had as JSON, and is it counted among the metrics?"""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from agreed import NOW
from served import Served

from features.clock import DAY, SECOND, iso
from features.store.reports import Report, record_report


def figures(served: Served) -> dict[str, float]:
    """The samples without labels, by name."""
    lines = served.get("/metrics", "analyst").text.splitlines()
    return {
        line.split(" ")[0]: float(line.split(" ")[1]) for line in lines if re.match(r"\w+ ", line)
    }


def report(made_at: int, **alarm: Any) -> Report:
    told = {"is_raised": False, "since": None, "e_value": 3.5, "threshold": 5200.0, "bundle": "b"}
    body = {"verdict": {"action": "nothing", "reason": "", "evidence": {}}, "alarm": told | alarm}
    ratio = {"estimate": 0.9, "lower": 0.7, "upper": 1.1, "level": 0.95}
    return Report(
        kind="monitor",
        made_at=made_at,
        through=made_at - DAY,
        bundle="b" * 64,
        summary={**body, "observed_over_expected": ratio, "matured_leads": 12},
        body=body,
    )


def test_the_newest_report_is_given_whatever_order_they_were_written_in(
    served_lite: Served,
) -> None:
    missing = served_lite.get("/v1/reports/latest")
    assert missing.status_code == 404
    assert "propensity monitor" in missing.json()["hint"]
    with served_lite.store.write() as connection:
        for made_at in (NOW - DAY, NOW, NOW - 3 * DAY):
            record_report(connection, report(made_at))
    answer = served_lite.get("/v1/reports/latest", "analyst").json()
    assert answer["made_at"] == iso(NOW)
    assert answer["through"] == iso(NOW - DAY)
    assert answer["verdict"]["action"] == answer["report"]["verdict"]["action"] == "nothing"


def test_metrics_tell_what_the_newest_report_said(served_lite: Served) -> None:
    before = figures(served_lite)
    assert before["propensity_report_timestamp_seconds"] == 0
    assert math.isnan(before["propensity_observed_over_expected"])
    with served_lite.store.write() as connection:
        record_report(connection, report(NOW - DAY, is_raised=True, e_value=6_000.0))
    found = figures(served_lite)
    assert found["propensity_report_timestamp_seconds"] == pytest.approx((NOW - DAY) / SECOND)
    assert found["propensity_calibration_alarm"] == 1
    assert found["propensity_calibration_alarm_e_value"] == 6_000
    assert found["propensity_observed_over_expected"] == 0.9
    with served_lite.store.write() as connection:
        record_report(connection, report(NOW))
    assert figures(served_lite)["propensity_calibration_alarm"] == 0
