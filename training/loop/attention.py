"""Who was worked, and how probable was it? Of each row of a dataset, from the log of what was shown.

A row at `as_of` was worked when the lead was, within the row's horizon. That it would be is as probable
as that it would be among the first places on one of the days on which its lists were looked at, as far
as those places decide: the share of rows worked that once stood there, and of those that never did, are
counted.

The log holds leads that were on a page alone. One that was on none had a chance too, that of its list's
others on that day (`features.store.exposure.list_days`); taking it for 0 would make whoever was lucky
once look far rarer than it is over a horizon of days. Exploration draws anew each day and list, so the
chances of never multiply; a lead that is held out keeps its lot, so the chance of ever is its largest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from features.clock import DAY, days
from features.definition import Definition
from features.store.engine import Connection, Store
from features.store.exposure import list_days, showings, whole_list_name, worked_at
from features.store.history import profiles
from features.store.queue_order import lots
from features.store.trials import Trial, arm_text, list_trials
from training.dataset import Dataset
from training.delay import NEVER
from training.loop.selection import Attention, Floats, Mask

ListDays = Mapping[str, Sequence[tuple[int, float, float]]]
"""List -> the days on which it was looked at, with the chances `by_lot` and `holdout`, in order."""


@dataclass(frozen=True)
class _Log:
    """What was shown, and to whom it could have been shown.

    Attributes:
        looked: the lists that were looked at.
        owners: lead -> whose it is.
        own: (lead, list, day) -> the chance that was logged, for leads that were on a page.
        ranks: lead -> when it was shown, and in which place.
        lot: lead -> its lot for the holdout.
        trials: the rules, and when they held.
    """

    looked: ListDays
    owners: Mapping[str, str | None]
    own: Mapping[tuple[str, str, int], float]
    ranks: Mapping[str, Sequence[tuple[int, int]]]
    lot: Mapping[str, float]
    trials: Sequence[Trial]

    def stood_first(self, lead: str, since: int, until: int, first_places: int) -> bool:
        """Whether the lead was ever shown among the first places in `[since, until)`."""
        return any(
            since <= at < until and rank <= first_places for at, rank in self.ranks.get(lead, ())
        )

    def chance(self, lead: str, since: int, until: int) -> float:
        """The probability that the lead would be among the first of a list that was looked at."""
        never, held_first = 1.0, 0.0
        for name in {whole_list_name(None), whole_list_name(self.owners.get(lead))}:
            for day, by_lot, holdout in self.looked.get(name, ()):
                if (day + 1) * DAY <= since or day * DAY >= until:
                    continue
                if self._is_held(lead, day):
                    held_first = max(held_first, holdout)
                else:
                    never *= 1.0 - self.own.get((lead, name, day), by_lot)
        return 1.0 - never * (1.0 - held_first)

    def _is_held(self, lead: str, day: int) -> bool:
        """Whether the lead was held out on a day, by the rules of the day's end."""
        rules = [t.rules for t in self.trials if t.since < (day + 1) * DAY]
        return bool(rules) and self.lot[lead] < rules[-1].holdout


def attention_of(
    store: Store, dataset: Dataset, definition: Definition, first_places: int
) -> Attention:
    """Whether each row was worked, and the probability of it.

    A lead is taken to be in the list of whoever owns it now, and in that of everybody, from the row's
    as-of until it closed or its horizon ended.

    Args:
        store: what was shown, and the facts.
        dataset: n rows.
        definition: its horizon is the time in which work counts.
        first_places: how many places are the first ones.
    """
    names = dataset.frame.lead_ids
    everybody = sorted(set(names))
    horizon = None if definition.horizon_days is None else days(definition.horizon_days)
    closing = [stage.name for stage in definition.all_stages if stage.closed]
    with store.read() as connection:
        done = worked_at(connection, everybody, dataset.cutoff, closing)
        log = _read(connection, everybody, dataset.cutoff)
    n = len(dataset)
    worked, first, chance = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool), np.zeros(n)
    ends = _ends(dataset, horizon).tolist()
    for i, (lead, as_of, end) in enumerate(zip(names, dataset.as_of.tolist(), ends, strict=True)):
        worked[i] = any(as_of <= at < end for at in done.get(lead, ()))
        first[i] = log.stood_first(lead, as_of, end, first_places)
        chance[i] = log.chance(lead, as_of, end)
    return Attention(worked, _chance_worked(worked, first, chance))


def _read(connection: Connection, leads: Sequence[str], before: int) -> _Log:
    looked = sorted(
        (row["list"], row["day"], row["by_lot"], row["holdout"])
        for row in list_days(connection, 0, before)
    )
    own: dict[tuple[str, str, int], float] = {}
    ranks: dict[str, list[tuple[int, int]]] = {}
    for row in showings(connection, leads, 0, before):
        if row["chance"] is not None:
            own[row["lead_id"], row["list"], row["at"] // DAY] = row["chance"]
            ranks.setdefault(row["lead_id"], []).append((row["at"], row["rank"]))
    trials = list_trials(connection)
    # Without rules there was never a lot, nor a key to draw it with.
    drawn = lots(connection, [arm_text(lead) for lead in leads]) if trials else [1.0] * len(leads)
    return _Log(
        looked={
            name: [(day, by_lot, held) for _, day, by_lot, held in rows]
            for name, rows in groupby(looked, key=lambda row: row[0])
        },
        owners={lead: one.owner for lead, one in profiles(connection, leads).items()},
        own=own,
        ranks=ranks,
        lot=dict(zip(leads, drawn, strict=True)),
        trials=trials,
    )


def _ends(dataset: Dataset, horizon: int | None) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Until when each row's lead could be in a list: its horizon's end, or when it was decided."""
    length = np.full(len(dataset), dataset.cutoff if horizon is None else horizon)
    if dataset.follow is not None:
        ended = dataset.follow.ended
        length = np.minimum(length, np.where(ended == NEVER, length, ended))
    return np.asarray(np.minimum(dataset.as_of + length, dataset.cutoff), dtype=np.int64)


def _chance_worked(worked: Mask, first: Mask, chance: Floats) -> Floats:
    """The probability of being worked, shape (n,): by how often it follows from the first places."""
    then = float(worked[first].mean()) if first.any() else 0.0
    else_ = float(worked[~first].mean()) if (~first).any() else 0.0
    expected = chance * then + (1.0 - chance) * else_
    # Who was worked had a chance of it, whatever the log has missed.
    return np.where(worked, np.maximum(expected, 1.0 / max(len(worked), 1)), expected)
