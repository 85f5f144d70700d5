"""Why this score? Contributions grouped by fact, in the catalogue's words, adding up to raw − base.

Shapley values of single columns add, so a fact's share is the sum over its columns, exactly. The
words of a reason are those of the column that carries most of the share, with its figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.catalog import FeatureSpec
from features.frames import FeatureFrame
from models.propensity import Floats, PropensityModel


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason.

    Attributes:
        fact: which fact, such as `event:webinar`.
        label: how people call it.
        words: its figure in words, such as `3 × webinar in 30 days`.
        log_odds: what it adds to the raw score.
    """

    fact: str
    label: str
    words: str
    log_odds: float

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "fact": self.fact,
            "label": self.label,
            "words": self.words,
            "log_odds": self.log_odds,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """All reasons of one score, strongest first: `base` + the sum of `log_odds` = raw."""

    base: float
    reasons: tuple[Reason, ...]

    def top(self, n: int) -> list[dict[str, Any]]:
        """The n strongest reasons and, when there are more, their sum as `rest`: still adding up."""
        found = [reason.to_json() for reason in self.reasons[:n]]
        return found + _rest([reason.log_odds for reason in self.reasons[n:]])


Row = Mapping[str, str | float | None]
"""One row of features by name."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """The reasons of one row before they have words.

    Attributes:
        facts: positions in the model's facts, strongest first.
        log_odds: what each adds.
        shares: what each column adds.
    """

    facts: list[int]
    log_odds: list[float]
    shares: Floats


def explain(model: PropensityModel, frame: FeatureFrame) -> list[Explanation]:
    """The exact reasons of each row's raw score."""
    shares, base = model.contributions(frame)
    return [
        Explanation(base, tuple(_reasons(model, weighed, row, len(weighed.facts))))
        for weighed, row in zip(weigh(model, shares), frame.rows(), strict=True)
    ]


def weigh(model: PropensityModel, shares: Floats) -> list[Weighed]:
    """The reasons of each row without their words: strongest first, then by fact.

    Args:
        model: what scored.
        shares: what each column adds, shape (n, columns).
    """
    # One more column, of nothing, stands for those that a fact does not have.
    padded = np.zeros((len(shares), shares.shape[1] + 1))
    padded[:, :-1] = shares
    totals = np.zeros((len(shares), len(model.facts)))
    for columns in model.columns_in_turn:
        totals += padded[:, columns]
    # Facts are in the order of their names: of equally strong ones the first by name.
    order = np.argsort(-np.abs(totals), axis=1, kind="stable")
    ordered = np.take_along_axis(totals, order, axis=1)
    telling = np.count_nonzero(totals, axis=1).tolist()
    rows = zip(order.tolist(), ordered.tolist(), telling, shares, strict=True)
    return [Weighed(facts[:n], log_odds[:n], told) for facts, log_odds, n, told in rows]


def top(model: PropensityModel, weighed: Weighed, row: Row, n: int) -> list[dict[str, Any]]:
    """What `Explanation.top` says; no more reasons are put into words than are shown."""
    found = [
        {
            "fact": fact,
            "label": spec.label,
            "words": in_words(spec, row[spec.name]),
            "log_odds": said,
        }
        for fact, spec, said in _strongest(model, weighed, n)
    ]
    return found + _rest(weighed.log_odds[n:])


def _reasons(model: PropensityModel, weighed: Weighed, row: Row, n: int) -> Iterator[Reason]:
    for fact, spec, log_odds in _strongest(model, weighed, n):
        yield Reason(fact, spec.label, in_words(spec, row[spec.name]), log_odds)


def _strongest(
    model: PropensityModel, weighed: Weighed, n: int
) -> Iterator[tuple[str, FeatureSpec, float]]:
    """The n strongest facts, the column that speaks for each, and what each adds."""
    for i, log_odds in zip(weighed.facts[:n], weighed.log_odds[:n], strict=True):
        fact = model.facts[i]
        spec = fact.told_by[0]
        if len(fact.columns) > 1:
            # Words must speak for the direction they are shown with.
            told = [weighed.shares[column] for column in fact.columns]
            spec = fact.told_by[told.index(max(told) if log_odds > 0 else min(told))]
        yield fact.fact, spec, log_odds


def _rest(log_odds: Sequence[float]) -> list[dict[str, Any]]:
    """The sum of the reasons that are not listed; nothing when there are none."""
    if not log_odds:
        return []
    words = f"{len(log_odds)} weaker reasons together"
    return [
        {
            "fact": "rest",
            "label": "Everything else",
            "words": words,
            "log_odds": float(sum(log_odds)),
        }
    ]


def in_words(spec: FeatureSpec, value: str | float | None) -> str:
    """A feature's value in the catalogue's words."""
    if value is None:
        return spec.missing
    if isinstance(value, str):
        return spec.phrase.format(value=value)
    if spec.unit == "yes/no":
        return "yes" if value else "no"
    if spec.unit == "share":
        return spec.phrase.format(value=f"{value:.0%}")
    if spec.unit == "days" and value < 0:
        return f"in {figure(-value)} days"
    return spec.phrase.format(value=figure(value))


def figure(value: float) -> str:
    """A number as people read it.

    >>> figure(3.0), figure(0.04321), figure(12.845), figure(51234.2), figure(6e22)
    ('3', '0.043', '13', '51,234', '6e+22')
    """
    if abs(value) >= 1e15:
        return f"{value:.2g}"
    if value == int(value) or abs(value) >= 10:
        return f"{round(value):,}"
    return f"{value:.2g}"
