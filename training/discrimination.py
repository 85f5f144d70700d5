"""Does the raw score put those who buy before those who do not?

Rule: leads with the same raw score are tied, and a tie counts one half here and as an interval at
a cut; no result may depend on the order of the rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from training.intervals import (
    Codes,
    Floats,
    Interval,
    OneClassError,
    checked_floats,
    checked_outcomes,
    checked_weights,
    clustered_error,
    group_codes,
    normal_quantile,
    wilson_interval,
)


@dataclass(frozen=True)
class _Placements:
    """Of the other class, which share does each lead stand on the right side of; ties one half."""

    won: Floats
    lost: Floats
    won_weight: Floats
    lost_weight: Floats

    @property
    def auc(self) -> float:
        return float(self.won @ self.won_weight / self.won_weight.sum())


def _share_below(values: Floats, others: Floats, weights: Floats) -> Floats:
    order = np.argsort(others, kind="stable")
    mass = np.concatenate([[0.0], np.cumsum(weights[order])])
    ranked = others[order]
    below = mass[np.searchsorted(ranked, values, side="left")]
    up_to = mass[np.searchsorted(ranked, values, side="right")]
    return np.asarray((below + up_to) / (2 * mass[-1]), dtype=np.float64)


def _placements(raw: Floats, won: Floats, weights: Floats) -> _Placements:
    wins, losses = raw[won == 1], raw[won == 0]
    won_weight, lost_weight = weights[won == 1], weights[won == 0]
    return _Placements(
        won=_share_below(wins, losses, lost_weight),
        lost=1.0 - _share_below(losses, wins, won_weight),
        won_weight=won_weight,
        lost_weight=lost_weight,
    )


def auc(raw: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Probability that a random winner has a higher raw score than a random loser, ties 1/2.

    Args:
        raw: shape (n,), any score that orders.
        y: shape (n,), 1 = won, 0 = not won.
        weights: shape (n,), at least 0, or None for equal weights.

    Returns:
        In [0, 1]; 0.5 is no better than chance.

    Raises:
        OneClassError: only wins or only losses.
    """
    won = checked_outcomes(y, both=True)
    scores = checked_floats("raw", raw, len(won))
    return _placements(scores, won, checked_weights(weights, len(won))).auc


def _delong_error(shares: _Placements) -> float:
    if min(len(shares.won), len(shares.lost)) < 2:
        return math.inf
    spread = np.var(shares.won, ddof=1) / len(shares.won)
    return float(np.sqrt(spread + np.var(shares.lost, ddof=1) / len(shares.lost)))


def _influence(shares: _Placements, won: Floats) -> Floats:
    influence = np.empty(len(won))
    centre = shares.auc
    influence[won == 1] = shares.won_weight * (shares.won - centre) / shares.won_weight.sum()
    influence[won == 0] = shares.lost_weight * (shares.lost - centre) / shares.lost_weight.sum()
    return influence


def auc_interval(
    raw: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """AUC with its interval, on the log-odds scale so that it stays inside [0, 1].

    Source: DeLong, DeLong and Clarke-Pearson (1988), computed in n log n as in Sun and Xu (2014);
    with groups or weights the sum of influence functions by lead, Obuchowski (1997); with folds see
    `fold_inflation`.

    Args:
        raw: shape (n,), any score that orders.
        y: shape (n,), 1 = won, 0 = not won.
        groups: lead ids of shape (n,); rows of one lead are one piece of evidence.
        weights: shape (n,), or None for equal weights.
        folds: shape (n,), by which model each row was scored; only rows of one model are compared,
            because what a model learned without a fold's wins puts all of that fold lower.
        level: confidence, in (0, 1).

    Returns:
        The AUC and its interval; [0, 1] when a class has a single lead.

    Raises:
        OneClassError: only wins or only losses; with folds, in every one of them.
    """
    won = checked_outcomes(y, both=True)
    scores = checked_floats("raw", raw, len(won))
    mass, fewest = checked_weights(weights, len(won)), int(min(won.sum(), len(won) - won.sum()))
    if folds is not None:
        area, influence = _within(scores, won, mass, group_codes(folds, len(won)))
        error = clustered_error(influence, group_codes(groups, len(won)))
        error *= fold_inflation(len(np.unique(np.asarray(folds))))
        return _inside_unit(area, fewest, error, level)
    shares = _placements(scores, won, mass)
    if groups is None and weights is None:
        error = _delong_error(shares)
    else:
        error = clustered_error(_influence(shares, won), group_codes(groups, len(won)))
    return _inside_unit(shares.auc, fewest, error, level)


def auc_difference(
    raw_a: ArrayLike,
    raw_b: ArrayLike,
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    level: float = 0.95,
) -> Interval:
    """AUC of a minus AUC of b on the same leads; above 0 means that a orders better.

    Source: DeLong, DeLong and Clarke-Pearson (1988) for correlated curves, by the influence of each
    lead on the difference (Obuchowski 1997), so that rows of one lead are one piece of evidence.

    Args:
        raw_a: shape (n,), any score that orders.
        raw_b: shape (n,), another of the same rows.
        y: shape (n,), 1 = won, 0 = not won.
        groups: lead ids of shape (n,); None: each row is a lead.
        weights: shape (n,), or None for equal weights.
        level: confidence, in (0, 1).

    Raises:
        OneClassError: only wins or only losses.
    """
    won = checked_outcomes(y, both=True)
    mass = checked_weights(weights, len(won))
    a, b = (_placements(checked_floats("raw", raw, len(won)), won, mass) for raw in (raw_a, raw_b))
    influence = _influence(a, won) - _influence(b, won)
    error = clustered_error(influence, group_codes(groups, len(won)))
    return Interval.around(a.auc - b.auc, error, level)


def fold_inflation(folds: int) -> float:
    """By how much a standard error grows because models of different folds share what they learned.

    Source: Nadeau and Bengio (2003): the variance of a mean over k folds is 1/k + held out / learned
    from, instead of 1/k, times that of one. On shuffled labels of 448 real leads the interval of the
    AUC then covered .5 in 78 of 80 runs; without it in 69, and with rows of all folds compared in 53.

    Args:
        folds: how many, each held out once; at least 2.
    """
    return math.sqrt(1.0 + folds / (folds - 1.0)) if folds > 1 else 1.0


def _within(raw: Floats, won: Floats, weights: Floats, codes: Codes) -> tuple[float, Floats]:
    """AUC over the pairs that lie in one fold, and each row's influence on it, shape (n,)."""
    area, pairs, influence = 0.0, 0.0, np.zeros(len(won))
    for fold in range(int(codes.max()) + 1):
        here = codes == fold
        compared = float((weights[here] @ won[here]) * (weights[here] @ (1 - won[here])))
        if compared > 0:
            shares = _placements(raw[here], won[here], weights[here])
            influence[here] = compared * _influence(shares, won[here])
            area, pairs = area + compared * shares.auc, pairs + compared
    if pairs == 0:
        raise OneClassError("In every fold all outcomes are the same; wait for more.")
    return area / pairs, influence / pairs


def _inside_unit(area: float, fewest: int, error: float, level: float) -> Interval:
    area = min(max(area, 0.0), 1.0)
    if not math.isfinite(error):
        return Interval(area, 0.0, 1.0, level)
    if area in (0.0, 1.0):
        # Perfect separation leaves no variance to see; the smaller class bounds what is known.
        return wilson_interval(area * fewest, fewest, level)
    centre = math.log(area / (1 - area))
    reach = normal_quantile(level) * error / (area * (1 - area))
    lower, upper = centre - reach, centre + reach
    return Interval(area, _expit(lower), _expit(upper), level)


def _expit(log_odds: float) -> float:
    small = math.exp(-abs(log_odds))
    return (small if log_odds < 0 else 1.0) / (1.0 + small)


@dataclass(frozen=True)
class Lift:
    """What working the top of the list brings, with the range that ties at the cut leave open.

    Attributes:
        share: the share of leads worked, in (0, 1].
        leads: how many leads that is.
        tied: how many leads share the raw score at the cut.
        wins: expected wins among them when ties are broken at random.
        wins_lower: wins when ties are broken worst.
        wins_upper: wins when ties are broken best.
        lift: expected win rate over the base rate.
        lift_lower: worst.
        lift_upper: best.
    """

    share: float
    leads: int
    tied: int
    wins: float
    wins_lower: float
    wins_upper: float
    lift: float
    lift_lower: float
    lift_upper: float


def lift_at(share: float, raw: ArrayLike, y: ArrayLike) -> Lift:
    """How many times the base rate the top `share` of leads wins.

    Args:
        share: of the leads, in (0, 1]; at least one lead is always worked.
        raw: shape (n,), any score that orders.
        y: shape (n,), 1 = won, 0 = not won.

    Returns:
        Expected lift with the best and the worst way to break ties at the cut.

    Raises:
        OneClassError: only wins or only losses.
        ValueError: the share is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], got {share}.")
    won = checked_outcomes(y, both=True)
    scores = checked_floats("raw", raw, len(won))
    leads = max(1, math.floor(share * len(won) + 0.5))
    cut = np.partition(scores, len(won) - leads)[len(won) - leads]
    above, at = scores > cut, scores == cut
    sure, tied, tied_wins = won[above].sum(), int(at.sum()), won[at].sum()
    room = leads - int(above.sum())
    wins = (
        sure + room * tied_wins / tied,
        sure + max(0.0, room - (tied - tied_wins)),
        sure + min(float(room), tied_wins),
    )
    base = won.mean() * leads
    return Lift(share, leads, tied, *(float(w) for w in wins), *(float(w / base) for w in wins))


@dataclass(frozen=True)
class Gain:
    """The cumulative gain curve: working this share of leads catches that share of wins.

    Attributes:
        share: of the leads worked, best first, rising from 0 to 1.
        captured: of all wins, expected over random tie breaking, from 0 to 1.
    """

    share: tuple[float, ...]
    captured: tuple[float, ...]


def cumulative_gain(raw: ArrayLike, y: ArrayLike, points: int = 101) -> Gain:
    """Which share of all wins is caught by working the best-scored leads first.

    Args:
        raw: shape (n,), any score that orders.
        y: shape (n,), 1 = won, 0 = not won.
        points: how many points the curve has, at least 2.

    Returns:
        The curve on an even grid of shares.

    Raises:
        OneClassError: only wins or only losses.
    """
    won = checked_outcomes(y, both=True)
    scores = checked_floats("raw", raw, len(won))
    _, rank = np.unique(-scores, return_inverse=True)
    worked = np.concatenate([[0.0], np.cumsum(np.bincount(rank))]) / len(won)
    caught = np.concatenate([[0.0], np.cumsum(np.bincount(rank, weights=won))]) / won.sum()
    grid = np.linspace(0.0, 1.0, points)
    # A straight line through a block of ties is what random tie breaking expects.
    return Gain(tuple(grid.tolist()), tuple(np.interp(grid, worked, caught).tolist()))
