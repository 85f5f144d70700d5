"""Who are the simulated leads? Traits that stay, some of which nobody ever sees.

A *frailty* that leaves no trace in any file sets similar leads apart; budget, authority, need and
the purchase date show only in noisy answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.simulated import words
from training.simulated.world import DAY_S, SPELLS, Calendar, Flags, Floats, Ints, World

WEB_ENQUIRY = words.SOURCES.index("web enquiry")
_WEBSITE = words.SOURCES.index("website")


@dataclass(frozen=True, slots=True)
class Leads:
    """What is true of a block's n leads, arrays of shape (n,) unless said otherwise.

    Codes are positions in `words`. `seniority` runs from 0 (executive) to 3 (staff); `budget`,
    `authority`, `need` from 0 (best) to 3. `frailty`, `heat_frailty` and `talkative` are standard
    normal and leave no trace but through what they drive. `target_days` has shape (n, SPELLS): how
    long after being opened the lead means to decide.
    """

    opened: Ints
    region: Ints
    source: Ints
    client: Flags
    owner: Ints
    industry: Ints
    employees: Floats
    revenue: Floats
    product: Ints
    solution: Ints
    seniority: Ints
    department: Ints
    newsletter: Flags
    budget: Ints
    authority: Ints
    need: Ints
    frailty: Floats
    heat_frailty: Floats
    talkative: Floats
    target_days: Floats

    def __len__(self) -> int:
        return len(self.opened)


def draw_leads(world: World, calendar: Calendar, block: int) -> Leads:
    """The leads of a block."""
    rng, n = world.rng(block, 0), world.in_block(block)
    day = _choose(rng, calendar.arrive[: world.days] / calendar.arrive[: world.days].sum(), n)
    source = _draw_source(rng, day, calendar, world)
    region = _choose(rng, np.array([0.32, 0.14, 0.14, 0.18, 0.12, 0.10]), n)
    industry = _choose(rng, np.array([0.2, 0.16, 0.12, 0.13, 0.11, 0.1, 0.1, 0.08]), n)
    employees = np.maximum(1.0, np.round(np.exp(rng.normal(_SIZE[industry], 1.5))))
    log_size = np.log10(employees)
    seniority = _ordinal(rng, 0.6 * (log_size - 1.8), (-1.0, 0.1, 1.0))
    budget = _ordinal(rng, -0.5 * (log_size - 1.8), (-0.5, 0.3, 1.1))
    need = _ordinal(rng, np.zeros(n), (-1.1, 0.0, 0.9))
    in_weeks = np.array([6.0, 11.0, 17.0, 26.0])[need][:, None]
    return Leads(
        opened=world.start_s + day * DAY_S + rng.integers(7 * 3600, 19 * 3600, n),
        region=region,
        source=source,
        client=rng.random(n) < 0.10,
        owner=(region * 3 + rng.integers(0, 5, n)) % len(words.REPS),
        industry=industry,
        employees=employees,
        revenue=np.round(employees * np.exp(rng.normal(-1.9, 0.6, n)), 1),
        product=_choose(rng, np.array([0.4, 0.3, 0.15, 0.15]), n),
        solution=_choose(rng, np.array([0.35, 0.3, 0.15, 0.2]), n),
        seniority=seniority,
        department=_choose(rng, np.array([0.4, 0.35, 0.25]), n),
        newsletter=rng.random(n) < 0.55,
        budget=budget,
        authority=_ordinal(rng, 1.1 * (seniority - 1.5) + 0.5 * (log_size - 1.8), (-1.0, 0.3, 1.5)),
        need=need,
        frailty=rng.standard_normal(n),
        heat_frailty=rng.standard_normal(n),
        talkative=rng.standard_normal(n),
        target_days=rng.gamma(2.0, 0.5, (n, SPELLS)) * in_weeks * 7,
    )


_SIZE = np.array([4.6, 3.6, 4.2, 3.8, 4.4, 4.5, 3.5, 5.4])
"""Mean log of the number of employees, by industry."""


def _draw_source(rng: np.random.Generator, day: Ints, calendar: Calendar, world: World) -> Ints:
    """Where leads come from: paid search grows with time, and the website is renamed at the change."""
    first = np.array([0.26, 0.10, 0.13, 0.14, 0.10, 0.15, 0.12])
    last = np.array([0.24, 0.24, 0.11, 0.11, 0.08, 0.08, 0.14])
    share = (day / world.days)[:, None]
    edges = np.cumsum((1 - share) * first + share * last, axis=1)
    source = (rng.random(len(day))[:, None] >= edges).sum(axis=1).clip(max=len(first) - 1)
    return np.where((source == _WEBSITE) & calendar.changed[day], WEB_ENQUIRY, source)


def _choose(rng: np.random.Generator, shares: Floats, n: int) -> Ints:
    """Positions drawn with the given shares (which add up to 1), shape (n,)."""
    drawn = np.searchsorted(np.cumsum(shares), rng.random(n), side="right")
    return drawn.clip(max=len(shares) - 1).astype(np.int64)


def _ordinal(rng: np.random.Generator, centre: Floats, cuts: tuple[float, ...]) -> Ints:
    """Levels 0, 1, … of a normal variable around `centre`, cut at `cuts`."""
    return np.searchsorted(np.array(cuts), rng.normal(centre, 1.0)).astype(np.int64)
