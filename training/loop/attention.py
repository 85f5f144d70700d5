"""Who was worked, and how probable was it? Of each row of a dataset, from the log of what was shown.

A row at `as_of` was worked when the lead was, within the row's horizon. That it would be is as probable
as that it would be among the first places on one of the days on which its list was looked at, as far as
those places decide: the share of rows worked that once stood there, and of those that never did, are
counted.
"""

from __future__ import annotations

import numpy as np

from features.clock import DAY, days, in_horizon
from features.definition import Definition
from features.store.engine import Store
from features.store.exposure import showings, worked_at
from training.dataset import Dataset
from training.loop.selection import Attention, Floats, Mask


def attention_of(
    store: Store, dataset: Dataset, definition: Definition, first_places: int
) -> Attention:
    """Whether each row was worked, and the probability of it.

    Args:
        store: what was shown, and the facts.
        dataset: n rows.
        definition: its horizon is the time in which work counts.
        first_places: how many places are the first ones.
    """
    names = dataset.frame.lead_ids
    everybody = sorted(set(names))
    horizon = None if definition.horizon_days is None else days(definition.horizon_days)
    with store.read() as connection:
        done = worked_at(connection, everybody, dataset.cutoff)
        log = showings(connection, everybody, 0, dataset.cutoff)
    seen: dict[str, list[tuple[int, int, float]]] = {}
    for row in log:
        if row["chance"] is not None:
            seen.setdefault(row["lead_id"], []).append((row["at"], row["rank"], row["chance"]))
    n = len(dataset)
    worked, first, chance = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool), np.zeros(n)
    for i, (lead, as_of) in enumerate(zip(names, dataset.as_of.tolist(), strict=True)):
        worked[i] = _any_inside(done.get(lead, []), as_of, horizon)
        first[i], chance[i] = _among_first(seen.get(lead, []), as_of, horizon, first_places)
    return Attention(worked, _chance_worked(worked, first, chance))


def _any_inside(times: list[int], as_of: int, horizon: int | None) -> bool:
    return bool(in_horizon(np.array(times, dtype=np.int64), np.int64(as_of), horizon).any())  # type: ignore[arg-type]


def _among_first(
    seen: list[tuple[int, int, float]], as_of: int, horizon: int | None, first_places: int
) -> tuple[bool, float]:
    """Whether a lead ever stood there within its horizon, and how probable that was: once a day."""
    times = np.array([at for at, _, _ in seen], dtype=np.int64)
    inside = np.flatnonzero(in_horizon(times, np.int64(as_of), horizon))  # type: ignore[arg-type]
    stood, by_day = False, dict[int, float]()
    for i in inside.tolist():
        at, rank, chance = seen[i]
        stood |= rank <= first_places
        by_day[at // DAY] = max(chance, by_day.get(at // DAY, 0.0))
    never = float(np.prod([1.0 - chance for chance in by_day.values()]))
    return stood, 1.0 - never


def _chance_worked(worked: Mask, first: Mask, chance: Floats) -> Floats:
    """The probability of being worked, shape (n,): by how often it follows from the first places."""
    then = float(worked[first].mean()) if first.any() else 0.0
    else_ = float(worked[~first].mean()) if (~first).any() else 0.0
    expected = chance * then + (1.0 - chance) * else_
    # Who was worked had a chance of it, whatever the log has missed.
    return np.where(worked, np.maximum(expected, 1.0 / max(len(worked), 1)), expected)
