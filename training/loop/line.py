"""Which of the scores that were shown speak for the model that scores now?

A *line* is a booster with all of its calibrations: they order leads alike, so the line's scores tell
how well it orders. The level is asked of the champion's own calibration, and of what it says now about
scores that its line showed after the last outcome it has learned from: the raw score is the same bytes,
and no outcome of theirs has entered the calibration. So a fresh calibration is watched from its first
day, by scores whose outcomes are on their way already (docs/decisions/0029).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from features.store.engine import Connection
from features.store.promotions import BundleRecord, champion, list_bundles, list_decisions


@dataclass(frozen=True, slots=True)
class Line:
    """The champion's booster with all of its calibrations.

    Attributes:
        champion: digest of what scores now.
        bundles: digests of the line's bundles.
        since: when one of them was promoted first, an instant.
        promoted_at: when the champion became it, the last time.
    """

    champion: str
    bundles: tuple[str, ...]
    since: int
    promoted_at: int


def line_of_champion(connection: Connection) -> Line | None:
    """The line of what scores now; None before the first promotion."""
    digest = champion(connection)
    if digest is None:
        return None
    parents = _parents(list_bundles(connection))
    root = _root(digest, parents)
    bundles = tuple(sorted(one for one in {*parents, digest} if _root(one, parents) == root))
    made = [d for d in list_decisions(connection) if d.decision in ("promote", "roll_back")]
    since = min(d.decided_at for d in made if d.bundle in bundles)
    latest = max(d.decided_at for d in made if d.bundle == digest)
    return Line(digest, bundles, since, latest)


def _parents(bundles: Sequence[BundleRecord]) -> dict[str, str | None]:
    """Digest -> the bundle whose booster it carries on with; None where the booster is its own."""
    return {b.digest: b.parent if b.origin == "recalibrate" else None for b in bundles}


def _root(digest: str, parents: dict[str, str | None]) -> str:
    seen = {digest}
    while (parent := parents.get(digest)) is not None and parent not in seen:
        digest = parent
        seen.add(digest)
    return digest
