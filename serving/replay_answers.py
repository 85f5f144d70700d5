"""What is said of an old score that is computed anew?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, Field

from serving.answers import Reason

_INPUTS = {"attr_segment": "hotel", "events_visit_30d": 3.0}
_WORDS = {"raw": 0.25, "probability": 0.34}


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
    why_not: str | None = Field(description="Why it could not be computed anew.")
    reasons: Sequence[Reason]
