"""What would the undecided challengers have said? Scores beside the champion's that nobody is shown.

They are in the ledger under the channel `shadow` and nowhere else: not in the queue, not among current
scores, not in a lead's history. Made from the facts as they stood, for the same leads and the same
instant as the champion's, they are forward evidence on scores as they would have been shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from features.store.ledger import SHADOW, scores
from features.store.promotions import champion, kin, list_bundles, list_decisions

MOST = 2
"""So many challengers are scored beside the champion, the newest; each costs as much as a prediction."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """What two models said of the same leads at the same instants; lists of one length.

    Attributes:
        leads, as_of: whom, and when.
        challenger, champion: the probabilities told.
        raw_challenger, raw_champion: the log-odds that order.
        shown: the champion's scores, by their ids in the ledger.
    """

    leads: Sequence[str]
    as_of: Sequence[int]
    challenger: Sequence[float]
    champion: Sequence[float]
    raw_challenger: Sequence[float]
    raw_champion: Sequence[float]
    shown: Sequence[int]

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


def pairs(connection: Connection, challenger: str, against: str, before: int) -> Pairs:
    """What a shadow said beside what the champion showed of the same leads at the same instants.

    A lead counts once an instant, with the score that each gave first. What was shown may be by any
    calibration of the champion's booster: those followed, and that is what the challenger has to beat.
    What another booster showed is no evidence against this one.

    Args:
        connection: an open connection.
        challenger: digest of the shadow.
        against: digest of the champion.
        before: nothing scored at or after this instant is looked at.
    """
    shown = scores.alias()
    said = ("probability", "raw")
    columns: list[Any] = [scores.c.lead_id, scores.c.as_of, shown.c.id.label("shown")]
    columns += [scores.c[name].label(f"challenger_{name}") for name in said]
    columns += [shown.c[name].label(f"champion_{name}") for name in said]
    query = (
        select(*columns)
        .join(shown, (shown.c.lead == scores.c.lead) & (shown.c.as_of == scores.c.as_of))
        .where(scores.c.channel == SHADOW, scores.c.bundle == challenger)
        .where(shown.c.channel == "queue", shown.c.bundle.in_(sorted(kin(connection, against))))
        .where(scores.c.scored_at < before, shown.c.scored_at < before)
        .order_by(scores.c.as_of, scores.c.lead_id, scores.c.id, shown.c.id)
    )
    first: dict[tuple[int, str], Row[Any]] = {}
    for row in connection.execute(query).all():
        first.setdefault((row.as_of, row.lead_id), row)
    rows = list(first.values())
    return Pairs(
        leads=[str(row.lead_id) for row in rows],
        as_of=[int(row.as_of) for row in rows],
        challenger=[float(row.challenger_probability) for row in rows],
        champion=[float(row.champion_probability) for row in rows],
        raw_challenger=[float(row.challenger_raw) for row in rows],
        raw_champion=[float(row.champion_raw) for row in rows],
        shown=[int(row.shown) for row in rows],
    )
