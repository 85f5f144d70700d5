"""What comes back to who asks what to ask next, and why a score moved? Shapes, with examples.

As in `serving.answers` they document and test; answers are made of plain data that is known to fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from serving.contracts import EXAMPLE_LEAD

_QUESTIONS: dict[str, Any] = {
    "lead": EXAMPLE_LEAD,
    "as_of": "2026-05-01T12:00:00Z",
    "questions": [
        {
            "question": "budget_status",
            "ask": "Is there a budget for this?",
            "dimension": "budget",
            "asked": False,
            "expected_change": 0.041,
            "route_may_change": 0.37,
            "answers": [
                {"answer": "approved", "share": 1.0, "probability": 0.41, "route": "sales_ready"}
            ],
        }
    ],
}

_CHANGES: dict[str, Any] = {
    "lead": EXAMPLE_LEAD,
    "model": "5f1d" + "0" * 60,
    "then": {"as_of": "2026-04-01T00:00:00Z", "probability": 0.21, "raw": -1.3},
    "now": {"as_of": "2026-05-01T12:00:00Z", "probability": 0.3412, "raw": -0.62},
    "changes": [
        {
            "fact": "event:webinar",
            "label": "Webinar",
            "then": "",
            "now": "3 × webinar in 30 days",
            "log_odds": 0.68,
        }
    ],
}


class Supposed(BaseModel):
    """One answer to an open question, and what it would lead to."""

    answer: str
    share: float = Field(description="How often it is given, of the leads the model learned from.")
    probability: float
    route: str


class Question(BaseModel):
    """An open question and what asking it may bring."""

    question: str
    ask: str
    dimension: str
    asked: bool = Field(description="Whether it was asked already, in vain.")
    expected_change: float = Field(description="Mean of |new − present probability|.")
    route_may_change: float = Field(description="The chance that the lead would go elsewhere.")
    answers: Sequence[Supposed] = Field(description="Most frequent first.")


class QuestionsAnswer(BaseModel):
    """A lead's open questions, the most telling first."""

    model_config = ConfigDict(json_schema_extra={"examples": [_QUESTIONS]})

    lead: str
    as_of: datetime
    questions: Sequence[Question]


class Said(BaseModel):
    """What today's model says of an instant."""

    as_of: datetime
    probability: float
    raw: float


class Change(BaseModel):
    """What one fact changed; an empty text: it said nothing."""

    fact: str
    label: str
    then: str
    now: str
    log_odds: float


class ChangesAnswer(BaseModel):
    """Why a score moved: the changes add up to the difference of the two raw scores."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CHANGES]})

    lead: str
    model: str
    then: Said
    now: Said
    changes: Sequence[Change] = Field(description="Strongest first.")
