"""What would the undecided challengers say of the leads that the queue shows? Logged, shown to nobody.

Beside the champion's scores of the same leads at the same instant, so that what comes of them compares
the two as they would have been shown. Never part of a request: only the step that renews
the queue does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from features.definition import Definition
from features.facts import Facts, Queries
from features.pipeline import compute_features
from features.store.engine import Store
from features.store.history import iter_open
from features.store.ledger import SHADOW, ScoreEntry, record_scores
from models.propensity import PropensityModel
from serving.queueing import TOGETHER


def score_shadows(
    store: Store,
    challengers: Sequence[PropensityModel],
    agreed: Definition,
    now: int,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Score every open lead with each challenger; how many scores were logged.

    Args:
        store: where facts are read and scores are written, a portion at a time.
        challengers: the models, each with its digest.
        agreed: says where a probability would have sent a lead.
        now: the as-of of every score; that of the champion's scores beside them.
        stop: asked after each portion whether to leave the rest.
    """
    done = 0
    for model in challengers:
        with store.read() as connection:
            for facts, queries in iter_open(connection, model.definition, now, portion=TOGETHER):
                entries = _entries(model, agreed, facts, queries, now)
                with store.write() as writer:
                    record_scores(writer, entries, [None] * len(entries))
                done += len(entries)
                if stop():
                    return done
    return done


def _entries(
    model: PropensityModel, agreed: Definition, facts: Facts, queries: Queries, now: int
) -> list[ScoreEntry]:
    frame = compute_features(facts, queries, model.definition)
    scores, rows = model.score(frame), frame.rows()
    likes = np.full(len(rows), np.nan) if scores.leads_like_this is None else scores.leads_like_this
    return [
        ScoreEntry(
            lead=facts.lead_ids[lead],
            as_of=now,
            scored_at=now,
            raw=raw,
            probability=probability,
            route=agreed.route_for(probability, None if np.isnan(like) else like).name,
            bundle=model.digest,
            definition=model.definition.hash,
            inputs=row,
            reasons=[],
            channel=SHADOW,
        )
        for lead, raw, probability, like, row in zip(
            queries.lead.tolist(),
            scores.raw.tolist(),
            scores.probability.tolist(),
            likes.tolist(),
            rows,
            strict=True,
        )
    ]
