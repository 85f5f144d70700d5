"""What was said of rows of a dataset by somebody whom their outcomes had not taught?

Of a row that was shown it is the score in the ledger: the last that was given in the week up to the
row's as-of, by whichever model scored then. Of the others the champion says it, where neither its
booster nor its calibration has learned from the row.

Rule: of a row of which nobody can say it so, nothing is said. What a model says of rows it has learned
from looks better than it is.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from features.facts import Ints
from features.store.logged import iter_shown
from features.store.promotions import list_bundles
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.dataset import Dataset
from training.intervals import Floats
from training.loop.logged import WEEK, Mask
from training.unseen import calibrated_through, comparable, raw_unseen, weight_for


@dataclass(frozen=True, slots=True)
class Said:
    """Probabilities of n rows that did not teach who said them.

    Attributes:
        rows: positions in the dataset, shape (n,), growing.
        probability: shape (n,), in (0, 1).
        shown: shape (n,), whether it is the ledger's.
    """

    rows: Ints
    probability: Floats
    shown: Mask

    def since(self, instant: int, dataset: Dataset) -> Said:
        """Only the rows from an instant on."""
        kept = dataset.as_of[self.rows] >= instant
        return Said(self.rows[kept], self.probability[kept], self.shown[kept])


def said_unlearned(workspace: Workspace, champion: PropensityModel, matured: Dataset) -> Said:
    """What was shown of rows, or what the champion says of those it has not learned from.

    Args:
        workspace: ledger and models; it is only read.
        champion: the model that scores now.
        matured: all rows of its definition whose outcome is known.
    """
    probability = _shown(workspace, champion, matured)
    shown = np.isfinite(probability)
    others = np.flatnonzero(~shown & _unlearned(champion, matured))
    raw = raw_unseen(workspace, champion, matured.take(others), matured)
    probability[others] = champion.calibrator.apply(raw)
    rows = np.flatnonzero(np.isfinite(probability))
    return Said(rows, probability[rows], shown[rows])


def _unlearned(champion: PropensityModel, matured: Dataset) -> Mask:
    """Which rows have taught neither the booster nor the calibration, shape (n,)."""
    if not comparable(champion):
        return np.zeros(len(matured), dtype=np.bool_)
    new = matured.as_of > calibrated_through(champion)
    return np.asarray((weight_for(matured, champion) > 0) & new)


def _shown(workspace: Workspace, champion: PropensityModel, rows: Dataset) -> Floats:
    """What the ledger says of each row, shape (n,); not a number where it says nothing."""
    found = np.full(len(rows), np.nan)
    of_lead: defaultdict[str, list[int]] = defaultdict(list)
    for row, lead in enumerate(rows.frame.lead_ids):
        of_lead[lead].append(row)
    first, last = int(rows.as_of.min()), int(rows.as_of.max())
    with workspace.store.read() as connection:
        known = list_bundles(connection)
        # A score of another promise is none of this one.
        bundles = [one.digest for one in known if one.definition == champion.definition.hash]
        for shown in iter_shown(connection, bundles, first - WEEK, last + 1):
            begins = np.searchsorted(shown.lead, np.arange(len(shown.lead_ids) + 1)).tolist()
            for lead, (begin, end) in zip(shown.lead_ids, pairwise(begins), strict=True):
                here = np.array(of_lead.get(lead, ()), dtype=np.int64)
                at, given = rows.as_of[here], shown.scored_at[begin:end]
                place = np.searchsorted(given, at, side="right") - 1
                fresh = (place >= 0) & (at - given[place] <= WEEK)
                found[here[fresh]] = shown.probability[begin:end][place[fresh]]
    return found
