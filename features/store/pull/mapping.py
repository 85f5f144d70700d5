"""What does a fetched row say? A deal that ended, one that is open again, or what is wrong with it.

Junk, duplicates, tests and people who could not be reached are no losses on merit, whether the row says
so by its ending or by its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from typing import Any

from features.clock import to_instant
from features.errors import Problem, shown
from features.sources import Constant
from features.store.files.dates import instant
from features.store.files.values import number
from features.store.merges import Merge
from features.store.outcomes import ENDINGS, Deal, Ending
from features.store.pull.config import Endings, SourceConfig
from features.store.pull.source import Row


@dataclass(frozen=True, slots=True)
class Told:
    """What rows say.

    Attributes:
        deals: those that ended, and those that the source has annulled.
        reopened: those that are open there; what we know of them is annulled, of most it is nothing.
        merges: leads that have become part of others.
        problems: what is wrong with the other rows.
    """

    deals: tuple[Deal, ...]
    reopened: tuple[Deal, ...]
    merges: tuple[Merge, ...]
    problems: tuple[Problem, ...]


class Reader:
    """Reads the rows of a source.

    Args:
        config: what its columns mean.
        now: the present instant, at which we learn of what is told without a time of its own.
    """

    def __init__(self, config: SourceConfig, now: int) -> None:
        self._name, self._fields, self._now = config.name, config.how.fields, now
        self._zone = config.how.zone
        self._endings = _by_value(config.how.endings)
        self._off_merit = {reason.casefold() for reason in config.how.off_merit_reasons}

    def __call__(self, rows: list[Row]) -> Told:
        """What rows say; one bad row spoils nothing."""
        deals: list[Deal] = []
        reopened: list[Deal] = []
        merges: list[Merge] = []
        problems: list[Problem] = []
        for row in rows:
            wrong = _Wrong(self._where(row))
            deal, is_open = self._deal(row, wrong)
            merge = self._merge(row, wrong)
            problems += wrong.found
            if merge is not None:
                merges.append(merge)
            if deal is not None and not wrong.found:
                (reopened if is_open else deals).append(deal)
        return Told(tuple(deals), tuple(reopened), tuple(merges), tuple(problems))

    def _where(self, row: Row) -> str:
        known = _text(at(row, self._fields.id))
        return f"{self._name} {shown(known)}" if known else self._name

    def _deal(self, row: Row, wrong: _Wrong) -> tuple[Deal | None, bool]:
        fields = self._fields
        ending = self._ending(row, wrong)
        closed = self._time(row, fields.closed_at, wrong)
        recorded = self._time(row, fields.recorded_at, wrong)
        is_open = ending in ("open", "void")
        if closed is None and not is_open and not wrong.found:
            wrong.add("closed_at", "", "a deal that ended must say when")
        lead, id_ = (self._named(row, name, wrong) for name in ("lead", "id"))
        amount = _amount(at(row, fields.amount), wrong) if fields.amount else None
        if wrong.found or ending is None or lead is None or id_ is None:
            return None, False
        deal = Deal(
            lead=lead,
            ending="void" if ending == "open" else ending,  # type: ignore[arg-type]
            occurred_at=self._now if closed is None else closed,
            recorded_at=self._now if recorded is None else recorded,
            amount=amount,
            reason=_text(at(row, fields.reason)) or None if fields.reason else None,
            source=self._name,
            external_id=id_,
        )
        return deal, is_open

    def _ending(self, row: Row, wrong: _Wrong) -> str | None:
        named = self._fields.ending
        said = named.value if isinstance(named, Constant) else _text(at(row, named))
        ending = self._endings.get(said.casefold())
        if ending is None:
            known = sorted(self._endings)
            wrong.add("ending", shown(said), f"must be one of {known}; name it under `endings`")
        elif ending == "lost" and self._fields.reason:
            reason = _text(at(row, self._fields.reason)).casefold()
            return "off_merit" if reason in self._off_merit else ending
        return ending

    def _named(self, row: Row, name: str, wrong: _Wrong) -> str | None:
        said = _text(at(row, getattr(self._fields, name)))
        if not said:
            wrong.add(name, "", "must not be empty")
        return said or None

    def _time(self, row: Row, path: str | None, wrong: _Wrong) -> int | None:
        value = None if path is None else at(row, path)
        if value is None or value == "" or value is False:
            return None
        try:
            return as_instant(value, self._zone)
        except ValueError as error:
            wrong.add(str(path), shown(value), str(error))
            return None

    def _merge(self, row: Row, wrong: _Wrong) -> Merge | None:
        into = self._fields.merged_into
        survivor = "" if into is None else _text(at(row, into))
        lead = _text(at(row, self._fields.lead))
        if not survivor or not lead or survivor == lead:
            return None
        recorded = self._time(row, self._fields.recorded_at, wrong)
        at_ = self._now if recorded is None else recorded
        return Merge(lead=lead, survivor=survivor, recorded_at=at_, source=self._name)


class _Wrong:
    """What is wrong with one row."""

    def __init__(self, where: str) -> None:
        self._where = where
        self.found: list[Problem] = []

    def add(self, field: str, value: str, message: str) -> None:
        self.found.append(Problem(self._where, field, value, message))


def at(row: Any, path: str) -> Any:
    """What lies at a path; None where there is nothing.

    >>> at({"deal": {"amount": 5}}, "deal.amount"), at({"lead": [7, "Ada"]}, "lead.0")
    (5, 7)
    """
    if isinstance(row, dict) and path in row:
        return row[path]
    for step in path.split("."):
        if isinstance(row, dict):
            row = row.get(step)
        elif isinstance(row, list) and step.isdecimal() and int(step) < len(row):
            row = row[int(step)]
        else:
            return None
    return row


def as_instant(value: Any, zone: tzinfo) -> int:
    """A time as databases and JSON give it, as microseconds since the epoch.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, datetime):
        return to_instant(value if value.tzinfo else value.replace(tzinfo=zone))
    if isinstance(value, date):
        return to_instant(datetime(value.year, value.month, value.day, tzinfo=zone))
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError("must be a date or time")
    if isinstance(value, str):
        return instant(value.strip(), zone=zone)
    return instant(str(int(value)), zone=zone)


def _by_value(endings: Endings) -> dict[str, str]:
    told: list[tuple[str, Ending | str]] = [(v, name) for name, values in endings for v in values]
    known = {value.casefold(): str(name) for value, name in told}
    assert {*known.values()} <= {*ENDINGS, "open"}
    return known


def _text(value: Any) -> str:
    """A cell as a text: ids are often numbers, and nothing is often false."""
    if value is None or value is False:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _amount(value: Any, wrong: _Wrong) -> float | None:
    if value is None or value == "" or value is False:
        return None
    try:
        return float(value) if isinstance(value, int | float | Decimal) else number(str(value))
    except (ValueError, OverflowError):
        wrong.add("amount", shown(value), "must be a finite number")
        return None
