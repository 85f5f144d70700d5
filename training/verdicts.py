"""What does the evidence say? About a model against another, a recalibration, or a first model.

Rule: a difference decides when its interval leaves out 0; else the verdict is *undecided*, with the
number of outcomes that would decide. A recalibration changes no order, so its level may decide too: the
champion's observed over expected leaving out 1, with the new level nearer to it and the log loss not
worse beyond noise (docs/decisions/0015).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from features.frames import Category
from models.calibrators import FLOOR
from training.guards import AsShown, Pair, objections
from training.intervals import Interval, normal_quantile
from training.metrics import (
    PairedDifference,
    auc_interval,
    observed_over_expected,
    outcomes_needed,
    paired_log_loss_difference,
)

Floats = NDArray[np.float64]

LEAST_WINS = 20
"""Fewer won leads than this decide nothing."""

POWER = 0.8
"""The chance with which "so many more would decide" comes true, should the difference stay as it is."""


@dataclass(frozen=True)
class Verdict:
    """A decision about a challenger, with its evidence for people and as JSON."""

    decision: Literal["promote", "keep", "undecided"]
    reason: str
    evidence: dict[str, Any]


_THE_SAME = 1e-9
"""Probabilities nearer than this say the same."""


def compare(
    challenger: Floats,
    champion: Floats,
    y: NDArray[np.int64],
    lead: NDArray[np.int64],
    seed: int,
    weight: Floats | None = None,
    *,
    same_order: bool = False,
    segments: Mapping[str, Category] | None = None,
    shown: AsShown | None = None,
) -> Verdict:
    """Decide between two models by what they said about the same matured rows.

    Another booster that is better on the whole is promoted if it spoils nothing (`training.guards`).

    Args:
        challenger: its probabilities, shape (n,).
        champion: its probabilities for the same rows.
        y: what happened, 1 or 0.
        lead: a number per lead; rows of one lead are one piece of evidence.
        seed: of the resampling when there are few leads.
        weight: how many rows each stands for; None: itself alone.
        same_order: both are calibrations of one booster, so evidence on the level may decide.
        segments: label -> the segment of each row; in none of them may the challenger be worse.
        shown: what leads would be ordered by and told, where that is not what is compared.
    """
    wins = len(np.unique(lead[y == 1]))
    if min(wins, len(np.unique(lead[y == 0]))) < LEAST_WINS:
        missing = max(LEAST_WINS - wins, 1)
        reason = (
            f"undecided: {wins} won leads neither model has learned from; {missing} more are needed"
        )
        return Verdict("undecided", reason, {"wins": wins, "more_wins_needed": missing})
    if np.allclose(challenger, champion, rtol=0.0, atol=_THE_SAME):
        challenger = champion  # one last digit must not be found significant
    difference = paired_log_loss_difference(
        challenger, champion, y, lead, seed=seed, weights=weight
    )
    figures = {**asdict(difference), "rows": len(y), "wins": wins}
    figures["observed"] = float(np.average(y, weights=weight))
    figures["expected_challenger"] = float(np.average(challenger, weights=weight))
    figures["expected_champion"] = float(np.average(champion, weights=weight))
    level = observed_over_expected(champion, y, groups=lead, weights=weight) if same_order else None
    verdict = _decided(difference, level, figures)
    if same_order:
        return verdict
    pair = Pair(challenger, champion, y, lead, weight, segments or {}, seed, shown)
    return _guarded(verdict, pair)


def stands_at(verdict: Verdict, level: float) -> bool:
    """Whether a promotion by log loss would stand with more confidence than a single look needs."""
    if verdict.decision != "promote":
        return False
    figures = verdict.evidence
    reach = normal_quantile(level) * figures["standard_error"]
    return bool(figures["difference"] + reach < 0)


def _guarded(verdict: Verdict, pair: Pair) -> Verdict:
    """The promotion, if nothing speaks against it; else undecided: more outcomes may clear it."""
    against = objections(pair)
    evidence = {**verdict.evidence, **against.figures, "objections": "; ".join(against.words)}
    if not against.words or verdict.decision != "promote":
        return Verdict(verdict.decision, verdict.reason, evidence)
    reason = (
        f"undecided: {verdict.reason}; but {'; '.join(against.words)}. Promote it with --force and the "
        "reason if that is wanted"
    )
    return Verdict("undecided", reason, evidence)


def _decided(
    difference: PairedDifference, level: Interval | None, figures: dict[str, Any]
) -> Verdict:
    said = (
        f"log loss {difference.difference:+.4f} ({difference.lower:+.4f} to {difference.upper:+.4f}) "
        f"on {difference.leads:,} leads"
    )
    if level is not None:
        said = f"{said}; {_level_words(level)}"
        figures |= {
            f"level_{name}": getattr(level, name) for name in ("estimate", "lower", "upper")
        }
    if difference.upper < 0:
        return Verdict("promote", f"better: {said}", figures)
    if difference.lower > 0:
        return Verdict("keep", f"worse: {said}", figures)
    if level is not None and _nearer(level, figures):
        return Verdict("promote", f"the level has moved: {said}", figures)
    more = _fewest(outcomes_needed(difference, POWER), _leads_for(level, difference.leads))
    figures["more_leads_needed"] = more
    wanted = (
        "no number of outcomes would decide"
        if more is None
        else f"about {more:,} more would decide"
    )
    return Verdict("undecided", f"no difference beyond noise: {said}; {wanted}", figures)


def _level_words(level: Interval) -> str:
    return (
        f"{level.estimate:.2f} times as many won as the champion said ({level.lower:.2f} to "
        f"{level.upper:.2f})"
    )


def _nearer(level: Interval, figures: dict[str, Any]) -> bool:
    """Whether the champion's level is wrong beyond noise and the challenger's is nearer to right."""
    after = math.log(figures["observed"] / figures["expected_challenger"])
    return not level.contains(1.0) and abs(after) < abs(math.log(level.estimate)) - _THE_SAME


def _leads_for(level: Interval | None, leads: int) -> int | None:
    """How many more leads would tell the champion's level from right, if it stays what it is."""
    if level is None or level.estimate == 1.0:
        return None
    error = math.log(level.upper / level.lower) / (2 * normal_quantile(level.level))
    reach = normal_quantile(level.level) + normal_quantile(2 * POWER - 1)
    total = leads * (reach * error / math.log(level.estimate)) ** 2
    return max(1, math.ceil(total) - leads)


def _fewest(*numbers: int | None) -> int | None:
    return min((number for number in numbers if number is not None), default=None)


def first_verdict(
    raw: Floats,
    said: Floats,
    y: NDArray[np.int64],
    lead: NDArray[np.int64],
    rate: float,
    seed: int,
    weight: Floats | None = None,
) -> Verdict:
    """Decide about a first model: does it know more than the win rate that was known without it?

    Promoted when the interval of its AUC lies above 0.5 and its log loss is not worse, beyond noise,
    than that of always answering `rate` – not the win rate that came: nobody knew that one, and where
    the world has moved it has moved for the model and for the rate.

    Args:
        raw: log-odds, shape (n,).
        said: probabilities, shape (n,).
        y: what happened, 1 or 0.
        lead: a number per lead.
        rate: the share of the rows it learned from that was won.
        seed: of the resampling when there are few leads.
        weight: how many rows each stands for; None: itself alone.
    """
    if len(np.unique(y)) < 2:
        reason = "a first model is judged by wins and losses, and only one of them has come"
        return _not_yet(reason, {"rows": len(y)})
    area = auc_interval(raw, y, groups=lead, weights=weight)
    constant = np.full(len(y), min(max(rate, FLOOR), 1 - FLOOR))
    difference = paired_log_loss_difference(said, constant, y, lead, seed=seed, weights=weight)
    figures = {**asdict(difference), "rows": len(y), "rate_known": rate}
    figures |= {f"auc_{name}": getattr(area, name) for name in ("estimate", "lower", "upper")}
    shown = (
        f"AUC {area.estimate:.3f} ({area.lower:.3f} to {area.upper:.3f}), log loss "
        f"{difference.difference:+.4f} ({difference.lower:+.4f} to {difference.upper:+.4f}) against "
        f"always answering the {rate:.1%} it learned from"
    )
    if area.lower <= 0.5 or difference.lower > 0:
        return _not_yet(f"no better than knowing nothing of a lead: {shown}", figures)
    return Verdict("promote", f"the first model, and better than none: {shown}", figures)


def _not_yet(why: str, evidence: dict[str, Any]) -> Verdict:
    ways = (
        "map more of what is known about leads, wait for outcomes, or promote it with --force and the "
        "reason"
    )
    return Verdict("undecided", f"undecided: {why}; {ways}", evidence)


def first_by_its_figures(figures: dict[str, Any] | None) -> Verdict:
    """Decide about a first model that has left no row unseen, by the figures it was judged by."""
    if figures is None:
        return _not_yet("it could not be judged", {})
    area, loss, base = figures["auc"], figures["log_loss"], figures["base_rate_log_loss"]
    known = {"auc_lower": area["lower"], "log_loss": loss, "base_rate_log_loss": base}
    shown = (
        f"AUC {area['estimate']:.3f} ({area['lower']:.3f} to {area['upper']:.3f}), log loss "
        f"{loss:.4f} against {base:.4f} of the base rate"
    )
    if area["lower"] <= 0.5 or loss > base:
        return _not_yet(f"no better than knowing nothing of a lead: {shown}", known)
    return Verdict("promote", f"the first model, and better than none: {shown}", known)
