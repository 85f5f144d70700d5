"""How does each column write its numbers and dates? Settled once per column, from what it holds.

`1,234` and `01/02/2026` alone cannot tell. The first rows are read, and of a column that is still
undecided as many more as it takes; what was found is reported, and `format` in the definition
overrules it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from features.sources import Format
from features.store.files.dates import day_evidence
from features.store.files.tables import Table
from features.store.files.values import Decimal, decimal_evidence

ROWS_AT_LEAST = 10_000
_CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class Style:
    """How one column is written."""

    decimal: Decimal = "."
    day_first: bool = False


@dataclass(frozen=True, slots=True)
class Styles:
    """The style of each column, and in words what was guessed and what remains doubtful."""

    by_column: Mapping[str, Style]
    guesses: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()

    def of(self, column: str) -> Style:
        """A column's style; the plain one where nothing had to be known."""
        return self.by_column.get(column, Style())


@dataclass(frozen=True, slots=True)
class _Trait:
    """One thing to settle: what a cell tells about it, the choices, and what custom has it."""

    setting: str
    evidence: Callable[[str], str]
    choices: tuple[str, str]
    custom: Callable[[str, bool], str]


def _decimal_by_custom(sign: str, european: bool) -> str:
    """A lone point is a decimal point; so is a lone comma where semicolons separate."""
    return "," if sign == "?," and european else "."


def _order_by_custom(sign: str, european: bool) -> str:
    """Dates with points start with the day, and so do others where semicolons separate."""
    return "day" if sign == "?." or european else "month"


_DECIMAL = _Trait("decimal", decimal_evidence, (".", ","), _decimal_by_custom)
_ORDER = _Trait("day_first", day_evidence, ("day", "month"), _order_by_custom)

_Told = dict[str, Counter[str]]
"""Column -> what its cells told, and how many of them."""


def styles_of(table: Table, numbers: Sequence[str], dates: Sequence[str], said: Format) -> Styles:
    """The styles of a table's columns.

    Args:
        table: the open file.
        numbers: the columns to be read as numbers.
        dates: the columns to be read as dates.
        said: what the definition says; it is not questioned.
    """
    told: dict[_Trait, _Told] = {_DECIMAL: {}, _ORDER: {}}
    if said.decimal is None:
        told[_DECIMAL] = {column: Counter() for column in numbers if column in table.columns}
    if said.day_first is None:
        told[_ORDER] = {column: Counter() for column in dates if column in table.columns}
    _listen(table, told)
    european = table.guesses.get("separator", "").startswith("semicolon")
    chosen = {trait: _chosen(trait, columns, european) for trait, columns in told.items()}
    by_column = {
        column: Style(
            "," if chosen[_DECIMAL].get(column, said.decimal) == "," else ".",
            chosen[_ORDER].get(column, "day" if said.day_first else "month") == "day",
        )
        for column in (*numbers, *dates)
    }
    guesses = {f"decimal of {c}": sign for c, sign in chosen[_DECIMAL].items() if sign == ","}
    guesses |= {f"order of {c}": f"{first} first" for c, first in chosen[_ORDER].items()}
    doubts = [d for trait, columns in told.items() for d in _doubts(trait, columns, chosen[trait])]
    return Styles(by_column, guesses, doubts)


def _listen(table: Table, told: Mapping[_Trait, _Told]) -> None:
    """Fill in what the cells tell, reading no further than needed."""
    position = {column: i for i, column in enumerate(table.columns)}
    open_columns = [c for columns in told.values() for c in columns]
    seen = 0
    for chunk in table.chunks(_CHUNK) if open_columns else ():
        for trait, columns in told.items():
            for column, counts in columns.items():
                at = position[column]
                counts.update(trait.evidence(row.cells[at].strip()) for row in chunk.rows)
        seen += len(chunk.rows)
        if seen >= ROWS_AT_LEAST and not any(map(_is_open, _counters(told))):
            return


def _counters(told: Mapping[_Trait, _Told]) -> list[Counter[str]]:
    return [counts for columns in told.values() for counts in columns.values()]


def _certain(counts: Counter[str]) -> list[str]:
    return [sign for sign in counts if sign and not sign.startswith("?")]


def _is_open(counts: Counter[str]) -> bool:
    """Something can be read in two ways, and nothing was seen that settles it."""
    return any(sign.startswith("?") for sign in counts) and not _certain(counts)


def _chosen(trait: _Trait, columns: _Told, european: bool) -> dict[str, str]:
    """Each column's choice: by its own cells, else by the file's other columns, else by custom."""
    together = sum(columns.values(), Counter[str]())
    choices: dict[str, str] = {}
    for column, counts in columns.items():
        if certain := _certain(counts):
            choices[column] = max(certain, key=counts.__getitem__)
        elif _is_open(counts):
            sign = next(sign for sign in counts if sign.startswith("?"))
            elsewhere = _certain(together)
            choices[column] = (
                max(elsewhere, key=together.__getitem__)
                if elsewhere
                else trait.custom(sign, european)
            )
    return choices


def _doubts(trait: _Trait, columns: _Told, chosen: Mapping[str, str]) -> list[str]:
    doubts = []
    settled = any(map(_certain, columns.values()))
    for column, counts in columns.items():
        certain = _certain(counts)
        if len(certain) > 1:
            said = ", ".join(f"{counts[sign]} say {sign!r}" for sign in certain)
            doubts.append(f"{column}: its cells disagree ({said}); {chosen[column]!r} was taken")
        elif _is_open(counts) and not settled:
            doubts.append(
                f"{column}: no cell settles it and {chosen[column]!r} was taken; "
                f"say `format: {trait.setting}` in the definition"
            )
    return doubts
