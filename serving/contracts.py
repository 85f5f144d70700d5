"""What may be sent? The shapes of every request, with examples.

A misspelt key is an error, never ignored; a time has an offset; a text can be stored. Whether a name or
value is one the lead definition knows is asked later (`features.quality`), of every row by itself.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)

from features.clock import to_instant
from features.errors import InputError
from features.facts import Kind
from features.quality import EARLIEST, LATEST, is_plain, text_problem
from serving.errors import validation_problems

EXAMPLE_LEAD = "L-1001"

P = TypeVar("P", bound=BaseModel)


def _storable(text: str) -> str:
    if wrong := text_problem(text):
        raise ValueError(wrong)
    return text


def _instant(given: object) -> int:
    """The instant of a text such as `2026-05-01T12:00:00Z`."""
    if not isinstance(given, str):
        raise ValueError("must be text such as 2026-05-01T12:00:00Z")
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise ValueError("must be a time such as 2026-05-01T12:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("has no time zone; write it with an offset, as in 2026-05-01T12:00:00Z")
    instant = to_instant(moment)
    if not EARLIEST <= instant < LATEST:
        raise ValueError("lies outside the years 1 to 9999")
    return instant


def _value(given: object) -> str | bool | float | None:
    """An attribute's value as JSON can send it."""
    if isinstance(given, bool) or given is None:
        return given
    if isinstance(given, int | float):
        return float(given)
    if not isinstance(given, str):
        raise ValueError("must be text, a number, true, false or null")
    return _storable(given)


Text = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_storable)]
"""A text that every database can hold."""
Source = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_storable)]
Moment = Annotated[
    int, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""An instant, sent as a time with an offset."""
Sent = Annotated[
    Any,
    BeforeValidator(_value),
    WithJsonSchema({"anyOf": [{"type": sort} for sort in ("string", "number", "boolean", "null")]}),
]


def _plainly(given: object, usual: ValidatorFunctionWrapHandler) -> Any:
    """Attributes in which nothing can be wrong, read in one go; all others as usual, one by one."""
    if type(given) is not dict or len(given) > _MOST:
        return usual(given)
    for name, value in given.items():
        if not (name and is_plain(name) and (type(value) in _PLAIN or is_plain(value))):
            return usual(given)
    return given


_MOST = 1_000
_PLAIN = frozenset({float, bool, type(None)})

Attributes = Annotated[dict[Text, Sent], Field(max_length=_MOST), WrapValidator(_plainly)]
"""Attributes by name: text for a category, number, true/false, a date as text; null: unanswered."""


class _Part(BaseModel):
    """Strict and immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class GivenAnswer(_Part):
    """One BANT answer of a lead that is sent along."""

    question: Text = Field(description="A question of the lead definition.")
    answer: Text = Field(description="One of its answers; `unknown`: asked in vain.")
    occurred_at: Moment = Field(description="When it was answered.")
    recorded_at: Moment | None = Field(
        None, description="When it became known; by default when it was answered."
    )


class GivenEvent(_Part):
    """One engagement event of a lead that is sent along."""

    kind: Text = Field(description="A kind of event of the lead definition.")
    channel: Text | None = Field(None, description="A channel of the lead definition.")
    occurred_at: Moment = Field(description="When it happened.")
    recorded_at: Moment | None = Field(
        None, description="When it became known; by default when it happened."
    )


class ScoreRequest(_Part):
    """A lead to be scored: a stored one by its id alone, or one with everything known about it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"lead": EXAMPLE_LEAD},
                {
                    "lead": "web-form-17",
                    "kind": "prospect",
                    "attributes": {},
                    "answers": [],
                    "events": [],
                    "opened_at": "2026-05-01T09:30:00Z",
                },
            ]
        }
    )

    lead: Text = Field(description="The lead's id in your system.")
    as_of: Moment | None = Field(
        None, description="The instant the score speaks for; by default now. Never in the future."
    )
    kind: Kind | None = Field(None, description="`prospect` (the default) or `client`.")
    attributes: Attributes | None = Field(None, description="What is known, by attribute.")
    answers: list[GivenAnswer] | None = Field(None, max_length=1_000)
    events: list[GivenEvent] | None = Field(None, max_length=10_000)
    opened_at: Moment | None = Field(
        None, description="When the lead became known; by default with its first fact."
    )

    @property
    def is_stored(self) -> bool:
        """Whether the facts are to be found in the store."""
        facts = (self.kind, self.attributes, self.answers, self.events, self.opened_at)
        return all(part is None for part in facts)


class BatchRequest(_Part):
    """Leads to be scored together; a row that is wrong spoils no other."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"leads": [{"lead": EXAMPLE_LEAD}, {"lead": "L-1002", "kind": "client"}]}]
        }
    )

    leads: Annotated[
        list[Any],
        Field(min_length=1),
        WithJsonSchema(
            {
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/components/schemas/ScoreRequest"},
            }
        ),
    ]


class LeadRequest(_Part):
    """A lead as it stands: everything known about it, not a patch."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kind": "prospect",
                    "owner": "Anna",
                    "name": "Contoso Ltd",
                    "attributes": {},
                    "occurred_at": "2026-05-01T09:30:00Z",
                }
            ]
        }
    )

    kind: Kind = "prospect"
    owner: Text | None = Field(None, description="Whose lead it is; a rep sees the own leads.")
    name: Text | None = Field(None, description="How people call it.")
    attributes: Attributes = {}
    occurred_at: Moment | None = Field(
        None, description="Since when it stands so; by default since now."
    )
    recorded_at: Moment | None = Field(None, description="When it became known; by default now.")
    source: Source = Field("api", description="Which system says so.")
    external_id: Text | None = Field(None, description="The version's id at the source.")


class LeadRow(LeadRequest):
    """A lead as it stands, among others."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"lead": EXAMPLE_LEAD, "owner": "Anna", "attributes": {}}]}
    )

    lead: Text = Field(description="The lead's id in your system.")


class DoNotScoreRequest(_Part):
    """Whether the person objects to being scored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"do_not_score": True}]})

    do_not_score: bool


class _Row(_Part):
    lead: Text = Field(description="A stored lead's id.")
    occurred_at: Moment = Field(description="When it happened.")
    recorded_at: Moment | None = Field(None, description="When it became known; by default now.")
    source: Source = Field("api", description="Which system says so.")
    external_id: Text | None = Field(
        None, description="The fact's id at the source; sent again, it changes nothing."
    )


class AnswerRow(_Row):
    """One BANT answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "lead": EXAMPLE_LEAD,
                    "question": "budget_allocated",
                    "answer": "Yes",
                    "occurred_at": "2026-05-01T09:30:00Z",
                    "external_id": "call-17/1",
                }
            ]
        }
    )

    question: Text = Field(description="A question of the lead definition.")
    answer: Text = Field(description="One of its answers; `unknown`: asked in vain.")


class EventRow(_Row):
    """One engagement event."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "lead": EXAMPLE_LEAD,
                    "kind": "webinar",
                    "channel": "web",
                    "occurred_at": "2026-04-28T15:00:00Z",
                    "external_id": "ev-90210",
                }
            ]
        }
    )

    kind: Text = Field(description="A kind of event of the lead definition.")
    channel: Text | None = Field(None, description="A channel of the lead definition.")


class StageRow(_Row):
    """One change of stage."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"lead": EXAMPLE_LEAD, "stage": "qualified", "occurred_at": "2026-05-01T10:00:00Z"}
            ]
        }
    )

    stage: Text = Field(description="A stage of the lead definition, `won` or `lost`.")


class DealRow(_Row):
    """One deal that closed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "lead": EXAMPLE_LEAD,
                    "ending": "won",
                    "amount": 12500.0,
                    "occurred_at": "2026-04-30T16:20:00Z",
                    "external_id": "deal-8",
                }
            ]
        }
    )

    ending: Literal["won", "lost", "off_merit", "void"] = Field(
        description="`off_merit`: junk, duplicate, test; `void` annuls the deal."
    )
    amount: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        None, description="In the company's currency."
    )
    reason: Text | None = None


class MergeRow(_Part):
    """Two leads that are one; or one that was taken for part of another and is not."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"lead": "L-0008", "survivor": EXAMPLE_LEAD}]}
    )

    lead: Text = Field(description="The stored lead that has become part of the other.")
    survivor: Text | None = Field(
        description="The stored lead that remains; null takes a merge back that was a mistake."
    )
    recorded_at: Moment | None = Field(None, description="When it became known; by default now.")
    source: Source = Field("api", description="Which system says so.")


def _rows_of(given: object) -> object:
    """A list as it is, or the list under `rows`."""
    if isinstance(given, dict):
        if set(given) != {"rows"}:
            raise ValueError("must be a list of rows, or an object with the one key rows")
        return given["rows"]
    return given


def bulk_of(row: str) -> Any:
    """The type of a body with many rows of this shape; each row is read by itself."""
    rows = {
        "type": "array",
        "minItems": 1,
        "items": {"$ref": f"#/components/schemas/{row}"},
    }
    named = {
        "type": "object",
        "required": ["rows"],
        "properties": {"rows": rows},
        "additionalProperties": False,
    }
    return Annotated[
        list[Any],
        Field(min_length=1),
        BeforeValidator(_rows_of),
        WithJsonSchema({"anyOf": [named, rows]}),
    ]


AnswerRows = bulk_of("AnswerRow")
EventRows = bulk_of("EventRow")
StageRows = bulk_of("StageRow")
DealRows = bulk_of("DealRow")
MergeRows = bulk_of("MergeRow")


def read_part(kind: type[P], given: object, where: str) -> P:
    """One row as its shape.

    Raises:
        InputError: with every problem of the row, and none of its values.
    """
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        problems = validation_problems(error.errors(include_input=False, include_url=False), where)
        raise InputError(f"{where} breaks the rules", problems=problems) from error


Happening = Literal["leads", "answers", "events", "stages", "deals"]


class WebhookMessage(_Part):
    """A signed message: rows of one sort, as the bulk addresses take them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "deals",
                    "timestamp": "2026-05-01T09:30:00Z",
                    "data": [
                        {
                            "lead": EXAMPLE_LEAD,
                            "ending": "won",
                            "occurred_at": "2026-04-30T16:20:00Z",
                            "external_id": "deal-8",
                        }
                    ],
                }
            ]
        }
    )

    type: Happening = Field(description="What the rows are.")
    timestamp: Moment | None = Field(None, description="When it was sent; not looked at.")
    data: Annotated[
        list[Any],
        BeforeValidator(lambda given: given if isinstance(given, list) else [given]),
        Field(min_length=1, description="One row or several; their source is the sender."),
    ]
