"""How is a model taught when whom it ranked high was worked, and the others were not?

Two probabilities are easily taken for one another. P(buys | treated as usual) is what all outcomes
show: it falls for leads that nobody calls, the model ranks them lower still, and eight retrainings
later it says a third of the truth of them. P(buys | worked) is what a rep who asks *whom shall I
call?* wants to know. It is learned from the leads that were worked, each standing for 1 / P(worked) of
its kind; the ledger's log of what was shown says how probable that was, and exploration sees to it
that it was never 0.

Source: Horvitz and Thompson (1952) for the weights, Ionides (2008) for truncating them; missing at
random given the ranking holds because the ranking decided who was worked, and its lots are logged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.splits import Fold, Lesson, Piece

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST_WEIGHT = 20.0
"""Of a row, against one that was sure to be worked: what one lucky win may weigh is bounded, at the
price of a bias that shrinks as more is explored."""


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

    @property
    def reached(self) -> float:
        """The share of rows whose kind can be worked often enough to be learned of, in [0, 1]."""
        return float(np.mean(self.chance >= 1.0 / MOST_WEIGHT)) if len(self.chance) else 0.0


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
