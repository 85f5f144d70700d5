"""What does the page of reports say? What training wrote, laid out; nothing is reckoned here.

Serving does not know what came of a score: the sections, their words and their figures come from the
report in the database, as text that is escaped like everybody's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from features.clock import days
from features.store.reports import Report
from models.explain import figure as readable
from serving import report_charts, wording
from serving.pages import Emptiness, Figure, Notice, PastReport
from serving.queue_view import moment
from serving.sheets import Cell, Section, Sheet

STALE_DAYS = 14
"""A report older than this is warned of: verdicts are meant to be asked for every week."""

_ACTIONS = {
    "nothing": ("Nothing to do", "note"),
    "wait": ("Not enough outcomes yet", "note"),
    "recalibrate": ("Recalibrate", "warning"),
    "retrain": ("Retrain", "warning"),
    "look_at_market": ("Look at the market", "warning"),
}


def no_report() -> Emptiness:
    """What to do as long as there is no report."""
    return Emptiness(
        title="No report has been made yet",
        text="The monitor compares the scores that were shown with what came of them, and says what to "
        "do. Whoever runs this installation asks for it, best every week, with:",
        command="propensity monitor",
    )


def verdict(report: Report, now: int) -> list[Notice]:
    """What to do, and whether the report is old."""
    said = report.summary.get("verdict", {})
    action = str(said.get("action", ""))
    title, kind = _ACTIONS.get(action, (action or "Unknown", "note"))
    found = [
        Notice(
            kind="warning" if kind == "warning" else "note",
            title=title,
            text=str(said.get("reason", "")),
        )
    ]
    if now - report.made_at > days(STALE_DAYS):
        old = f"It was made {wording.ago(report.made_at, now)}."
        hint = "`propensity monitor` makes a new one."
        found.append(Notice(kind="warning", title="This report is old", text=f"{old} {hint}"))
    return found


def figures(report: Report) -> list[Figure]:
    """The key figures of a report; those that are not known are left out."""
    alarm = report.summary.get("alarm") or {}
    ratio = report.summary.get("observed_over_expected") or {}
    found = []
    if ratio.get("estimate") is not None and ratio.get("upper") is not None:
        found.append(
            Figure(
                label="Won ÷ promised",
                value=f"{ratio['estimate']:.2f}",
                interval=f"{ratio['lower']:.2f} to {ratio['upper']:.2f}",
            )
        )
    found.append(
        Figure(label="Matured leads", value=f"{report.summary.get('matured_leads') or 0:,}")
    )
    if alarm:
        found.append(
            Figure(
                label="Alarm",
                value="raised" if alarm["is_raised"] else "silent",
                interval=f"stands at {readable(alarm['e_value'])} of {alarm['threshold']:,.0f}",
            )
        )
    return found


def sections(report: Report) -> list[Section]:
    """Every section of the report, with its picture and its table.

    Without its decisions: those that were made since are of more interest.
    """
    told = report.body.get("sections", ())
    return [_section(one) for one in told if one["key"] != "decisions"]


def past(reports: Sequence[Report], now: int) -> list[PastReport]:
    """Reports in a line each, newest first."""
    return [
        PastReport(
            made=moment(one.made_at, now),
            model=wording.short(one.bundle),
            action=_ACTIONS.get(_action(one), (_action(one), ""))[0],
            reason=str(one.summary.get("verdict", {}).get("reason", "")),
        )
        for one in reports
    ]


def _action(report: Report) -> str:
    return str(report.summary.get("verdict", {}).get("action", ""))


def _section(told: Mapping[str, Any]) -> Section:
    picture: Mapping[str, Any] = told.get("picture") or {}
    return Section(
        key=str(told["key"]),
        title=str(told["title"]),
        words=[str(words) for words in told["words"]],
        sheet=_sheet(told) if told["rows"] else None,
        picture=str(picture.get("words", "")),
        line=report_charts.line(picture) if picture.get("kind") == "line" else None,
        bands=report_charts.reliability(picture) if picture.get("kind") == "reliability" else None,
    )


def _sheet(told: Mapping[str, Any]) -> Sheet:
    numbers, off = set(told["numbers"]), set(told["off"])
    return Sheet(
        head=[Cell(str(text), is_number=i in numbers) for i, text in enumerate(told["head"])],
        rows=[
            [Cell(str(text), is_number=i in numbers) for i, text in enumerate(row)]
            for row in told["rows"]
        ],
        off=[number in off for number in range(len(told["rows"]))],
    )
