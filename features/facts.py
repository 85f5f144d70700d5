"""What is known about leads? The facts as records (one at a time) and as columns (many at once).

Records are what files, the API and the store exchange. `Facts` is what feature code reads: arrays,
one row a fact, with `lead` pointing at a position in `lead_ids`. A deal is not here: feature code
cannot name one (`features.store.outcomes` holds them).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from features.clock import Instants
from features.frames import Columns

Ints = NDArray[np.int64]
Value = str | float | bool | None
Kind = Literal["prospect", "client"]

KINDS: tuple[Kind, ...] = get_args(Kind)


def attributes_text(attributes: Mapping[str, Value]) -> str:
    """Attributes as one text, equal for attributes that say the same: 5 and 5.0, unanswered and absent.

    >>> attributes_text({"size": 5, "city": "Basel", "age": None})
    '{"city":"Basel","size":5.0}'
    """
    said = {
        name: float(value) if type(value) is int else value
        for name, value in sorted(attributes.items())
        if value is not None
    }
    return json.dumps(said, ensure_ascii=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadVersion:
    """A lead's attributes as they stood from `occurred_at` on: a full snapshot, not a patch.

    Attributes are by name; a category is text, a number float, a boolean bool, a date an instant
    (microseconds, as float), and None is unanswered.
    """

    lead: str
    occurred_at: int
    recorded_at: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    kind: Kind = "prospect"
    owner: str | None = None
    name: str | None = None
    source: str = "api"
    external_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer to a BANT question; `answer` is one of the question's levels (or `unknown`)."""

    lead: str
    question: str
    answer: str
    occurred_at: int
    recorded_at: int
    source: str = "api"
    external_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One engagement event."""

    lead: str
    kind: str
    occurred_at: int
    recorded_at: int
    channel: str | None = None
    source: str = "api"
    external_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageChange:
    """A lead entered a stage of the buying cycle."""

    lead: str
    stage: str
    occurred_at: int
    recorded_at: int
    source: str = "api"
    external_id: str | None = None


Record = LeadVersion | Answer | Event | StageChange


def said(record: Record) -> dict[str, str | None]:
    """What a record says, by name, apart from whom it is about and when it happened."""
    match record:
        case LeadVersion():
            return {
                "kind": record.kind,
                "owner": record.owner,
                "name": record.name,
                "attributes": attributes_text(record.attributes),
            }
        case Answer():
            return {"question": record.question, "answer": record.answer}
        case Event():
            return {"kind": record.kind, "channel": record.channel}
        case StageChange():
            return {"stage": record.stage}


def key_of(record: Record) -> tuple[object, ...]:
    """What makes two records one fact: their external id at their source, or all that they say."""
    own = record.external_id or (record.lead, record.occurred_at, *said(record).values())
    return type(record), record.source, own


@dataclass(frozen=True, slots=True)
class Happenings:
    """Facts of one sort as columns, all of shape (n,), in any order.

    `code` and `detail` mean, by table: answers – question and level; events – kind and channel
    (−1: none); stages – stage and 0; versions – kind (1: client) and 0. Codes are positions in the
    definition.
    """

    lead: Ints
    occurred_at: Instants
    recorded_at: Instants
    code: Ints
    detail: Ints

    def __len__(self) -> int:
        return len(self.lead)

    @classmethod
    def of(cls, rows: Sequence[tuple[int, int, int, int, int]]) -> Happenings:
        """From (lead, occurred_at, recorded_at, code, detail) rows."""
        table = np.array(rows, dtype=np.int64).reshape(len(rows), 5)
        return cls(*np.ascontiguousarray(table.T))


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything known about some leads, as columns.

    `attributes` holds one column per attribute of the definition, aligned with `versions`: float64
    (NaN: unanswered; booleans 0/1; dates as instants) or a `Category`.
    """

    lead_ids: tuple[str, ...]
    versions: Happenings
    attributes: Columns
    answers: Happenings
    events: Happenings
    stages: Happenings


@dataclass(frozen=True, slots=True)
class Queries:
    """What is asked: each row a lead (a position in `Facts.lead_ids`) and the instant to speak for."""

    lead: Ints
    as_of: Instants

    def __len__(self) -> int:
        return len(self.lead)

    @classmethod
    def at(cls, leads: Sequence[int] | Ints, as_of: int | Instants) -> Queries:
        """The given leads, all at one instant or each at its own."""
        index = np.asarray(leads, dtype=np.int64)
        instants = np.broadcast_to(np.asarray(as_of, dtype=np.int64), index.shape)
        return cls(index, np.ascontiguousarray(instants))
