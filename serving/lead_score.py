"""What is asked, and what is answered? Questions and answers of `serving.scoring`, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from features.clock import iso
from features.definition import Definition
from features.errors import PropensityError
from features.facts import Record
from features.store.history import Profile
from features.store.ledger import QueueEntry, ScoreEntry
from models.propensity import PropensityModel
from serving.caveats import Caveat
from serving.plain_leads import PlainLead
from serving.standing import Standing

TOP = 5
"""Reasons given unless more or fewer are asked for; the others are summed up."""


@dataclass(frozen=True, slots=True)
class Scorer:
    """What scores: the champion, and the agreement that says where a probability sends a lead.

    Attributes:
        model: the model; its own definition makes the features.
        agreed: the lead definition as it stands now; its routes are used.
        created_at: when the model was made; None: not known.
        stale_days: the age from which on the model counts as old.
        trouble: why the model is not the one that was promoted; None: it is.
    """

    model: PropensityModel
    agreed: Definition
    created_at: int | None = None
    stale_days: float = 180.0
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """A lead to be scored at an instant.

    Attributes:
        lead: its id.
        as_of: the instant.
        records: all that is known about it; None: the store knows.
        plain: instead, where it was read in one go; with the definition of what scores.
    """

    lead: str
    as_of: int
    records: tuple[Record, ...] | None = None
    plain: PlainLead | None = None

    @property
    def is_stored(self) -> bool:
        """Whether the facts are to be found in the store."""
        return self.records is None and self.plain is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """When and where scores are given, and with how many reasons."""

    now: int
    channel: str = "api"
    request_id: str | None = None
    reasons: int = TOP


@dataclass(slots=True, kw_only=True)
class LeadScore:
    """One score and everything that belongs to it; the ledger gives it its number, `score_id`, once.

    The ledger keeps `kept_reasons`, the `TOP` strongest, however few or many were asked for: the queue
    shows them, and the lead's history.
    """

    lead: str
    as_of: int
    occasion: Occasion = field(repr=False)
    raw: float
    probability: float
    route: str
    route_label: str
    lower: float | None
    upper: float | None
    leads_like_this: float | None
    base: float
    reasons: Sequence[dict[str, Any]]
    kept_reasons: Sequence[dict[str, Any]] = field(repr=False)
    caveats: Sequence[Caveat]
    horizon_days: float | None
    model: str
    calibration: str
    definition: str
    inputs: dict[str, str | float | None] = field(repr=False)
    standing: Standing = field(repr=False)
    is_stored: bool = True
    score_id: int | None = None

    @property
    def scored_at(self) -> int:
        """When it was computed."""
        return self.occasion.now

    def to_json(self) -> dict[str, Any]:
        """The answer as it is sent: `base` plus the reasons' `log_odds` is `raw`."""
        as_of = iso(self.as_of)
        return {
            "lead": self.lead,
            "as_of": as_of,
            "scored_at": as_of if self.scored_at == self.as_of else iso(self.scored_at),
            "probability": self.probability,
            "interval": _interval(self.lower, self.upper),
            "leads_like_this": _rounded(self.leads_like_this),
            "raw": self.raw,
            "route": self.route,
            "route_label": self.route_label,
            "horizon_days": self.horizon_days,
            "base": self.base,
            "reasons": list(self.reasons),
            "warnings": [caveat.to_json() for caveat in self.caveats],
            "model": self.model,
            "calibration": self.calibration,
            "definition": self.definition,
            "score_id": self.score_id,
        }


def _interval(lower: float | None, upper: float | None) -> list[float] | None:
    return None if lower is None or upper is None else [lower, upper]


def _rounded(leads: float | None) -> float | None:
    """To two digits: more would pretend to know how well one knows."""
    return None if leads is None else float(f"{leads:.2g}")


Result = LeadScore | PropensityError
"""What was asked for, or why it cannot be given: one bad row spoils nothing."""


def ledger_entry(score: LeadScore) -> ScoreEntry:
    """A score as the ledger keeps it; facts that came with a request are not the store's."""
    return ScoreEntry(
        lead=score.lead,
        as_of=score.as_of,
        scored_at=score.scored_at,
        raw=score.raw,
        probability=score.probability,
        route=score.route,
        bundle=score.model,
        definition=score.definition,
        inputs=score.inputs,
        reasons=score.kept_reasons,
        warnings=[caveat.message for caveat in score.caveats],
        channel=score.occasion.channel if score.is_stored else "payload",
        request_id=score.occasion.request_id,
    )


def queue_entry(score: LeadScore, profile: Profile | None) -> QueueEntry | None:
    """What the queue shows; None for the past, and for leads that are not in the store."""
    if profile is None or not score.is_stored or score.as_of < score.occasion.now:
        return None
    return QueueEntry(
        last_touch=score.standing.last_touch,
        owner=profile.owner,
        name=profile.name,
        stage=score.standing.stage,
        kind=profile.kind,
        is_open=score.standing.is_open,
    )
