"""Is a challenger better than what is shown? By its scores as a shadow, or by what it would have said.

Shadow scores come first: they were made before their outcomes, from the facts as they stood, of every
lead and not only of those kept from learning. Until enough of them have matured, the two models are
compared on matured rows that neither has learned from (`training.promote.paired_verdict`): both as they
were judged, because a challenger has yet to be fitted once more (`training.refit`). One of the two sorts
of evidence decides, never the better-looking one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.definition import Definition
from features.facts import Ints, Queries
from features.frames import Category
from features.store.engine import Store
from features.store.merges import Numbering, known_families
from features.store.outcomes import load_outcomes
from features.store.shadows import Pairs, pairs
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.dataset import newest_cutoff
from training.guards import AsShown
from training.labels import label
from training.promote import paired_verdict
from training.segments import scored_frame, segments_of
from training.unseen import judged_as
from training.verdicts import LEAST_WINS, Verdict, compare

SHADOWS = "shadow scores"
REBUILT = "matured rows that neither has learned from"


def challenger_verdict(
    workspace: Workspace, digest: str, present: str | None, *, now: int, seed: int
) -> Verdict:
    """What the evidence says about a challenger; `evidence["rows_from"]` says which evidence.

    Args:
        workspace: the installation.
        digest: of the challenger.
        present: of the champion; None: there is none.
        now: the present instant.
        seed: of the resampling.
    """
    if present is not None:
        verdict = shadow_verdict(workspace, digest, present, now=now, seed=seed)
        if verdict is not None:
            return verdict
    against = None if present is None else judged_as(workspace.registry.load(present))
    verdict = paired_verdict(workspace, digest, against, seed, recalibrated=True)
    return replace(verdict, evidence={**verdict.evidence, "rows_from": REBUILT})


def shadow_verdict(
    workspace: Workspace, digest: str, present: str, *, now: int, seed: int
) -> Verdict | None:
    """What came of a shadow's scores beside those shown.

    None while too few have matured, and for a challenger that promises something else: what came
    of its scores is not what came of the champion's.
    """
    store, champion = workspace.store, workspace.registry.load(present)
    if workspace.registry.load(digest).definition.hash != champion.definition.hash:
        return None
    with store.read() as connection:
        found = pairs(connection, digest, present, now)
    if len(found) == 0:
        return None
    y, lead = _outcomes(store, champion.definition, found)
    known = np.flatnonzero(y >= 0)
    wins, losses = (len(np.unique(lead[known][y[known] == won])) for won in (1, 0))
    if min(wins, losses) < LEAST_WINS:
        return None
    said, champion_said, raw, champion_raw = (
        np.array(column)[known]
        for column in (found.challenger, found.champion, found.raw_challenger, found.raw_champion)
    )
    verdict = compare(
        said,
        champion_said,
        y[known],
        lead[known],
        seed,
        segments=_segments(store, champion, found, known),
        shown=AsShown(raw, champion_raw, said, champion_said, np.ones(len(known), dtype=np.bool_)),
    )
    reason = f"{verdict.reason}, by its scores as a shadow"
    return Verdict(verdict.decision, reason, {**verdict.evidence, "rows_from": SHADOWS})


def _segments(
    store: Store, champion: PropensityModel, found: Pairs, rows: Ints
) -> dict[str, Category]:
    """The segments of these pairs, by what the champion was shown of them when it scored."""
    with store.read() as connection:
        ids = np.array(found.shown, dtype=np.int64)[rows]
        frame = scored_frame(connection, champion, ids, np.array(found.as_of, dtype=np.int64)[rows])
    return segments_of(frame, champion)


def _outcomes(store: Store, definition: Definition, found: Pairs) -> tuple[Ints, Ints]:
    """What came of each pair (−1: not known yet), and a number per lead; both of shape (n,).

    Leads that have become one share a number.
    """
    names = list(dict.fromkeys(found.leads))
    position = {name: i for i, name in enumerate(names)}
    lead = np.array([position[name] for name in found.leads], dtype=np.int64)
    cutoff = newest_cutoff(store)
    with store.read() as connection:
        deals = load_outcomes(connection, names, cutoff)
        number = Numbering(known_families(connection, cutoff)).of(names)
    queries = Queries(lead, np.array(found.as_of, dtype=np.int64))
    return label(queries, deals, definition, cutoff).y, number[lead]
