"""How is a model taught when whom it ranked high was worked, and the others were not?

Two probabilities are easily taken for one another. P(buys | treated as usual) is what all outcomes
show: it falls for leads that nobody calls, the model ranks them lower still, and eight retrainings
later it says a third of the truth of them. P(buys | worked) is what a rep who asks *whom shall I
call?* wants to know. Its order is learned from the leads that were worked, those of a rare lot counting
for more; its level from all of them, with neglect as a term of its own. Exploration sees to it that some
leads of every band were worked, and the ledger's log of what was shown says how probable that was.

Source: Horvitz and Thompson (1952) for the weights, Ionides (2008) for truncating them; Wager, Chamandy,
Muralidharan and Najmi (2014) for feedback that nothing but a lot tells of; Kull, Silva Filho and Flach
(2017) for the beta calibration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit

from features.definition import Definition
from models.calibrators import Beta
from models.propensity import PropensityModel
from training.config import TrainConfig
from training.dataset import Dataset
from training.intervals import group_codes
from training.learn import learn
from training.logistic import LogisticProblem, Prior, coefficient_errors, fit_logistic
from training.splits import Fold, Lesson, Piece

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST_WEIGHT = 4.0
"""Of a row that was worked by a rare lot, against one that was sure to be worked: more would let single
wins bend the trees."""

_BELIEVED = Prior(np.array([0.0, 1.0, 1.0, 0.0, 0.0]), np.array([0.0, 4.0, 4.0, 0.04, 16.0]))
"""Before outcomes: the scores are right (slopes 1 ± 0.5), neglect may cost anything (0 ± 5), and costs
leads of all scores about the same log-odds (0 ± 0.25 for each of the score's)."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Who was worked, and how probable that was beforehand; both of shape (n,).

    `chance` lies in [0, 1] and is 0 only of rows that could not be worked at all.
    """

    worked: Mask
    chance: Floats

    def __post_init__(self) -> None:
        if np.any(self.worked & ~(self.chance > 0)):
            raise ValueError("A row that was worked had a chance of it above 0.")

    @property
    def weight(self) -> Floats:
        """What each row counts: 0 where nobody worked it, else 1 / chance, at most `MOST_WEIGHT`."""
        floor = np.maximum(self.chance, 1.0 / MOST_WEIGHT)
        return np.where(self.worked, 1.0 / floor, 0.0)

    def take(self, rows: NDArray[np.int64]) -> Attention:
        """Only these rows."""
        return Attention(self.worked[rows], self.chance[rows])


@dataclass(frozen=True, slots=True)
class Taught:
    """A model of P(buys | worked), and what neglect was found to cost.

    Attributes:
        model: the model.
        neglect: what is added to the log-odds of a lead of middling score when nobody works it; None:
            every row was worked.
        error: its standard error.
    """

    model: PropensityModel
    neglect: float | None
    error: float | None


def learn_if_worked(
    dataset: Dataset,
    lesson: Lesson,
    attention: Attention,
    definition: Definition,
    config: TrainConfig,
) -> Taught:
    """Learn what becomes of a lead that is worked, from rows of which some were and some were not.

    The order of leads is learned from the rows that were worked. How far the probabilities of high and
    of low leads lie apart is learned from all rows, because nearly all leads of low bands go unworked:
    log-odds = beta calibration of the score + (n + m · score) · (not worked), and of a lead that is
    worked the first part is told.

    Args:
        dataset: rows with known outcomes.
        lesson: which of them may be learned from.
        attention: of all rows of the dataset.
        definition: what the columns are made of.
        config: the choices of the run.

    Raises:
        NotEnoughEvidenceError: too few of the rows were worked.
    """
    among = among_worked(lesson, attention)
    learned = learn(dataset, among, definition, config)
    model, rows = learned.model, lesson.everything.rows
    neglected = ~attention.worked[rows]
    if not neglected.any():
        return Taught(model, None, None)
    raw = model.raw(dataset.frame.take(rows))
    if learned.choice is not None:
        # What was said of a row before it was learned from is not the more certain for it.
        held = np.concatenate([fold.calibrate.rows for fold in among.folds])
        raw[np.searchsorted(rows, held)] = learned.choice.raw
    middle = float(raw.mean())
    columns = (np.ones(len(rows)), log_expit(raw), -log_expit(-raw), neglected)
    problem = LogisticProblem(
        np.column_stack([*columns, neglected * (raw - middle)]),
        dataset.y[rows].astype(np.float64),
        lesson.everything.weight,
        _BELIEVED,
        np.zeros(len(rows)),
    )
    beta = fit_logistic(problem, not_negative=(1, 2))
    errors = coefficient_errors(problem, beta, group_codes(dataset.lead[rows], len(rows)))
    calibrator = Beta(float(beta[1]), float(beta[2]), float(beta[0]))
    return Taught(replace(model, calibrator=calibrator), float(beta[3]), float(errors[3]))


def among_worked(lesson: Lesson, attention: Attention) -> Lesson:
    """The same lesson with the rows that were worked alone, each standing for its kind.

    Args:
        lesson: pieces of a dataset's rows.
        attention: of all rows of the dataset.
    """
    return Lesson(
        tuple(
            Fold(_worked(fold.fit, attention), _worked(fold.calibrate, attention))
            for fold in lesson.folds
        )
    )


def _worked(piece: Piece, attention: Attention) -> Piece:
    """The worked rows of a piece; their weights have a mean of 1, as a learner's penalties expect."""
    kept = attention.worked[piece.rows]
    weight = piece.weight[kept] * attention.weight[piece.rows[kept]]
    return Piece(piece.rows[kept], weight / weight.mean() if len(weight) else weight)
