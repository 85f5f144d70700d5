"""What would have happened? A history replayed week by week through the real steps, beside two others.

In a scratch installation with a clock of its own, each week: what was recorded since is written into it,
the queue is scored, the loop looks. Beside it the model that began and was never touched (*frozen*), and
one that is made anew every 15 days and published whatever it is (*retrain*), score the same leads.

No leak from the future by construction: the scratch store is filled from the history's store by
`recorded_at`, up to the clock and no further, before anything of that week is done; what was recorded
later is not hidden, it is not there. Outcomes are read from the history only after the last week.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from features.clock import DAY, iso
from features.definition import Definition
from features.errors import NotEnoughEvidenceError
from features.frames import concatenate
from features.pipeline import compute_features
from features.store.engine import Store
from features.store.history import iter_open
from features.store.replaying import copy_recorded
from features.store.shown import shown_in_queue
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.config import TrainConfig
from training.dataset import build_dataset, known_outcomes, newest_cutoff
from training.day_zero import plan
from training.learn import learn, learn_little
from training.loop.act import Look, Loop
from training.promote import promote
from training.run import train
from training.splits import Fold, Lesson, Split

Floats = NDArray[np.float64]

WEEK = 7 * DAY
RETRAIN_DAYS = 15

Score = Callable[[Workspace, int], object]
"""Renews the queue of an installation at an instant: the real step."""

Told = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """When the rehearsal takes place.

    Attributes:
        first: the first week's instant; what was recorded before it is imported at once.
        weeks: how many weeks are played.
        seed: of everything that is drawn.
        config: the choices of all trainings, ours and the others', but for the seed.
    """

    first: int
    weeks: int
    seed: int = 0
    config: TrainConfig | None = None

    @property
    def training(self) -> TrainConfig:
        """How all three learn."""
        return replace(self.config or TrainConfig(), seed=self.seed)

    @property
    def instants(self) -> list[int]:
        """The instant of each week."""
        return [self.first + week * WEEK for week in range(self.weeks)]


@dataclass(frozen=True)
class Week:
    """What was said in a week: of each open lead by each of the three, and what the loop did."""

    at: int
    leads: tuple[str, ...]
    said: dict[str, Floats]
    look: Look | None


@dataclass(frozen=True)
class Rehearsal:
    """Everything that was played: its weeks, and how often each of the three changed its model.

    A change is one that somebody could see: another bundle shown in a week than the week before.
    """

    weeks: tuple[Week, ...]
    changes: dict[str, int]


@dataclass
class _Rivals:
    """The two who are played beside: models, and how often they changed.

    The newest of the retrained is learned while the loop looks: it is waited for when it is to speak.
    """

    frozen: PropensityModel
    newest: PropensityModel | Future[PropensityModel]
    beside: Executor
    changes: dict[str, int] = field(default_factory=lambda: {"frozen": 0, "retrain_15d": 0})

    @property
    def retrained(self) -> PropensityModel:
        """The newest, as soon as it is there."""
        if isinstance(self.newest, Future):
            self.newest = self.newest.result()
        return self.newest


def rehearse(
    history: Store,
    scratch: Workspace,
    loop: Loop,
    score: Score,
    plan_of: Plan,
    told: Told = lambda _: None,
) -> Rehearsal:
    """Play a history; what was said each week, by the loop and beside it.

    Args:
        history: a store with the whole history; nothing is written to it.
        scratch: an installation with an empty, migrated store and the definition.
        loop: of the scratch installation.
        score: renews its queue.
        plan_of: when.
        told: how it goes, in words.
    """
    definition, known = scratch.definition(), plan_of.first
    copy_recorded(history, scratch.store, definition, since=0, until=known)
    first = _first_model(scratch, plan_of, loop.by)
    weeks: list[Week] = []
    retrains = _retrains(plan_of)
    with ThreadPoolExecutor(1, "rival") as beside:
        rivals = _Rivals(first, first, beside)
        for at in plan_of.instants:
            for when in sorted(one for one in {*retrains, at} if known < one <= at):
                copy_recorded(history, scratch.store, definition, since=known, until=when)
                known = when
                if when in retrains:
                    _train_rival(scratch, definition, rivals, plan_of)
            weeks.append(_week(scratch, definition, loop, score, rivals, at))
            told(_words(weeks[-1], len(weeks), plan_of.weeks))
    shown = [week.look.champion for week in weeks if week.look is not None and week.said]
    ours = sum(one != next_one for one, next_one in pairwise(shown))
    return Rehearsal(tuple(weeks), {"ours": ours, **rivals.changes})


def _first_model(scratch: Workspace, plan_of: Plan, by: str) -> PropensityModel:
    """The model that all three begin with: trained, and promoted whatever is known of it.

    Raises:
        NotEnoughEvidenceError: what was recorded before the first week is too little to learn from.
    """
    config = plan_of.training
    digest = train(scratch, config, now=plan_of.first).digest
    promote(scratch, digest, now=plan_of.first, by=by, force="the rehearsal begins with it")
    return scratch.registry.champion()


def _retrains(plan_of: Plan) -> set[int]:
    """Every fifteenth day from the first week on."""
    last = plan_of.instants[-1]
    return set(range(plan_of.first + RETRAIN_DAYS * DAY, last + 1, RETRAIN_DAYS * DAY))


def _train_rival(
    scratch: Workspace, definition: Definition, rivals: _Rivals, plan_of: Plan
) -> None:
    """Learn by the same learner as ours from the same store, judged by nobody."""
    config = plan_of.training
    try:
        cutoff = newest_cutoff(scratch.store)
        rows = build_dataset(
            scratch.store, definition, cutoff, most_leads=config.most_leads, seed=config.seed
        )
        matured = known_outcomes(rows)
    except NotEnoughEvidenceError:
        return
    splits = plan(matured, definition, config)

    def learned() -> PropensityModel:
        if not splits:
            return learn_little(matured, definition, config).model
        return learn(matured, _of_all(splits[0]), definition, config, uncertain=False).model

    rivals.changes["retrain_15d"] += 1
    rivals.newest = rivals.beside.submit(learned)


def _of_all(split: Split) -> Lesson:
    """What is learned by who keeps no rows back to judge by: calibrated on the newest ones instead."""
    if split.bounds is None:
        return split.lesson
    return Lesson((Fold(split.lesson.everything, split.judge),))


def _week(
    scratch: Workspace,
    definition: Definition,
    loop: Loop,
    score: Score,
    rivals: _Rivals,
    at: int,
) -> Week:
    """The loop looks, then the queue is scored: what was decided on Monday is shown on Monday."""
    look = _looked(loop, at)
    score(scratch, at)
    with scratch.store.read() as connection:
        shown = shown_in_queue(connection, at)
        parts = [
            compute_features(facts, queries, definition)
            for facts, queries in iter_open(connection, definition, at)
        ]
    if not parts:
        return Week(at, (), {}, look)
    frame = concatenate(parts)
    said = {
        "ours": np.array([shown[lead] for lead in frame.lead_ids]),
        "frozen": rivals.frozen.score(frame).probability,
        "retrain_15d": rivals.retrained.score(frame).probability,
    }
    return Week(at, tuple(frame.lead_ids), said, look)


def _looked(loop: Loop, at: int) -> Look | None:
    try:
        return loop.look(at)
    except NotEnoughEvidenceError:
        return None


def _words(week: Week, number: int, weeks: int) -> str:
    did = "waits for outcomes" if week.look is None else week.look.action
    if week.look is not None and week.look.decision is not None:
        did += f" ({week.look.decision}): {week.look.reason}"
    return f"week {number} of {weeks}, {iso(week.at)[:10]}: {len(week.leads):,} open leads; {did}"
