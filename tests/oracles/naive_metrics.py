"""What the metrics mean, in loops a reader can check by eye; never optimised."""

import math
from collections.abc import Sequence

Numbers = Sequence[float]


def auc(raw: Numbers, y: Numbers, weights: Numbers | None = None) -> float:
    """Over all pairs of a winner and a loser: how often the winner stands higher, ties one half."""
    weights = weights or [1.0] * len(y)
    right = total = 0.0
    for i, won in enumerate(y):
        for j, lost in enumerate(y):
            if won == 1 and lost == 0:
                pair = weights[i] * weights[j]
                total += pair
                if raw[i] > raw[j]:
                    right += pair
                elif raw[i] == raw[j]:
                    right += pair / 2
    return right / total


def auc_within(raw: Numbers, y: Numbers, folds: Sequence[int], weights: Numbers) -> float:
    """The same over the pairs of which both lie in one fold."""
    right = total = 0.0
    for fold in set(folds):
        here = [i for i, own in enumerate(folds) if own == fold]
        wins = sum(weights[i] for i in here if y[i] == 1)
        losses = sum(weights[i] for i in here if y[i] == 0)
        if wins * losses > 0:
            inside = auc([raw[i] for i in here], [y[i] for i in here], [weights[i] for i in here])
            right += inside * wins * losses
            total += wins * losses
    return right / total


def delong_variance(raw: Numbers, y: Numbers) -> float:
    """DeLong et al. (1988): variances of the placements of winners and of losers."""
    wins = [r for r, w in zip(raw, y, strict=True) if w == 1]
    losses = [r for r, w in zip(raw, y, strict=True) if w == 0]

    def right(win: float, loss: float) -> float:
        return 1.0 if win > loss else 0.5 if win == loss else 0.0

    of_wins = [sum(right(w, v) for v in losses) / len(losses) for w in wins]
    of_losses = [sum(right(w, v) for w in wins) / len(wins) for v in losses]
    return variance(of_wins) / len(wins) + variance(of_losses) / len(losses)


def variance(values: Numbers) -> float:
    """Sample variance with n - 1."""
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def bins_of(values: Numbers, bins: int) -> list[int]:
    """Each value's bin: where the middle of its block of ties falls among all."""
    numbers = []
    for value in values:
        below = sum(1 for other in values if other < value)
        equal = sum(1 for other in values if other == value)
        numbers.append(math.floor((below + equal / 2) * bins / len(values)))
    return numbers


def _cells(p: Numbers, y: Numbers, bins: int) -> list[tuple[int, float, float]]:
    numbers, cells = bins_of(p, bins), []
    for number in range(bins):
        rows = [i for i, own in enumerate(numbers) if own == number]
        if rows:
            predicted = sum(p[i] for i in rows) / len(rows)
            observed = sum(y[i] for i in rows) / len(rows)
            cells.append((len(rows), predicted, observed))
    return cells


def ece(p: Numbers, y: Numbers, bins: int = 10) -> float:
    """Mean gap between promised and observed over equal-mass bins."""
    return sum(n * abs(said - seen) for n, said, seen in _cells(p, y, bins)) / len(y)


def debiased_squared_error(p: Numbers, y: Numbers, bins: int = 10) -> float:
    """Squared gaps minus the sampling variance of each bin's win rate."""
    total = rows = 0.0
    for n, said, seen in _cells(p, y, bins):
        if n > 1:
            total += n * ((said - seen) ** 2 - seen * (1 - seen) / (n - 1))
            rows += n
    return total / rows


def pool_adjacent_violators(scores: Numbers, y: Numbers, weights: Numbers) -> list[float]:
    """Merge neighbouring blocks while the win rate falls as the score rises."""
    blocks: list[tuple[list[float], float, float]] = []
    for score in sorted(set(scores)):
        rows = [i for i, own in enumerate(scores) if own == score]
        mass = sum(weights[i] for i in rows)
        blocks.append(([score], sum(weights[i] * y[i] for i in rows), mass))
        while len(blocks) > 1 and blocks[-2][1] * blocks[-1][2] >= blocks[-1][1] * blocks[-2][2]:
            last = blocks.pop()
            first = blocks.pop()
            blocks.append((first[0] + last[0], first[1] + last[1], first[2] + last[2]))
    rate = {score: wins / mass for own, wins, mass in blocks for score in own}
    return [rate[score] for score in scores]


def lift_range(share: float, raw: Numbers, y: Numbers) -> tuple[float, float]:
    """Fewest and most wins at the top when ties are broken worst and best."""
    leads = max(1, math.floor(share * len(y) + 0.5))
    worst = sorted(zip(raw, y, strict=True), key=lambda row: (-row[0], row[1]))
    best = sorted(zip(raw, y, strict=True), key=lambda row: (-row[0], -row[1]))
    return sum(won for _, won in worst[:leads]), sum(won for _, won in best[:leads])


def clustered_variance_of_mean(values: Numbers, groups: Sequence[int]) -> float:
    """Variance of a mean when the rows of a group move together."""
    mean, names = sum(values) / len(values), sorted(set(groups))
    total = 0.0
    for name in names:
        inside = sum(v - mean for v, own in zip(values, groups, strict=True) if own == name)
        total += inside**2
    return total / len(values) ** 2 * len(names) / (len(names) - 1)
