"""Which of the scores that were shown speak for the model that scores now?

A *line* is a booster with all of its calibrations: they order leads alike, so the line's scores tell
how well it orders. The level is asked of the champion's own calibration, and of what it says now about
scores that its line showed after the newest row it has learned from: the raw score is the same bytes.
So a fresh calibration is watched from its first day, by scores whose outcomes are on their way already.

Rule: none of these outcomes can have been learned from. A lead that was known before the newest row
learned from may share its deal with a row of those, until the instant at which the calibration was made:
what it buys after that nobody knew (docs/decisions/0029).
"""

from __future__ import annotations

from dataclasses import dataclass

from features.store.engine import Connection
from features.store.promotions import champion, kin, list_decisions


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
    bundles = tuple(sorted(kin(connection, digest)))
    made = [d for d in list_decisions(connection) if d.decision in ("promote", "roll_back")]
    since = min(d.decided_at for d in made if d.bundle in bundles)
    latest = max(d.decided_at for d in made if d.bundle == digest)
    return Line(digest, bundles, since, latest)
