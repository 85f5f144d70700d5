"""What does a request cost before anything is computed? FastAPI, pydantic, a ready answer."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Lead(BaseModel):
    """The same payload as ours."""

    lead: str
    attributes: dict[str, str | float | None]


class Batch(BaseModel):
    """Many leads."""

    leads: list[Lead]


class Score(BaseModel):
    """One number."""

    lead: str
    probability: float


@app.post("/v1/scores")
async def score(body: Lead) -> Score:
    """Computes nothing."""
    return Score(lead=body.lead, probability=0.5)


@app.post("/v1/scores/batch")
async def scores(body: Batch) -> dict[str, Any]:
    """Computes nothing, many times."""
    return {"results": [Score(lead=lead.lead, probability=0.5) for lead in body.leads]}
