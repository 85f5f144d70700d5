"""Which code does a value have, and which codes go left at a split? One bit each, whatever the column.

    code 0          not known: NaN, or a category that no split names
    code 1 + i      a number above i of its column's thresholds; the category i
    the last code   zero, where some split of the column takes it for missing

Rule: for every value the bits say what LightGBM's decision says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.forest_text import BeyondKernelError, Floats, Ints, TextTree, Words

Bools = NDArray[np.bool_]

NUMBER, ZERO_APART, CATEGORY = 0, 1, 2
"""How a column is coded."""

_IS_CATEGORY, _MISSING_LEFT, _ZERO_MISSING, _NAN_MISSING = 1, 2, 4, 8
_MOST_CODES = 2**16 - 4
_MOST_BITS = 2**30


@dataclass(frozen=True, slots=True)
class Coding:
    """How values become codes, and which codes go left.

    Attributes:
        cuts: the thresholds of every column, growing, one column after the other.
        columns: shape (columns, 3): where its cuts begin, how many cuts or categories, how it is coded.
        first_word: of each split, where its set begins, shape (splits,).
        words: the sets, 64 codes a word.
    """

    cuts: Floats
    columns: Ints
    first_word: Ints
    words: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Splits:
    """The splits of all trees, one after the other; `sets` of those by category, None for the others."""

    column: Ints
    threshold: Floats
    decision: Ints
    sets: list[Words | None]


def coding(columns: int, trees: list[TextTree]) -> Coding:
    """The coding for these trees.

    Raises:
        BeyondKernelError: a column is both a number and a category, or the sets are too large to list.
    """
    splits = _splits(trees)
    coded = [_column(splits, np.flatnonzero(splits.column == i)) for i in range(columns)]
    width = np.array([one.width for one in coded], dtype=np.int64)[splits.column]
    ends = np.cumsum(width)
    first = ends - width
    words = np.zeros(int(width.sum()), dtype=np.uint64)
    for one in coded:
        words[first[one.at][:, None] + np.arange(one.width)] = one.packed()
    many = np.array([len(one.cuts) for one in coded])
    table = [np.cumsum(many) - many, [one.count for one in coded], [one.kind for one in coded]]
    cuts = np.concatenate([one.cuts for one in coded])
    return Coding(cuts, np.column_stack(table).astype(np.int64), first, words)


def _splits(trees: list[TextTree]) -> _Splits:
    sets: list[Words | None] = []
    for tree in trees:
        named = zip(tree.decision.tolist(), tree.threshold.tolist(), strict=True)
        sets += [tree.sets[int(at)] if kind & _IS_CATEGORY else None for kind, at in named]
    return _Splits(
        np.concatenate([tree.column for tree in trees]),
        np.concatenate([tree.threshold for tree in trees]),
        np.concatenate([tree.decision for tree in trees]),
        sets,
    )


@dataclass(frozen=True, slots=True)
class _Column:
    """One column: the splits that read it, and which of its codes each sends left, (splits, codes)."""

    at: Ints
    kind: int
    cuts: Floats
    count: int
    left: Bools

    @property
    def width(self) -> int:
        """Words for one split's set."""
        codes: int = self.left.shape[1]
        return -(-codes // 64)

    def packed(self) -> NDArray[np.uint64]:
        """The sets as words, shape (splits, width)."""
        padded = np.zeros((len(self.left), 64 * self.width), dtype=np.bool_)
        padded[:, : self.left.shape[1]] = self.left
        octets = np.packbits(padded, axis=1, bitorder="little")
        return octets.view("<u8").astype(np.uint64)


def _column(splits: _Splits, at: Ints) -> _Column:
    decision = splits.decision[at]
    by_category = (decision & _IS_CATEGORY) != 0
    if by_category.any():
        if not by_category.all():
            raise BeyondKernelError("a column is read as a number and as a category")
        return _category(at, [one for i in at.tolist() if (one := splits.sets[i]) is not None])
    return _number(at, splits.threshold[at], decision)


def _number(at: Ints, threshold: Floats, decision: Ints) -> _Column:
    cuts = np.unique(threshold)
    zero_missing = (decision & _ZERO_MISSING) != 0
    kind = ZERO_APART if zero_missing.any() else NUMBER
    codes = 2 + len(cuts) + (kind == ZERO_APART)
    _require_room(len(at), codes)
    left = np.empty((len(at), codes), dtype=np.bool_)
    left[:, 1:] = np.arange(codes - 1) <= np.searchsorted(cuts, threshold)[:, None]
    missing_left, zero_left = (decision & _MISSING_LEFT) != 0, threshold >= 0.0
    # What is not known is read as zero, unless the split has a side for it.
    nan_missing = (decision & _NAN_MISSING) != 0
    left[:, 0] = np.where(nan_missing | zero_missing, missing_left, zero_left)
    if kind == ZERO_APART:
        left[:, -1] = np.where(zero_missing, missing_left, zero_left)
    return _Column(at, kind, cuts, len(cuts), left)


def _category(at: Ints, sets: list[Words]) -> _Column:
    count = 32 * max(len(one) for one in sets)
    _require_room(len(at), 1 + count)
    left = np.zeros((len(at), 1 + count), dtype=np.bool_)
    for row, one in zip(left, sets, strict=True):
        octets = one.astype("<u4").view(np.uint8)
        row[1 : 1 + 32 * len(one)] = np.unpackbits(octets, bitorder="little")
    named = int(np.flatnonzero(left.any(axis=0)).max(initial=0))
    return _Column(at, CATEGORY, np.empty(0), named, left[:, : 1 + named])


def _require_room(splits: int, codes: int) -> None:
    if codes > _MOST_CODES or splits * codes > _MOST_BITS:
        raise BeyondKernelError(f"a column has {codes} codes at {splits} splits")
