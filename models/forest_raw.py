"""What do boosted trees say about a row? Compiled code over the tables of `models.forest`.

Rule: a raw score has LightGBM's own bits: the same leaves, added in the same order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy import uint16, uint64
from numpy.typing import NDArray

from models.forest import Forest
from models.forest_codes import CATEGORY, NUMBER
from models.forest_compiling import Codes, Floats, Matrix, compiled, inlined
from models.forest_lanes import lowest_bit

_NO_ZERO = float(np.float32(1e-35))
"""LightGBM takes what is not further from zero for zero."""

_BLOCK, _FEW = 256, 24
"""Rows scored side by side, and how many are too few for that."""

_FEW_CUTS = 512
"""Up to so many, comparing all with many values at once is faster than searching for each."""

_IN_ONE_WORD = 61
"""A column with so many cuts or categories has at most 64 codes."""

_0, _1, _2, _6, _63 = (uint64(n) for n in (0, 1, 2, 6, 63))
COLUMN, WORD, LEFT, RIGHT = (uint64(n) for n in range(4))
"""The fields of a split."""


class Block(NamedTuple):
    """What is noted of up to _BLOCK rows.

    Attributes:
        codes: shape (columns, _BLOCK).
        values: of one column.
        counted: how many of its cuts lie below, and one.
        remaining: the leaves of one tree that can still be reached, a bit each.
    """

    codes: Codes
    values: Floats
    counted: NDArray[np.uint64]
    remaining: NDArray[np.uint64]


@inlined
def _cuts_below(value: float, cuts: Floats, begin: Any, count: Any) -> Any:
    """How many of a column's cuts lie below a value, without a branch that could be guessed wrong."""
    at, left = begin, count
    while left > _1:
        half = left >> _1
        at += half * uint64(cuts[at + half - _1] < value)
        left -= half
    return at - begin + uint64(left > _0 and cuts[at] < value)


@inlined
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


@inlined
def write_codes(matrix: Matrix, first: Any, rows: Any, forest: Forest, codes: Codes) -> None:
    """Write the codes of some rows of a matrix, shape (n, columns), into `codes`, (columns, rows)."""
    for column in range(uint64(len(forest.columns))):
        begin, count = uint64(forest.columns[column, _0]), uint64(forest.columns[column, _1])
        kind = forest.columns[column, _2]
        for row in range(rows):
            value = matrix[first + row, column]
            codes[column, row] = _code(value, forest.cuts, begin, count, kind)


@inlined
def in_set(forest: Forest, word: Any, code: Any) -> Any:
    """1 where the code is in the set that begins at this word, else 0."""
    at = uint64(code)
    return (forest.words[uint64(word) + (at >> _6)] >> (at & _63)) & _1


@inlined
def goes_left(forest: Forest, split: Any, code: Any) -> Any:
    """1 where the code is in the split's set, else 0."""
    return in_set(forest, forest.splits[split, WORD], code)


@inlined
def _raw_of_narrow(codes: Codes, forest: Forest) -> float:
    """The leaf reached is the leftmost that no split leaves out: no branch, no waiting for the last."""
    raw = 0.0
    for tree in range(uint64(len(forest.trees)) - _1):
        remaining = ~_0
        for split in range(forest.trees[tree, _0], forest.trees[tree + _1, _0]):
            left = goes_left(forest, split, codes[forest.splits[split, COLUMN], _0])
            remaining &= forest.kept[split] | (_0 - left)
        raw += forest.leaves[forest.trees[tree, _1] + lowest_bit(remaining)]
    return raw


@inlined
def _raw_of_wide(codes: Codes, forest: Forest) -> float:
    """For trees of any size: from split to split."""
    raw = 0.0
    for tree in range(uint64(len(forest.trees)) - _1):
        first = forest.trees[tree, _0]
        many, slot = forest.trees[tree + _1, _0] - first, _0
        while slot < many:
            split = first + slot
            left = goes_left(forest, split, codes[forest.splits[split, COLUMN], _0])
            slot = uint64(forest.splits[split, RIGHT - left])
        raw += forest.leaves[forest.trees[tree, _1] + slot - many]
    return raw


@inlined
def _write_number_codes(column: Any, forest: Forest, block: Block) -> None:
    """Write a number's codes for a block of values: a cut at a time, for all of them."""
    begin, count = uint64(forest.columns[column, _0]), uint64(forest.columns[column, _1])
    for row in range(_BLOCK):
        block.counted[row] = _1
    for at in range(begin, begin + count):
        cut = forest.cuts[at]
        for row in range(_BLOCK):
            block.counted[row] += uint64(cut < block.values[row])
    for row in range(_BLOCK):
        known = block.values[row] == block.values[row]
        block.codes[column, row] = block.counted[row] if known else _0


@inlined
def _write_block_codes(matrix: Matrix, first: Any, rows: Any, forest: Forest, block: Block) -> None:
    """As `write_codes`, for up to _BLOCK rows; what the block holds beyond them means nothing."""
    for column in range(uint64(len(forest.columns))):
        begin, count = uint64(forest.columns[column, _0]), uint64(forest.columns[column, _1])
        kind = forest.columns[column, _2]
        if kind == NUMBER and count <= _FEW_CUTS:
            for row in range(rows):
                value = matrix[first + row, column]
                block.values[row] = 0.0 if abs(value) <= _NO_ZERO else value
            _write_number_codes(column, forest, block)
        else:
            for row in range(rows):
                value = matrix[first + row, column]
                block.codes[column, row] = _code(value, forest.cuts, begin, count, kind)


@inlined
def _leave_out(split: Any, forest: Forest, block: Block) -> None:
    """Take from each row's remaining leaves those that it cannot reach any more after a split."""
    column, kept = forest.splits[split, COLUMN], forest.kept[split]
    codes, remaining = block.codes[column], block.remaining
    if forest.columns[column, _2] == NUMBER:
        lowest, more = forest.spans[split, _0], forest.spans[split, _1]
        for row in range(_BLOCK):
            remaining[row] &= kept if uint16(codes[row] - lowest) > more else ~_0
    elif forest.columns[column, _1] <= _IN_ONE_WORD:
        word = forest.words[forest.splits[split, WORD]]
        for row in range(_BLOCK):
            remaining[row] &= kept | (_0 - ((word >> uint64(codes[row])) & _1))
    else:
        for row in range(_BLOCK):
            remaining[row] &= kept | (_0 - goes_left(forest, split, codes[row]))


@inlined
def _add_raw_of_block(forest: Forest, block: Block, raw: Floats) -> None:
    """As `_raw_of_narrow`, a split at a time for many rows."""
    for tree in range(uint64(len(forest.trees)) - _1):
        block.remaining[:] = ~_0
        for split in range(forest.trees[tree, _0], forest.trees[tree + _1, _0]):
            _leave_out(split, forest, block)
        leaf = forest.trees[tree, _1]
        for row in range(len(raw)):
            raw[row] += forest.leaves[leaf + lowest_bit(block.remaining[row])]


@inlined
def _write_raw_in_blocks(matrix: Matrix, forest: Forest, raw: Floats) -> None:
    block = Block(
        np.zeros((len(forest.columns), _BLOCK), uint16),
        np.zeros(_BLOCK),
        np.zeros(_BLOCK, uint64),
        np.zeros(_BLOCK, uint64),
    )
    for begin in range(0, len(matrix), _BLOCK):
        said = raw[begin : begin + _BLOCK]
        said[:] = 0.0
        _write_block_codes(matrix, uint64(begin), uint64(len(said)), forest, block)
        _add_raw_of_block(forest, block, said)


@compiled
def write_raw(matrix: Matrix, forest: Forest, raw: Floats) -> None:
    """Write the log-odds of each row of a matrix, shape (n, columns), into `raw`, shape (n,)."""
    if forest.narrow and len(matrix) > _FEW:
        _write_raw_in_blocks(matrix, forest, raw)
        return
    codes = np.empty((len(forest.columns), 1), uint16)
    for row in range(len(matrix)):
        write_codes(matrix, uint64(row), _1, forest, codes)
        raw[row] = _raw_of_narrow(codes, forest) if forest.narrow else _raw_of_wide(codes, forest)
