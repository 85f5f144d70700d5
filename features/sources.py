"""How does a file map onto facts? The vocabulary of `sources` in a lead definition.

A source is one file (CSV or Parquet), read row by row; every block that is present turns each row
into facts of that kind. Names on the left are the definition's, on the right the file's columns.
Nothing here reads a file: `features.store.files` does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

Column = Annotated[str, Field(min_length=1, max_length=300)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Format(_Part):
    """What cannot be guessed from a CSV with certainty; everything left out is guessed and said."""

    separator: str | None = Field(default=None, min_length=1, max_length=1)
    encoding: str | None = None
    decimal: str | None = Field(default=None, pattern=r"^[.,]$")
    day_first: bool | None = None
    timezone: str = "UTC"
    unanswered: tuple[str, ...] = (
        "",
        "NA",
        "N/A",
        "NULL",
        "null",
        "NaN",
        "nan",
        "None",
        "-",
        "Select",
        "select",
    )


class Join(_Part):
    """Columns looked up in another file by a key; a key that is not found leaves them unanswered."""

    file: str
    on: Column | Mapping[Column, Column]
    columns: tuple[Column, ...] | None = None

    @model_validator(mode="after")
    def _one_key(self) -> Join:
        if not isinstance(self.on, str) and len(self.on) != 1:
            raise ValueError(f"{self.file}: join on one column, got {dict(self.on)}")
        return self

    @property
    def keys(self) -> tuple[str, str]:
        """The key's column in the source and in the joined file."""
        if isinstance(self.on, str):
            return self.on, self.on
        ((left, right),) = self.on.items()
        return left, right


class Constant(_Part):
    """The same value for every row, where a column name could stand."""

    value: str


class Months(_Part):
    """A month's name in a file kept in date order: the year steps when the month number falls."""

    month: Column
    first_year: int = Field(ge=1900, le=2200)


class Sequence(_Part):
    """An order without a clock: rows are placed one minute apart in the order of this number."""

    order: Column


class ClientKind(_Part):
    """Which values of a column say that the lead is a client already."""

    column: Column
    client: tuple[str, ...]


class AnswerRows(_Part):
    """One BANT answer a row."""

    question: Column | Constant
    answer: Column
    at: Column
    recorded_at: Column | None = None
    id: Column | None = None


class EventRows(_Part):
    """One engagement event a row. Labels become names (`Email Open` -> `email_open`) unless mapped."""

    kind: Column | Constant
    at: Column
    channel: Column | Constant | None = None
    recorded_at: Column | None = None
    id: Column | None = None
    kinds: Mapping[str, str] = {}
    ignore: tuple[str, ...] = ()


class StageRows(_Part):
    """One stage change a row."""

    stage: Column | Constant
    at: Column
    recorded_at: Column | None = None
    id: Column | None = None
    stages: Mapping[str, str] = {}


class Outcome(_Part):
    """Which values of a column close a lead, and how; other values leave it open.

    `off_merit` values (junk, duplicate, test, unreachable) close a lead without counting as a loss.
    Without `at` the row has its outcome but not its date: only `time: none | ordered` or
    `horizon_days: null` can use it.
    """

    column: Column
    won: tuple[str, ...] = Field(min_length=1)
    lost: tuple[str, ...] = ()
    off_merit: tuple[str, ...] = ()
    at: Column | None = None
    recorded_at: Column | None = None
    amount: Column | None = None
    reason: Column | None = None
    id: Column | None = None


class Source(_Part):
    """One file and the facts that its rows hold."""

    file: str
    format: Format = Format()
    join: tuple[Join, ...] = ()
    replace: Mapping[Column, Mapping[str, str]] = {}
    skip_without: tuple[Column, ...] = ()
    lead: Column | None = None
    opened_at: Column | Months | Sequence | None = None
    recorded_at: Column | None = None
    kind: ClientKind | None = None
    owner: Column | None = None
    name: Column | None = None
    attributes: Mapping[str, Column] = {}
    answers: Mapping[str, Column] = {}
    answer_rows: AnswerRows | None = None
    events: EventRows | None = None
    stages: StageRows | None = None
    outcome: Outcome | None = None

    @model_validator(mode="after")
    def _rows_belong_to_leads(self) -> Source:
        if self.lead is None and not self.opens_leads:
            raise ValueError(
                f"{self.file}: without `lead` every row is a lead, and nothing describes it"
            )
        return self

    @property
    def opens_leads(self) -> bool:
        """Whether a row is a version of a lead (rather than only something that happened to it)."""
        return bool(self.attributes or self.answers or self.opened_at or self.name or self.owner)

    def unmapped(self, attributes: Mapping[str, Any], questions: Mapping[str, Any]) -> list[str]:
        """What this source maps that the definition does not know."""
        return [
            f"sources.{self.file}.attributes: {name} is not among the attributes"
            for name in self.attributes
            if name not in attributes
        ] + [
            f"sources.{self.file}.answers: {name} is not among the BANT questions"
            for name in self.answers
            if name not in questions
        ]


def as_name(label: str) -> str:
    """A label as a name: lower case, `[a-z0-9_]`, starting with a letter.

    >>> as_name("W_Nabellen offertes"), as_name("2nd call"), as_name("!")
    ('w_nabellen_offertes', 'n2nd_call', 'n')
    """
    name = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
    return name[:63] if name[:1].isalpha() else f"n{name}"[:63]
