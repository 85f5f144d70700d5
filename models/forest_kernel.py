"""What do boosted trees say about a row, and why? Compiled code over the tables of `models.forest`.

Raw scores have LightGBM's own bits: the same leaves, added in the same order. Contributions are
path-dependent Shapley values (Lundberg et al. 2020) by Owen's integral (1972): if every column is known
with chance t, independently, the mean of what a tree says is a polynomial f(t); its derivative is a sum
over columns, and a column's part of it, integrated from 0 to 1, is its Shapley value. At a split by a
column that the path has split by before, with shares z altogether, the side not taken has the weight

    γ = (1 − t) z' / (z + t (1 − z)),        z' = z · the share of rows that went that way

so that the subtree says R = R_taken − γ (R_taken − R_other), and the column's part of f' is P (R_taken −
R_other) z' / (z + t (1 − z))² where P is the weight of the path. Below a side not taken, splits by
the same column just average, and add nothing. Gauss–Legendre is exact for these polynomials, and their
integrals add up to f(1) − f(0) = raw − base, so contributions add up by construction.

Imported on demand, by `models.forest_engine`: importing Numba costs a second. Rule: indices are
unsigned, or Numba would look for negative ones at every access.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba as nb
import numpy as np
from numpy import uint16, uint32, uint64
from numpy.typing import NDArray

from models.forest import LANES, Forest
from models.forest_codes import CATEGORY, NUMBER
from models.forest_lanes import load, lowest_bit, minus, plus, spread, store, times, total

Floats = NDArray[np.float64]
Matrix = NDArray[np.float64]
Codes = NDArray[np.uint16]
Function = TypeVar("Function", bound=Callable[..., Any])

_NO_ZERO = float(np.float32(1e-35))
"""LightGBM takes what is not further from zero for zero."""

_BLOCK, _FEW = 128, 24
"""Rows scored side by side, and how many are too few for that."""

_IN_ONE_WORD = 61
"""A column with so many cuts has at most 64 codes."""

_0, _1, _2, _6, _63 = (uint64(n) for n in (0, 1, 2, 6, 63))
_COLUMN, _WORD, _LEFT, _RIGHT = (uint64(n) for n in range(4))
"""The fields of a split."""


def _compiled(function: Function) -> Function:
    """Machine code of the function, made at its first call and kept beside the byte code."""
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return cast("Function", nb.njit(cache=True, **options)(function))
    except RuntimeError:  # there is no directory that could be written to
        return cast("Function", nb.njit(**options)(function))


@_compiled
def _cuts_below(value: float, cuts: Floats, begin: Any, count: Any) -> Any:
    """How many of a column's cuts lie below a value, without a branch that could be guessed wrong."""
    at, left = begin, count
    while left > _1:
        half = left >> _1
        at += half * uint64(cuts[at + half - _1] < value)
        left -= half
    return at - begin + uint64(left > _0 and cuts[at] < value)


@_compiled
def _code(value: float, cuts: Floats, begin: Any, count: Any, kind: int) -> Any:
    """See `models.forest_codes`."""
    if value != value:
        return _0
    if kind == CATEGORY:
        # A code is cut to an integer towards zero.
        return uint64(value) + _1 if -1.0 < value < count else _0
    if abs(value) <= _NO_ZERO:
        if kind != NUMBER:
            return count + _2
        value = 0.0
    return _cuts_below(value, cuts, begin, count) + _1


@_compiled
def _write_codes(matrix: Matrix, first: Any, rows: Any, forest: Forest, codes: Codes) -> None:
    """Write the codes of some rows of a matrix, shape (n, columns), into `codes`, (columns, rows)."""
    for column in range(uint64(len(forest.columns))):
        begin, count = uint64(forest.columns[column, _0]), uint64(forest.columns[column, _1])
        kind = forest.columns[column, _2]
        for row in range(rows):
            value = matrix[first + row, column]
            codes[column, row] = _code(value, forest.cuts, begin, count, kind)


@_compiled
def _goes_left(forest: Forest, split: Any, code: Any) -> Any:
    """1 where the code is in the split's set, else 0."""
    at = uint64(code)
    return (forest.words[uint64(forest.splits[split, _WORD]) + (at >> _6)] >> (at & _63)) & _1


@_compiled
def _raw_of_narrow(codes: Codes, forest: Forest) -> float:
    """The leaf reached is the leftmost that no split leaves out: no branch, no waiting for the last."""
    raw = 0.0
    for tree in range(uint64(len(forest.trees)) - _1):
        remaining = ~_0
        for split in range(forest.trees[tree, _0], forest.trees[tree + _1, _0]):
            left = _goes_left(forest, split, codes[forest.splits[split, _COLUMN], _0])
            remaining &= forest.kept[split] | (_0 - left)
        raw += forest.leaves[forest.trees[tree, _1] + lowest_bit(remaining)]
    return raw


@_compiled
def _raw_of_wide(codes: Codes, forest: Forest) -> float:
    """For trees of any size: from split to split."""
    raw = 0.0
    for tree in range(uint64(len(forest.trees)) - _1):
        first = forest.trees[tree, _0]
        many, slot = forest.trees[tree + _1, _0] - first, _0
        while slot < many:
            split = first + slot
            left = _goes_left(forest, split, codes[forest.splits[split, _COLUMN], _0])
            slot = uint64(forest.splits[split, _RIGHT - left])
        raw += forest.leaves[forest.trees[tree, _1] + slot - many]
    return raw


@_compiled
def _add_raw_of_block(codes: Codes, forest: Forest, raw: Floats) -> None:
    """As `_raw_of_narrow`, a split at a time for many rows; `codes` has shape (columns, _BLOCK)."""
    remaining = np.empty(_BLOCK, uint64)
    for tree in range(uint64(len(forest.trees)) - _1):
        remaining[:] = ~_0
        for split in range(forest.trees[tree, _0], forest.trees[tree + _1, _0]):
            column, kept = forest.splits[split, _COLUMN], forest.kept[split]
            word, read = forest.words[forest.splits[split, _WORD]], codes[column]
            if forest.columns[column, 1] <= _IN_ONE_WORD:
                for row in range(_BLOCK):
                    remaining[row] &= kept | (_0 - ((word >> uint64(read[row])) & _1))
            else:
                for row in range(_BLOCK):
                    remaining[row] &= kept | (_0 - _goes_left(forest, split, read[row]))
        leaf = forest.trees[tree, _1]
        for row in range(len(raw)):
            raw[row] += forest.leaves[leaf + lowest_bit(remaining[row])]


@_compiled
def write_raw(matrix: Matrix, forest: Forest, raw: Floats) -> None:
    """Write the log-odds of each row of a matrix, shape (n, columns), into `raw`, shape (n,)."""
    width, many = len(forest.columns), len(matrix)
    if forest.narrow and many > _FEW:
        block = np.zeros((width, _BLOCK), uint16)
        for begin in range(0, many, _BLOCK):
            said = raw[begin : begin + _BLOCK]
            said[:] = 0.0
            _write_codes(matrix, uint64(begin), uint64(len(said)), forest, block)
            _add_raw_of_block(block, forest, said)
        return
    codes = np.empty((width, 1), uint16)
    for row in range(many):
        _write_codes(matrix, uint64(row), _1, forest, codes)
        raw[row] = _raw_of_narrow(codes, forest) if forest.narrow else _raw_of_wide(codes, forest)


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
    """

    taken: NDArray[np.uint32]
    other: NDArray[np.uint32]
    column: NDArray[np.uint32]
    inverse: NDArray[np.uint32]
    share: Floats
    part: Floats
    said: Floats
    weight: Floats


@_compiled
def _decide(codes: Codes, forest: Forest, first: Any, many: Any, walk: Walk) -> None:
    """Note where the row goes at each of a tree's splits, as if no column came twice on a path."""
    for slot in range(many):
        split = first + slot
        column, share = forest.splits[split, _COLUMN], forest.share_left[split]
        left, right = forest.splits[split, _LEFT], forest.splits[split, _RIGHT]
        goes_left = _goes_left(forest, split, codes[column, _0])
        walk.taken[slot] = left if goes_left else right
        walk.other[slot] = right if goes_left else left
        walk.share[slot] = 1.0 - share if goes_left else share
        walk.column[slot] = column
        walk.inverse[slot] = 0


@_compiled
def _correct_repeats(forest: Forest, tree: Any, dead: Any, row: Any, walk: Walk) -> None:
    """Where a column comes once more, what became of it above matters.

    `dead` is the row of lanes that stands for 1 / (1 − t), `row` the first of the repeats' own.
    """
    first, nobody = forest.trees[tree, _0], uint32(len(forest.columns))
    begin, end = forest.trees[tree, _2], forest.trees[tree + _1, _2]
    for repeat in range(begin, end):
        slot, above = forest.repeats[repeat, _0], forest.repeats[repeat, _1]
        left, split = forest.repeats[repeat, _2], first + uint64(above)
        side = forest.splits[split, _LEFT] if left else forest.splits[split, _RIGHT]
        if walk.inverse[above] != dead and walk.taken[above] == side:
            walk.share[slot] *= forest.carried[repeat]
            walk.inverse[slot] = row + repeat - begin
        else:
            walk.inverse[slot] = dead
            walk.column[slot] = nobody


@_compiled
def _climb(forest: Forest, many: Any, grid: Any, walk: Walk) -> None:
    """From the leaves to the root: what each subtree says at the points of the grid."""
    unknown = load(forest.lanes, grid + _1)
    slot = many
    while slot > _0:
        slot -= _1
        taken = load(walk.said, uint64(walk.taken[slot]))
        scale = times(spread(walk.share[slot]), load(forest.lanes, uint64(walk.inverse[slot])))
        part = times(minus(taken, load(walk.said, uint64(walk.other[slot]))), scale)
        store(walk.part, slot, part)
        store(walk.said, slot, minus(taken, times(unknown, part)))


@_compiled
def _descend(forest: Forest, many: Any, grid: Any, walk: Walk, sums: Floats) -> None:
    """From the root to the leaves: how much each split counts, and what its column gets for it."""
    unknown = load(forest.lanes, grid + _1)
    store(walk.weight, _0, load(forest.lanes, grid))
    for slot in range(many):
        weight, column = load(walk.weight, slot), uint64(walk.column[slot])
        inverse = load(forest.lanes, uint64(walk.inverse[slot]))
        gained = times(times(weight, inverse), load(walk.part, slot))
        store(sums, column, plus(load(sums, column), gained))
        aside = times(weight, times(unknown, times(spread(walk.share[slot]), inverse)))
        store(walk.weight, uint64(walk.other[slot]), aside)
        store(walk.weight, uint64(walk.taken[slot]), minus(weight, aside))


@_compiled
def _add_contributions(codes: Codes, forest: Forest, walk: Walk, sums: Floats) -> None:
    """Add what each column contributes to `sums`, lanes; nobody's come after the last column's."""
    for turn in range(uint64(len(forest.passes))):
        tree, grid, row = forest.passes[turn, _0], forest.passes[turn, _1], forest.passes[turn, _2]
        first, leaf = forest.trees[tree, _0], forest.trees[tree, _1]
        many = forest.trees[tree + _1, _0] - first
        _decide(codes, forest, first, many, walk)
        _correct_repeats(forest, tree, grid + _2, row, walk)
        for i in range(many + _1):
            store(walk.said, many + i, spread(forest.leaves[leaf + i]))
        _climb(forest, many, grid, walk)
        _descend(forest, many, grid, walk, sums)


@_compiled
def write_contributions(matrix: Matrix, forest: Forest, shares: Matrix) -> None:
    """Write each row's contributions and the base into `shares`, shape (n, columns + 1)."""
    width, widest = uint64(len(forest.columns)), forest.widest
    walk = Walk(
        np.empty(widest, uint32),
        np.empty(widest, uint32),
        np.empty(widest, uint32),
        np.empty(widest, uint32),
        np.empty(widest),
        np.empty(widest * LANES),
        np.empty((2 * widest + 1) * LANES),
        np.empty((2 * widest + 1) * LANES),
    )
    codes, sums = np.empty((width, 1), uint16), np.empty((width + _1) * uint64(LANES))
    for row in range(len(matrix)):
        _write_codes(matrix, uint64(row), _1, forest, codes)
        sums[:] = 0.0
        _add_contributions(codes, forest, walk, sums)
        for column in range(width):
            shares[row, column] = total(load(sums, column))
        shares[row, width] = forest.base
