"""How are boosted trees laid out so that a kernel can race through them? As a few flat tables.

Every value becomes a small code and every split a set of codes that go left (`models.forest_codes`), so
that numbers, categories and all ways of treating what is missing are one test of one bit. Rule: the
tables are checked when they are made, so that the kernel may follow them without looking.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

from models.forest_codes import coding
from models.forest_shape import WORD, Shape
from models.forest_text import BeyondKernelError, Floats, Ints, TextTree, read_trees

LANES = 8
"""Points of a quadrature that the kernel takes at once."""


class Forest(NamedTuple):
    """Trees as tables. Where trees follow one another, `trees` says where each begins.

    Compiled code takes it as it is: a tuple of arrays and numbers.

    Attributes:
        cuts, columns, words, spans: see `Coding`.
        splits: shape (splits, 4): column, first word of its set, slots of the left and the right child.
        kept: of each split the leaves that remain when it goes right; see `Shape`.
        share_left: of the rows learned from that reached a split.
        trees: shape (trees + 1, 3): its first split, leaf and repeat.
        leaves: log-odds, each tree's from left to right.
        repeats: shape (repeats, 3), `carried`: see `Repeats`.
        passes: shape (passes, 3): a tree, its grid's first row of `lanes`, its repeats' first row.
        lanes: shape (rows, 8); ones; then for each grid the weights, 1 − t, and 1 / (1 − t) of eight of
            its points t; then for each repeat of each pass 1 / (z + t (1 − z)), where z is `carried`.
        base: what the trees say on average, in log-odds.
        widest: splits of the largest tree.
        narrow: no tree has more leaves than a word has bits.
        explains: contributions can be had: the numbers of rows learned from add up.
    """

    cuts: Floats
    columns: Ints
    words: NDArray[np.uint64]
    spans: NDArray[np.uint16]
    splits: NDArray[np.uint32]
    kept: NDArray[np.uint64]
    share_left: Floats
    trees: NDArray[np.uint64]
    leaves: Floats
    repeats: NDArray[np.uint32]
    carried: Floats
    passes: NDArray[np.uint64]
    lanes: Floats
    base: float
    widest: int
    narrow: bool
    explains: bool


def read_forest(text: str) -> Forest | None:
    """The tables of a LightGBM text; None where only LightGBM understands it.

    Raises:
        BundleError: the text is damaged.
    """
    try:
        columns, trees = read_trees(text)
        return forest_of(columns, trees) if trees else None
    except BeyondKernelError:
        return None


def forest_of(columns: int, trees: list[TextTree]) -> Forest:
    """The tables of at least one tree.

    Raises:
        BeyondKernelError: their tables would be too large, or a column is read in two ways.
    """
    coded = coding(columns, trees)
    shapes = [Shape.of(tree) for tree in trees]
    column = _joined(tree.column for tree in trees)
    left, right = _joined(shape.left for shape in shapes), _joined(shape.right for shape in shapes)
    passes, lanes = _quadrature(shapes)
    return Forest(
        cuts=coded.cuts,
        columns=coded.columns,
        words=coded.words,
        spans=coded.spans,
        splits=np.column_stack([column, coded.first_word, left, right]).astype(np.uint32),
        kept=_joined(shape.kept for shape in shapes),
        share_left=_joined(shape.share_left for shape in shapes),
        trees=_begins(shapes),
        leaves=_joined(shape.value for shape in shapes),
        repeats=_joined(shape.repeats.where for shape in shapes).astype(np.uint32),
        carried=_joined(shape.repeats.carried for shape in shapes),
        passes=passes,
        lanes=lanes,
        base=sum((shape.base for shape in shapes), start=0.0),
        widest=max(len(shape.left) for shape in shapes),
        narrow=all(len(shape.value) <= WORD for shape in shapes),
        explains=all(shape.counted for shape in shapes),
    )


def _joined(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(list(parts))


def _begins(shapes: list[Shape]) -> NDArray[np.uint64]:
    sizes = [(len(one.left), len(one.value), len(one.repeats.carried)) for one in shapes]
    return np.vstack([np.zeros((1, 3), np.int64), np.cumsum(sizes, axis=0)]).astype(np.uint64)


def _quadrature(shapes: list[Shape]) -> tuple[NDArray[np.uint64], Floats]:
    """The passes over the trees, and their lanes.

    A path of D different columns gives a polynomial of degree below D, for which Gauss–Legendre with
    D / 2 points is exact; eight at a time.
    """
    rounds = [-(-shape.repeats.distinct // (2 * LANES)) for shape in shapes]
    grids, rows = _grids(sorted(set(rounds)))
    passes = []
    for tree, (shape, times) in enumerate(zip(shapes, rounds, strict=True)):
        z = shape.repeats.carried[:, None]
        for first, points in grids[times]:
            passes.append((tree, first, len(rows)))
            rows.extend(1.0 / (z + points * (1.0 - z)))
    return np.array(passes, dtype=np.uint64).reshape(-1, 3), np.array(rows)


def _grids(every: list[int]) -> tuple[dict[int, list[tuple[int, Floats]]], list[Floats]]:
    """For each number of rounds its grids' first rows and points, and the rows of all of them."""
    rows: list[Floats] = [np.ones(LANES)]
    grids: dict[int, list[tuple[int, Floats]]] = {}
    for times in every:
        nodes, weights = leggauss(LANES * times) if times else (np.empty(0), np.empty(0))
        grids[times] = []
        for at in range(0, LANES * times, LANES):
            points, weight = (nodes[at : at + LANES] + 1) / 2, weights[at : at + LANES] / 2
            grids[times].append((len(rows), points))
            rows += [weight, 1.0 - points, 1.0 / (1.0 - points)]
    return grids, rows
