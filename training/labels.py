"""Did the lead buy within the horizon? 1, 0 or not known yet, always with the reason.

The horizon of a row at `as_of` is `[as_of, as_of + h)`. A cohort matures as a whole: early wins of an
unfinished cohort are not used, because then the speed of closing would become the label. The promise
is P(buys): a lead that closed off merit (junk, duplicate) did not buy, so its label is 0; the reason
keeps it apart from leads lost on merit (docs/decisions/0019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.clock import days, horizon_passed, in_horizon
from features.definition import Definition
from features.facts import Ints, Queries
from features.store.outcomes import ENDINGS, Deals
from features.windows import pairs

REASONS = (
    "won within the horizon",
    "lost within the horizon",
    "not won within the horizon",
    "horizon not over",
    "closed, but not on merit",
    "not closed yet",
)
"""Why a label is what it is; positions are the codes in `Labels.reason`."""

WON, LOST, NOT_WON, IMMATURE, OFF_MERIT, NOT_CLOSED = range(6)
UNKNOWN = -1
_ZEROS = (LOST, NOT_WON, OFF_MERIT)


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of n rows: `y` is 1, 0 or −1 (unknown), `reason` a position in `REASONS`.

    Rows closed off merit have `y` 0 and the reason `OFF_MERIT`: statistics of what was lost on merit
    count the reason `LOST` and not the zeros.
    """

    y: NDArray[np.int64]
    reason: NDArray[np.int64]


def label(queries: Queries, deals: Deals, definition: Definition, cutoff: int) -> Labels:
    """The labels of rows as they can be known at `cutoff`.

    Args:
        queries: n rows.
        deals: what closed, as recorded before the cutoff; `lead` means the same as in `queries`.
        definition: its horizon and reporting lag.
        cutoff: an instant; nothing recorded later is looked at.

    Without a horizon the first deal to close decides, and a row whose lead has not closed is unknown.
    """
    horizon = None if definition.horizon_days is None else days(definition.horizon_days)
    ending = _endings(queries, deals, horizon, cutoff)
    reason = _reasons(ending, until_closed=horizon is None)
    if horizon is not None:
        lag = days(definition.reporting_lag_days)
        reason[~horizon_passed(queries.as_of, horizon, lag, cutoff)] = IMMATURE
    y = np.select([reason == WON, np.isin(reason, _ZEROS)], [1, 0], UNKNOWN)
    return Labels(y, reason)


def _endings(queries: Queries, deals: Deals, horizon: int | None, cutoff: int) -> Ints:
    """Each row's ending within the horizon as a position in `ENDINGS`, −1 where nothing closed.

    A win counts before a loss; without a horizon the first deal to close counts.
    """
    order = np.lexsort((deals.ending, deals.occurred_at, deals.lead))
    query, position = pairs(deals.lead[order], queries.lead)
    deal = order[position]
    inside = in_horizon(deals.occurred_at[deal], queries.as_of[query], horizon)
    inside &= deals.recorded_at[deal] < cutoff
    query, ending = query[inside], deals.ending[deal[inside]]
    found = np.full(len(queries), len(ENDINGS), dtype=np.int64)
    if horizon is None:
        # Pairs are in order of closing: writing them backwards leaves the first.
        found[query[::-1]] = ending[::-1]
    else:
        np.minimum.at(found, query, ending)
    return np.where(found == len(ENDINGS), -1, found)


def _reasons(ending: Ints, *, until_closed: bool) -> Ints:
    won, lost, off_merit = (ENDINGS.index(name) for name in ("won", "lost", "off_merit"))
    return np.select(
        [ending == won, ending == lost, ending == off_merit],
        [WON, LOST, OFF_MERIT],
        NOT_CLOSED if until_closed else NOT_WON,
    )
