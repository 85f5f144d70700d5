"""Why this score? Contributions grouped by fact, in the catalogue's words, adding up to raw − base.

Shapley values of single columns add, so a fact's share is the sum over its columns, exactly. The
words of a reason are those of the column that carries most of the share, with its figure.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from features.catalog import FeatureSpec
from features.frames import FeatureFrame
from models.propensity import PropensityModel


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
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Explanation:
    """All reasons of one score, strongest first: `base` + the sum of `log_odds` = raw."""

    base: float
    reasons: tuple[Reason, ...]

    def top(self, n: int) -> list[dict[str, Any]]:
        """The n strongest reasons and, when there are more, their sum as `rest`: still adding up."""
        shown, rest = self.reasons[:n], self.reasons[n:]
        found = [reason.to_json() for reason in shown]
        if rest:
            total = float(sum(reason.log_odds for reason in rest))
            words = f"{len(rest)} weaker reasons together"
            found.append(Reason("rest", "Everything else", words, total).to_json())
        return found


def explain(model: PropensityModel, frame: FeatureFrame) -> list[Explanation]:
    """The exact reasons of each row's raw score."""
    shares, base = model.contributions(frame)
    groups: dict[str, list[int]] = {}
    for i, spec in enumerate(model.specs):
        groups.setdefault(spec.fact, []).append(i)
    return [
        _explanation(model, groups, shares[row], frame.row(row), base) for row in range(len(frame))
    ]


def _explanation(
    model: PropensityModel,
    groups: dict[str, list[int]],
    shares: np.ndarray[Any, np.dtype[np.float64]],
    values: dict[str, str | float | None],
    base: float,
) -> Explanation:
    reasons = []
    answers = {spec.fact: spec for spec in model.catalog if spec.kind == "category"}
    for fact, columns in groups.items():
        total = float(sum(shares[i] for i in columns))
        if total == 0.0:
            continue
        # Words must speak for the direction they are shown with.
        telling = max(columns, key=lambda i: shares[i] * np.sign(total))
        spec = model.specs[telling]
        if spec.unit is None:
            # A rank says less than the answer that was ranked.
            spec = answers.get(fact, spec)
        reasons.append(Reason(fact, spec.label, in_words(spec, values[spec.name]), total))
    reasons.sort(key=lambda reason: (-abs(reason.log_odds), reason.fact))
    return Explanation(base, tuple(reasons))


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
