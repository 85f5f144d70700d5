"""What does the queue's page say? The ledger's rows in words, in the ledger's order.

Rows are never sorted here: the order is the ledger's, and so is the tie rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from features.clock import iso
from features.definition import Definition, Route
from serving import wording
from serving.pages import (
    Chance,
    Emptiness,
    Moment,
    Notice,
    Option,
    QueueRow,
    ReasonWords,
    Results,
    RouteTab,
    RouteWords,
)

PAGE_SIZE = 50
REASONS = 3
LEAST_LOG_ODDS = 0.05
"""A weaker reason is left out of the list; it is on the lead's page."""
STALE_SCORES_DAYS = 2
"""Scores older than this are warned of: the queue is meant to be scored every night."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What the list is narrowed to; empty text: not at all. Pages count from 1."""

    route: str = ""
    kind: str = ""
    owner: str = ""
    search: str = ""
    page: int = 1

    @property
    def any(self) -> bool:
        """Whether the list is narrowed by anything but its owner."""
        return bool(self.route or self.kind or self.search)

    @property
    def offset(self) -> int:
        """Rows before the page."""
        return (self.page - 1) * PAGE_SIZE

    @property
    def url(self) -> str:
        """The address of this list: only what differs from the whole list is named."""
        named = {
            "q": self.search,
            "route": self.route,
            "kind": self.kind,
            "owner": self.owner,
            "page": "" if self.page == 1 else str(self.page),
        }
        query = urlencode({name: value for name, value in named.items() if value})
        return f"/queue?{query}" if query else "/queue"

    def at(self, page: int) -> Filters:
        """Another page of the same list."""
        return replace(self, page=page)


def results(
    rows: Sequence[Mapping[str, Any]],
    total: int,
    filters: Filters,
    definition: Definition,
    now: int,
    emptiness: Emptiness,
    *,
    shows_owner: bool,
) -> Results:
    """A page of the queue, in the order given."""
    return Results(
        rows=[
            queue_row(row, filters.offset + i + 1, definition, now) for i, row in enumerate(rows)
        ],
        range=_range(len(rows), total, filters),
        previous=filters.at(filters.page - 1).url if filters.page > 1 and rows else None,
        next=filters.at(filters.page + 1).url if filters.offset + len(rows) < total else None,
        shows_owner=shows_owner,
        emptiness=None if rows else emptiness,
    )


def queue_row(row: Mapping[str, Any], place: int, definition: Definition, now: int) -> QueueRow:
    """One row of the ledger's queue in words."""
    lead_id = str(row["lead_id"])
    return QueueRow(
        place=place,
        lead_id=lead_id,
        name=row["name"] or lead_id,
        url=lead_url(lead_id),
        chance=chance(row["probability"]),
        raw=wording.plain(row["raw"], 3),
        route=route_words(definition, row["route"]),
        reasons=[reason_words(reason) for reason in telling(row["reasons"])[:REASONS]],
        stage=None if row["stage"] is None else stage_words(definition, row["stage"]),
        kind=str(row["kind"]),
        owner=row["owner"],
        touched=moment_or_none(row["last_touch"], now),
        warnings=[str(warning) for warning in row["warnings"]],
    )


def chance(probability: float) -> Chance:
    """A probability in words and as a length."""
    return Chance(
        percent=wording.percent(probability),
        exactly=wording.percent_exactly(probability),
        share=round(probability * 100, 2),
    )


def moment(instant: int, now: int) -> Moment:
    """An instant in words."""
    return Moment(ago=wording.ago(instant, now), at=wording.at_minute(instant), iso=iso(instant))


def moment_or_none(instant: int | None, now: int) -> Moment | None:
    """An instant in words, if there is one."""
    return None if instant is None else moment(instant, now)


def lead_url(lead_id: str) -> str:
    """The address of a lead's page."""
    return f"/leads/{quote(lead_id, safe='')}"


def route_words(definition: Definition, name: str) -> RouteWords:
    """A route by its name; one that the definition no longer has is called by its name alone."""
    by_name = {route.name: (tone, route) for tone, route in enumerate(definition.routes)}
    tone, route = by_name.get(name, (len(definition.routes), Route(name=name)))
    otherwise = by_name.get(route.if_not_accepted or "")
    hours = route.respond_within_hours
    return RouteWords(
        name=route.name,
        label=route.words,
        tone=_tone(tone, len(definition.routes)),
        respond=None if hours is None else wording.hours(hours),
        responsible=route.responsible,
        threshold=wording.threshold(route.at_least),
        otherwise=otherwise[1].words if otherwise else None,
    )


def _tone(place: int, routes: int) -> int:
    """The colour of a route: the last one is always the quiet one."""
    return 3 if place >= routes - 1 else min(place, 2)


def telling(reasons: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The reasons worth a line: not the sum of the rest, and nothing shown as × 1.0."""
    return [
        reason
        for reason in reasons
        if reason["fact"] != "rest" and abs(reason["log_odds"]) >= LEAST_LOG_ODDS
    ]


def reason_words(reason: Mapping[str, Any]) -> ReasonWords:
    """A reason in words; an attribute's value says little without its label."""
    words = str(reason["words"])
    if str(reason["fact"]).startswith(("attribute:", "lead:kind")):
        words = f"{reason['label']}: {words}"
    return ReasonWords(
        raises=reason["log_odds"] > 0, words=words, odds=wording.odds(reason["log_odds"])
    )


def stage_words(definition: Definition, name: str) -> str:
    """A stage as people call it; one that the definition no longer has goes by its name."""
    return next((s.words for s in definition.all_stages if s.name == name), name)


def tabs(definition: Definition, counts: Mapping[str, int], chosen: str) -> list[RouteTab]:
    """All leads, then each route with how many leads are on it."""
    every = RouteTab(
        name="",
        label="All open leads",
        tone=4,
        count=f"{sum(counts.values()):,}",
        about="by raw score, highest first",
        chosen=not chosen,
    )
    return [every, *(_tab(definition, route, counts, chosen) for route in definition.routes)]


def _tab(definition: Definition, route: Route, counts: Mapping[str, int], chosen: str) -> RouteTab:
    words = route_words(definition, route.name)
    lowest = min((other.at_least for other in definition.routes if other.at_least), default=0.0)
    about = f"from {words.threshold}" if route.at_least else f"below {wording.threshold(lowest)}"
    return RouteTab(
        name=route.name,
        label=words.label,
        tone=words.tone,
        count=f"{counts.get(route.name, 0):,}",
        about=f"{about} · within {words.respond}" if words.respond else about,
        chosen=route.name == chosen,
    )


def kinds(chosen: str) -> list[Option]:
    """Prospects, clients or both."""
    labels = {"": "Prospects and clients", "prospect": "Prospects only", "client": "Clients only"}
    return [Option(value=k, label=label, chosen=k == chosen) for k, label in labels.items()]


def owner_options(names: Sequence[str], chosen: str) -> list[Option]:
    """Everybody, or one of those who own open leads; nothing to choose where there is nobody."""
    if not names:
        return []
    found = [Option(value="", label="Everybody's leads", chosen=not chosen)]
    return found + [Option(value=n, label=n, chosen=n == chosen) for n in names]


def _range(shown: int, total: int, filters: Filters) -> str:
    if not shown:
        return "No leads"
    if total <= PAGE_SIZE and filters.page == 1:
        return wording.counted(total, "lead")
    first = filters.offset + 1
    return f"rows {first:,}–{filters.offset + shown:,} of {total:,}"


def nothing_here(
    filters: Filters, owner: str | None, *, has_model: bool, has_leads: bool
) -> Emptiness:
    """Why the list is empty, and what to do about it.

    Args:
        filters: what the list is narrowed to.
        owner: whose list it is; None for everybody's.
        has_model: whether something scores.
        has_leads: whether the list would hold anything if it were not narrowed.
    """
    if has_leads and filters.page > 1:
        return Emptiness(
            title="This page is past the end of the list",
            text="There are fewer leads than that.",
            link=filters.at(1).url,
            link_label="Go to the first page",
        )
    if has_leads and filters.any:
        return Emptiness(
            title="No lead matches",
            text="The list holds leads, but none with all of these filters at once.",
            link=Filters(owner=filters.owner).url,
            link_label="Clear the filters",
        )
    if not has_model:
        return Emptiness(
            title="No model scores yet",
            text="Leads are ranked once a model was trained on closed deals and promoted. "
            "Whoever runs this installation does that with:",
            command="propensity train",
        )
    return Emptiness(
        title="No open leads" if owner is None else f"No open leads of {owner}",
        text="Leads come in by import or from the CRM and appear here once they are open and scored, "
        "within the hour. If there should be some: is the owner written in the CRM exactly as in "
        "the account here?",
    )


def stale(
    scored_at: int | None, bundle: str | None, champion: str | None, now: int
) -> list[Notice]:
    """Whether the newest scores are old, or given by another model than the one that scores now."""
    notices = []
    if scored_at is not None and now - scored_at > STALE_SCORES_DAYS * 86_400_000_000:
        notices.append(
            Notice(
                kind="warning",
                title=f"These scores are {wording.span(now - scored_at)} old",
                text="What happened since is not in them. Ask for the queue to be scored again.",
            )
        )
    if bundle is not None and champion is not None and bundle != champion:
        notices.append(
            Notice(
                kind="note",
                title="A new model has been promoted",
                text="The list shows the scores of the one before until it is scored again.",
            )
        )
    return notices
