"""What does a score not know? Everything that should make its reader careful, said in words.

A caveat never changes a score: it stands beside it, in the answer, on the page and in the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from features.clock import DAY, iso
from features.definition import Definition
from models.propensity import PropensityModel
from serving.standing import Standing


@dataclass(frozen=True, slots=True)
class Caveat:
    """One reason to be careful: `code` for machines, `message` for people."""

    code: str
    message: str

    def to_json(self) -> dict[str, str]:
        """As plain data."""
        return {"code": self.code, "message": self.message}


def of_model(
    model: PropensityModel,
    agreed: Definition,
    created_at: int | None,
    now: int,
    stale_days: float,
) -> list[Caveat]:
    """What makes every score of this model doubtful.

    Args:
        model: the model that scores.
        agreed: the lead definition as it stands now.
        created_at: when the model was made; None: not known.
        now: the present instant.
        stale_days: the age from which on a model counts as old.
    """
    found = [Caveat("model", str(said)) for said in model.about.get("warnings", ())]
    if model.definition.hash != agreed.hash:
        message = (
            "the lead definition has changed since the model learned; it scores by the old one"
        )
        found.append(Caveat("definition_differs", message))
    if created_at is None:
        found.append(Caveat("model_age_unknown", "it is not known how old the model is"))
    elif now - created_at > stale_days * DAY:
        message = f"the model was made {iso(created_at)[:10]}, more than {stale_days:g} days ago"
        found.append(Caveat("stale_model", message))
    return found


def of_trouble(trouble: str | None, created_at: int | None) -> list[Caveat]:
    """That the model is not the promoted one, and how old it is; nothing where it is."""
    if trouble is None:
        return []
    age = "" if created_at is None else f"; this score is of a model made {iso(created_at)[:10]}"
    return [Caveat("not_the_champion", trouble + age)]


def of_evidence(agreed: Definition, leads_like_this: float | None) -> list[Caveat]:
    """Whether too few leads were like this one for its probability to route it."""
    few = agreed.abstention
    if few is None or leads_like_this is None or leads_like_this >= few.fewer_than:
        return []
    message = (
        f"known only as well as from {leads_like_this:.2g} leads like this; with fewer than "
        f"{few.fewer_than:g} the agreed route is {few.route}, whatever the probability"
    )
    return [Caveat("not_enough_like_this", message)]


def of_lead(
    standing: Standing, unseen: Sequence[str], model: PropensityModel, nothing_told: bool
) -> list[Caveat]:
    """What makes this one score doubtful.

    Args:
        standing: where the lead stands.
        unseen: columns whose label the model has not learned.
        model: the model that scores.
        nothing_told: whether not one attribute is known.
    """
    found = []
    if unseen:
        labels = {spec.name: spec.label for spec in model.specs}
        found += [
            Caveat("unseen_category", f"{labels[name]}: the model has not learned this value")
            for name in unseen
        ]
    if not standing.is_open:
        stage = f" ({standing.stage})" if standing.stage else ""
        message = f"the lead is closed{stage}; the score speaks of leads that are open"
        found.append(Caveat("closed_lead", message))
    if nothing_told and standing.facts == 0:
        found.append(Caveat("no_facts", "nothing is known about the lead but that it is there"))
    return found
