"""What would be here, had this been in use for a while? A model of then, and the queue as it was shown.

The demo's installation gets a past this way, so that its reports compare what was said with what came of
it. Facts are written as they came (`copy_recorded`): neither the model nor any score knows a later one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from features.store.engine import Store
from features.store.replaying import copy_recorded
from features.store.shown import shown_in_queue
from features.store.turns import begin, end, last_turns
from models.workspace import Workspace
from training.config import TrainConfig
from training.loop.rehearse import WEEK, Score
from training.promote import promote
from training.run import Watching, train

SCORE = "score"
"""The step that is noted here week by week, as a worker would have noted it."""


@dataclass(frozen=True)
class Past:
    """When an installation was in use, and by whom.

    Attributes:
        since: the instant of its first model.
        until: the present instant.
        by: who decided, as it is recorded.
    """

    since: int
    until: int
    by: str

    @property
    def instants(self) -> range:
        """When its queue was scored: every week before the present, from the first model on."""
        return range(self.since, self.until, WEEK)


def live_through(
    history: Store,
    workspace: Workspace,
    score: Score,
    past: Past,
    watching: Watching,
) -> Iterator[int]:
    """Give an installation a past: each instant as soon as it has been lived through.

    Safe to kill and to repeat with the same instants: what was lived through is not touched again, and
    a week that was left in the middle of its scoring is scored once more, whole.

    Args:
        history: a store with the whole history; nothing is written to it.
        workspace: with a migrated store, which is filled up to the present.
        score: renews its queue at an instant.
        past: when.
        watching: told how the training goes.

    Raises:
        NotEnoughEvidenceError: what was recorded before the first instant is too little to learn from.
    """
    definition, known = workspace.definition(), 0
    for at in past.instants:
        if _was_scored(workspace.store, at):
            known = at
            continue
        copy_recorded(history, workspace.store, definition, since=known, until=at)
        known = at
        if workspace.registry.champion_digest() is None:
            made = train(workspace, TrainConfig(), now=at, watching=watching)
            promote(workspace, made.digest, now=at, by=past.by, on_warning=watching.warn)
        _score(workspace, score, at, past.by)
        yield at
    copy_recorded(history, workspace.store, definition, since=known, until=past.until)


def _score(workspace: Workspace, score: Score, at: int, by: str) -> None:
    """Renew the queue, and note that it was begun and that it is done."""
    with workspace.store.write() as connection:
        begin(connection, SCORE, due=None, now=at, holder=by)
    score(workspace, at)
    with workspace.store.write() as connection:
        end(connection, SCORE, now=at, outcome="done", said={})


def _was_scored(store: Store, at: int) -> bool:
    """Whether the queue was scored at this instant, and not left in the middle."""
    with store.read() as connection:
        turn = last_turns(connection).get(SCORE)
        is_left = turn is not None and turn.started_at == at and turn.finished_at is None
        return not is_left and bool(shown_in_queue(connection, at))
