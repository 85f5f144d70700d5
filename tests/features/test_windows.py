"""Do the kernels count, find and compare what a loop over the pairs would?

Each kernel is compared with a loop over small random tables; `tests/parity` compares the features
made of them with an oracle that knows nothing of kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from features import windows
from features.clock import DAY
from features.facts import Happenings, Queries
from features.windows import Seen, see

Fact = tuple[int, int, int, int, int]

FACTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 5),
        st.integers(0, 5),
        st.integers(0, 2),
        st.integers(-1, 2),
    ),
    max_size=12,
)
QUERIES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4)), max_size=5)


def _seen(facts: list[Fact], queries: list[tuple[int, int]]) -> Seen:
    leads, as_of = [lead for lead, _ in queries], [at for _, at in queries]
    return see(Happenings.of(facts), Queries(np.array(leads, int), np.array(as_of, int)))


def _known(facts: list[Fact], queries: list[tuple[int, int]]) -> Iterator[list[Fact]]:
    """For each query, the facts known at it, in order of time."""
    for lead, as_of in queries:
        mine = [f for f in facts if f[0] == lead and f[1] < as_of and f[2] < as_of]
        yield sorted(mine, key=lambda fact: fact[1:])


def _compare(
    facts: list[Fact],
    queries: list[tuple[int, int]],
    kernel: Callable[[Seen], object],
    loop: Callable[[list[Fact]], object],
) -> None:
    found = np.asarray(kernel(_seen(facts, queries)))
    assert found.tolist() == [loop(known) for known in _known(facts, queries)]


@given(FACTS, QUERIES)
def test_count_is_the_number_of_known_facts(
    facts: list[Fact], queries: list[tuple[int, int]]
) -> None:
    _compare(facts, queries, windows.count, len)


@given(FACTS, QUERIES)
def test_count_by_counts_each_label_and_leaves_out_the_missing(
    facts: list[Fact], queries: list[tuple[int, int]]
) -> None:
    _compare(
        facts,
        queries,
        lambda seen: windows.count_by(seen, seen.detail, 3),
        lambda known: [sum(fact[4] == label for fact in known) for label in range(3)],
    )


@given(FACTS, QUERIES)
def test_last_and_first_are_the_ends_of_the_order_in_time(
    facts: list[Fact], queries: list[tuple[int, int]]
) -> None:
    seen = _seen(facts, queries)
    for kernel, end in ((windows.last, -1), (windows.first, 0)):
        found = [facts[i] if i >= 0 else None for i in kernel(seen).tolist()]
        assert found == [known[end] if known else None for known in _known(facts, queries)]


@given(FACTS, QUERIES)
def test_distinct_counts_each_label_once(facts: list[Fact], queries: list[tuple[int, int]]) -> None:
    _compare(
        facts,
        queries,
        lambda seen: windows.distinct(seen, seen.code),
        lambda known: len({fact[3] for fact in known}),
    )


@given(FACTS, QUERIES)
def test_changes_counts_the_steps_between_different_values(
    facts: list[Fact], queries: list[tuple[int, int]]
) -> None:
    _compare(
        facts,
        queries,
        lambda seen: windows.changes(seen, seen.detail),
        lambda known: sum(a[4] != b[4] for a, b in pairwise(known)),
    )


@given(FACTS, QUERIES, st.integers(0, 2))
def test_where_keeps_the_order_and_drops_the_rest(
    facts: list[Fact], queries: list[tuple[int, int]], code: int
) -> None:
    seen = _seen(facts, queries)
    kept = seen.where(seen.code == code)
    only = [fact for fact in facts if fact[3] == code]
    assert windows.count(kept).tolist() == [len(known) for known in _known(only, queries)]
    assert (np.diff(kept.query) >= 0).all()


@given(FACTS, QUERIES)
def test_ages_are_positive(facts: list[Fact], queries: list[tuple[int, int]]) -> None:
    assert (_seen(facts, queries).age > 0).all()


def test_days_since_nothing_are_not_known() -> None:
    empty = _seen([], [(0, 5)])
    assert np.isnan(windows.days_since(empty, windows.last(empty))).all()
    unseen = _seen([(0, 9, 9, 0, 0)], [(0, 5), (0, DAY + 9)])
    assert windows.days_since(unseen, windows.last(unseen)).tolist()[1] == 1.0
    assert np.isnan(windows.days_since(unseen, windows.last(unseen))[0])


@given(
    st.lists(st.integers(0, 4), max_size=8).map(sorted),
    st.lists(st.integers(-1, 5), max_size=5),
)
def test_pairs_are_all_rows_of_the_same_lead_in_order(lead: list[int], wanted: list[int]) -> None:
    rows = windows.pairs(np.array(lead, int), np.array(wanted, int))
    expected = [
        (i, j) for i, one in enumerate(wanted) for j, other in enumerate(lead) if one == other
    ]
    assert [*zip(*(row.tolist() for row in rows), strict=True)] == expected
