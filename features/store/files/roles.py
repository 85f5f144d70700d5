"""Which columns of the leads' file are no attributes? Opening, closing, owner, amount and outcome."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from features.store.files import naming
from features.store.files.dates import month_number
from features.store.files.drafting import Content, Draft
from features.store.files.naming import any_of, first_named, words
from features.store.files.profiles import ColumnProfile, FileProfile
from features.store.files.relations import outcome_column

FIRST_YEAR = 2000
"""The year a guess starts with where a file names months only."""


@dataclass(slots=True)
class Roles:
    """What a source says besides attributes, and the columns that are spoken for."""

    source: Content
    taken: set[str] = field(default_factory=set)

    def take(self, role: str, column: str | None) -> None:
        """Give a role to a column, if there is one."""
        if column is not None:
            self.source[role] = column
            self.taken.add(column)


def find_roles(draft: Draft, file: FileProfile, key: str | None) -> Roles:
    """The roles of the columns of the leads' file; sets the draft's `time`."""
    roles = Roles({"file": file.path.name})
    roles.take("lead", key)
    outcome = outcome_column(file)
    closed = _closing_date(file)
    _find_opening(draft, file, roles, closed)
    owner = first_named(_names(file.of_kind("category")), naming.OWNER)
    if owner:
        # Who looks after a lead may well say something about it: it stays an attribute too.
        roles.source["owner"] = owner
    if name := first_named(_names(file.of_kind("text"), roles.taken), naming.NAME):
        roles.take("name", name)
    _find_kind(file, roles)
    if outcome:
        roles.taken.add(outcome)
        roles.source["outcome"] = _outcome(draft, file, outcome, closed, roles)
    return roles


def _find_kind(file: FileProfile, roles: Roles) -> None:
    for column in file.of_kind("category"):
        clients = [level for level in column.levels if level.casefold() in naming.CLIENTS]
        if clients and any_of(column.name, naming.CLIENT):
            roles.source["kind"] = {"column": column.name, "client": clients}
            return


def _names(columns: Iterable[ColumnProfile], taken: Iterable[str] = ()) -> list[str]:
    without = set(taken)
    return [column.name for column in columns if column.name not in without]


def _closing_date(file: FileProfile) -> str | None:
    return first_named(_names(file.of_kind("date")), naming.CLOSED)


def _find_opening(draft: Draft, file: FileProfile, roles: Roles, closed: str | None) -> None:
    dates = [
        name
        for name in _names(file.of_kind("date"))
        if name != closed and not any_of(name, naming.NOT_OPENING | naming.RECORDED)
    ]
    opened = first_named(dates, naming.OPENED, naming.OPENED_TOO) or next(iter(dates), None)
    if opened:
        draft.time = "dated"
        roles.take("opened_at", opened)
        every = _names(file.of_kind("date"), roles.taken)
        roles.take("recorded_at", first_named(every, naming.RECORDED))
        if file.columns[opened].blank:
            roles.source["skip_without"] = [opened]
            draft.warnings.append(
                f"{opened}: {file.columns[opened].blank} rows have no date and are skipped"
            )
    elif month := _month_in_order(file):
        draft.time = "dated"
        roles.source["opened_at"] = {"month": month, "first_year": FIRST_YEAR}
        draft.warnings.append(
            f"{month}: there is no date but a month in an ordered file, so that the year steps when the "
            f"month's number falls; SAY THE FIRST YEAR, {FIRST_YEAR} is a placeholder"
        )
    elif order := _order(file, roles.taken):
        draft.time = "ordered"
        roles.source["opened_at"] = {"order": order}
        roles.taken.add(order)
        draft.warnings.append(
            f"{order}: there is no date; this number is taken to order the leads in time"
        )
    else:
        draft.warnings.append(
            "no column says when a lead was opened: past and future cannot be told apart; if there "
            "is one, say opened_at and time: dated"
        )


def _month_in_order(file: FileProfile) -> str | None:
    for column in file.of_kind("category", "number"):
        if not any_of(column.name, naming.MONTH) or column.blank or column.not_known:
            continue
        months = []
        with suppress(ValueError):
            months = [month_number(level) for level in column.levels]
        if len(months) == len(column.levels) and column.runs <= column.filled / 10:
            return column.name
    return None


def _order(file: FileProfile, taken: set[str]) -> str | None:
    """A whole number that differs in each row and counts leads, by its name or because it only rises."""
    for column in file.of_kind("number"):
        if column.name in taken or not column.is_key or not all(map(str.isdigit, column.counts)):
            continue
        counts = any_of(column.name, frozenset({"number", "no", "nr", "seq", "sequence"}))
        if counts or (column.steps == 1 and any_of(column.name, naming.ORDER)):
            return column.name
    return None


def _outcome(
    draft: Draft, file: FileProfile, outcome: str, closed: str | None, roles: Roles
) -> Content:
    said: Content = {"column": outcome, **endings(file.columns[outcome])}
    if closed:
        said["at"] = closed
        roles.taken.add(closed)
    if amount := _amount(file, roles.taken):
        said["amount"] = amount
        roles.taken.add(amount)
    reasons = _names(file.of_kind("category", "text"), roles.taken)
    if reason := first_named(reasons, naming.REASON):
        said["reason"] = reason
        roles.taken.add(reason)
    if not said["lost"]:
        draft.warnings.append(
            f"{outcome}: only {said['won']} close a lead; which values mean lost?"
        )
    return said


def _amount(file: FileProfile, taken: set[str]) -> str | None:
    for column in file.of_kind("number"):
        own = set(words(column.name))
        asked = own & naming.ASKED_FOR
        if column.name not in taken and own & naming.AMOUNT and naming.is_late(column.name):
            return None if asked else column.name
    return None


def endings(column: ColumnProfile) -> Content:
    """Which of a column's texts close a lead, and how."""
    said: Content = {"won": [], "lost": [], "off_merit": []}
    lists = {"won": naming.WON, "lost": naming.LOST, "off_merit": naming.OFF_MERIT}
    if column.kind == "boolean":
        lists = {"won": naming.YES, "lost": naming.NO, "off_merit": frozenset()}
    seen: set[str] = set()
    for level in column.levels:
        for ending, texts in lists.items():
            if level.casefold() in texts and level.casefold() not in seen:
                said[ending].append(level)
                seen.add(level.casefold())
    return said
