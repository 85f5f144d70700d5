"""How does a lead get its number? Facts -> features -> score -> reasons -> ledger -> answer.

One path for a stored lead, for many of them, for a lead that only the request knows, for the refresh
of the queue and for a file: `score_facts` computes, `keep` writes the ledger, `score` does both for
whatever was asked. Features are made with the *model's* lead definition, routes with the one that is
agreed on now. Nothing leaves that is not in the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.clock import iso
from features.definition import Definition
from features.errors import ConflictError, InputError, NotFoundError, PropensityError
from features.facts import Facts, Queries
from features.gather import FactsBuilder
from features.pipeline import compute_features
from features.store.engine import Connection, Store
from features.store.history import Profile, load_facts, profiles
from features.store.ledger import record_scores
from features.store.ledger_writer import DirectLedger, Ids, Ledger
from models.explain import top, weigh
from models.propensity import Told
from serving import caveats
from serving.caveats import Caveat
from serving.lead_score import (
    TOP,
    Ask,
    LeadScore,
    Occasion,
    Result,
    Scorer,
    ledger_entry,
    queue_entry,
)
from serving.plain_leads import Row
from serving.standing import Standing, standings

MUST_NOT_BE_SCORED = "this lead must not be scored: the person objected to it"

__all__ = [
    "MUST_NOT_BE_SCORED",
    "TOP",
    "Ask",
    "Asked",
    "LeadScore",
    "Occasion",
    "Result",
    "Scorer",
    "computed",
    "keep",
    "numbered",
    "score",
    "score_facts",
    "score_one",
    "score_stored",
    "submit",
]


def score(
    store: Store,
    scorer: Scorer,
    asks: Sequence[Ask],
    occasion: Occasion,
    ledger: Ledger | None = None,
) -> list[Result]:
    """Score leads and write them into the ledger: one answer an ask, in the order asked.

    The score of a stored lead at the present instant also becomes its place in the queue.

    Args:
        store: where facts are read.
        scorer: what scores.
        asks: stored leads and leads that only the request describes, mixed as they come.
        occasion: when, where and with how many reasons.
        ledger: where scores are written; by default at once, in a transaction of their own.

    Returns:
        For each ask its score, or the error that says why there is none.
    """
    results, known = computed(store, scorer, [(ask, occasion) for ask in asks])
    scores = [result for result in results if isinstance(result, LeadScore)]
    if not scores:
        return results
    ids = submit(ledger or DirectLedger(store), scores, known).result()
    return numbered(results, ids)


Asked = tuple[Ask, Occasion]
"""A lead to be scored, and when, where and with how many reasons."""


def computed(
    store: Store, scorer: Scorer, asked: Sequence[Asked], *, writer_refuses: bool = False
) -> tuple[list[Result], Mapping[str, Profile]]:
    """Score leads without writing anything: one read, one frame, one prediction for all.

    Args:
        store: where facts are read.
        scorer: what scores.
        asked: what several requests ask; nobody's answer depends on what else is asked.
        writer_refuses: nobody gets an answer before it is written, and whoever writes leaves out who
            objects; then a lead that brings its facts needs nothing of the store.

    Returns:
        For each its score, not yet in the ledger, or the error that says why there is none; and the
        stored leads among those asked about, by id.
    """
    if writer_refuses and all(ask.plain is not None for ask, _ in asked):
        return [*_scored_plainly(scorer, asked)], {}
    asks = [ask for ask, _ in asked]
    with store.read() as connection:
        known = profiles(connection, sorted({ask.lead for ask in asks}))
        results: list[Result | None] = [_refusal(ask, known) for ask in asks]
        open_rows = [(i, *asked[i]) for i, refused in enumerate(results) if refused is None]
        stored = [row for row in open_rows if row[1].is_stored]
        given = [row for row in open_rows if row[1].records is not None]
        plain = [row for row in open_rows if row[1].plain is not None]
        definition = scorer.model.definition
        facts = _stored_facts(connection, definition, [ask for _, ask, _ in stored])
    for rows, of_rows in ((stored, facts), (given, _given_facts(definition, given))):
        for (i, ask, _), found in zip(rows, _scored(scorer, rows, of_rows), strict=True):
            results[i] = found if found.standing.is_known else _not_known_yet(ask)
    for (i, *_), found in zip(
        plain, _scored_plainly(scorer, [row[1:] for row in plain]), strict=True
    ):
        results[i] = found
    return [result for result in results if result is not None], known


def score_one(
    store: Store, scorer: Scorer, ask: Ask, occasion: Occasion, ledger: Ledger | None = None
) -> LeadScore:
    """Score one lead; see `score`.

    Raises:
        NotFoundError: the lead is not in the store.
        ConflictError: the lead must not be scored.
        InputError: nothing was known of the lead at that instant.
    """
    (result,) = score(store, scorer, [ask], occasion, ledger)
    if isinstance(result, PropensityError):
        raise result
    return result


def score_stored(
    store: Store, scorer: Scorer, leads: Sequence[str], occasion: Occasion, as_of: int | None = None
) -> list[Result]:
    """Score stored leads at one instant, the present one by default; see `score`."""
    instant = occasion.now if as_of is None else as_of
    return score(store, scorer, [Ask(lead, instant) for lead in leads], occasion)


def score_facts(
    scorer: Scorer, facts: Facts, queries: Queries, occasion: Occasion
) -> list[LeadScore]:
    """Score what is known: nothing is read or written, and rows do not depend on each other.

    Args:
        scorer: what scores.
        facts: gathered with the model's definition; later facts among them are not looked at.
        queries: n (lead, as_of) pairs.
        occasion: when, where and with how many reasons.

    Returns:
        n scores, not yet in the ledger.
    """
    return _told(
        scorer, facts, queries, [(facts.lead_ids[i], occasion, True) for i in queries.lead]
    )


def _told(
    scorer: Scorer, facts: Facts, queries: Queries, given: Sequence[tuple[str, Occasion, bool]]
) -> list[LeadScore]:
    """Score what is known; `given` says of each query its lead, its occasion, whether it is stored."""
    model = scorer.model
    frame = compute_features(facts, queries, model.definition)
    leads = [
        _Seen(lead, int(as_of), occasion, is_stored, row, standing)
        for (lead, occasion, is_stored), as_of, row, standing in zip(
            given,
            queries.as_of,
            frame.rows(),
            standings(facts, queries, model.definition),
            strict=True,
        )
    ]
    return _put_together(scorer, model.told(frame), leads)


def _scored_plainly(scorer: Scorer, asked: Sequence[Asked]) -> list[LeadScore]:
    """The scores of leads that were read in one go."""
    leads = [
        _Seen(ask.lead, ask.as_of, occasion, False, ask.plain.row, ask.plain.standing)
        for ask, occasion in asked
        if ask.plain is not None
    ]
    if not leads:
        return []
    return _put_together(scorer, scorer.model.told_of([lead.row for lead in leads]), leads)


@dataclass(frozen=True, slots=True)
class _Seen:
    """One lead that is scored: who, when, and what is known of it."""

    lead: str
    as_of: int
    occasion: Occasion
    is_stored: bool
    row: Row
    standing: Standing


def _put_together(scorer: Scorer, said: Told, leads: Sequence[_Seen]) -> list[LeadScore]:
    """What the model says of leads, with all that belongs to it."""
    model, scores = scorer.model, said.scores
    weighed = weigh(model, said.shares)
    raw, probability = scores.raw.tolist(), scores.probability.tolist()
    lower, upper, likes = map(_listed, (scores.lower, scores.upper, scores.leads_like_this))
    found, doubts = [], _Doubts(scorer)
    for i, lead in enumerate(leads):
        row, occasion = lead.row, lead.occasion
        like = likes[i] if likes else None
        route = scorer.agreed.route_for(probability[i], like)
        kept = top(model, weighed[i], row, TOP)
        found.append(
            LeadScore(
                lead=lead.lead,
                as_of=lead.as_of,
                occasion=occasion,
                raw=raw[i],
                probability=probability[i],
                lower=lower[i] if lower else None,
                upper=upper[i] if upper else None,
                leads_like_this=like,
                route=route.name,
                route_label=route.words,
                base=said.base,
                reasons=kept
                if occasion.reasons == TOP
                else top(model, weighed[i], row, occasion.reasons),
                kept_reasons=kept,
                caveats=[
                    *caveats.of_evidence(scorer.agreed, like),
                    *doubts.at(occasion.now),
                    *caveats.of_lead(
                        lead.standing, said.unseen[i], model, nothing_told=not _has_attributes(row)
                    ),
                ],
                horizon_days=model.horizon_days,
                model=model.digest,
                calibration=model.calibrator.kind,
                definition=model.definition.hash,
                inputs=row,
                standing=lead.standing,
                is_stored=lead.is_stored,
            )
        )
    return found


def _listed(values: NDArray[np.float64] | None) -> list[float] | None:
    return None if values is None else values.tolist()


def submit(
    ledger: Ledger, scores: Sequence[LeadScore], known: Mapping[str, Profile]
) -> Future[Ids]:
    """Hand scores to the ledger; those of stored leads at the present go into the queue too.

    Args:
        ledger: where they are written.
        scores: what was computed.
        known: the stored leads among them, by id.

    Returns:
        Their numbers in the ledger, once it is as safe as was chosen that they will be there; None for
        one whose person objected or was erased since it was computed.
    """
    entries = [ledger_entry(score) for score in scores]
    return ledger.submit(entries, [queue_entry(score, known.get(score.lead)) for score in scores])


def numbered(results: Sequence[Result], ids: Sequence[int | None]) -> list[Result]:
    """The results, their scores having got their numbers in the ledger, or the reason why not."""
    given = iter(ids)
    return [
        _numbered(result, next(given)) if isinstance(result, LeadScore) else result
        for result in results
    ]


def _numbered(score: LeadScore, id_: int | None) -> Result:
    if id_ is None:
        return ConflictError(MUST_NOT_BE_SCORED)
    score.score_id = id_
    return score


def keep(connection: Connection, scores: Sequence[LeadScore], known: Mapping[str, Profile]) -> Ids:
    """Write scores into the ledger, and into the queue, within a transaction of the caller's.

    Args:
        connection: from `Store.write`.
        scores: what was computed.
        known: the stored leads among them, by id.

    Returns:
        Their numbers in the ledger.
    """
    entries = [ledger_entry(score) for score in scores]
    shown = [queue_entry(score, known.get(score.lead)) for score in scores]
    return record_scores(connection, entries, shown)


_Question = tuple[int, Ask, Occasion]
"""Which of the questions it is, what is asked, and on which occasion."""


def _scored(scorer: Scorer, rows: Sequence[_Question], facts: Facts) -> list[LeadScore]:
    """The scores of these asks, whose leads are named as they were asked for."""
    if not rows:
        return []
    position = {lead: i for i, lead in enumerate(facts.lead_ids)}
    as_of = np.array([ask.as_of for _, ask, _ in rows], dtype=np.int64)
    queries = Queries.at([position[_name_of(i, ask)] for i, ask, _ in rows], as_of)
    given = [(ask.lead, occasion, ask.is_stored) for _, ask, occasion in rows]
    return _told(scorer, facts, queries, given)


def _name_of(i: int, ask: Ask) -> str:
    """What the facts call the lead of an ask; two asks may describe one lead differently."""
    return ask.lead if ask.is_stored else str(i)


def _stored_facts(connection: Connection, definition: Definition, asks: Sequence[Ask]) -> Facts:
    latest = max((ask.as_of for ask in asks), default=0)
    return load_facts(connection, definition, list({ask.lead: None for ask in asks}), latest)


def _given_facts(definition: Definition, rows: Sequence[_Question]) -> Facts:
    named = [(_name_of(i, ask), ask.records or ()) for i, ask, _ in rows]
    return FactsBuilder.of_named(definition, named).build()


def _refusal(ask: Ask, known: Mapping[str, Profile]) -> PropensityError | None:
    profile = known.get(ask.lead)
    if profile is not None and profile.do_not_score:
        return ConflictError(MUST_NOT_BE_SCORED)
    if profile is None and ask.is_stored:
        return NotFoundError(
            "there is no such lead",
            hint="Send it first with PUT /v1/leads/{id}, or send its facts with the request.",
        )
    return None


def _not_known_yet(ask: Ask) -> InputError:
    return InputError(f"nothing was known of this lead before {iso(ask.as_of)}")


class _Doubts:
    """What is true of the model, and so is said with each of its scores; said once for an instant."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._now: int | None = None
        self._said: list[Caveat] = []

    def at(self, now: int) -> list[Caveat]:
        """The doubts at an instant."""
        if now != self._now:
            scorer, self._now = self._scorer, now
            self._said = [
                *caveats.of_trouble(scorer.trouble, scorer.created_at),
                *caveats.of_model(
                    scorer.model, scorer.agreed, scorer.created_at, now, scorer.stale_days
                ),
            ]
        return self._said


def _has_attributes(row: Row) -> bool:
    """Whether any attribute of the lead is known."""
    return any(value is not None for name, value in row.items() if name.startswith("attr_"))
