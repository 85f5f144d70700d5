"""What does the scoring itself bring? Leads placed by score against leads placed by lot.

A lead belongs to an arm by a keyed lot of its id, whether it is ever looked at or not, and all leads of
an arm are counted: those that were shown because of their score would be a chosen few. A lead counts
from the first score that it got while the holdout ran; what it bought within the horizon of that, and
for how much, is its outcome. Both arms get as many first places a lead, so the difference is what the
order brings, at equal work.

Leads that have become one are one: it counts from the first score that any of them got, in the arm of
that one – which of them survived may depend on who was worked – and what either bought is its outcome.

The intervals of the differences may be looked at every week (`training.anytime`); those of the arms are
for one look and decide nothing. That of the revenues is rough where a few deals are most of them.

Source: Agresti and Caffo (2000) for the error of a difference of rates where an arm has hardly a win.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import days, iso
from features.definition import Definition
from features.errors import NotEnoughEvidenceError
from features.facts import Ints, Queries
from features.store.engine import Connection, Store
from features.store.ledger_sample import first_scores
from features.store.merges import Families, Numbering, known_families
from features.store.outcomes import Deals, load_outcomes
from features.store.queue_order import lots
from features.store.trials import Trial, arm_text, list_trials
from training.anytime import POWER, anytime_interval, rows_to_show
from training.intervals import Floats, Interval, plain, wilson_interval
from training.labels import WON, label

Mask = NDArray[np.bool_]

LEAST_WINS = 10
"""Won leads of each arm below which the interval is not believed, whatever it leaves out."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm: how many leads, how many bought, the rate with its interval, and the revenue a lead."""

    leads: int
    won: int
    rate: Interval
    revenue: Interval


@dataclass(frozen=True, slots=True)
class HoldoutReadout:
    """What the two arms came to.

    Attributes:
        since, until: when the holdout ran; leads first scored in it whose horizon is over count.
        share: of the leads that were held out.
        scored, held_out: the arms.
        difference: of the win rates, scored − held out, with its interval.
        revenue: of the revenues a lead, likewise, in the company's currency.
        leads_missing: how many more leads it takes, at these rates, until a difference as large as
            the one that is seen would show in 8 of 10 cases; None: it shows, or there is none to be
            seen.
    """

    since: int
    until: int
    share: float
    scored: Arm
    held_out: Arm
    difference: Interval
    revenue: Interval
    leads_missing: int | None

    @property
    def is_decisive(self) -> bool:
        """Whether the interval of the difference leaves out 0, with wins enough for an interval."""
        return self._is_enough and not self.difference.contains(0.0)

    @property
    def _is_enough(self) -> bool:
        return min(self.scored.won, self.held_out.won) >= LEAST_WINS

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        found: dict[str, Any] = plain(self)
        return {
            **found,
            "since": iso(self.since),
            "until": iso(self.until),
            "decisive": self.is_decisive,
            "looks": "any number",
            "power": POWER,
        }


def read_holdout(store: Store, definition: Definition, now: int) -> HoldoutReadout:
    """What the last holdout has shown so far.

    Raises:
        NotEnoughEvidenceError: there was none, or no lead of it has had its horizon yet.
    """
    with store.read() as connection:
        trial = _last_holdout(list_trials(connection))
        wait = definition.outcome_wait
        until = min(trial.until or now, now - wait)
        leads, as_of = first_scores(connection, trial.since, until)
        if not leads:
            raise NotEnoughEvidenceError(
                f"no lead of the holdout that began {iso(trial.since)} has had its horizon yet",
                hint="A lead counts once its horizon and the reporting lag are over.",
            )
        people = _as_one(leads, as_of, known_families(connection, now))
        held = _held_out(connection, [people.leads[i] for i in people.first.lead], trial)
        deals = load_outcomes(connection, people.leads, now)
    won = label(people.first, deals, definition, now).reason == WON
    revenue = _revenue(deals, people, definition)
    return compared(
        won.astype(np.float64), revenue, held, (trial.since, until), trial.rules.holdout
    )


def compared(
    won: Floats,
    revenue: Floats,
    held: np.ndarray[Any, np.dtype[np.bool_]],
    time: tuple[int, int],
    share: float,
) -> HoldoutReadout:
    """The two arms.

    Args:
        won: shape (n,), 1 for leads that bought.
        revenue: shape (n,), for how much.
        held: shape (n,), which were held out.
        time: since when, and until when.
        share: of the leads held out, as it was set.

    Raises:
        NotEnoughEvidenceError: an arm is empty.
    """
    if held.all() or not held.any():
        raise NotEnoughEvidenceError(
            f"all {len(held):,} leads are in one arm; there is nothing to compare",
            hint="Wait for more leads.",
        )
    scored, other = _arm(won[~held], revenue[~held]), _arm(won[held], revenue[held])
    gap, error = scored.rate.estimate - other.rate.estimate, _error_of_rates(scored, other)
    difference = anytime_interval(gap, error, len(held))
    return HoldoutReadout(
        *time,
        share,
        scored,
        other,
        difference,
        _of_means(revenue[~held], revenue[held]),
        _missing(difference, error, scored, other),
    )


def _last_holdout(trials: Sequence[Trial]) -> Trial:
    """The last time in which leads were held out, at one share."""
    found = [trial for trial in trials if trial.rules.holdout > 0]
    if not found:
        raise NotEnoughEvidenceError(
            "no lead was ever held out",
            hint="PROPENSITY_HOLDOUT_SHARE=0.1 holds a tenth of the leads out from then on.",
        )
    return found[-1]


@dataclass(frozen=True, slots=True)
class _People:
    """Who was scored, each once however many leads of theirs have become one.

    Attributes:
        leads: all leads of theirs that were scored, and whoever they have become.
        whose: the position of the person of each of these leads.
        first: of each person the lead that was scored first, as a position in `leads`, and when.
    """

    leads: Sequence[str]
    whose: Ints
    first: Queries


def _as_one(scored: Sequence[str], as_of: Sequence[int], families: Families) -> _People:
    """The people behind leads that were scored first at these instants."""
    end = families.last_survivors()
    # Amounts stand with the survivor, whether or not it was scored.
    survivors = {end[lead] for lead in scored if lead in end} - {*scored}
    leads = [*scored, *sorted(survivors)]
    whose = np.unique(Numbering(families).of(leads), return_inverse=True)[1]
    first: dict[int, int] = {}
    for i in sorted(range(len(scored)), key=lambda i: (as_of[i], scored[i])):
        first.setdefault(int(whose[i]), i)
    lead = np.array([first[person] for person in range(len(first))], dtype=np.int64)
    return _People(leads, whose, Queries(lead, np.array(as_of, dtype=np.int64)[lead]))


def _held_out(connection: Connection, leads: Sequence[str], trial: Trial) -> Mask:
    drawn = lots(connection, [arm_text(lead) for lead in leads])
    return np.array(drawn) < trial.rules.holdout


def _revenue(deals: Deals, people: _People, definition: Definition) -> Floats:
    """What each bought for within the horizon, shape (n,); a deal without an amount is 0."""
    horizon = definition.horizon_days
    buyer = people.whose[deals.lead]
    start = people.first.as_of[buyer]
    inside = (deals.ending == 0) & (deals.occurred_at >= start)
    if horizon is not None:
        inside &= deals.occurred_at < start + days(horizon)
    amounts = np.nan_to_num(deals.amount[inside])
    found = np.bincount(buyer[inside], weights=amounts, minlength=len(people.first))
    return found.astype(np.float64)


def _arm(won: Floats, revenue: Floats) -> Arm:
    n, wins = len(won), int(won.sum())
    error = float(revenue.std(ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    mean = Interval.around(float(revenue.mean()), error)
    return Arm(n, wins, wilson_interval(wins, n), mean)


def _error_of_rates(one: Arm, other: Arm) -> float:
    """The standard error of the difference of two rates, a win and a loss added to each arm."""
    rates = [((arm.won + 1) / (arm.leads + 2), arm.leads + 2) for arm in (one, other)]
    return math.sqrt(sum(rate * (1 - rate) / n for rate, n in rates))


def _of_means(one: Floats, other: Floats) -> Interval:
    parts = [
        float(arm.var(ddof=1)) / len(arm) if len(arm) > 1 else math.inf for arm in (one, other)
    ]
    gap = float(one.mean() - other.mean())
    return anytime_interval(gap, math.sqrt(sum(parts)), len(one) + len(other))


def _missing(difference: Interval, error: float, one: Arm, other: Arm) -> int | None:
    """How many more leads it takes to show a difference of this size, and to have wins enough."""
    n, fewest = one.leads + other.leads, min(one.won, other.won)
    if fewest >= LEAST_WINS and not difference.contains(0.0):
        return None
    wanted = rows_to_show(difference.estimate, error, n)
    if wanted is None:
        return None
    for_wins = math.ceil(n * LEAST_WINS / max(fewest, 1))
    return max(wanted, for_wins, n + 1) - n
