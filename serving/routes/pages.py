"""Which page answers which address? The queue, a lead, the model: read, put in words, rendered.

A rep sees the own leads only; another's lead is a page that does not exist. Nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from features.catalog import column_kinds
from features.clock import SECOND
from features.definition import Definition
from features.errors import NotFoundError
from features.frames import FeatureFrame
from features.store.access import Caller
from features.store.engine import Connection
from features.store.history import Profile, newest_fact, profiles, timeline
from features.store.ledger import newest_score, score_history
from features.store.promotions import list_bundles, list_decisions
from models.explain import explain
from models.questions import OpenQuestion
from serving import caveats, lead_view, markdown, model_view, queue_view, timeline_view, wording
from serving.deps import CallerDep, Conn, LiveModelDep, NowDep, Service, ServiceDep
from serving.pages import LeadPage, ModelPage, QueuePage, QueueRows, Results, Shell
from serving.queue_view import Filters
from serving.queueing import QueueView, queue_page
from serving.rendering import html
from serving.routes.insights import facts_of, supposed
from serving.security import NO_SUCH_LEAD, SEND_IT_FIRST, require_sight, sees_owner
from serving.shown_log import showings
from serving.state import LiveModel, LiveState

router = APIRouter(include_in_schema=False)

FACT_SECONDS = 60
"""How long the time of the newest fact is remembered: finding it reads whole tables."""

Text = Annotated[str, Query()]


def filters(
    q: Text = "", route: Text = "", kind: Text = "", owner: Text = "", page: Text = "1"
) -> Filters:
    """What the list is narrowed to; nonsense narrows it to nothing, and is never an error."""
    return Filters(_clean(route), _clean(kind), _clean(owner), _clean(q), page_number(page))


def _clean(text: str) -> str:
    """No lead, route or owner is longer, and the database takes no NUL."""
    return text.replace("\0", "").strip()[:300]


def page_number(text: str) -> int:
    """The page asked for, from 1; the first one for what is no number.

    >>> page_number("3"), page_number("-1"), page_number("x"), page_number("9" * 30)
    (3, 1, 1, 1)
    """
    return max(1, int(text)) if text.isascii() and text.isdecimal() and len(text) <= 6 else 1


FiltersDep = Annotated[Filters, Depends(filters)]


@router.get("/queue")
def queue(
    request: Request,
    parts: ServiceDep,
    connection: Conn,
    caller: CallerDep,
    live: LiveModelDep,
    now: NowDep,
    wanted: FiltersDep,
) -> Response:
    """Whom shall I call next?"""
    state, view = live.state, _view(parts, connection, caller, wanted, now)
    newest = newest_score(connection) or {"scored_at": None, "bundle": None}
    heading = _whose(caller, view)
    doubts = _doubts(parts, state, now)
    return html(
        QueuePage(
            title=heading,
            shell=_shell(caller, "queue"),
            heading=heading,
            promise=wording.promise(_promised(state).horizon_days),
            notices=[
                *model_view.trouble(state),
                *queue_view.stale(newest["scored_at"], newest["bundle"], _digest(state), now),
                *model_view.doubts(doubts),
            ],
            model=model_view.model_line(state.champion, now),
            scored=queue_view.moment_or_none(newest["scored_at"], now),
            newest_fact=queue_view.moment_or_none(_newest_fact(request, connection, now), now),
            search=wanted.search,
            kinds=queue_view.kinds(wanted.kind),
            owners=queue_view.owner_options(view.owners, wanted.owner),
            tabs=queue_view.tabs(state.agreed, view.routes, wanted.route),
            results=_results(view, wanted, state, now, doubts),
        )
    )


@router.get("/queue/rows")
def queue_rows(
    parts: ServiceDep,
    connection: Conn,
    caller: CallerDep,
    live: LiveModelDep,
    now: NowDep,
    wanted: FiltersDep,
) -> Response:
    """The part of the queue's page that a changed filter replaces; the address follows."""
    state, view = live.state, _view(parts, connection, caller, wanted, now)
    response = html(
        QueueRows(
            tabs=queue_view.tabs(state.agreed, view.routes, wanted.route),
            results=_results(view, wanted, state, now, _doubts(parts, state, now)),
        )
    )
    response.headers["HX-Push-Url"] = wanted.url
    return response


@router.get("/leads/{lead:path}")
def lead(
    lead: str,
    parts: ServiceDep,
    connection: Conn,
    caller: CallerDep,
    live: LiveModelDep,
    now: NowDep,
    t: Text = "1",
) -> Response:
    """What do we know about this lead, and why does it stand where it stands?"""
    state, page = live.state, page_number(t)
    profile = _visible(connection, caller, lead)
    facts = timeline(connection, lead, now)
    scores = [] if profile.do_not_score else _shown_scores(connection, lead)
    stage = next((fact["stage"] for fact in facts if fact["sort"] == "stage"), None)
    attributes, hidden = lead_view.attribute_lines(state.agreed, facts)
    doubts = _doubts(parts, state, now)
    url = queue_view.lead_url(lead)
    return html(
        LeadPage(
            title=profile.name or lead,
            shell=_shell(caller, "queue"),
            lead_id=lead,
            name=profile.name or lead,
            kind=profile.kind,
            owner=profile.owner,
            stage=queue_view.stage_words(state.agreed, stage) if stage else None,
            stage_roles=lead_view.stage_roles(state.agreed, stage),
            notices=[*model_view.trouble(state), *lead_view.closed(state.agreed, stage)],
            score=lead_view.lead_score(_whole(scores[0], state), state.agreed, now, doubts)
            if scores
            else None,
            unscored=lead_view.why_unscored(
                profile, stage, state.agreed, has_model=state.champion is not None
            ),
            questions=lead_view.question_cards(
                state.agreed, facts, now, _worth_asking(connection, live, profile, stage, now)
            ),
            attributes=attributes,
            hidden=hidden,
            happenings=timeline_view.happenings(state.agreed, facts, page, now),
            span=timeline_view.timeline_span(page, len(facts)),
            newer=f"{url}?t={page - 1}#timeline" if page > 1 else None,
            older=f"{url}?t={page + 1}#timeline"
            if page * timeline_view.HAPPENINGS < len(facts)
            else None,
            chart=lead_view.chart(state.agreed, scores),
            history=lead_view.past_scores(state.agreed, scores, _made(connection), now),
        )
    )


@router.get("/model")
def model(
    parts: ServiceDep, connection: Conn, caller: CallerDep, live: LiveModelDep, now: NowDep
) -> Response:
    """Which model scores, how good is it, and who decided so?"""
    state = live.state
    champion = state.champion
    card = champion.card if champion else ""
    return html(
        ModelPage(
            title="Model",
            shell=_shell(caller, "model"),
            promise=wording.promise(_promised(state).horizon_days),
            model=model_view.model_line(champion, now),
            emptiness=None if champion else model_view.no_model(),
            figures=model_view.figures(champion.model.about) if champion else [],
            notices=[*model_view.trouble(state), *model_view.doubts(_doubts(parts, state, now))],
            reliability=model_view.reliability(champion.model.about) if champion else None,
            card=markdown.parse(card),
            decisions=model_view.decision_lines(list_decisions(connection), now),
        )
    )


def _view(
    parts: Service, connection: Connection, caller: Caller, wanted: Filters, now: int
) -> QueueView:
    """A page of the queue; that it was shown is noted."""
    view = queue_page(
        connection,
        caller,
        owner=wanted.owner or None,
        route=wanted.route or None,
        kind=wanted.kind or None,
        search=wanted.search or None,
        page=wanted.page,
        per_page=queue_view.PAGE_SIZE,
        rules=parts.settings.rules,
        now=now,
    )
    parts.shown.note(showings(view.rows, view.offset + 1, view.name, "page", now))
    return view


def _results(
    view: QueueView, wanted: Filters, state: LiveState, now: int, doubts: Sequence[str]
) -> Results:
    emptiness = queue_view.nothing_here(
        wanted,
        view.owner,
        has_model=state.champion is not None,
        has_leads=bool(sum(view.routes.values())),
    )
    # What is true of every score is said once above the list.
    return queue_view.results(
        [_less(row, doubts) for row in view.rows],
        view.total,
        wanted,
        state.agreed,
        now,
        emptiness,
        shows_owner=view.owner is None,
    )


def _less(row: Mapping[str, Any], doubts: Sequence[str]) -> dict[str, Any]:
    return {**row, "warnings": [said for said in row["warnings"] if said not in doubts]}


def _shell(caller: Caller, here: Any) -> Shell:
    return Shell(here=here, caller=caller.name, role=caller.role, csrf=caller.csrf)


def _whose(caller: Caller, view: QueueView) -> str:
    if sees_owner(caller) is not None:
        return "Your queue"
    return f"Queue of {view.owner}" if view.owner else "Everybody's queue"


def _promised(state: LiveState) -> Definition:
    """The definition whose horizon the probabilities are about."""
    return state.champion.model.definition if state.champion else state.agreed


def _digest(state: LiveState) -> str | None:
    return state.champion.model.digest if state.champion else None


def _doubts(parts: Service, state: LiveState, now: int) -> list[str]:
    """What makes every score of the model doubtful."""
    if state.champion is None:
        return []
    champion, days = state.champion, parts.settings.stale_model_days
    found = caveats.of_model(champion.model, state.agreed, champion.created_at, now, days)
    return [caveat.message for caveat in found]


def _visible(connection: Connection, caller: Caller, lead: str) -> Profile:
    """The lead, if there is one that the caller may see.

    Raises:
        NotFoundError: there is none; the same for another's lead.
    """
    # The database takes no NUL, and so there is no lead with one.
    profile = None if "\0" in lead else profiles(connection, [lead]).get(lead)
    if profile is None:
        raise NotFoundError(NO_SUCH_LEAD, hint=SEND_IT_FIRST)
    require_sight(caller, profile.owner)
    return profile


def _shown_scores(connection: Connection, lead: str) -> list[dict[str, Any]]:
    """A stored lead's scores, newest first; those of facts that only a request knew are not its own."""
    return score_history(connection, lead, stored_only=True)


def _worth_asking(
    connection: Connection, live: LiveModel, profile: Profile, stage: str | None, now: int
) -> list[OpenQuestion]:
    """The open questions of an open lead, where there is a model to tell what they may bring."""
    closed = lead_view.is_closed(live.agreed, stage)
    if live.state.champion is None or profile.do_not_score or closed:
        return []
    scorer = live.scorer()
    return supposed(scorer, facts_of(connection, scorer, profile.lead, now), now)


def _whole(score: Mapping[str, Any], state: LiveState) -> dict[str, Any]:
    """A score with all of its reasons, where the model that gave it is at hand to tell them."""
    if _digest(state) != score["bundle"] or state.champion is None:
        return dict(score)
    scorer = state.champion.model
    frame = FeatureFrame.of_rows([score["inputs"]], column_kinds(scorer.catalog))
    found = scorer.score(frame)
    whole = {**score, "reasons": explain(scorer, frame)[0].top(lead_view.MOST_REASONS)}
    if found.lower is None or found.upper is None or found.leads_like_this is None:
        return whole
    return {
        **whole,
        "lower": float(found.lower[0]),
        "upper": float(found.upper[0]),
        "leads_like_this": float(found.leads_like_this[0]),
    }


def _made(connection: Connection) -> dict[str, tuple[int, str]]:
    return {b.digest: (b.created_at, b.origin) for b in list_bundles(connection)}


def _newest_fact(request: Request, connection: Connection, now: int) -> int | None:
    """When the newest fact was recorded, as known within the last minute."""
    state = request.app.state
    looked_at, found = getattr(state, "newest_fact", (None, None))
    if looked_at is None or not 0 <= now - looked_at < FACT_SECONDS * SECOND:
        found = newest_fact(connection)
        state.newest_fact = (now, found)
    return found
