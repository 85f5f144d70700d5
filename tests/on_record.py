"""What do tests put on record? Decisions and scores, of which they say only what matters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agreed import NOW

from features.store.engine import Store
from features.store.ledger import ScoreEntry
from features.store.promotions import Decision, DecisionRecord, record_decision


def decision(digest: str, kind: Decision = "promote", **said: Any) -> DecisionRecord:
    """A decision of now about a model, made by the tests."""
    usual: Mapping[str, Any] = {
        "decided_at": NOW,
        "against": None,
        "decided_by": "tests",
        "reason": "for tests",
        "evidence": {},
    }
    return DecisionRecord(bundle=digest, decision=kind, **{**usual, **said})


def decide(store: Store, digest: str, kind: Decision = "promote", **said: Any) -> None:
    """Put that decision on record, without the trial in another process, which takes seconds."""
    with store.write() as connection:
        record_decision(connection, decision(digest, kind, **said))


def scored(lead: str, at: int = NOW, **said: Any) -> ScoreEntry:
    """A score of even chances, given of what was known at this instant."""
    usual: Mapping[str, Any] = {
        "as_of": at,
        "scored_at": at,
        "raw": 0.0,
        "probability": 0.5,
        "route": "nurture",
        "bundle": "b" * 64,
        "definition": "d" * 64,
        "inputs": {},
        "reasons": [],
    }
    return ScoreEntry(lead=lead, **{**usual, **said})
