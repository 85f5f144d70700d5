"""What comes back when the newest report is asked for? Its shape, with an example."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_MODEL = "278c2d3fd0c9f3d5a3f9c4c3f6c6bb4d9a06b2d7ad0c6cbeb40c1dd6a8a0a1f7"

_REPORT: dict[str, Any] = {
    "made_at": "2026-05-04T02:00:00Z",
    "through": "2026-05-03T16:20:11Z",
    "model": _MODEL,
    "verdict": {
        "action": "wait",
        "reason": "Too few outcomes: 12 matured leads that were won; 8 more are needed before "
        "anything is judged. The alarm watches meanwhile.",
        "evidence": {"leads": 96, "won_leads": 12, "more_to_judge": 8},
    },
    "alarm": {
        "is_raised": False,
        "since": None,
        "e_value": 1.7,
        "threshold": 5200.0,
        "bundle": _MODEL,
    },
    "report": {},
}


class ReportAnswer(BaseModel):
    """What came of what was promised, and what is to be done about it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_REPORT]})

    made_at: datetime = Field(description="The instant that the report speaks for.")
    through: datetime | None = Field(
        description="Nothing recorded from then on was looked at; null: no outcome was there."
    )
    model: str = Field(description="Digest of the model it speaks of; empty without one.")
    verdict: dict[str, Any] = Field(
        description="`action` (nothing, recalibrate, retrain, look_at_market or wait), `reason`, "
        "`evidence`."
    )
    alarm: dict[str, Any] = Field(description="Whether the probabilities stopped coming true.")
    report: dict[str, Any] = Field(description="Everything they rest on; docs/reports.md explains.")
