"""What would become of the leads that nobody works, if reps worked them?

What is shown is P(buys | treated as usual): of low bands, which are hardly ever worked, it says how they
fare alone. A model of P(buys | worked) is taught by the rows since exploration began
(`training.loop.selection`), and says it of the bands of what was said; beside it stands what came of
those that were worked, weighted by one over the chance of it, which believes no model.

Rule: a row is in the band of what was said of it by somebody whom its outcome had not taught
(`training.loop.said`): as it was shown, or by the champion that has not learned from it. Of what is
left no band is told.

Nothing is promoted and nothing is kept: two models of two promises must not take turns.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from features.clock import iso
from features.errors import NotEnoughEvidenceError
from features.store.engine import Store
from features.store.trials import Trial, list_trials
from models.workspace import Workspace
from training.config import TrainConfig
from training.dataset import Dataset
from training.intervals import Floats, Interval, plain
from training.loop.attention import attention_of
from training.loop.bands import EDGES
from training.loop.offpolicy import Log, band_of, calibration_if_first
from training.loop.said import said_unlearned
from training.loop.selection import Attention, Taught, learn_if_worked
from training.splits import grouped_lesson, row_groups
from training.unseen import matured_rows

_CERTAIN = 1 - 1e-9
"""Chances of being worked are counted; one that comes out as 1 is nearly so."""


@dataclass(frozen=True, slots=True)
class BandIfWorked:
    """A band of what was said.

    Attributes:
        low, high: its edges, the upper one exclusive.
        rows: matured rows in it; `worked`: of these, whose lead was worked within the horizon.
        said: the mean of what was said.
        as_usual: the share that won, worked or not.
        if_worked: what the model of P(buys | worked) says of all of them, on average.
        by_weight: the win rate of the worked ones, by weight, with its interval; of no row not a number.
    """

    low: float
    high: float
    rows: int
    worked: int
    said: float
    as_usual: float
    if_worked: float
    by_weight: Interval


@dataclass(frozen=True, slots=True)
class IfWorked:
    """What low bands would be.

    Attributes:
        since: when exploration began; older rows do not count.
        rows, worked: matured rows, which all taught, and those whose lead was worked.
        shown: how many of the rows are in a band by the score that was shown.
        unlearned: how many by the champion, which has not learned from them; the others are in none.
        neglect: log-odds that a lead of middling score loses if nobody works it; None: all were worked.
        error: its standard error.
        bands: those with rows, lowest first.
    """

    since: int
    rows: int
    worked: int
    shown: int
    unlearned: int
    neglect: float | None
    error: float | None
    bands: tuple[BandIfWorked, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain data; an interval of nothing is null."""
        found: dict[str, Any] = plain(self)
        for band in found["bands"]:
            if not np.isfinite(band["by_weight"]["estimate"] or np.nan):
                band["by_weight"] = None
        return {**found, "since": iso(self.since)}


def if_worked(workspace: Workspace, *, config: TrainConfig | None = None) -> IfWorked:
    """Teach a model of P(buys | worked), and hold the bands of what was said against it.

    Args:
        workspace: the installation; it is only read.
        config: the choices of the training.

    Raises:
        NoModelError: there is no champion.
        NotEnoughEvidenceError: nothing was explored, or too few explored rows have matured.
    """
    chosen = config or TrainConfig()
    champion, trial = workspace.registry.champion(), _first_explored(workspace.store)
    matured = matured_rows(workspace, champion.definition)
    here = np.flatnonzero(matured.as_of >= trial.since)
    if not len(here):
        raise NotEnoughEvidenceError(
            f"no row since {iso(trial.since)}, when exploration began, has matured",
            hint="A row counts once its horizon and the reporting lag are over.",
        )
    rows = matured.take(here)
    attention = attention_of(workspace.store, rows, champion.definition, trial.rules.top)
    lesson = grouped_lesson(row_groups(rows), np.arange(len(rows)), chosen)
    # What came of rows whose horizon is not over is not asked for: all of them have matured.
    taught = learn_if_worked(
        replace(rows, follow=None), lesson, attention, champion.definition, chosen
    )
    said = said_unlearned(workspace, champion, matured).since(trial.since, matured)
    told = np.searchsorted(here, said.rows)
    return IfWorked(
        since=trial.since,
        rows=len(rows),
        worked=int(attention.worked.sum()),
        shown=int(said.shown.sum()),
        unlearned=int((~said.shown).sum()),
        neglect=taught.neglect,
        error=taught.error,
        bands=tuple(_bands(rows.take(told), said.probability, attention.take(told), taught)),
    )


def _first_explored(store: Store) -> Trial:
    with store.read() as connection:
        explored = [trial for trial in list_trials(connection) if trial.rules.explore > 0]
    if not explored:
        raise NotEnoughEvidenceError(
            "no place was ever given to a lead from further down, so low bands were hardly worked",
            hint="PROPENSITY_EXPLORE_SHARE=0.05 explores a twentieth of the first places from then on.",
        )
    return explored[0]


def _bands(rows: Dataset, said: Floats, attention: Attention, taught: Taught) -> list[BandIfWorked]:
    """The bands that have rows, lowest first."""
    if not len(rows):
        return []
    told = taught.model.score(rows.frame).probability
    y = rows.y.astype(np.float64)
    log = Log.of(attention.worked, np.minimum(attention.chance, _CERTAIN), y, rows.lead)
    return [
        BandIfWorked(
            low=level.lower,
            high=level.upper,
            rows=level.leads,
            worked=level.first,
            said=level.said,
            as_usual=float(y[here].mean()),
            if_worked=float(told[here].mean()),
            by_weight=level.observed,
        )
        for level in calibration_if_first(log, said, EDGES)
        for here in [np.flatnonzero(band_of(said, EDGES) == EDGES.index(level.lower))]
    ]
