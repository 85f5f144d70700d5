"""Who stands where in a list, when not the score alone decides? Two kinds of lots, both off by default.

*Exploration*: a share of the first places goes to leads from further down, drawn anew each day, so that
low bands go on being observed. *Holdout*: a share of the leads keeps a place by a lot of its own that
never changes, whatever its score, so that what the order by score brings can be measured.

The lots of a day and a list stay as they are, so that its pages fit together; how probable it was that
a lead would be among the first is worked out exactly, and not from the lots that fell: only how many
places are filled by lot that day is given. So all leads beyond the certain ones have one chance, and a
log of one page tells it of every lead of the list. Whoever may not
be scored is in no list, and so in no lot. Nothing here reads or writes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from features.store.exposure import Place
from features.store.trials import Rules, arm_text

Lots = Callable[[Sequence[str]], Sequence[float]]
"""Numbers in [0, 1), one for each text, the same for the same text."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A lead in its place: our key, why it stands there, and how probable the first places were."""

    key: int
    place: Place
    chance: float


def placed(
    ordered: Sequence[tuple[int, str]], rules: Rules, name: str, day: int, lots: Lots
) -> list[Placed]:
    """The whole list in the order in which it is shown.

    Args:
        ordered: key and external id of each lead, highest score first.
        rules: the shares, and how many places are the first ones.
        name: whose list it is; lots of two lists know nothing of each other.
        day: days since 1970.
        lots: draws them.
    """
    held, scored = _arms(ordered, rules.holdout, lots)
    (shift,) = lots([f"slots:{name}:{day}"])
    slots = _spread(len(held), len(ordered), shift)
    of_holdout = iter(_by_lot(held, slots, rules.top, lots))
    of_score = iter(_explored(scored, rules, rules.top - _below(slots, rules.top), name, day, lots))
    return [next(of_holdout) if i in slots else next(of_score) for i in range(len(ordered))]


def _arms(
    ordered: Sequence[tuple[int, str]], share: float, lots: Lots
) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """The leads that are held out, and the others, each in the order of scores."""
    if not share:
        return [], list(ordered)
    drawn = lots([arm_text(lead) for _, lead in ordered])
    held = [one for one, lot in zip(ordered, drawn, strict=True) if lot < share]
    others = [one for one, lot in zip(ordered, drawn, strict=True) if lot >= share]
    return held, others


def _spread(n: int, among: int, shift: float) -> set[int]:
    """N places spread evenly among so many, moved by a lot."""
    return {min(int((i + shift) * among / n), among - 1) for i in range(n)}


def _below(slots: set[int], top: int) -> int:
    return sum(slot < top for slot in slots)


def _by_lot(held: Sequence[tuple[int, str]], slots: set[int], top: int, lots: Lots) -> list[Placed]:
    """The leads that are held out, in the order of lots of their own: each as likely first as any."""
    if not held:
        return []
    chance = _below(slots, top) / len(held)
    drawn = lots([f"place:{lead}" for _, lead in held])
    by_lot = sorted(zip(drawn, held, strict=True))
    return [Placed(key, "holdout", chance) for _, (key, _) in by_lot]


def _explored(
    scored: Sequence[tuple[int, str]],
    rules: Rules,
    top: int,
    name: str,
    day: int,
    lots: Lots,
) -> list[Placed]:
    """The other leads by score, some of the first `top` places filled from further down."""
    top = min(top, len(scored))
    wanted = rules.explore * top
    turns = f"{name}:{day}"
    (lot,) = lots([f"explore:{turns}"])
    share = wanted - math.floor(wanted)
    most = math.floor(wanted) + (lot < share)
    sure = top - most
    by_lot = most / (len(scored) - sure) if most else 0.0
    drawn = lots([f"explore:{turns}:{lead}" for _, lead in scored[sure:]]) if most else []
    lucky = {sure + i for i in sorted(range(len(drawn)), key=drawn.__getitem__)[:most]}
    seats = lots([f"seat:{turns}:{i}" for i in range(top)]) if most else []
    theirs = set(sorted(range(top), key=seats.__getitem__)[:most]) if most else set()
    explored = iter(sorted(lucky, key=lambda i: drawn[i - sure]))
    usual = (i for i in range(len(scored)) if i not in lucky)
    order = [next(explored) if i in theirs else next(usual) for i in range(len(scored))]
    return [
        Placed(scored[i][0], "explored" if i in lucky else "score", 1.0 if i < sure else by_lot)
        for i in order
    ]
