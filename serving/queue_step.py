"""How does the queue get its scores outside the service? The champion's, and its shadows' beside them.

One instant for all: the shadows speak of the leads and the moment that the champion spoke of, or their
scores would not be evidence. Run under the lease `serving.queueing.LEASE`, which the service shares.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from features.store.shadows import undecided
from models.workspace import Workspace
from serving.queueing import refresh_queue
from serving.shadows import score_shadows
from serving.state import LiveModel


def score_queue(
    workspace: Workspace,
    now: int,
    *,
    stale_days: float = 180.0,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """Score every open lead with the champion and with each shadow; None: left in the middle.

    Args:
        workspace: the installation.
        now: the as-of of every score.
        stale_days: the age from which on a model counts as old.
        stop: asked after each portion whether to leave the rest.

    Raises:
        NoModelError: nothing was promoted yet, or it could not be loaded.
    """
    live = LiveModel(workspace, lambda: now, stale_days)
    live.look()
    scorer = live.scorer()
    scored = refresh_queue(workspace.store, scorer, now, stop=stop)
    if stop():
        return None
    with workspace.store.read() as connection:
        named = undecided(connection)
    shadows = [workspace.registry.read(digest) for digest in named]
    logged = score_shadows(workspace.store, shadows, scorer.agreed, now, stop=stop)
    if stop():
        return None
    return {"scored": scored, "model": scorer.model.digest, "shadows": named, "logged": logged}
