"""Can these files be read by this definition at all? Every mismatch, before a row is written."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence

from features.definition import Definition
from features.errors import Problem, shown
from features.sources import Sequence as Order
from features.sources import Source
from features.store.files.closing import closing_values
from features.store.files.joining import added_columns
from features.store.files.opening import opening_column
from features.store.files.tables import Table


def mapping_problems(definition: Definition) -> list[Problem]:
    """What the sources promise and cannot keep, whatever is in the files."""
    found = []
    for source in definition.sources:
        found += [*_time_problems(source, definition), *_label_problems(source, definition)]
    nameless = [source.file for source in definition.sources if source.lead is None]
    if len(nameless) > 1:
        message = "only one file may go without: its rows are the leads, by their number"
        found.append(Problem("sources", "lead", ", ".join(nameless), message))
    return found


def _time_problems(source: Source, definition: Definition) -> Iterator[Problem]:
    where, outcome = f"sources.{source.file}", source.outcome
    if source.opens_leads and source.opened_at is None and definition.time != "none":
        message = f"is needed, because time is {definition.time}: which column says it?"
        yield Problem(where, "opened_at", "", message)
    if outcome is None or outcome.at is not None:
        return
    if not source.opens_leads:
        message = "is needed, because these rows do not say when their leads were opened"
        yield Problem(where, "outcome.at", "", message)
    elif definition.time == "dated" and definition.horizon_days is not None:
        message = "is needed: a horizon in days asks when a lead closed (or say horizon_days: null)"
        yield Problem(where, "outcome.at", "", message)


def _label_problems(source: Source, definition: Definition) -> Iterator[Problem]:
    where = f"sources.{source.file}"
    kinds = [kind.name for kind in definition.engagement.kinds]
    stages = [stage.name for stage in definition.all_stages]
    for field, mapped, allowed in (
        ("events.kinds", source.events.kinds if source.events else {}, kinds),
        ("stages.stages", source.stages.stages if source.stages else {}, stages),
    ):
        for label, name in mapped.items():
            if name not in allowed:
                yield Problem(where, f"{field}.{label}", shown(name), f"must be one of {allowed}")
    if source.outcome:
        said = [*source.outcome.won, *source.outcome.lost, *source.outcome.off_merit]
        if len(closing_values(source.outcome)) < len({text.strip() for text in said}):
            message = "an outcome is listed under two endings, or twice but for its case"
            yield Problem(where, "outcome", shown(said), message)


def column_problems(source: Source, table: Table, joined: Sequence[Table]) -> list[Problem]:
    """Columns that the mapping names and the files do not have."""
    found: list[Problem] = []
    present = list(table.columns)
    if isinstance(source.opened_at, Order):
        found += _missing(source.file, "opened_at.order", source.opened_at.order, present)
    for column in source.replace:
        found += _missing(source.file, "replace", column, present)
    for join, other in zip(source.join, joined, strict=True):
        left, right = join.keys
        found += _missing(source.file, "join.on", left, present)
        found += _missing(join.file, "join.on", right, other.columns)
        added = added_columns(join, other, present)
        for column in added:
            found += _missing(join.file, "join.columns", column, other.columns)
            if column in present:
                message = "is in two files; leave it out of join.columns"
                found.append(Problem(join.file, "join.columns", shown(column), message))
        present += added
    for field, column in columns_used(source).items():
        found += _missing(source.file, field, column, present)
    return list(dict.fromkeys(found))


def _missing(file: str, field: str, column: str, there: Sequence[str]) -> list[Problem]:
    if column in there:
        return []
    close = difflib.get_close_matches(column, there, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    message = f"there is no such column; {meant}there are {list(there)}"
    return [Problem(file, field, shown(column), message)]


def columns_used(source: Source) -> Mapping[str, str]:
    """Where in the mapping -> the column named there."""
    named: dict[str, object] = {
        "lead": source.lead,
        "opened_at": opening_column(source),
        "recorded_at": source.recorded_at,
        "owner": source.owner,
        "name": source.name,
        "kind.column": source.kind.column if source.kind else None,
    }
    named |= {f"skip_without.{column}": column for column in source.skip_without}
    named |= {f"attributes.{name}": column for name, column in source.attributes.items()}
    named |= {f"answers.{name}": column for name, column in source.answers.items()}
    for block in ("answer_rows", "events", "stages", "outcome"):
        said = getattr(source, block)
        for part in _COLUMN_FIELDS if said is not None else ():
            named[f"{block}.{part}"] = getattr(said, part, None)
    return {field: column for field, column in named.items() if isinstance(column, str)}


_COLUMN_FIELDS = (
    "question", "answer", "kind", "channel", "stage", "column",
    "at", "recorded_at", "amount", "reason", "id",
)  # fmt: skip


def typed_columns(source: Source, definition: Definition) -> tuple[list[str], list[str]]:
    """The columns that are read as numbers, and as dates."""
    types = {name: definition.attribute_by_name[name].type for name in source.attributes}
    numbers = [c for name, c in source.attributes.items() if types[name] == "number"]
    dates = [c for name, c in source.attributes.items() if types[name] == "date"]
    if isinstance(source.opened_at, Order):
        numbers.append(source.opened_at.order)
    elif isinstance(source.opened_at, str):
        dates.append(source.opened_at)
    if source.outcome and source.outcome.amount:
        numbers.append(source.outcome.amount)
    dated = (source.answer_rows, source.events, source.stages, source.outcome, source)
    found = (getattr(block, part, None) for block in dated for part in ("at", "recorded_at"))
    dates += [column for column in found if isinstance(column, str)]
    return list(dict.fromkeys(numbers)), list(dict.fromkeys(dates))
