"""How does a lead get its number? Facts -> features -> score -> reasons -> ledger -> answer.

One path for a stored lead, for many of them, for a lead that only the request knows, for the refresh
of the queue and for a file: `score_facts` computes, `keep` writes the ledger, `score` does both for
whatever was asked. Features are made with the *model's* lead definition, routes with the one that is
agreed on now. Nothing leaves that is not in the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.clock import iso
from features.definition import Definition
from features.errors import ConflictError, InputError, NotFoundError, PropensityError
from features.facts import Facts, Queries
from features.frames import Category, FeatureFrame
from features.gather import FactsBuilder
from features.pipeline import compute_features
from features.store.engine import Connection, Store
from features.store.history import Profile, load_facts, profiles
from features.store.ledger import record_scores
from models.explain import explain
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
from serving.standing import Standing, standings

__all__ = [
    "TOP",
    "Ask",
    "LeadScore",
    "Occasion",
    "Result",
    "Scorer",
    "keep",
    "score",
    "score_facts",
    "score_one",
    "score_stored",
]


def score(store: Store, scorer: Scorer, asks: Sequence[Ask], occasion: Occasion) -> list[Result]:
    """Score leads and write them into the ledger: one answer an ask, in the order asked.

    The score of a stored lead at the present instant also becomes its place in the queue.

    Args:
        store: where facts are read and, in one transaction, the ledger is written.
        scorer: what scores.
        asks: stored leads and leads that only the request describes, mixed as they come.
        occasion: when, where and with how many reasons.

    Returns:
        For each ask its score, or the error that says why there is none.
    """
    with store.read() as connection:
        known = profiles(connection, sorted({ask.lead for ask in asks}))
        results: list[Result | None] = [_refusal(ask, known) for ask in asks]
        askable = [(i, ask) for i, ask in enumerate(asks) if results[i] is None]
        stored = [(i, ask) for i, ask in askable if ask.records is None]
        given = [(i, ask) for i, ask in askable if ask.records is not None]
        definition = scorer.model.definition
        facts = _stored_facts(connection, definition, [ask for _, ask in stored])
    for rows, of_rows in ((stored, facts), (given, _given_facts(definition, given))):
        for (i, ask), found in zip(rows, _scored(scorer, rows, of_rows, occasion), strict=True):
            results[i] = found if found.standing.is_known else _not_known_yet(ask)
    numbered = iter(_kept(store, results, occasion, known))
    return [next(numbered) if isinstance(r, LeadScore) else r for r in results if r is not None]


def score_one(store: Store, scorer: Scorer, ask: Ask, occasion: Occasion) -> LeadScore:
    """Score one lead; see `score`.

    Raises:
        NotFoundError: the lead is not in the store.
        ConflictError: the lead must not be scored.
        InputError: nothing was known of the lead at that instant.
    """
    (result,) = score(store, scorer, [ask], occasion)
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
    model = scorer.model
    frame = compute_features(facts, queries, model.definition)
    scores = model.score(frame)
    explanations = explain(model, frame)
    places = standings(facts, queries, model.definition)
    doubts = _doubts(scorer, frame, places, occasion.now)
    found = []
    for i, explanation in enumerate(explanations):
        probability = float(scores.probability[i])
        like = _of_row(scores.leads_like_this, i)
        route = scorer.agreed.route_for(probability, like)
        found.append(
            LeadScore(
                lead=frame.lead_ids[i],
                as_of=int(frame.as_of[i]),
                scored_at=occasion.now,
                raw=float(scores.raw[i]),
                probability=probability,
                lower=_of_row(scores.lower, i),
                upper=_of_row(scores.upper, i),
                leads_like_this=like,
                route=route.name,
                route_label=route.words,
                base=explanation.base,
                reasons=explanation.top(occasion.reasons),
                caveats=[*caveats.of_evidence(scorer.agreed, like), *doubts[i]],
                horizon_days=model.horizon_days,
                model=model.digest,
                calibration=model.calibrator.kind,
                definition=model.definition.hash,
                inputs=frame.row(i),
                standing=places[i],
            )
        )
    return found


def _of_row(values: NDArray[np.float64] | None, row: int) -> float | None:
    return None if values is None else float(values[row])


def keep(
    connection: Connection,
    scores: Sequence[LeadScore],
    occasion: Occasion,
    known: Mapping[str, Profile],
) -> list[LeadScore]:
    """Write scores into the ledger; those of stored leads at the present also into the queue.

    Args:
        connection: from `Store.write`.
        scores: what `score_facts` gave.
        occasion: where they are given.
        known: the stored leads among them, by id.

    Returns:
        The scores with their numbers in the ledger.
    """
    entries = [ledger_entry(score, occasion) for score in scores]
    shown = [queue_entry(score, occasion, known.get(score.lead)) for score in scores]
    ids = record_scores(connection, entries, shown)
    return [replace(score, score_id=id_) for score, id_ in zip(scores, ids, strict=True)]


def _kept(
    store: Store,
    results: Sequence[Result | None],
    occasion: Occasion,
    known: Mapping[str, Profile],
) -> list[LeadScore]:
    """The scores among the results, written in one transaction; none is opened for nothing."""
    scores = [result for result in results if isinstance(result, LeadScore)]
    if not scores:
        return []
    with store.write() as connection:
        return keep(connection, scores, occasion, known)


def _scored(
    scorer: Scorer, rows: Sequence[tuple[int, Ask]], facts: Facts, occasion: Occasion
) -> list[LeadScore]:
    """The scores of these asks, whose leads are named as they were asked for."""
    if not rows:
        return []
    position = {lead: i for i, lead in enumerate(facts.lead_ids)}
    names = [_name_of(i, ask) for i, ask in rows]
    as_of = np.array([ask.as_of for _, ask in rows], dtype=np.int64)
    queries = Queries.at([position[name] for name in names], as_of)
    found = score_facts(scorer, facts, queries, occasion)
    return [
        replace(score, lead=ask.lead, is_stored=ask.records is None)
        for score, (_, ask) in zip(found, rows, strict=True)
    ]


def _name_of(i: int, ask: Ask) -> str:
    """What the facts call the lead of an ask; two asks may describe one lead differently."""
    return ask.lead if ask.records is None else str(i)


def _stored_facts(connection: Connection, definition: Definition, asks: Sequence[Ask]) -> Facts:
    latest = max((ask.as_of for ask in asks), default=0)
    return load_facts(connection, definition, list({ask.lead: None for ask in asks}), latest)


def _given_facts(definition: Definition, rows: Sequence[tuple[int, Ask]]) -> Facts:
    records = [
        replace(record, lead=_name_of(i, ask)) for i, ask in rows for record in ask.records or ()
    ]
    return FactsBuilder.of_records(definition, records).build()


def _refusal(ask: Ask, known: Mapping[str, Profile]) -> PropensityError | None:
    profile = known.get(ask.lead)
    if profile is not None and profile.do_not_score:
        return ConflictError("this lead must not be scored: the person objected to it")
    if profile is None and ask.records is None:
        return NotFoundError(
            "there is no such lead",
            hint="Send it first with PUT /v1/leads/{id}, or send its facts with the request.",
        )
    return None


def _not_known_yet(ask: Ask) -> InputError:
    return InputError(f"nothing was known of this lead before {iso(ask.as_of)}")


def _doubts(
    scorer: Scorer, frame: FeatureFrame, places: Sequence[Standing], now: int
) -> list[list[Caveat]]:
    """What each row's reader should know; what is true of the model is said in each."""
    model = scorer.model
    general = [
        *caveats.of_trouble(scorer.trouble, scorer.created_at),
        *caveats.of_model(model, scorer.agreed, scorer.created_at, now, scorer.stale_days),
    ]
    told = _attributes_told(frame)
    unseen = model.encoder.unseen(frame)
    return [
        [*general, *caveats.of_lead(place, unseen[i], model, nothing_told=not told[i])]
        for i, place in enumerate(places)
    ]


def _attributes_told(frame: FeatureFrame) -> NDArray[np.bool_]:
    """Whether any attribute of each row is known, shape (n,)."""
    told = np.zeros(len(frame), dtype=bool)
    for name, column in frame.columns.items():
        if name.startswith("attr_"):
            told |= column.codes >= 0 if isinstance(column, Category) else ~np.isnan(column)
    return told
