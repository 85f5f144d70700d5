"""What do outcomes say about level and slope, when both may wander from one outcome to the next?

Rule: a belief is a normal distribution around one best line, and depends on the outcomes and on their
order in time alone. Several beliefs run side by side, each expecting the level to wander by its own
amount: none (then all of the past counts alike) up to so much that little more than the last hundred
outcomes count. Source: dynamic logistic regression (West, Harrison and Migon 1985); the state is a
random walk, the posterior a normal distribution at its mode.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.intervals import Floats
from training.logistic import LogisticProblem, Prior, fit_logistic

WANDERING = (0.0, 1e-6, 1e-5, 1e-4, 1e-3)
"""What the beliefs expect: variance that the level gains per outcome, in log-odds squared.

0.001 is one standard deviation of 0.3 log-odds (odds × 1.4) in 100 outcomes, 0.000001 in 100,000.
"""

SLOPE_WANDERING = 0.1
"""The slope's share of the level's wandering: spreads change less than levels do."""

FIRST_SPREAD = (0.3, 0.15)
"""How far off level (log-odds) and slope are believed to be before outcomes speak (deviations).

Narrower than the priors of `training.fitters`: a level that is further off can be wandered to.
"""


@dataclass(frozen=True)
class Outcomes:
    """What was said of some leads and what came of them; all of shape (n,).

    Attributes:
        said: log-odds, finite.
        won: 0 or 1.
        weights: above 0; their sum is the number of leads.
    """

    said: Floats
    won: Floats
    weights: Floats


@dataclass(frozen=True)
class Beliefs:
    """Normal distributions of (level, slope): mean of shape (5, 2), spread of shape (5, 2, 2)."""

    mean: Floats
    spread: Floats

    @classmethod
    def before_outcomes(cls) -> Beliefs:
        """Around no change, all alike."""
        first = np.diag(np.square(FIRST_SPREAD))
        k = len(WANDERING)
        return cls(np.tile([0.0, 1.0], (k, 1)), np.tile(first, (k, 1, 1)))

    def wandered(self, outcomes: float) -> Beliefs:
        """After so many outcomes that nobody has seen yet."""
        gained = np.multiply.outer(np.array(WANDERING), np.diag([1.0, SLOPE_WANDERING]))
        return Beliefs(self.mean, self.spread + outcomes * gained)

    def after(self, seen: Outcomes) -> Beliefs:
        """Having seen these outcomes."""
        grown = self.wandered(float(seen.weights.sum()))
        learned = [
            _learn(mean, spread, seen)
            for mean, spread in zip(grown.mean, grown.spread, strict=True)
        ]
        return Beliefs(*(np.array(part) for part in zip(*learned, strict=True)))

    def variance(self, typical: float) -> Floats:
        """Of the log-odds of a lead that was said to have `typical`; shape (5,)."""
        lead = np.array([1.0, typical])
        return np.asarray(np.einsum("a,kab,b->k", lead, self.spread, lead))

    def lines(self, typical: float, ahead: float) -> Floats:
        """Level and slope that each would use for leads `ahead` outcomes from here; shape (5, 2).

        Source: MacKay (1992), the mean of a logistic function under a normal distribution.
        """
        variance = self.wandered(ahead).variance(typical)
        doubt = np.sqrt(1.0 + np.pi * variance / 8.0)
        return np.asarray(self.mean / doubt[:, None], dtype=np.float64)


def _learn(mean: Floats, spread: Floats, seen: Outcomes) -> tuple[Floats, Floats]:
    """The mode of level and slope after these outcomes, and the spread around it."""
    # In units of what was believed, the belief has no correlation and is a plain ridge.
    root = np.linalg.cholesky(spread)
    design = np.column_stack([np.ones_like(seen.said), seen.said])
    ridge = Prior(np.zeros(2), np.ones(2))
    problem = LogisticProblem(design @ root, seen.won, seen.weights, ridge, design @ mean)
    moved = fit_logistic(problem)
    narrowed = np.linalg.inv(problem.information(moved) + np.eye(2))
    return mean + root @ moved, root @ narrowed @ root.T
