"""How many more outcomes would settle what is undecided?

Rule: a number of outcomes is given with what it would buy: an interval of this width, or a decision with
this chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from training.intervals import Interval, normal_quantile

LEAST_WINS = 20
"""Won (or other) leads below which nothing is judged, as in `training.verdicts`."""

ENOUGH_WINS = 100
"""Won (or other) leads from which on an evaluation is worth its name; Collins, Ogundimu and Altman
(2016)."""

LEVEL_ERROR = 0.051
"""The standard error of log(O/E) that gives an interval from about .9 to 1.1; Riley et al. (2021)."""


@dataclass(frozen=True)
class Enough:
    """How far the outcomes go.

    Attributes:
        wins, losses: leads of each outcome; a lead with rows of both counts in both.
        more_to_judge: more leads of the rarer outcome before anything is judged; 0: enough.
        more_to_trust: the same, before an evaluation is worth its name.
        for_level: leads with one outcome each that pin O/E to within ±10 %, at this base rate; None
            where no base rate is known.
        more_for_level: leads that are missing for that, as far as what was measured tells; None
            where nothing was.
        more_for_signal: leads that would show signal beyond noise if the gain over the base rate stays
            what it is; 0 where it is shown already, None where no number would or nothing is known.
    """

    wins: int
    losses: int
    more_to_judge: int
    more_to_trust: int
    for_level: int | None
    more_for_level: int | None
    more_for_signal: int | None = None

    @property
    def rarer(self) -> str:
        """What there is less of, for people."""
        return "won" if self.wins <= self.losses else "not won"


def leads_for_level(base_rate: float, error: float = LEVEL_ERROR) -> int:
    """How many outcomes pin observed over expected to within ±10 % at 95 %.

    Source: Riley et al. (2021), *Minimum sample size for external validation of a clinical prediction
    model with a binary outcome*, criterion 1: (1 − φ) / (φ · error²).

    Args:
        base_rate: φ, in (0, 1).
        error: of log(O/E).
    """
    return round((1 - base_rate) / (base_rate * error**2))


def more_for_level(level: Interval, leads: int, error: float = LEVEL_ERROR) -> int | None:
    """How many more leads like these bring the error of log(O/E) down to this.

    Args:
        level: observed over expected, as measured.
        leads: on how many leads.
        error: of log(O/E) that is wanted.

    Returns:
        0 when it is known as well already; None where no win has come, or too little to bound it.
    """
    if level.estimate <= 0 or level.lower <= 0 or not math.isfinite(level.upper):
        return None
    spread = math.log(level.upper) - math.log(level.lower)  # their ratio may be beyond any float
    now = spread / (2 * normal_quantile(level.level))
    return max(0, math.ceil(leads * (now / error) ** 2 - 1e-6) - leads)


def enough(wins: int, losses: int, base_rate: float | None, level: Interval | None) -> Enough:
    """How far these outcomes go, and how many are missing.

    Args:
        wins: leads that won.
        losses: leads that did not.
        base_rate: what to expect, in (0, 1); None where nothing is known.
        level: observed over expected, as measured; None where nothing was.
    """
    rarer = min(wins, losses)
    known = base_rate is not None and 0 < base_rate < 1
    return Enough(
        wins,
        losses,
        max(0, LEAST_WINS - rarer),
        max(0, ENOUGH_WINS - rarer),
        leads_for_level(base_rate) if known and base_rate is not None else None,
        None if level is None else more_for_level(level, wins + losses),
    )
