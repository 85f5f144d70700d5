"""May rows learn whose horizon is not over? Some, weighted for those of which nothing is known yet.

A row is watched from its as-of until the reporting lag before the cutoff. It is decided when its lead
closes, or when the horizon is over. Rows that were watched long enough to be decided get the inverse
of the probability of being watched that long, so that those decided late stand for those not watched
to their end. That is right only if how long a row was watched has nothing to do with how it ends, and
only where rows were watched to the end of the horizon at all: otherwise no weight can stand for them,
and this module refuses and says why. Whole matured cohorts are the default (docs/decisions/0020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.clock import days, in_horizon
from features.definition import Definition
from features.facts import Ints, Queries
from features.store.outcomes import ENDINGS, Deals
from features.windows import pairs

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

NEVER = np.iinfo(np.int64).max
"""`FollowUp.ended` of rows of which no end is known."""

WATCHED_TO_THE_END = 0.2
"""Share of the rows watched to the end of the horizon below which immature ones are not used."""

LONGER_THAN_HORIZON = 1.25
"""How many horizons the oldest row must have been watched."""

DAY = 86_400_000_000.0


@dataclass(frozen=True, slots=True)
class FollowUp:
    """What is known of how n rows ended, both of shape (n,).

    `ended` is microseconds from a row's as-of to what decides it: the first win within the horizon,
    else the first other ending, else `NEVER`. A lost lead that is won later within the horizon is
    taken as won from when it is won.
    """

    ended: Ints
    won: Flags

    def take(self, rows: Ints) -> FollowUp:
        """Only these rows."""
        return FollowUp(self.ended[rows], self.won[rows])


@dataclass(frozen=True, slots=True)
class Watched:
    """How well rows were watched: a plain record for the card, and why they were not used if so.

    Attributes:
        rows: how many rows were watched at all.
        matured: of these, whose horizon is over.
        used: rows with a weight above 0.
        watched_to_the_end: share of the rows that were watched as long as the horizon.
        longest_days: how long the oldest row was watched.
        largest_weight: of a used row.
        effective_rows: what the used rows are worth, (sum of weights)² / sum of squares.
        refused: why only matured rows are used; None: immature ones are used too.
    """

    rows: int
    matured: int
    used: int
    watched_to_the_end: float
    longest_days: float
    largest_weight: float
    effective_rows: float
    refused: str | None

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {name: getattr(self, name) for name in self.__slots__}

    def sentence(self) -> str:
        """What the card says."""
        if self.refused is not None:
            return f"Only rows whose horizon is over were used: {self.refused}"
        return (
            f"{self.used - self.matured:,} rows whose horizon was not over but whose lead had closed "
            f"were used beside {self.matured:,} matured ones, weighted by the inverse probability of "
            f"being watched that long ({self.watched_to_the_end:.0%} were to the end of the horizon; "
            f"weights up to {self.largest_weight:.1f}; worth {self.effective_rows:,.0f} rows)."
        )


@dataclass(frozen=True, slots=True)
class Delayed:
    """Labels (1, 0, −1 where not used) and weights of n rows (0 where not used), and the record."""

    y: Ints
    weight: Floats
    watched: Watched


def follow_up(queries: Queries, deals: Deals, definition: Definition, cutoff: int) -> FollowUp:
    """How rows ended, as recorded before the cutoff; `deals.lead` means the same as in `queries`."""
    horizon = None if definition.horizon_days is None else days(definition.horizon_days)
    order = np.lexsort((deals.occurred_at, deals.lead))
    query, position = pairs(deals.lead[order], queries.lead)
    deal = order[position]
    inside = in_horizon(deals.occurred_at[deal], queries.as_of[query], horizon)
    inside &= deals.recorded_at[deal] < cutoff
    query, deal = query[inside], deal[inside]
    after = deals.occurred_at[deal] - queries.as_of[query]
    wins = deals.ending[deal] == ENDINGS.index("won")
    first_win, first_end = (np.full(len(queries), NEVER) for _ in range(2))
    np.minimum.at(first_win, query[wins], after[wins])
    np.minimum.at(first_end, query, after)
    won = (
        first_win < NEVER if horizon is not None else (first_win < NEVER) & (first_win <= first_end)
    )
    return FollowUp(np.where(won, first_win, first_end), won)


def delayed(
    as_of: Ints,
    follow: FollowUp,
    horizon: int,
    lag: int,
    cutoff: int,
    *,
    immature: bool,
    weight: Floats | None = None,
) -> Delayed:
    """Labels and weights of rows as far as they can be known at `cutoff`.

    Source: Robins and Rotnitzky (1992); Vock et al. (2016), inverse probability of censoring weights
    for a risk within a horizon, with the Kaplan–Meier estimate of the censoring time.

    Args:
        as_of: instants of n rows.
        follow: how they ended; nothing that happened at or after `cutoff − lag` is looked at.
        horizon: in microseconds.
        lag: how late outcomes are recorded, in microseconds.
        cutoff: the instant as of which outcomes are known.
        immature: whether rows whose horizon is not over may be used, where that is safe.
        weight: how many rows each row stands for already, shape (n,), above 0; None: one. Who is still
            open when a piece ends has rows in the next, and may stand for those drawn there: leaving
            that out would hide who ceased to be watched.

    Returns:
        Labels, weights (the given ones where immature rows are not used) and the record.
    """
    base = np.ones(len(as_of)) if weight is None else weight
    watched = np.maximum(cutoff - lag - as_of, 0)
    matured = watched >= horizon
    within = follow.ended < np.minimum(watched, horizon)
    y = (within & follow.won).astype(np.int64)
    time = np.where(within, follow.ended, np.minimum(watched, horizon))
    decided = within | matured
    there = watched > 0
    surely = np.ones(len(as_of))
    surely[there] = _watched_as_long(time[there], decided[there], base[there])
    to_the_end = float(np.average(matured[there], weights=base[there])) if there.any() else 0.0
    refused = _refusal(watched, horizon, to_the_end, immature)
    used = matured if refused is not None else decided & there
    inverse = np.ones(len(as_of)) if refused is not None else 1.0 / np.where(used, surely, 1.0)
    stands_for = np.where(used, base * inverse, 0.0)
    total = float(stands_for.sum())
    record = Watched(
        rows=int(there.sum()),
        matured=int(matured.sum()),
        used=int(used.sum()),
        watched_to_the_end=to_the_end,
        longest_days=float(watched.max(initial=0) / DAY),
        largest_weight=float(stands_for.max(initial=0.0)),
        effective_rows=total**2 / float(stands_for @ stands_for) if total else 0.0,
        refused=refused,
    )
    return Delayed(np.where(used, y, -1), stands_for, record)


def _refusal(watched: Ints, horizon: int, to_the_end: float, immature: bool) -> str | None:
    """Why immature rows are not used; None when they may be."""
    if not immature:
        return "that is the default, and what was asked for."
    longest = float(watched.max(initial=0))
    if longest < LONGER_THAN_HORIZON * horizon:
        return (
            f"the oldest row was watched for {longest / DAY:.0f} days and the horizon is "
            f"{horizon / DAY:.0f}: what is decided late has hardly been seen, and no weight can stand "
            f"for it. Wait until rows were watched for {LONGER_THAN_HORIZON * horizon / DAY:.0f} days."
        )
    if to_the_end < WATCHED_TO_THE_END:
        return (
            f"only {to_the_end:.0%} of the rows were watched to the end of the horizon (at least "
            f"{WATCHED_TO_THE_END:.0%} are needed): a few old rows would have to stand for all others."
        )
    return None


def _watched_as_long(time: Ints, decided: Flags, weight: Floats) -> Floats:
    """The Kaplan–Meier probability of being watched at least as long as each row's time, shape (n,)."""
    ends, which = np.unique(time[~decided], return_inverse=True)
    lost = np.bincount(which.reshape(-1), weight[~decided], minlength=len(ends))
    order = np.argsort(time, kind="stable")
    up_to = np.concatenate([[0.0], np.cumsum(weight[order])])
    # What is decided at the very instant at which others cease to be watched comes first.
    beyond = up_to[-1] - up_to[np.searchsorted(time[order], ends, side="right")]
    longer = np.concatenate([[1.0], np.cumprod(1.0 - lost / (np.maximum(beyond, 0.0) + lost))])
    found: Floats = longer[np.searchsorted(ends, time, side="left")]
    return found
