"""What would the undecided challengers have said? Scores beside the champion's that nobody is shown.

They are in the ledger under the channel `shadow` and nowhere else: not in the queue, not among current
scores, not in a lead's history. Made from the facts as they stood, for the same leads and the same
instant as the champion's, they are forward evidence on scores as they would have been shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from features.store.ledger import SHADOW, scores
from features.store.promotions import champion, kin, list_bundles, list_decisions

MOST = 2
"""So many challengers are scored beside the champion, the newest; each costs as much as a prediction."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """What two models said of the same leads at the same instants; lists of one length."""

    leads: Sequence[str]
    as_of: Sequence[int]
    challenger: Sequence[float]
    champion: Sequence[float]

    def __len__(self) -> int:
        return len(self.leads)


def undecided(connection: Connection, most: int = MOST) -> list[str]:
    """The newest trained challengers of which the last word was *undecided* against this champion.

    A recalibration of the champion leaves them what they are: its booster is the same. Before the first
    promotion: those that were not found better than none.
    """
    present = champion(connection)
    line = {None} if present is None else kin(connection, present)
    last = {d.bundle: d for d in list_decisions(connection) if d.decision != "roll_back"}
    named = [
        bundle.digest
        for bundle in list_bundles(connection)
        if bundle.origin == "train"
        and bundle.digest in last
        and last[bundle.digest].decision == "undecided"
        and last[bundle.digest].against in line
    ]
    return named[:most]


def pairs(connection: Connection, challenger: str, before: int) -> Pairs:
    """What a shadow said beside what was shown of the same leads at the same instants.

    A lead counts once an instant. What was shown may be of several champions: it is what the
    challenger has to beat.

    Args:
        connection: an open connection.
        challenger: digest of the shadow.
        before: nothing scored at or after this instant is looked at.
    """
    shown = scores.alias()
    query = (
        select(
            scores.c.lead_id,
            scores.c.as_of,
            func.max(scores.c.probability).label("challenger"),
            func.max(shown.c.probability).label("champion"),
        )
        .join(shown, (shown.c.lead == scores.c.lead) & (shown.c.as_of == scores.c.as_of))
        .where(scores.c.channel == SHADOW, scores.c.bundle == challenger)
        .where(shown.c.channel == "queue", scores.c.scored_at < before)
        .group_by(scores.c.lead_id, scores.c.as_of)
        .order_by(scores.c.as_of, scores.c.lead_id)
    )
    rows = connection.execute(query).all()
    return Pairs(
        [str(row.lead_id) for row in rows],
        [int(row.as_of) for row in rows],
        [float(row.challenger) for row in rows],
        [float(row.champion) for row in rows],
    )
