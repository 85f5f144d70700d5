"""Which facts does each query see, and what is their count, last or span? Vectorised kernels.

Everything starts from the pairs (query, fact) in which the fact is known at the query's as-of, made
by one function; what a feature does with them is a reduction by query. A single lead is a batch of
one. Counts and instants are integers, so a result does not depend on what else is in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.clock import Mask, in_days, known
from features.facts import Happenings, Ints, Queries

Floats = NDArray[np.float64]

_NONE: Ints = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Seen:
    """Facts seen by queries, both of shape (m,), ordered by query, then by time (see `see`).

    `fact` holds positions in `happenings`; `n` is the number of queries.
    """

    happenings: Happenings
    queries: Queries
    query: Ints
    fact: Ints

    @property
    def n(self) -> int:
        """How many queries there are."""
        return len(self.queries)

    @property
    def code(self) -> Ints:
        """The code of each pair's fact."""
        return self.happenings.code[self.fact]

    @property
    def detail(self) -> Ints:
        """The detail of each pair's fact."""
        return self.happenings.detail[self.fact]

    @property
    def age(self) -> Ints:
        """How long before its query each pair's fact happened, in microseconds (positive)."""
        return self.queries.as_of[self.query] - self.happenings.occurred_at[self.fact]

    def where(self, mask: Mask) -> Seen:
        """Only the pairs in the mask."""
        return Seen(self.happenings, self.queries, self.query[mask], self.fact[mask])


def pairs(lead: Ints, wanted: Ints) -> tuple[Ints, Ints]:
    """All pairs (row of `wanted`, row of `lead`) that speak of the same lead.

    Args:
        lead: shape (m,), rising.
        wanted: shape (n,).

    Returns:
        Two arrays of one shape, ordered by the row of `wanted`, then by the row of `lead`.
    """
    begin = np.searchsorted(lead, wanted, side="left")
    counts = np.searchsorted(lead, wanted, side="right") - begin
    row = np.repeat(np.arange(len(wanted)), counts)
    within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    return row, begin[row] + within


def see(happenings: Happenings, queries: Queries) -> Seen:
    """All pairs of a query and a fact of its lead that is known at its as-of.

    Facts that happened at once are in the order in which they were recorded, and those recorded at
    once in the order of their codes: never in that in which they happen to be stored.
    """
    if len(happenings) == 0:
        return Seen(happenings, queries, _NONE, _NONE)
    order = np.lexsort(
        (
            happenings.detail,
            happenings.code,
            happenings.recorded_at,
            happenings.occurred_at,
            happenings.lead,
        )
    )
    query, position = pairs(happenings.lead[order], queries.lead)
    fact = order[position]
    visible = known(
        happenings.occurred_at[fact], happenings.recorded_at[fact], queries.as_of[query]
    )
    return Seen(happenings, queries, query[visible], fact[visible])


def count(seen: Seen) -> Ints:
    """How many facts each query sees, shape (n,)."""
    return np.bincount(seen.query, minlength=seen.n)


def count_by(seen: Seen, label: Ints, labels: int) -> Ints:
    """How many facts of each label each query sees, shape (n, labels); negative labels are left out."""
    kept = label >= 0
    cell = seen.query[kept] * labels + label[kept]
    return np.bincount(cell, minlength=seen.n * labels).reshape(seen.n, labels)


def last(seen: Seen) -> Ints:
    """The fact that happened last for each query, shape (n,); −1 where it sees none.

    Of facts that happened at once, the one recorded last; of those recorded at once, the highest
    code: the furthest stage, the answer that sales rank lowest.
    """
    end = np.searchsorted(seen.query, np.arange(seen.n), side="right") - 1
    return _at(seen, end)


def first(seen: Seen) -> Ints:
    """The fact that happened first for each query, shape (n,); −1 where it sees none."""
    begin = np.searchsorted(seen.query, np.arange(seen.n), side="left")
    return _at(seen, begin)


def days_since(seen: Seen, fact: Ints) -> Floats:
    """Days from each query's fact to its as-of, shape (n,); NaN where there is none."""
    if len(seen.happenings) == 0:
        return np.full(seen.n, np.nan)
    span = seen.queries.as_of - seen.happenings.occurred_at[fact]
    return np.where(fact >= 0, in_days(span), np.nan)


def distinct(seen: Seen, label: Ints) -> Ints:
    """How many different labels each query sees, shape (n,)."""
    if len(seen.query) == 0:
        return np.zeros(seen.n, dtype=np.int64)
    order = np.lexsort((label, seen.query))
    query, value = seen.query[order], label[order]
    new = np.ones(len(query), dtype=bool)
    new[1:] = (query[1:] != query[:-1]) | (value[1:] != value[:-1])
    return np.bincount(query[new], minlength=seen.n)


def changes(seen: Seen, value: Ints) -> Ints:
    """How often the value changed from one fact to the next, by query, shape (n,)."""
    changed = (seen.query[1:] == seen.query[:-1]) & (value[1:] != value[:-1])
    return np.bincount(seen.query[1:][changed], minlength=seen.n)


def _at(seen: Seen, position: Ints) -> Ints:
    if len(seen.query) == 0:
        return np.full(seen.n, -1, dtype=np.int64)
    safe = np.minimum(np.maximum(position, 0), len(seen.query) - 1)
    there = seen.query[safe] == np.arange(seen.n)
    return np.where(there, seen.fact[safe], -1)
