"""How do the deals of a lead close and reopen it? A pure function of all that was said of them.

Deals are revised; the same external id with other content is a revision, and the last one recorded
counts. What a revision does to its lead takes effect when it was recorded, so that no earlier instant
learns of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from features.facts import StageChange
from features.store.ingest import content_key

Ending = Literal["won", "lost", "off_merit", "void"]
ENDINGS: tuple[Ending, ...] = ("won", "lost", "off_merit", "void")
"""How a deal can end; `off_merit` is junk, duplicate, test or unreachable, `void` annuls the deal."""

_LONG_AGO = -(2**63)

_STAGE = {"won": "won", "lost": "lost", "off_merit": "lost", "void": "reopened"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deal:
    """A deal that closed at `occurred_at`; `amount` in the company's currency."""

    lead: str
    ending: Ending
    occurred_at: int
    recorded_at: int
    amount: float | None = None
    reason: str | None = None
    source: str = "api"
    external_id: str | None = None


def named(deal: Deal) -> Deal:
    """The deal with an external id: without one of its own, a lead has one deal at a time."""
    return replace(
        deal, external_id=deal.external_id or f"#{content_key(deal.lead, deal.occurred_at)}"
    )


def key_of_deal(deal: Deal) -> tuple[str, str]:
    """Source and external id of a deal that has one."""
    assert deal.external_id is not None, "see named"
    return deal.source, deal.external_id


def content_of(deal: Deal) -> str:
    """A digest of all that a deal says; equal for two that say the same."""
    amount = None if deal.amount is None else float(deal.amount)
    return content_key(deal.lead, deal.ending, deal.occurred_at, amount, deal.reason)


def rank(deal: Deal) -> tuple[int, str]:
    """Revisions of a deal follow one another by this, in whatever order they arrive."""
    return deal.recorded_at, content_of(deal)


def closings(
    revisions: Iterable[Sequence[Deal]], worked: Mapping[str, Sequence[tuple[int, int]]]
) -> Callable[[str], Iterator[StageChange]]:
    """For a lead, the stage changes that all revisions of its deals make."""
    by_lead: dict[str, list[Deal]] = {}
    for known in revisions:
        for lead in {deal.lead for deal in known}:
            by_lead.setdefault(lead, []).extend(known)

    def of(lead: str) -> Iterator[StageChange]:
        return _course(lead, by_lead.get(lead, ()), worked.get(lead, ()))

    return of


def _course(
    lead: str, revisions: Sequence[Deal], worked: Sequence[tuple[int, int]]
) -> Iterator[StageChange]:
    """How a lead closes and reopens as revisions of its deals are recorded.

    A deal closes its lead when it happened. Annulling it, or moving it to another lead, takes effect
    when it is recorded, and so does what is closed under an earlier date after that. It reopens the
    lead unless another deal of it stands and the lead was not worked between that deal and this one.
    """
    standing: dict[tuple[str, str], tuple[int, str]] = {}
    closed = reopened = _LONG_AGO
    for deal in sorted(revisions, key=rank):
        key, stood = key_of_deal(deal), standing.pop(key_of_deal(deal), None)
        if deal.lead == lead and deal.ending != "void":
            at = deal.occurred_at
            if at <= reopened:
                at = max(deal.recorded_at, reopened + 1)
            closing = (at, _STAGE[deal.ending])
            standing[key] = closing
            if closing != stood:
                yield _stage_change(lead, deal, closing[1], at)
            closed = max(closed, at)
        elif stood is not None:
            before = max((at for at, _ in standing.values()), default=None)
            if before is None or _was_worked(worked, before, stood[0], deal.recorded_at):
                reopened = max(closed, deal.recorded_at)
                yield _stage_change(lead, deal, _STAGE["void"], reopened)


def _was_worked(worked: Sequence[tuple[int, int]], after: int, until: int, known: int) -> bool:
    """Whether a lead entered a stage after one close and until another, as far as is known by then."""
    return any(after < at <= until and recorded <= known for at, recorded in worked)


def _stage_change(lead: str, deal: Deal, stage: str, at: int) -> StageChange:
    return StageChange(
        lead=lead,
        stage=stage,
        occurred_at=at,
        recorded_at=deal.recorded_at,
        source=deal.source,
        external_id=f"deal:{content_key(deal.external_id, lead, stage, at, deal.recorded_at)}",
    )
