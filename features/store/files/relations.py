"""How do several files hang together? Leads, what happened to them, and what is looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from features.store.files.naming import (
    KEY,
    LEAD,
    LOST,
    OPENED,
    OUTCOME,
    OUTCOME_TOO,
    WON,
    any_of,
    words,
)
from features.store.files.profiles import ColumnProfile, FileProfile

_CONTAINED = 0.5
"""Share of a column's texts that must be keys elsewhere; the rest are typing errors and gaps."""

_ENOUGH_SAID = 4


@dataclass(frozen=True, slots=True)
class Child:
    """A file whose rows tell what happened to leads, which `column` names."""

    file: FileProfile
    column: str


@dataclass(frozen=True, slots=True)
class Lookup:
    """A file in which the leads' `column` is looked up as `key`."""

    file: FileProfile
    column: str
    key: str


@dataclass(frozen=True, slots=True)
class Relations:
    """The file of leads (`key` names them, or is None) and what belongs to it."""

    leads: FileProfile
    key: str | None
    children: tuple[Child, ...] = ()
    lookups: tuple[Lookup, ...] = ()
    unrelated: tuple[FileProfile, ...] = ()


def relate(files: Sequence[FileProfile]) -> Relations:
    """The likeliest arrangement: the leads' file has the outcome, or most other files speak of it."""
    candidates = [_arranged(file, files) for file in files]
    return max(candidates, key=_likelihood)


def _likelihood(relations: Relations) -> tuple[int, int]:
    described = 3 * (outcome_column(relations.leads) is not None) + 3 * _opens(relations.leads)
    known = 2 * len(relations.children) + len(relations.lookups)
    about = relations.leads.of_kind("category", "number", "boolean")
    return described + known + min(len(about) // 2, _ENOUGH_SAID), relations.leads.rows


def _opens(file: FileProfile) -> bool:
    """Whether a date is named as if leads were opened on it."""
    return any(any_of(column.name, OPENED) for column in file.of_kind("date"))


def _arranged(leads: FileProfile, files: Sequence[FileProfile]) -> Relations:
    others = [file for file in files if file is not leads]
    key = _lead_key(leads, others)
    children: list[Child] = []
    lookups: list[Lookup] = []
    unrelated: list[FileProfile] = []
    for other in others:
        child = _column_within(other, leads.columns[key]) if key else None
        looked_up = _lookup(leads, other)
        one_each = looked_up is not None and looked_up.column == key
        happened = bool(other.of_kind("date")) and not _opens(other)
        # One row a lead describes it, unless its date says that it tells what happened once.
        if child and (happened or not one_each):
            children.append(Child(other, child))
        elif looked_up:
            lookups.append(looked_up)
        else:
            unrelated.append(other)
    return Relations(leads, key, tuple(children), tuple(lookups), tuple(unrelated))


def _lead_key(leads: FileProfile, others: Sequence[FileProfile]) -> str | None:
    """The column that names the leads, by its name or because other files refer to it.

    It may repeat (several versions of a lead) where its name and another file both say so.
    """

    def likelihood(column: ColumnProfile) -> int:
        referred = any(_column_within(other, column) for other in others)
        named = 2 * any_of(column.name, KEY) + any_of(column.name, LEAD)
        if column.repeats:
            return 2 + named if referred and named == 3 else 0
        return 5 * referred + named - (column.kind == "number" and not referred)

    keys = [c for c in leads.columns.values() if c.names_rows and c.kind != "date"]
    best = max(keys, key=likelihood, default=None)
    return best.name if best and likelihood(best) > 0 else None


def _column_within(file: FileProfile, key: ColumnProfile) -> str | None:
    """The column of a file whose texts are keys there; the one that holds most of them."""
    shares = {
        column.name: _share_within(column, key)
        for column in file.columns.values()
        if column.kind in ("text", "number", "category")
    }
    best = max(shares, key=shares.__getitem__, default=None)
    return best if best and shares[best] >= _CONTAINED else None


def _share_within(column: ColumnProfile, key: ColumnProfile) -> float:
    if key.different is None or len(column.counts) < 2:
        return 0.0
    by_chance = column.kind == key.kind == "number" and not _related(column.name, key.name)
    if by_chance:
        # Small whole numbers are in every list of numbers.
        return 0.0
    return sum(text in key.different for text in column.counts) / len(column.counts)


def _related(column: str, key: str) -> bool:
    return any_of(column, KEY | LEAD) or bool(set(words(column)) & set(words(key)))


def _lookup(leads: FileProfile, other: FileProfile) -> Lookup | None:
    for key in other.columns.values():
        if key.is_key and key.kind in ("text", "number", "category"):
            column = _column_within(leads, key)
            if column:
                return Lookup(other, column, key.name)
    return None


def outcome_column(file: FileProfile) -> str | None:
    """The column that says how leads ended: by its name and by what stands in it; the last of equals."""
    scores = {column.name: _outcome_likelihood(column) for column in file.columns.values()}
    best = max(reversed(list(scores)), key=scores.__getitem__, default=None)
    return best if best and scores[best] >= 3 else None


def _outcome_likelihood(column: ColumnProfile) -> int:
    if column.kind not in ("boolean", "category") or len(column.levels) > 50:
        return 0
    named = 3 * any_of(column.name, OUTCOME) or int(any_of(column.name, OUTCOME_TOO))
    levels = {level.casefold() for level in column.levels}
    if column.kind == "boolean":
        return named + 1 if named and len(levels) == 2 else 0
    if not levels & WON:
        return 0
    return named + 2 + bool(levels & LOST)
