"""Is a challenger better than what is shown? By its scores as a shadow, or by what it would have said.

Shadow scores come first: they were made before their outcomes, from the facts as they stood, of every
lead and not only of those kept from learning. Until enough of them have matured, the two models are
compared on matured rows that neither has learned from (`training.promote.paired_verdict`). One of the
two decides, never the better-looking one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.definition import Definition
from features.facts import Queries
from features.store.engine import Store
from features.store.outcomes import load_outcomes
from features.store.shadows import Pairs, pairs
from models.workspace import Workspace
from training.dataset import newest_cutoff
from training.labels import label
from training.promote import paired_verdict
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
        verdict = shadow_verdict(workspace, digest, now=now, seed=seed)
        if verdict is not None:
            return verdict
    verdict = paired_verdict(workspace, digest, present, seed)
    return replace(verdict, evidence={**verdict.evidence, "rows_from": REBUILT})


def shadow_verdict(workspace: Workspace, digest: str, *, now: int, seed: int) -> Verdict | None:
    """What came of a shadow's scores beside those shown; None while too few have matured."""
    store, definition = workspace.store, workspace.definition()
    with store.read() as connection:
        found = pairs(connection, digest, now)
    if len(found) == 0:
        return None
    y, lead = _outcomes(store, definition, found)
    known = np.flatnonzero(y >= 0)
    wins, losses = (len(np.unique(lead[known][y[known] == won])) for won in (1, 0))
    if min(wins, losses) < LEAST_WINS:
        return None
    said = (np.array(found.challenger)[known], np.array(found.champion)[known])
    verdict = compare(*said, y[known], lead[known], seed)
    reason = f"{verdict.reason}, by its scores as a shadow"
    return Verdict(verdict.decision, reason, {**verdict.evidence, "rows_from": SHADOWS})


def _outcomes(
    store: Store, definition: Definition, found: Pairs
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """What came of each pair (−1: not known yet), and a number per lead; both of shape (n,)."""
    names = list(dict.fromkeys(found.leads))
    position = {name: i for i, name in enumerate(names)}
    lead = np.array([position[name] for name in found.leads], dtype=np.int64)
    cutoff = newest_cutoff(store)
    with store.read() as connection:
        deals = load_outcomes(connection, names, cutoff)
    queries = Queries(lead, np.array(found.as_of, dtype=np.int64))
    return label(queries, deals, definition, cutoff).y, lead
