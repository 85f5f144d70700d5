"""What should be done: nothing, recalibrate, retrain, look at the market, or wait?

Rule: only the alarm may say *recalibrate*, and what is said about order and market is said far beyond
noise (`SURE`), because it is asked every week; advice that is asked for a hundred times must not come to
be wrong by being asked. It names the figures that it rests on, and waiting names how many outcomes are
missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.explain import figure as readable
from models.log_odds import inside
from training.enough import enough
from training.intervals import (
    Interval,
    effective_rows,
    group_codes,
    normal_quantile,
    plain,
    wilson_interval,
)
from training.loop.alarms import TOO_HIGH, TOO_LOW, TOO_SURE, EDetector
from training.metrics import auc, auc_interval, observed_over_expected

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Action = Literal["nothing", "recalibrate", "retrain", "look_at_market", "wait"]

SURE = 0.998
"""The confidence of what is looked at every week beside the alarm: 3.1 standard errors."""

LEAST_DROP = 0.1
"""An order that has lost less than this share of its AUC above one half is no reason to retrain."""

LEAST_MOVE = math.log(1.15)
"""A win rate that has moved by less than this factor is no reason to look at the market."""


@dataclass(frozen=True)
class Advice:
    """What to do, in words, and the figures it rests on as JSON."""

    action: Action
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"action": self.action, "reason": self.reason, "evidence": dict(self.evidence)}


@dataclass(frozen=True)
class Level:
    """Observed over expected wins of matured scores, and how many leads stand behind it."""

    ratio: Interval | None
    rows: int
    leads: int
    won_leads: int
    lost_leads: int


@dataclass(frozen=True)
class Order:
    """How well the newest matured scores put buyers first.

    Attributes:
        now: AUC with its interval at `SURE`.
        implied: what the probabilities of training would have meant for these very leads.
        promised: as it was judged at training, with its interval; None where nobody judged it.
    """

    now: Interval
    implied: float
    promised: Interval | None

    @property
    def lost(self) -> bool:
        """Whether it is beyond noise worse than promised and worse than these leads explain."""
        least = self.implied - LEAST_DROP * (self.implied - 0.5)
        if self.promised is None or self.now.upper >= self.implied or self.now.estimate >= least:
            return False
        reach = math.hypot(_error(self.now), _error(self.promised)) * normal_quantile(SURE)
        return self.now.estimate < self.promised.estimate - reach


@dataclass(frozen=True)
class Market:
    """The win rate of the newest matured scores beside that of the ones before, each at `SURE`."""

    now: Interval
    before: Interval

    @property
    def moved(self) -> bool:
        """Whether the rate is another beyond noise, and by enough to matter."""
        one, other = self.now, self.before
        if not (0 < one.estimate < 1 and 0 < other.estimate < 1):
            return False
        apart = one.lower > other.upper or one.upper < other.lower
        return apart and abs(math.log(one.estimate / other.estimate)) > LEAST_MOVE


def _error(interval: Interval) -> float:
    return (interval.upper - interval.lower) / (2 * normal_quantile(interval.level))


def level_of(probability: Floats, y: Ints, lead: Ints) -> Level:
    """Observed over expected of matured scores, a lead's rows as one piece of evidence."""
    won = len(np.unique(lead[y == 1]))
    lost = len(np.unique(lead[y == 0]))
    ratio = observed_over_expected(probability, y, groups=lead) if len(y) else None
    return Level(ratio, len(y), len(np.unique(lead)), won, lost)


def order_of(
    raw: Floats, as_trained: Floats, y: Ints, lead: Ints, promised: Interval | None
) -> Order | None:
    """How matured scores order; None with fewer than two won, or two other, leads.

    Args:
        raw: log-odds as shown, shape (n,).
        as_trained: what they meant in probability when the booster was trained, shape (n,).
        y: 1 won, 0 not won, shape (n,).
        lead: a number per lead, shape (n,).
        promised: the AUC as it was judged at training.
    """
    if min(len(np.unique(lead[y == 1])), len(np.unique(lead[y == 0]))) < 2:
        return None
    now = auc_interval(raw, y, groups=lead, level=SURE)
    return Order(now, implied_auc(raw, as_trained), promised)


def implied_auc(raw: Floats, probability: Floats) -> float:
    """The AUC that these scores have if each lead wins with its probability.

    Every row is taken as won with weight p and as not won with weight 1 − p.

    Args:
        raw: what orders, shape (n,).
        probability: inside (0, 1), shape (n,).
    """
    p = inside(probability)
    twice, won = np.concatenate([raw, raw]), np.repeat([1.0, 0.0], len(raw))
    return auc(twice, won, weights=np.concatenate([p, 1.0 - p]))


def rate_of(y: Ints, lead: Ints, level: float = SURE) -> Interval:
    """The win rate of rows with Wilson's interval on as many rows as they are worth."""
    if not len(y):
        return Interval(math.nan, 0.0, 1.0, level)
    won = y.astype(np.float64)
    rows = effective_rows(won, group_codes(lead, len(won)), np.ones(len(won)))
    return wilson_interval(float(won.mean()) * rows, rows, level)


def advise(detector: EDetector, level: Level, order: Order | None, market: Market | None) -> Advice:
    """Say what to do.

    Args:
        detector: the alarm of the champion's probabilities.
        level: of the champion's matured scores.
        order: of its line's newest matured scores; None where there are too few.
        market: win rates now and before; None where either has too few.
    """
    evidence = _evidence(detector, level, order, market)
    raised, lost = detector.raised_in is not None, order is not None and order.lost
    if lost:
        assert order is not None
        return Advice("retrain", _retrain(order, raised), evidence)
    if raised:
        return Advice("recalibrate", _recalibrate(detector, level), evidence)
    if market is not None and market.moved:
        return Advice("look_at_market", _market(market, level), evidence)
    missing = enough(level.won_leads, level.lost_leads, _rate(level), level.ratio)
    if missing.more_to_judge:
        return Advice("wait", _wait(level, missing.more_to_judge), evidence)
    return Advice("nothing", _nothing(detector, level, missing.more_for_level), evidence)


def _evidence(
    detector: EDetector, level: Level, order: Order | None, market: Market | None
) -> dict[str, Any]:
    missing = enough(level.won_leads, level.lost_leads, _rate(level), level.ratio)
    return {
        "rows": level.rows,
        "leads": level.leads,
        "won_leads": level.won_leads,
        "lost_leads": level.lost_leads,
        "observed_over_expected": plain(level.ratio),
        "more_to_judge": missing.more_to_judge,
        "more_for_level": missing.more_for_level,
        "for_level": missing.for_level,
        "e_value": detector.e_value,
        "threshold": detector.threshold,
        "auc": None if order is None else plain(order),
        "win_rate": None if market is None else plain(market),
    }


def _rate(level: Level) -> float | None:
    return level.won_leads / level.leads if level.leads else None


_WRONG = {
    TOO_HIGH: "more was promised than came",
    TOO_LOW: "more came than was promised",
    TOO_SURE: "high scores promised too much and low ones too little",
}


def _recalibrate(detector: EDetector, level: Level) -> str:
    wrong = _WRONG.get(detector.wrong, "high scores promised too little and low ones too much")
    return (
        f"The probabilities no longer come true: {wrong} ({_ratio(level)}). The alarm reached "
        f"{readable(detector.highest)}, and is raised at {detector.threshold:,.0f}. The order still "
        "holds, so a new calibration is what is asked for."
    )


def _retrain(order: Order, raised: bool) -> str:
    promised = order.promised
    assert promised is not None, "see Order.lost"
    also = " The probabilities no longer come true either." if raised else ""
    return (
        f"The order has worsened: AUC {order.now.estimate:.3f} ({order.now.lower:.3f} to "
        f"{order.now.upper:.3f}), where {promised.estimate:.3f} was promised and these leads would give "
        f"{order.implied:.3f}.{also} No calibration mends an order; a new model is asked for."
    )


def _market(market: Market, level: Level) -> str:
    return (
        f"{market.now.estimate:.1%} win now, {market.before.estimate:.1%} before, and the scores "
        f"followed ({_ratio(level)}): it is the leads or the market that changed, not the model."
    )


def _wait(level: Level, missing: int) -> str:
    rarer = "won" if level.won_leads <= level.lost_leads else "not won"
    least = min(level.won_leads, level.lost_leads)
    return (
        f"Too few outcomes: {least} matured leads that were {rarer}; {missing} more are needed before "
        "anything is judged. The alarm watches meanwhile."
    )


def _nothing(detector: EDetector, level: Level, more: int | None) -> str:
    stands = f"the alarm stands at {readable(detector.e_value)} of {detector.threshold:,.0f}"
    sharper = f" About {more:,} more leads would pin that to ±10 %." if more else ""
    said = f"{_ratio(level)} on {level.leads:,} leads; {stands}.{sharper}"
    if level.ratio is None or level.ratio.contains(1.0):
        return f"What was said comes true: {said}"
    return f"Off, but not yet beyond what looking every week may show by chance: {said}"


def _ratio(level: Level) -> str:
    if level.ratio is None:
        return "no outcome yet"
    return (
        f"{level.ratio.estimate:.2f} times as many won as promised, "
        f"{level.ratio.lower:.2f} to {level.ratio.upper:.2f}"
    )
