"""What is said of an old score that is computed anew?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from serving.answers import Reason
from serving.contracts import EXAMPLE_LEAD

_REASON = {"fact": "event:visit", "label": "Visits", "words": "3 in 30 days", "log_odds": 0.41}
_NUMBERS = {"raw": -0.663, "probability": 0.34}
_REPLAY: dict[str, Any] = {
    "score_id": 4711,
    "lead": EXAMPLE_LEAD,
    "as_of": "2026-05-01T12:00:00Z",
    "scored_at": "2026-05-01T12:00:00Z",
    "model": "3f9c" + "0" * 60,
    "definition": "a1b2" + "0" * 60,
    "channel": "queue",
    "given": {
        **_NUMBERS,
        "route": "telequalify",
        "reasons": [_REASON],
        "warnings": [],
        "inputs": {"attr_segment": "hotel", "ev_visit_30d": 3.0},
    },
    "anew": _NUMBERS,
    "same": True,
    "same_row": True,
    "why_not": None,
    "reasons": [_REASON],
}


class Computed(BaseModel):
    """A score's two numbers."""

    raw: float
    probability: float


class Given(Computed):
    """A score as it was given, with the feature row that it came from."""

    route: str
    reasons: Sequence[Reason]
    warnings: Sequence[str]
    inputs: dict[str, str | float | None]


class ReplayAnswer(BaseModel):
    """An old score, computed anew."""

    model_config = ConfigDict(json_schema_extra={"examples": [_REPLAY]})

    score_id: int
    lead: str | None = Field(description="None: the person was erased.")
    as_of: datetime
    scored_at: datetime
    model: str
    definition: str
    channel: str
    given: Given
    anew: Computed | None = Field(description="What its bundle says of the same row now.")
    same: bool | None = Field(description="Whether both are equal to 1e-12; None: not computed.")
    same_row: bool | None = Field(
        description="Whether the store as it stood at `as_of` gives the same row; None: not stored."
    )
    why_not: str | None = Field(None, description="Why it could not be computed anew.")
    reasons: Sequence[Reason]
