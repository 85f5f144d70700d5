"""Why do boosted trees say what they say? Compiled code over the tables of `models.forest`.

Contributions are path-dependent Shapley values (Lundberg et al. 2020) by Owen's integral (1972): if
every column is known with chance t, independently, the mean of what a tree says is a polynomial f(t);
its derivative is a sum over columns, and a column's part of it, integrated from 0 to 1, is its Shapley
value. At a split by a column that the path has split by before, with shares z, the side not taken weighs

    γ = (1 − t) z' / (z + t (1 − z)),        z' = z · the share of rows that went that way

so that the subtree says R = R_taken − γ (R_taken − R_other), and the column's part of f' is P (R_taken −
R_other) z' / (z + t (1 − z))² where P is the weight of the path. Below a side not taken, splits by
the same column just average, and add nothing. Gauss–Legendre is exact for these polynomials, and their
integrals add up to f(1) − f(0) = raw − base, so contributions add up by construction.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy import uint16, uint32, uint64
from numpy.typing import NDArray

from models.forest import LANES, Forest
from models.forest_compiling import Codes, Floats, Matrix, compiled, inlined
from models.forest_lanes import load, minus, plus, spread, store, times, total
from models.forest_raw import COLUMN, LEFT, RIGHT, WORD, in_set, write_codes

_0, _1, _2 = (uint64(n) for n in range(3))


class Walk(NamedTuple):
    """What is noted on the way through a tree of m splits; slots as in `Shape`.

    Attributes:
        taken, other: of each split, the slot where the row goes and the one where it does not.
        column: which column the split counts for.
        inverse: which row of `lanes` holds 1 / (z + t (1 − z)).
        share: z', of the rows that went the other way.
        part: of each split P's factor in what its column gets, lanes.
        said: R of each slot, lanes.
        weight: P of each slot, lanes.
        end: of each slot the value of the leaf that the row reaches from there.
    """

    taken: NDArray[np.uint32]
    other: NDArray[np.uint32]
    column: NDArray[np.uint32]
    inverse: NDArray[np.uint32]
    share: Floats
    part: Floats
    said: Floats
    weight: Floats
    end: Floats


@inlined
def _decide(codes: Codes, forest: Forest, first: Any, many: Any, walk: Walk) -> None:
    """Note where the row goes at each of a tree's splits, as if no column came twice on a path."""
    for slot in range(many):
        split = first + slot
        column, word = forest.splits[split, COLUMN], forest.splits[split, WORD]
        left, right = forest.splits[split, LEFT], forest.splits[split, RIGHT]
        share = forest.share_left[split]
        is_left = in_set(forest, word, codes[column, _0])
        walk.taken[slot] = left if is_left else right
        walk.other[slot] = right if is_left else left
        walk.share[slot] = 1.0 - share if is_left else share


@inlined
def _correct_repeats(forest: Forest, tree: Any, dead: Any, row: Any, walk: Walk) -> None:
    """Where a column comes once more, what became of it above matters.

    `dead` is the row of lanes that stands for 1 / (1 − t), `row` the first of the repeats' own.
    """
    first, nobody = forest.trees[tree, _0], uint32(len(forest.columns))
    many = forest.trees[tree + _1, _0] - first
    for slot in range(many):
        walk.column[slot] = forest.splits[first + slot, COLUMN]
        walk.inverse[slot] = 0
    begin, end = forest.trees[tree, _2], forest.trees[tree + _1, _2]
    for repeat in range(begin, end):
        slot, above = forest.repeats[repeat, _0], forest.repeats[repeat, _1]
        left, split = forest.repeats[repeat, _2], first + uint64(above)
        side = forest.splits[split, LEFT] if left else forest.splits[split, RIGHT]
        if walk.inverse[above] != dead and walk.taken[above] == side:
            walk.share[slot] *= forest.carried[repeat]
            walk.inverse[slot] = row + repeat - begin
        else:
            walk.inverse[slot] = dead
            walk.column[slot] = nobody


@inlined
def _climb(forest: Forest, many: Any, grid: Any, walk: Walk) -> None:
    """From the leaves to the root: what each subtree says at the points of the grid."""
    unknown = load(forest.lanes, grid + _1)
    slot = many
    while slot > _0:
        slot -= _1
        to = uint64(walk.taken[slot])
        taken = load(walk.said, to)
        scale = times(spread(walk.share[slot]), load(forest.lanes, uint64(walk.inverse[slot])))
        part = times(minus(taken, load(walk.said, uint64(walk.other[slot]))), scale)
        store(walk.part, slot, part)
        store(walk.said, slot, minus(taken, times(unknown, part)))
        walk.end[slot] = walk.end[to]


@inlined
def _climb_straight(forest: Forest, many: Any, grid: Any, walk: Walk) -> None:
    """As `_climb`, where no column comes twice on a path."""
    unknown = load(forest.lanes, grid + _1)
    slot = many
    while slot > _0:
        slot -= _1
        to = uint64(walk.taken[slot])
        taken = load(walk.said, to)
        rise = minus(taken, load(walk.said, uint64(walk.other[slot])))
        part = times(rise, spread(walk.share[slot]))
        store(walk.part, slot, part)
        store(walk.said, slot, minus(taken, times(unknown, part)))
        walk.end[slot] = walk.end[to]


@inlined
def _descend(forest: Forest, many: Any, grid: Any, walk: Walk, sums: Floats) -> None:
    """From the root to the leaves: how much each split counts, and what its column gets for it."""
    unknown = load(forest.lanes, grid + _1)
    for slot in range(many):
        weight, column = load(walk.weight, slot), uint64(walk.column[slot])
        inverse = load(forest.lanes, uint64(walk.inverse[slot]))
        gained = times(times(weight, inverse), load(walk.part, slot))
        store(sums, column, plus(load(sums, column), gained))
        aside = times(weight, times(unknown, times(spread(walk.share[slot]), inverse)))
        store(walk.weight, uint64(walk.other[slot]), aside)
        store(walk.weight, uint64(walk.taken[slot]), minus(weight, aside))


@inlined
def _descend_straight(
    forest: Forest, first: Any, many: Any, grid: Any, walk: Walk, sums: Floats
) -> None:
    """As `_descend`, where no column comes twice on a path."""
    unknown = load(forest.lanes, grid + _1)
    for slot in range(many):
        weight, column = load(walk.weight, slot), uint64(forest.splits[first + slot, COLUMN])
        gained = times(weight, load(walk.part, slot))
        store(sums, column, plus(load(sums, column), gained))
        aside = times(weight, times(unknown, spread(walk.share[slot])))
        store(walk.weight, uint64(walk.other[slot]), aside)
        store(walk.weight, uint64(walk.taken[slot]), minus(weight, aside))


@inlined
def _of_one_leaf(forest: Forest, tree: Any) -> float:
    """What a tree says that never splits, through which nobody passes."""
    value: float = forest.leaves[forest.trees[tree, _1]]
    return value


@inlined
def _add_contributions(codes: Codes, forest: Forest, walk: Walk, sums: Floats) -> float:
    """Add what each column contributes to `sums`, lanes; nobody's come after the last column's.

    Returns:
        The log-odds: what each tree says, added as the trees come.
    """
    raw, told = 0.0, _0
    for turn in range(uint64(len(forest.passes))):
        tree, grid, row = forest.passes[turn, _0], forest.passes[turn, _1], forest.passes[turn, _2]
        first, leaf, after = forest.trees[tree, _0], forest.trees[tree, _1], tree + _1
        many = forest.trees[after, _0] - first
        _decide(codes, forest, first, many, walk)
        for i in range(many + _1):
            value = forest.leaves[leaf + i]
            walk.end[many + i] = value
            store(walk.said, many + i, spread(value))
        store(walk.weight, _0, load(forest.lanes, grid))
        if forest.trees[after, _2] > forest.trees[tree, _2]:
            _correct_repeats(forest, tree, grid + _2, row, walk)
            _climb(forest, many, grid, walk)
            _descend(forest, many, grid, walk, sums)
        else:
            _climb_straight(forest, many, grid, walk)
            _descend_straight(forest, first, many, grid, walk, sums)
        while told <= tree:
            raw += walk.end[_0] if told == tree else _of_one_leaf(forest, told)
            told += _1
    while told < uint64(len(forest.trees)) - _1:
        raw += _of_one_leaf(forest, told)
        told += _1
    return raw


@inlined
def _rows_of_lanes(many: int) -> Floats:
    """Room for rows of lanes, each within one cache line: across two, all would take twice as long."""
    room = np.empty((many + 1) * LANES)
    skipped = (-room.ctypes.data // 8) % LANES
    return room[skipped : skipped + many * LANES]


@compiled
def write_told(matrix: Matrix, forest: Forest, raw: Floats, shares: Matrix) -> None:
    """Write each row's log-odds, shape (n,), and its contributions and the base, (n, columns + 1).

    The log-odds are those of `models.forest_raw`, to the bit.
    """
    width, widest = uint64(len(forest.columns)), forest.widest
    walk = Walk(
        np.empty(widest, uint32),
        np.empty(widest, uint32),
        np.empty(widest, uint32),
        np.empty(widest, uint32),
        np.empty(widest),
        _rows_of_lanes(widest),
        _rows_of_lanes(2 * widest + 1),
        _rows_of_lanes(2 * widest + 1),
        np.empty(2 * widest + 1),
    )
    codes, sums = np.empty((width, 1), uint16), _rows_of_lanes(len(forest.columns) + 1)
    for row in range(len(matrix)):
        write_codes(matrix, uint64(row), _1, forest, codes)
        sums[:] = 0.0
        raw[row] = _add_contributions(codes, forest, walk, sums)
        for column in range(width):
            shares[row, column] = total(load(sums, column))
        shares[row, width] = forest.base
