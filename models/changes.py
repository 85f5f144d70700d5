"""Why did a score move? What each fact adds now and added then, exactly.

Both instants are scored by the same model, so that the difference is the lead's and not the model's;
contributions add up, so their differences add up to the difference of the raw scores.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from features.frames import FeatureFrame
from models.explain import Reason, explain
from models.propensity import PropensityModel


@dataclass(frozen=True, slots=True)
class Change:
    """What one fact changed: its words then and now, and the log-odds between; '' – it said nothing."""

    fact: str
    label: str
    then: str
    now: str
    log_odds: float

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def changes(model: PropensityModel, frame: FeatureFrame) -> list[Change]:
    """What moved a score between two rows of one lead, strongest first.

    Args:
        model: what scores both.
        frame: two rows, the earlier one first.

    Returns:
        The changes that are not 0; their `log_odds` add up to the difference of the raw scores.
    """
    before, after = (
        {reason.fact: reason for reason in said.reasons} for said in explain(model, frame)
    )
    found = [_change(fact, before.get(fact), after.get(fact)) for fact in {**before, **after}]
    moved = [change for change in found if change.log_odds != 0.0]
    return sorted(moved, key=lambda change: (-abs(change.log_odds), change.fact))


def _change(fact: str, then: Reason | None, now: Reason | None) -> Change:
    latest = now or then
    assert latest is not None, "a fact comes from one of both"
    return Change(
        fact=fact,
        label=latest.label,
        then=then.words if then else "",
        now=now.words if now else "",
        log_odds=(now.log_odds if now else 0.0) - (then.log_odds if then else 0.0),
    )
