"""What comes back? The shapes of every answer, with examples.

They document and test the API; answers themselves are made of plain data that is known to fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from features.clock import iso
from features.facts import Kind
from serving.contracts import EXAMPLE_LEAD


class Reason(BaseModel):
    """One reason: what a fact adds to the raw score."""

    fact: str = Field(description="Which fact; `rest`: all weaker ones together.")
    label: str
    words: str = Field(description="Its figure in words.")
    log_odds: float = Field(description="What it adds; `base` plus all of them is `raw`.")


class Warned(BaseModel):
    """One reason to be careful with a score."""

    code: str
    message: str


_SCORE: dict[str, Any] = {
    "lead": EXAMPLE_LEAD,
    "as_of": "2026-05-01T12:00:00Z",
    "scored_at": "2026-05-01T12:00:00Z",
    "probability": 0.3412,
    "interval": [0.2817, 0.4061],
    "leads_like_this": 150.0,
    "raw": -0.62,
    "route": "sales_ready",
    "route_label": "Sales-ready",
    "horizon_days": 90.0,
    "base": -1.9,
    "reasons": [
        {
            "fact": "event:webinar",
            "label": "Webinar",
            "words": "3 × webinar in 30 days",
            "log_odds": 0.81,
        },
        {
            "fact": "rest",
            "label": "Everything else",
            "words": "7 weaker reasons together",
            "log_odds": 0.47,
        },
    ],
    "warnings": [],
    "model": "5f1d" + "0" * 60,
    "calibration": "platt",
    "definition": "9c2a" + "0" * 60,
    "score_id": 4711,
}


class ScoreAnswer(BaseModel):
    """One score: what, why, of which model, and what it does not know."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SCORE]})

    lead: str
    as_of: datetime = Field(description="The instant it speaks for.")
    scored_at: datetime
    probability: float = Field(gt=0, lt=1, description="Calibrated; to be shown.")
    interval: Sequence[float] | None = Field(
        description="Where the true probability lies nine times in ten, as far as another sample of "
        "leads would move it and the learner's two parts disagree; null where that was not measured."
    )
    leads_like_this: float | None = Field(
        description="Of how many leads such a probability would be the win rate known as well."
    )
    raw: float = Field(description="Log-odds before calibration; to be ordered by.")
    route: str
    route_label: str
    horizon_days: float | None = Field(description="It buys within so many days; null: at last.")
    base: float
    reasons: Sequence[Reason] = Field(description="Strongest first.")
    warnings: Sequence[Warned]
    model: str = Field(description="The model's digest.")
    calibration: str
    definition: str = Field(description="The hash of the lead definition the model learned with.")
    score_id: int = Field(description="Its number in the ledger.")


class ProblemPart(BaseModel):
    """One thing that is wrong: where, which field, and what would be right."""

    where: str
    field: str
    message: str


class Problem(BaseModel):
    """An error, as application/problem+json (RFC 9457)."""

    type: str = Field(examples=["urn:propensity:problem:input"])
    title: str
    status: int
    detail: str
    hint: str
    problems: Sequence[ProblemPart]
    request_id: str


class BatchRow(BaseModel):
    """What became of one row: its score, or why there is none."""

    index: int = Field(description="The row's position, from 0.")
    score: ScoreAnswer | None = None
    error: Problem | None = None


class BatchAnswer(BaseModel):
    """What became of a batch, row by row in its order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"scored": 1, "refused": 0, "results": [{"index": 0, "score": _SCORE}]}]
        }
    )

    scored: int
    refused: int
    results: Sequence[BatchRow]


class Rejected(BaseModel):
    """A row that was not stored, and why."""

    index: int = Field(description="The row's position, from 0.")
    problems: Sequence[ProblemPart]


class IngestAnswer(BaseModel):
    """What became of the rows; those that are not listed as rejected are stored."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"added": 2, "unchanged": 1, "rejected": [], "rescored": 2}]
        }
    )

    added: int
    unchanged: int = Field(description="Were there already.")
    rejected: Sequence[Rejected]
    rescored: int = Field(description="Leads whose score in the queue was renewed.")


class LeadAnswer(BaseModel):
    """A stored lead as last described."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "lead": EXAMPLE_LEAD,
                    "kind": "prospect",
                    "owner": "Anna",
                    "name": "Contoso Ltd",
                    "attributes": {},
                    "since": "2026-05-01T09:30:00Z",
                    "do_not_score": False,
                }
            ]
        }
    )

    lead: str
    kind: Kind
    owner: str | None
    name: str | None
    attributes: dict[str, str | bool | float | None]
    since: datetime = Field(description="Since when it stands so.")
    do_not_score: bool


class PutAnswer(BaseModel):
    """What became of a lead that was sent."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"lead": EXAMPLE_LEAD, "fate": "added", "score": _SCORE}]}
    )

    lead: str
    fate: Literal["added", "unchanged"]
    score: ScoreAnswer | None = Field(None, description="Its score now; null when there is none.")
    warning: str | None = Field(None, description="Why there is no score.")


class CopyAnswer(BaseModel):
    """A daily backup that may still hold an erased person."""

    day: date = Field(description="When it was made.")
    goes: date = Field(description="The day on which the worker drops it, if it makes one a day.")


class ErasedAnswer(BaseModel):
    """What was erased: rows by table, and what else named the lead; and what still does."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "lead_versions": 2,
                    "answers": 3,
                    "events": 14,
                    "stages": 1,
                    "deals": 1,
                    "waiting": 0,
                    "scores": 9,
                    "replies": 1,
                    "rejected_rows": 0,
                    "backups": [{"day": "2026-04-30", "goes": "2026-05-07"}],
                }
            ]
        }
    )

    lead_versions: int
    answers: int
    events: int
    stages: int
    deals: int
    waiting: int = Field(description="Deals a CRM told of that waited for the lead.")
    scores: int = Field(description="Made anonymous: that somebody got such a score is left.")
    replies: int = Field(description="Answers kept under an Idempotency-Key.")
    rejected_rows: int = Field(description="Rows in files of rejected rows.")
    backups: list[CopyAnswer] = Field(
        description="The worker's copies that may still hold the person; a restore forgets it again."
    )
    set_aside: str | None = Field(
        default=None,
        description="What an erased.json beside them is called now that was not this installation's.",
    )


class PastScore(BaseModel):
    """One score of a lead as it was given."""

    score_id: int
    as_of: datetime
    scored_at: datetime
    probability: float
    raw: float
    route: str
    reasons: Sequence[Reason]
    warnings: Sequence[str]
    model: str
    definition: str
    channel: str


_SHARED = ("as_of", "probability", "raw", "route", "reasons", "model", "score_id")
_PAST: dict[str, Any] = {
    **{name: _SCORE[name] for name in (*_SHARED, "scored_at", "definition")},
    "warnings": [],
    "channel": "api",
}


class HistoryAnswer(BaseModel):
    """A lead's scores, newest first."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"lead": EXAMPLE_LEAD, "scores": [_PAST]}]}
    )

    lead: str
    scores: Sequence[PastScore]


class QueueRow(BaseModel):
    """One open lead of the queue."""

    rank: int = Field(description="Its place among all that were asked for, from 1.")
    place: Literal["score", "explored", "holdout"] = Field(
        description="Why it stands there: by its score, by a lot of the day, or by a lot of its own."
    )
    lead: str
    name: str | None
    owner: str | None
    kind: Kind
    stage: str | None
    probability: float
    raw: float
    route: str
    last_touch: datetime | None
    reasons: Sequence[Reason]
    warnings: Sequence[str]
    as_of: datetime
    model: str
    score_id: int


_QUEUED: dict[str, Any] = {
    **{name: _SCORE[name] for name in _SHARED},
    "rank": 1,
    "place": "score",
    "lead": EXAMPLE_LEAD,
    "name": "Contoso Ltd",
    "owner": "Anna",
    "kind": "prospect",
    "stage": "qualified",
    "last_touch": "2026-04-28T15:00:00Z",
    "warnings": [],
}


class QueueAnswer(BaseModel):
    """A part of the queue: by raw score, then newest touch, then id."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "total": 412,
                    "limit": 50,
                    "offset": 0,
                    "routes": {"sales_ready": 31, "telequalify": 88, "nurture": 293},
                    "rows": [_QUEUED],
                }
            ]
        }
    )

    total: int = Field(description="How many there are in all.")
    limit: int
    offset: int
    routes: dict[str, int] = Field(description="Open leads by route, of the owner asked for.")
    rows: Sequence[QueueRow]


_MODEL: dict[str, Any] = {
    "model": _SCORE["model"],
    "created_at": "2026-04-15T02:10:00Z",
    "loaded_at": "2026-04-15T02:12:30Z",
    "origin": "train",
    "parent": "77ab" + "0" * 60,
    "source": "disk",
    "checked_at": "2026-05-01T12:00:00Z",
    "calibration": "platt",
    "definition": _SCORE["definition"],
    "agreed_definition": _SCORE["definition"],
    "horizon_days": 90.0,
    "columns": ["lead_age_days", "ev_webinar_30d"],
    "about": {"warnings": []},
    "trouble": [],
}


class ModelAnswer(BaseModel):
    """The model that scores now."""

    model_config = ConfigDict(json_schema_extra={"examples": [_MODEL]})

    model: str
    created_at: datetime
    loaded_at: datetime
    origin: str
    parent: str | None
    source: Literal["disk", "database", "definition"] = Field(
        description="Where its bytes were found; `definition`: the agreed scorecard, not learned."
    )
    checked_at: datetime = Field(description="When the database last said that it is the champion.")
    calibration: str
    definition: str
    agreed_definition: str = Field(description="The hash of the lead definition as it stands now.")
    horizon_days: float | None
    columns: Sequence[str]
    about: dict[str, Any] = Field(description="Data window, figures and warnings of its training.")
    trouble: Sequence[str] = Field(description="Why it is not the one it should be; empty: it is.")


class HealthAnswer(BaseModel):
    """The service is alive."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "status": "ok",
                    "model": _SCORE["model"],
                    "model_created_at": "2026-04-15T02:10:00Z",
                    "model_source": "disk",
                    "trouble": [],
                }
            ]
        }
    )

    status: Literal["ok"]
    model: str | None = Field(None, description="The digest of the model that scores.")
    model_created_at: datetime | None = Field(None, description="When that model was made.")
    model_source: Literal["disk", "database", "definition"] | None = Field(
        None, description="Where its bytes were found; `definition`: agreed, not learned."
    )
    trouble: Sequence[str] = Field((), description="Why it is not the one it should be.")


def moment(instant: int | None) -> str | None:
    """An instant as it is sent; None stays None."""
    return None if instant is None else iso(instant)
