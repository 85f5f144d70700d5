"""By which rules were leads put in order, and since when? One row for each change of the settings.

Who reads results asks which share was explored and which was held out at the time, and not what is set
today.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Connection, Float, Integer, Table, select

from features.store.consent import lead_hashes
from features.store.ingest import insert_ignoring
from features.store.tables import Instant, metadata

trials = Table(
    "trials",
    metadata,
    Column("since", Instant, primary_key=True, autoincrement=False),
    Column("explore", Float(53), nullable=False),
    Column("holdout", Float(53), nullable=False),
    Column("top", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Rules:
    """How a list is put in order.

    Attributes:
        explore: share of the first `top` places that is filled by lot, in [0, 1).
        holdout: share of the leads that are placed by lot, whatever their score, in [0, 1).
        top: how many places are the ones that get worked.
    """

    explore: float = 0.0
    holdout: float = 0.0
    top: int = 50

    @property
    def are_plain(self) -> bool:
        """Whether the list is in the order of the scores and nothing else."""
        return not (self.explore or self.holdout)


@dataclass(frozen=True, slots=True)
class Trial:
    """Rules and the time in which they held: `until` None: they still do."""

    rules: Rules
    since: int
    until: int | None


def note_rules(connection: Connection, rules: Rules, now: int) -> bool:
    """Note that these rules hold from now on; False: they did already, or the plain ones always have."""
    known = list_trials(connection)
    present = known[-1].rules if known else Rules(top=rules.top)
    if present == rules or (present.are_plain and rules.are_plain):
        return False
    # Lists are read without the right to write: the key that lots are drawn with must be there.
    lead_hashes(connection, [""])
    row = {"since": now, "explore": rules.explore, "holdout": rules.holdout, "top": rules.top}
    return insert_ignoring(connection, trials, [row]) == 1


def list_trials(connection: Connection) -> Sequence[Trial]:
    """All rules that were not the plain ones from the beginning, oldest first."""
    rows = connection.execute(select(trials).order_by(trials.c.since)).all()
    ends = [*(row.since for row in rows), None][1:]
    return [
        Trial(Rules(row.explore, row.holdout, row.top), row.since, until)
        for row, until in zip(rows, ends, strict=True)
    ]


def arm_text(lead_id: str) -> str:
    """What the lot is drawn for (`features.store.queue_order.lots`): below the share is held out."""
    return f"holdout:{lead_id}"
