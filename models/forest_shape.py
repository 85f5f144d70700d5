"""How does a tree hang together? Slots for scratch space, leaves from left to right, shares of rows.

Rule: a split comes before those below it, and every slot lies inside the tree; `models.forest_text`
has checked that it is one tree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.forest_text import Floats, Ints, TextTree

WORD = 64
"""Leaves that fit into one word."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """The k splits of a tree by a column that was split by above.

    Attributes:
        where: shape (k, 3): the split, the nearest one above by its column, 1 where it hangs left of it.
        carried: of the rows at the first of those above, the share that would come here by all of
            them if they were independent, shape (k,).
        distinct: the largest number of different columns on one path.
    """

    where: Ints
    carried: Floats
    distinct: int


@dataclass(frozen=True, slots=True)
class Shape:
    """A tree of m splits. A split's slot is its number; the leaves' are m, m + 1, … from left to right.

    Attributes:
        left, right: slots, shape (m,).
        value: of the leaves from left to right, in log-odds, shape (m + 1,).
        kept: of each split the leaves that remain when it goes right, a bit each, shape (m,); 0 in trees
            with more leaves than a word has bits.
        share_left: of the rows learned from that reached a split, those that went left, shape (m,).
        repeats: splits by a column once more.
        base: the mean over the rows learned from, in log-odds.
        counted: the numbers of rows learned from add up; if not, shares and base mean nothing.
    """

    left: Ints
    right: Ints
    value: Floats
    kept: NDArray[np.uint64]
    share_left: Floats
    repeats: Repeats
    base: float
    counted: bool

    @classmethod
    def of(cls, tree: TextTree) -> Shape:
        """The shape of a tree."""
        leaves = len(tree.value)
        below = _leaves_below(tree)
        first = _first_leaf_below(tree, below)
        rank, value = first[leaves - 1 :], np.empty(leaves)
        value[rank] = tree.value
        rows = np.concatenate([tree.split_count, tree.leaf_count])
        left, right = _places(tree.left, leaves), _places(tree.right, leaves)
        whole = tree.split_count
        counted = leaves == 1 or bool((rows[left] + rows[right] == whole).all() and rows.min() > 0)
        share = rows[left] / whole if counted else np.zeros(leaves - 1)
        slot = np.concatenate([np.arange(leaves - 1), leaves - 1 + rank])
        return cls(
            left=slot[left],
            right=slot[right],
            value=value,
            kept=_kept(below[left], first[: leaves - 1], leaves),
            share_left=share,
            repeats=_repeats(tree, share),
            base=_base(tree) if counted else 0.0,
            counted=counted,
        )


def _places(children: Ints, leaves: int) -> Ints:
    """Where each child stands among all splits followed by all leaves in the text's order."""
    return np.where(children >= 0, children, leaves - 2 - children)


def _leaves_below(tree: TextTree) -> Ints:
    """How many leaves hang below each split, then 1 for each leaf."""
    leaves = len(tree.value)
    count = [1] * (2 * leaves - 1)
    left, right = (_places(side, leaves).tolist() for side in (tree.left, tree.right))
    for split in range(leaves - 2, -1, -1):
        count[split] = count[left[split]] + count[right[split]]
    return np.array(count)


def _first_leaf_below(tree: TextTree, below: Ints) -> Ints:
    """The leftmost leaf below each split, and of each leaf its own rank, counted from the left."""
    leaves = len(tree.value)
    first, count = [0] * (2 * leaves - 1), below.tolist()
    left, right = (_places(side, leaves).tolist() for side in (tree.left, tree.right))
    for split in range(leaves - 1):
        first[left[split]] = first[split]
        first[right[split]] = first[split] + count[left[split]]
    return np.array(first)


def _kept(left_leaves: Ints, first: Ints, leaves: int) -> NDArray[np.uint64]:
    if leaves > WORD:
        return np.zeros(leaves - 1, dtype=np.uint64)
    every = 2**WORD - 1
    pairs = zip(left_leaves.tolist(), first.tolist(), strict=True)
    return np.array([every ^ (2**count - 1 << at) for count, at in pairs], dtype=np.uint64)


def _repeats(tree: TextTree, share_left: Floats) -> Repeats:
    """Walk down with what each path has split by so far: column -> (split, went left, share)."""
    above: dict[int, dict[int, tuple[int, int, float]]] = {0: {}}
    where, carried, distinct = [], [], 0
    sides = zip(tree.column.tolist(), tree.left.tolist(), tree.right.tolist(), strict=True)
    for split, ((column, left, right), share) in enumerate(
        zip(sides, share_left.tolist(), strict=True)
    ):
        path = above.pop(split)
        last, side, reached = path.get(column, (-1, 0, 1.0))
        if last >= 0:
            where.append((split, last, side))
            carried.append(reached)
        ways = {left: (split, 1, reached * share), right: (split, 0, reached * (1.0 - share))}
        for child, step in ways.items():
            if child >= 0:
                above[child] = {**path, column: step}
        distinct = max(distinct, len(path) + (last < 0))
    return Repeats(np.array(where, dtype=np.int64).reshape(-1, 3), np.array(carried), distinct)


def _base(tree: TextTree) -> float:
    """The mean, its terms added in the text's order: the last bit is LightGBM's too."""
    if len(tree.value) == 1:
        return float(tree.value[0])
    shares = (tree.leaf_count / tree.split_count[0]).tolist()
    return sum(
        (share * value for share, value in zip(shares, tree.value.tolist(), strict=True)), start=0.0
    )
