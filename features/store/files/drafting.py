"""What does a starter definition say about single columns? Attributes, questions, and why.

A draft collects plain values and, for each, a comment for the people who are to agree on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from features.definition import DIMENSIONS, UNKNOWN, Definition
from features.quality import LONGEST_TEXT
from features.sources import as_name
from features.store.files.naming import (
    LOST,
    SENSITIVE,
    WON,
    any_of,
    dimension,
    group,
    is_late,
    promise,
    words,
)
from features.store.files.profiles import ColumnProfile

_MOST_ANSWERS = 12
_ASIDE = (999.0, 9999.0, 99999.0, -1.0, -999.0)
"""Numbers that stand for *none* in many exports."""

_CLOSED = frozenset(as_name(text) for text in WON | LOST)

Content = dict[str, Any]


@dataclass(slots=True)
class Draft:
    """A definition in the making, with comments by attribute or question and what is doubtful in it.

    `late`, `sensitive` and `asked` are columns that have got those marks by their names.
    """

    name: str
    time: str = "none"
    attributes: dict[str, Content] = field(default_factory=dict)
    questions: dict[str, tuple[str, Content]] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    channels: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)
    sources: list[Content] = field(default_factory=list)
    timing: Content = field(
        default_factory=lambda: {
            "horizon_days": None,
            "cohorts": {"after_opening_hours": 0},
        }
    )
    comments: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    sensitive: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def doubts(self) -> list[str]:
        """Everything that its readers should look at."""
        told = list(self.warnings)
        for columns, what in (
            (self.asked, "read like BANT questions; sales and marketing must rank their answers"),
            (
                self.late,
                "may be written during or after the sale, by their names: marked known_late",
            ),
            (self.sensitive, "are sensitive, by their names: never features"),
        ):
            if columns:
                told.append(f"{', '.join(columns)}: {what}")
        return told

    def free_name(self, column: str) -> str:
        """A name for a column that nothing else has."""
        wanted = as_name("_".join(words(column)))
        name, number = wanted, 1
        while name in self.attributes or name in self.questions:
            number += 1
            name = f"{wanted[:58]}_{number}"
        return name

    def definition(self) -> Definition:
        """The definition as it stands."""
        bant: dict[str, list[Content]] = {one: [] for one in DIMENSIONS}
        for where, question in self.questions.values():
            bant[where].append(question)
        return Definition.model_validate(
            {
                "name": self.name,
                "time": self.time,
                **self.timing,
                "attributes": list(self.attributes.values()),
                "bant": bant,
                "engagement": {"kinds": self.kinds, "channels": self.channels},
                "stages": [{"name": stage, "closed": stage in _CLOSED} for stage in self.stages],
                "sources": self.sources,
            }
        )


def add_columns(draft: Draft, columns: Iterable[ColumnProfile]) -> tuple[Content, Content]:
    """Describe columns that have no other role.

    Returns:
        The source's `attributes` and `answers`: name -> column.
    """
    attributes: Content = {}
    answers: Content = {}
    for column in columns:
        if reason := _useless(column):
            draft.left_out.append(f"{column.name} ({reason})")
        elif where := _asked_in(column):
            answers[_add_question(draft, column, where)] = column.name
        else:
            attributes[add_attribute(draft, column)] = column.name
    return attributes, answers


def _useless(column: ColumnProfile) -> str | None:
    if len(column.name) > LONGEST_TEXT:
        return "its name is too long"
    match column.kind:
        case "empty":
            return "empty"
        case "constant":
            return "the same in every row"
        case "text":
            return (
                "different in nearly every row"
                if column.storable
                else "holds texts too long to keep"
            )
        case "number" if column.is_key and any_of(column.name, frozenset({"id", "number", "no"})):
            return "names the row"
    return None


def _asked_in(column: ColumnProfile) -> str | None:
    """The BANT dimension of a column that reads like a question with few answers."""
    where = dimension(column.name)
    answers = {level.casefold() for level in column.levels}
    few = column.kind in ("category", "boolean") and 2 <= len(answers) <= _MOST_ANSWERS
    return where if few and not is_late(column.name) else None


def add_attribute(draft: Draft, column: ColumnProfile, kind: str | None = None) -> str:
    """Add an attribute; its name."""
    name = draft.free_name(column.name)
    kind = kind or column.kind
    aside = _aside(column) if kind == "number" else []
    said: Content = {
        "name": name,
        "type": kind,
        "group": group(column.name),
        "unanswered": [*column.not_known, *aside],
    }
    notes = []
    if aside:
        notes.append(f"{', '.join(aside)} looks like `none`")
    if any_of(column.name, SENSITIVE):
        said["sensitive"] = True
        draft.sensitive.append(column.name)
        notes.append("sensitive by its name: never a feature")
    if is_late(column.name):
        said["known_late"] = True
        notes.append("may be known only after the sale; drop known_late if it is known before")
        draft.late.append(column.name)
    draft.attributes[name] = said
    if notes:
        draft.comments[name] = "; ".join(notes)
    return name


def _aside(column: ColumnProfile) -> list[str]:
    """Texts of numbers that stand apart from all others and are frequent: they mean *none*."""
    numbers = {}
    for text in column.levels:
        try:
            numbers[text] = float(text)
        except ValueError:
            return []
    found = []
    for text, value in numbers.items():
        rest = [other for other in numbers.values() if other != value]
        apart = bool(rest) and (min(rest) >= 0 if value < 0 else value > 5 * max(map(abs, rest)))
        if value in _ASIDE and apart and column.counts[text] >= 0.05 * column.filled:
            found.append(text)
    return found


def _add_question(draft: Draft, column: ColumnProfile, where: str) -> str:
    name = draft.free_name(column.name)
    spelled: dict[str, str] = {}
    for level in column.levels:
        spelled.setdefault(level.casefold(), level)
    ranked = sorted(spelled.values(), key=promise)
    unasked = [text for text in column.not_known if text.casefold() in ("select", "please select")]
    unknown = [t for t in column.not_known if t not in unasked and t.casefold() != UNKNOWN]
    known_as_unknown = [t for t in column.not_known if t.casefold() == UNKNOWN and t != UNKNOWN]
    question: Content = {
        "name": name,
        "ask": f"{column.name}?"[:LONGEST_TEXT],
        "answers": {"sales": ranked, "marketing": ranked},
        "unknown": [*known_as_unknown, *unknown],
        "unanswered": unasked,
    }
    draft.questions[name] = (where, question)
    draft.comments[name] = "TO BE AGREED: the order is a guess; best answer first, for each side"
    draft.asked.append(column.name)
    return name
