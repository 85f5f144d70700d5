"""How do rows that were sent get into the store? One way, whoever sends them: the API or a webhook.

Good rows are committed first, as a whole: what was acknowledged is never lost. What will be answered is
kept in the same transaction, so that it is answered once. Then the scores of the leads they touch are
renewed; if that fails the facts stay, and the next refresh of the queue catches up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from fastapi.responses import JSONResponse, Response

from features.definition import Definition
from features.errors import InputError, Problem, PropensityError
from features.facts import LeadVersion, said
from features.store.engine import Connection
from features.store.history import latest_version
from features.store.ingest import IngestReport, ingest
from features.store.merges import Merge, named_in
from features.store.placing import follow_versions
from features.store.recording import Deal, record_deals, record_facts, record_merged
from serving.contracts import (
    AnswerRow,
    DealRow,
    EventRow,
    LeadRequest,
    LeadRow,
    MergeRow,
    StageRow,
    read_part,
)
from serving.deps import Service
from serving.errors import FirstProblems, most_of_each, told
from serving.once import Once
from serving.records import of_lead, of_row, problems_by_row
from serving.scoring import Ask, LeadScore, Occasion, Result, score

log = structlog.get_logger("propensity.ingest")

AnyRow = LeadRow | AnswerRow | EventRow | StageRow | DealRow | MergeRow


def _write_versions(
    connection: Connection, versions: Sequence[Any], definition: Definition, now: int
) -> IngestReport:
    """Write versions of leads; their places in the queue follow at once."""
    report = ingest(connection, versions, definition, now)
    follow_versions(connection, {version.lead for version in versions})
    return report


@dataclass(frozen=True, slots=True)
class Sort:
    """How rows of one sort are read and written."""

    name: str
    shape: type[AnyRow]
    write: Callable[[Connection, Sequence[Any], Definition, int], IngestReport] = field(
        default=ingest
    )


LEADS = Sort("leads", LeadRow, _write_versions)
ANSWERS = Sort("answers", AnswerRow)
EVENTS = Sort("events", EventRow)
STAGES = Sort("stages", StageRow, record_facts)
DEALS = Sort("deals", DealRow, record_deals)
MERGES = Sort("merges", MergeRow, record_merged)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of rows: how many were added and known, what is wrong with others, whom they touch."""

    added: int
    unchanged: int
    problems: Mapping[int, Sequence[Problem]]
    leads: Sequence[str]

    def answer(self, rescored: int) -> Response:
        """As it is told."""
        most = most_of_each(len(self.problems))
        rejected = [
            {"index": i, "problems": told(self.problems[i], most)} for i in sorted(self.problems)
        ]
        return JSONResponse(
            {
                "added": self.added,
                "unchanged": self.unchanged,
                "rejected": rejected,
                "rescored": rescored,
            }
        )


def take(
    parts: Service,
    sort: Sort,
    rows: Sequence[Any],
    now: int,
    once: Once,
    source: str | None = None,
) -> Taken:
    """Store the good rows in one transaction, and name the bad ones.

    Args:
        parts: the service.
        sort: what the rows are.
        rows: as they were sent.
        now: the present instant.
        once: the request, whose answer is kept with what it wrote.
        source: who sends them, whatever the rows say; None: as the rows say.

    Raises:
        InputError: there was not one good row.
    """
    records, problems = _read(sort, rows, parts.live.agreed, now, source)
    taken = Taken(0, 0, problems, ())
    if records:
        taken = _written(parts, sort, records, problems, now, once)
    parts.metrics.count_facts(sort.name, taken.added, taken.unchanged, len(taken.problems))
    if len(taken.problems) == len(rows):
        error = InputError(f"none of the {len(rows)} rows could be stored")
        error.problems = problems_by_row(taken.problems)
        raise error
    return taken


def _read(
    sort: Sort, rows: Sequence[Any], definition: Definition, now: int, source: str | None
) -> tuple[dict[int, Any], dict[int, Sequence[Problem]]]:
    """Rows as facts, and what is wrong with the others, by position."""
    records: dict[int, Any] = {}
    problems: dict[int, Sequence[Problem]] = {}
    for i, row in enumerate(rows):
        try:
            record = _record(read_part(sort.shape, row, f"row {i + 1}"), definition, now)
            records[i] = record if source is None else replace(record, source=source)
        except InputError as error:
            # The more rows are bad, the fewer problems of each are listed in the end.
            problems[i] = FirstProblems(error.problems, most_of_each(len(problems) + 1))
    return records, problems


def _written(
    parts: Service,
    sort: Sort,
    records: Mapping[int, Any],
    problems: dict[int, Sequence[Problem]],
    now: int,
    once: Once,
) -> Taken:
    total, positions = len(records) + len(problems), list(records)
    with parts.store.write() as connection:
        report = sort.write(connection, list(records.values()), parts.live.agreed, now)
        for place, found in report.problems.items():
            i = positions[place]
            problems[i] = [replace(problem, where=f"row {i + 1}") for problem in found]
        touched = dict.fromkeys(
            lead for i in records if i not in problems for lead in _touched(records[i])
        )
        taken = Taken(report.added, report.unchanged, problems, list(touched))
        if len(problems) < total:
            once.keep(connection, taken.answer(rescored=0))
    return taken


def _touched(record: Any) -> Sequence[str]:
    """Whose scores a record changes."""
    return named_in(record) if isinstance(record, Merge) else (record.lead,)


def put(parts: Service, lead: str, given: LeadRequest, now: int, once: Once) -> IngestReport:
    """Store how one lead stands; sent again, it changes nothing.

    Raises:
        InputError: the lead breaks the rules; nothing is stored.
    """
    version = of_lead(lead, given, parts.live.agreed, now)
    with parts.store.write() as connection:
        if _says_nothing_new(given, version, latest_version(connection, lead)):
            report = IngestReport(unchanged=1)
        else:
            report = _write_versions(connection, [version], parts.live.agreed, now)
        parts.metrics.count_facts("leads", report.added, report.unchanged, len(report.problems))
        if report.problems:
            # Inside the transaction: a lead that is refused must not be there without a version.
            problems = [replace(p, where="the lead") for p in problems_by_row(report.problems)]
            raise InputError("the lead breaks the rules", problems=problems)
        once.keep(connection, put_answer(lead, report, None))
    return report


def put_answer(lead: str, report: IngestReport, result: Result | None) -> Response:
    """What became of a lead that was sent, and its score."""
    is_scored = isinstance(result, LeadScore)
    return JSONResponse(
        {
            "lead": lead,
            "fate": "added" if report.added else "unchanged",
            "score": result.to_json() if isinstance(result, LeadScore) else None,
            "warning": None if is_scored else _why_not(result),
        }
    )


def rescore(parts: Service, leads: Sequence[str], now: int, request_id: str) -> list[Result]:
    """The leads' scores just after `now`, when what was recorded now is known; none if that fails."""
    occasion = Occasion(now=now, channel="queue", request_id=request_id)
    try:
        asks = [Ask(lead, now + 1) for lead in leads]
        results = score(parts.store, parts.live.scorer(), asks, occasion)
    except PropensityError as error:
        log.warning("not rescored", request_id=request_id, reason=error.message)
        return []
    except Exception:
        log.exception("not rescored", request_id=request_id)
        return []
    parts.metrics.count_scores(results, occasion.channel)
    return results


def _record(row: AnyRow, definition: Definition, now: int) -> Any:
    match row:
        case LeadRow():
            return of_lead(row.lead, row, definition, now)
        case DealRow():
            return Deal(
                lead=row.lead,
                ending=row.ending,
                occurred_at=row.occurred_at,
                recorded_at=now if row.recorded_at is None else row.recorded_at,
                amount=row.amount,
                reason=row.reason,
                source=row.source,
                external_id=row.external_id,
            )
        case MergeRow():
            recorded = now if row.recorded_at is None else row.recorded_at
            return Merge(
                lead=row.lead, survivor=row.survivor, recorded_at=recorded, source=row.source
            )
        case _:
            return of_row(row, definition, now)


def _says_nothing_new(body: LeadRequest, version: LeadVersion, latest: LeadVersion | None) -> bool:
    """Whether the lead stands just so already; a version with a time or id of its own is a fact."""
    is_own = body.occurred_at is not None or body.external_id is not None
    return latest is not None and not is_own and said(version) == said(latest)


def _why_not(result: Result | None) -> str:
    if isinstance(result, PropensityError):
        return result.message
    return "the lead is stored; its score follows with the next refresh of the queue"
