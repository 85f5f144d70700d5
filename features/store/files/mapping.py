"""Which facts does a row hold? One `RowMapper` a source: a row in, facts and problems out.

A row with any problem gives nothing, and says all of them: half a row in the store could not be told
from a whole one. What is not said to have been recorded later is believed to have been known when it
happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from features.definition import Definition
from features.errors import Problem
from features.facts import Answer, Event, LeadVersion, Record, StageChange
from features.quality import record_problems
from features.sources import (
    AnswerRows,
    Column,
    Constant,
    EventRows,
    Outcome,
    Source,
    StageRows,
)
from features.store.files.about import About, Block
from features.store.files.blocks import AnswerBlock, EventBlock, StageBlock
from features.store.files.cells import Columns, Mapped, Moment
from features.store.files.closing import DealBlock
from features.store.files.opening import Opening, opening_column
from features.store.files.tables import Row
from features.store.files.wide import Versions, WideAnswers
from features.store.outcomes import Deal

SOURCE_LENGTH = 64
"""Characters that the store keeps of a fact's source."""


class RowMapper:
    """Turns the rows of one source into facts, in the file's order.

    Args:
        definition: what the facts may say.
        source: the mapping.
        columns: the file's columns and the joined ones.
        opening: how rows tell when their leads were opened.
        where: how to call a row in messages, such as `leads.csv line`.
        now: the present instant; later facts are problems.
    """

    def __init__(
        self,
        definition: Definition,
        source: Source,
        columns: Columns,
        opening: Opening,
        where: str,
        now: int,
    ) -> None:
        self._definition = definition
        self._source = source
        self._where = where
        self._now = now
        self._label = source.file[-SOURCE_LENGTH:]
        self._skip = [columns.cell(column) for column in source.skip_without]
        self._lead = columns.key(source.lead) if source.lead else None
        self._opening = opening
        self._opened = columns.optional(opening_column(source))
        self._recorded = Moment(columns, source.recorded_at)
        self._deal = DealBlock(columns, source.outcome, now) if source.outcome else None
        self._blocks = _blocks(columns, source, definition)
        self._columns = _columns_behind(source)
        self._reports_open = source.outcome is not None and not _shared_column(source)

    def __call__(self, row: Row) -> Mapped:
        """The facts of a row, or its problems, or neither where it is to be skipped."""
        into = Mapped(row, f"{self._where} {row.line}")
        opened = self._opened_at(into) if self._source.opens_leads else None
        if not any(row.cells) or (self._skip and self._lacks_something(row)):
            into.problems.clear()
            into.skipped = True
            return into
        about = About(self._lead_of(into), self._label, opened, self._recorded.read(into))
        if self._deal:
            about.ending = self._deal.ending(into)
            self._deal(into, about)
        for block in self._blocks:
            block(into, about)
        self._judge(into)
        return into

    def named_by_column(self, problem: Problem, fact: Record | Deal, where: str) -> Problem:
        """A problem that the store has with a fact, as a problem of the row and column it is from."""
        behind = self._columns.get(type(fact), {})
        column = behind.get(problem.field, problem.field)
        if isinstance(fact, Answer) and problem.field == "answer":
            column = self._source.answers.get(fact.question, column)
        return replace(problem, where=where, field=column)

    def _lacks_something(self, row: Row) -> bool:
        return any(cell.text(row) is None for cell in self._skip)

    def _opened_at(self, into: Mapped) -> int | None:
        if self._opened is None:
            return self._opening("")
        return self._opened.required(into, self._opening)

    def _lead_of(self, into: Mapped) -> str:
        if self._lead is None:
            return f"row-{into.row.number:06d}"
        return self._lead.required(into, str) or ""

    def _judge(self, into: Mapped) -> None:
        if len(into.records) > 1 or into.problems or into.deals:
            # Single facts are judged once, when they are written; these stand or fall together.
            for fact in into.records:
                found = record_problems(fact, self._definition, self._now, into.where)
                into.problems += [
                    self.named_by_column(problem, fact, into.where)
                    for problem in found
                    if fact.lead or problem.field != "lead"
                ]
        if into.problems:
            into.problems = list(dict.fromkeys(into.problems))
            into.records.clear()
            into.deals.clear()
        if not self._reports_open:
            into.left_open = None


def _blocks(columns: Columns, source: Source, definition: Definition) -> list[Block]:
    blocks: list[Block] = []
    opens = source.opens_leads
    if opens:
        blocks.append(Versions(columns, source, definition))
    if source.answers:
        blocks.append(WideAnswers(columns, source, definition))
    if source.answer_rows:
        blocks.append(AnswerBlock(columns, source.answer_rows, definition, opens))
    if source.events:
        blocks.append(EventBlock(columns, source.events, source.outcome, opens))
    if source.stages:
        blocks.append(StageBlock(columns, source.stages, source.outcome, opens))
    return blocks


def _shared_column(source: Source) -> bool:
    """Whether the outcome's column holds event kinds or stages, most of which close nothing."""
    labels = (
        source.events.kind if source.events else None,
        source.stages.stage if source.stages else None,
    )
    return source.outcome is not None and source.outcome.column in labels


def _columns_behind(source: Source) -> Mapping[type[Record | Deal], Mapping[str, str]]:
    """For each sort of fact: its field -> the column that fills it."""
    lead = {"lead": source.lead} if source.lead else {}
    opened = opening_column(source)
    version = {"owner": source.owner, "name": source.name, **source.attributes}
    row = {"occurred_at": opened, "recorded_at": source.recorded_at or opened}
    found: dict[type[Record | Deal], dict[str, str | None]] = {
        LeadVersion: {**row, **version},
        Answer: dict(row),
    }
    if said := source.answer_rows:
        found[Answer] = _dated(said, question=said.question, answer=said.answer)
    if events := source.events:
        found[Event] = _dated(events, kind=events.kind, channel=events.channel)
    if stages := source.stages:
        found[StageChange] = _dated(stages, stage=stages.stage)
    if outcome := source.outcome:
        found[Deal] = _dated(
            outcome, ending=outcome.column, amount=outcome.amount, reason=outcome.reason
        )
    return {
        sort: {**lead, **{field: column for field, column in fields.items() if column}}
        for sort, fields in found.items()
    }


def _dated(
    said: AnswerRows | EventRows | StageRows | Outcome, **fields: Column | Constant | None
) -> dict[str, str | None]:
    named = {field: said if isinstance(said, str) else None for field, said in fields.items()}
    times = {"occurred_at": said.at, "recorded_at": said.recorded_at or said.at}
    return {**named, **times, "external_id": said.id}
