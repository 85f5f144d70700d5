"""What came of what was promised? The newest report that training wrote, as JSON and as a page."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from features.errors import NotFoundError
from features.store.promotions import list_decisions
from features.store.reports import MONITOR, newest_report, past_reports
from serving import model_view, report_view, wording
from serving.answers import moment
from serving.deps import CallerDep, Conn, NowDep
from serving.limits import JsonRoute
from serving.pages import ReportPage, Shell
from serving.queue_view import moment as in_words
from serving.rendering import html
from serving.report_answers import ReportAnswer

router = APIRouter(prefix="/v1", tags=["model"], route_class=JsonRoute)
pages = APIRouter(include_in_schema=False)


@router.get("/reports/latest", operation_id="get_latest_report", response_model=ReportAnswer)
def get_latest_report(connection: Conn) -> Response:
    """The newest report: verdict, alarm, and everything that they rest on."""
    report = newest_report(connection, MONITOR)
    if report is None:
        raise NotFoundError(
            "no report has been made yet", hint="`propensity monitor` makes one; best every week."
        )
    return JSONResponse(
        {
            "made_at": moment(report.made_at),
            "through": moment(report.through),
            "model": report.bundle,
            "verdict": report.body["verdict"],
            "alarm": report.body["alarm"],
            "report": dict(report.body),
        }
    )


@pages.get("/reports")
def reports(connection: Conn, caller: CallerDep, now: NowDep) -> Response:
    """The newest report, every decision, and what earlier reports said."""
    report = newest_report(connection, MONITOR)
    return html(
        ReportPage(
            title="Reports",
            shell=Shell(here="reports", caller=caller.name, role=caller.role, csrf=caller.csrf),
            made=None if report is None else in_words(report.made_at, now),
            model="" if report is None else wording.short(report.bundle),
            emptiness=report_view.no_report() if report is None else None,
            notices=[] if report is None else report_view.verdict(report, now),
            figures=[] if report is None else report_view.figures(report),
            sections=[] if report is None else report_view.sections(report),
            decisions=model_view.decision_lines(list_decisions(connection), now),
            past=report_view.past(past_reports(connection, MONITOR), now),
        )
    )
