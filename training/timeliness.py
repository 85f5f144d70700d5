"""Do the outcomes come in as agreed? Warnings for the card; each says what was seen and what to do.

None of this changes a label: it says when labels are not what the definition promises.
"""

from __future__ import annotations

import math

from features.clock import DAY, days, iso
from features.definition import Definition
from features.store.engine import Store
from features.store.timing import Pace, Recording, objectors, pace, recording

LATE_AT_MOST = 0.01
"""Share of deals that may be recorded later than the agreed lag."""

SILENCE_BY_CHANCE = 1e-4
"""How improbable a silence must be, at the pace before, to be told."""

OBJECTORS_AT_MOST = 0.01
"""Share of leads that may be left out before it is told."""


def deal_warnings(store: Store, definition: Definition, cutoff: int) -> list[str]:
    """What must be known about deals before their labels are believed.

    Args:
        store: facts and outcomes.
        definition: its horizon and reporting lag.
        cutoff: the instant up to which deals are looked at.
    """
    with store.read() as connection:
        dated = definition.time == "dated"
        lag = days(definition.reporting_lag_days)
        lags = recording(connection, lag, cutoff) if dated else None
        came = pace(connection) if dated else None
        left_out, every = objectors(connection)
    found = [
        late_warning(lags, definition) if lags is not None else None,
        silence_warning(came, definition) if came is not None else None,
        objectors_warning(left_out, every),
    ]
    return [warning for warning in found if warning is not None]


def late_warning(lags: Recording, definition: Definition) -> str | None:
    """More deals than one in a hundred are recorded later than the lag; None when they are not."""
    if definition.horizon_days is None or lags.late <= LATE_AT_MOST * lags.deals:
        return None
    needed = math.ceil(lags.lag_99 / DAY)
    return (
        f"{lags.late / lags.deals:.1%} of {lags.deals:,} deals were recorded more than the agreed "
        f"{definition.reporting_lag_days:g} days after they closed: in the newest matured cohorts wins "
        f"are still missing and count as not won. Set `reporting_lag_days: {needed}` in the lead "
        f"definition (one deal in a hundred took longer)."
    )


def silence_warning(came: Pace, definition: Definition) -> str | None:
    """Deals stop long before facts do; None when they do not.

    At the pace of the 90 days before, counted as a Poisson process, such a silence has a probability
    under one in ten thousand; the reporting lag is taken off first.
    """
    gap = (came.newest_fact - came.newest_deal - days(definition.reporting_lag_days)) / DAY
    expected = came.deals / 90 * gap
    if gap <= 0 or expected <= -math.log(SILENCE_BY_CHANCE):
        return None
    return (
        f"The newest deal was recorded on {iso(came.newest_deal)[:10]}, the newest fact on "
        f"{iso(came.newest_fact)[:10]}: in between, about {expected:,.0f} deals would have come at the "
        f"pace before. Labels end with the newest deal; see whether deals are still being imported."
    )


def objectors_warning(left_out: int, every: int) -> str | None:
    """Leads that object to being scored are many; None when they are not (decision 0021)."""
    if every == 0 or left_out <= OBJECTORS_AT_MOST * every:
        return None
    share = left_out / every
    return (
        f"{left_out:,} of {every:,} leads ({share:.1%}) object to being scored and are not learned from,"
        f" in earlier cohorts either. If none of them bought, the others' win rates are up to "
        f"{share / (1 - share):.1%} higher than those of all leads."
    )
