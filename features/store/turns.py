"""When did each step of the schedule last run, for which due time, and what came of it?

One row a step. `due` is the time of the schedule that the last turn answered, so a step whose turn was
killed – begun and never ended – is due again, and a host that was down for a week owes each step once.
Who may run a step is said by a lease (`features.store.leases`), never by this table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Column, Connection, String, Table, Text, select

from features.clock import iso
from features.store.ingest import insert_ignoring
from features.store.tables import Instant, metadata

Outcome = Literal["running", "done", "waits", "failed"]
"""`waits`: there was nothing to do yet, such as too few outcomes; that is no failure."""

turns = Table(
    "step_turns",
    metadata,
    Column("step", String(64), primary_key=True),
    Column("due", Instant),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant),
    Column("outcome", String(16), nullable=False),
    Column("holder", String(300), nullable=False),
    Column("said", Text, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The last turn of a step.

    Attributes:
        step: its name.
        due: the time of the schedule that it answered; None: it was asked for by hand.
        started_at, finished_at: when, by the clock of whoever ran it; not finished: it runs, or was
            killed, which only the lease can tell.
        outcome: what came of it.
        holder: who ran it.
        said: what the step told, plain content.
    """

    step: str
    due: int | None
    started_at: int
    finished_at: int | None
    outcome: Outcome
    holder: str
    said: Mapping[str, Any]

    @property
    def settled(self) -> int | None:
        """The due time that was answered for good; None when there is none yet."""
        return self.due if self.finished_at is not None else None

    def to_json(self) -> dict[str, Any]:
        """As plain content, instants in ISO 8601."""
        return {
            "step": self.step,
            "due": None if self.due is None else iso(self.due),
            "started_at": iso(self.started_at),
            "finished_at": None if self.finished_at is None else iso(self.finished_at),
            "outcome": self.outcome,
            "holder": self.holder,
            "said": dict(self.said),
        }


def begin(connection: Connection, step: str, *, due: int | None, now: int, holder: str) -> None:
    """Note that a turn begins; by hand (`due` None) the schedule's last due time stays answered."""
    row = {"started_at": now, "finished_at": None, "outcome": "running", "holder": holder}
    fresh = {"step": step, "due": due, **row, "said": "{}"}
    if due is None:
        there = connection.execute(select(turns.c.due).where(turns.c.step == step)).first()
        fresh["due"] = None if there is None else there.due
    if not connection.execute(turns.update().where(turns.c.step == step).values(**fresh)).rowcount:
        insert_ignoring(connection, turns, [fresh])


def end(
    connection: Connection, step: str, *, now: int, outcome: Outcome, said: Mapping[str, Any]
) -> None:
    """Note what came of the turn that began last."""
    written = json.dumps(said, allow_nan=False)
    here = turns.update().where(turns.c.step == step)
    connection.execute(here.values(finished_at=now, outcome=outcome, said=written))


def last_turns(connection: Connection) -> dict[str, Turn]:
    """The last turn of every step that ever ran, by name."""
    rows = connection.execute(select(turns).order_by(turns.c.step))
    return {row.step: Turn(**{**row._mapping, "said": json.loads(row.said)}) for row in rows}
