"""What does LightGBM's text say? Each tree as checked arrays, or why the text cannot be true.

LightGBM itself reads a damaged text out of bounds and aborts the process, so nothing is guessed here:
a text is understood whole, refused as damaged (`BundleError`), or declined as beyond us
(`BeyondKernelError`: averaged, linear or multiclass trees, a format we do not know).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from features.errors import BundleError, shown

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = NDArray[np.uint32]

_FORMAT = "v4"
_NUMBERS = re.compile(r"(?:[-+.0-9eE ]++|inf(?![^ ]))*+", re.ASCII)
_CATEGORY, _LARGEST_DECISION = 1, 11
_WIDEST_TREE = 2**17
_MOST_COLUMNS = 2**15


class BeyondKernelError(Exception):
    """The text may be sound, but says something that only LightGBM understands."""


@dataclass(frozen=True, slots=True)
class TextTree:
    """One tree of m splits and m + 1 leaves; splits come before those below them.

    Attributes:
        column: which column each split reads, shape (m,).
        threshold: a number goes left up to here, shape (m,); of a category its place in `sets`.
        decision: LightGBM's flags, shape (m,): 1 category, 2 missing goes left, 4 or 8 what is missing.
        left, right: the split below, or −1 − the leaf, shape (m,).
        value: of the leaves, in log-odds, shape (m + 1,).
        split_count, leaf_count: rows learned from, shapes (m,) and (m + 1,).
        sets: for each split by category the codes that go left, as words of 32 bits.
    """

    column: Ints
    threshold: Floats
    decision: Ints
    left: Ints
    right: Ints
    value: Floats
    split_count: Ints
    leaf_count: Ints
    sets: tuple[Words, ...]


def read_trees(text: str) -> tuple[int, list[TextTree]]:
    """The number of columns, and every tree.

    Raises:
        BundleError: the text is damaged.
        BeyondKernelError: it says what is not supported here.
    """
    header, trees = _header_and_trees(text)
    columns = _columns(header)
    return columns, [_tree(said, columns) for said in trees]


def _header_and_trees(text: str) -> tuple[Mapping[str, str], list[Mapping[str, str]]]:
    head, _, rest = text.partition("\n\n")
    lines = head.split("\n")
    if lines[0] != "tree":
        raise BundleError("the booster's text does not begin as LightGBM's do")
    if "average_output" in lines:
        raise BeyondKernelError("the trees are averaged")
    header = _said(lines[1:], "header")
    if header.get("version") != _FORMAT:
        raise BeyondKernelError(f"the format is {header.get('version')}")
    if header.get("num_class") != "1" or header.get("num_tree_per_iteration") != "1":
        raise BeyondKernelError("there is more than one class")
    return header, list(_trees(rest, header))


def _trees(rest: str, header: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Each tree's lines; where a tree begins and ends is said twice, and must agree."""
    sizes = _integers(header.get("tree_sizes", ""), "tree_sizes")
    encoded = rest.encode()
    ends = list(accumulate(sizes.tolist()))
    if len(sizes) and (sizes.min() < 1 or ends[-1] > len(encoded)):
        raise BundleError("the booster's trees are not as long as it says")
    begin = 0
    for number, end in enumerate(ends):
        block = encoded[begin:end].decode(errors="replace")
        if not block.endswith("\n\n\n"):
            raise BundleError(f"tree {number} of the booster is not as long as it says")
        lines = block.rstrip("\n").split("\n")
        if lines[0] != f"Tree={number}":
            raise BundleError(f"tree {number} of the booster does not begin where it should")
        yield _said(lines[1:], f"tree {number}")
        begin = end
    if not encoded[begin:].startswith(b"end of trees\n"):
        raise BundleError("the booster's trees do not end where they should")


def _said(lines: list[str], where: str) -> dict[str, str]:
    pairs = [line.partition("=") for line in lines]
    said = {key: value for key, sign, value in pairs if sign}
    if len(said) != len(lines):
        raise BundleError(
            f"the {where} of the booster has a line that says nothing, or says it twice"
        )
    return said


def _columns(header: Mapping[str, str]) -> int:
    names, ranges = (header.get(key, "").split(" ") for key in ("feature_names", "feature_infos"))
    last = _integer(header, "max_feature_idx")
    if not len(names) == len(ranges) == last + 1:
        raise BundleError(
            f"the booster names {len(names)} columns, has {len(ranges)} ranges and counts {last + 1}"
        )
    if last >= _MOST_COLUMNS:
        raise BeyondKernelError(f"{last + 1} columns")
    return last + 1


def _tree(said: Mapping[str, str], columns: int) -> TextTree:
    if said.get("is_linear") != "0":
        raise BeyondKernelError("the leaves are linear")
    leaves, categories = _integer(said, "num_leaves"), _integer(said, "num_cat")
    if not 1 <= leaves <= _WIDEST_TREE or not 0 <= categories < leaves:
        raise BundleError(
            f"a tree of the booster has {leaves} leaves, {categories} splits by category"
        )
    splits = leaves - 1
    tree = TextTree(
        column=_list(said, "split_feature", splits),
        threshold=_reals(said, "threshold", splits),
        decision=_list(said, "decision_type", splits),
        left=_list(said, "left_child", splits),
        right=_list(said, "right_child", splits),
        value=_reals(said, "leaf_value", leaves),
        split_count=_list(said, "internal_count", splits),
        leaf_count=_list(said, "leaf_count", leaves) if splits else np.zeros(1, dtype=np.int64),
        sets=_sets(said, categories),
    )
    _require_a_tree(tree)
    _require_readable(tree, columns)
    return tree


def _require_a_tree(tree: TextTree) -> None:
    """Every split but the first, and every leaf, hangs below exactly one split before it."""
    splits = len(tree.column)
    if splits == 0:
        return
    children = np.concatenate([tree.left, tree.right])
    if not np.array_equal(np.sort(children), np.delete(np.arange(-splits - 1, splits), splits + 1)):
        raise BundleError("a tree of the booster does not hang together")
    if np.any((children >= 0) & (children <= np.tile(np.arange(splits), 2))):
        raise BundleError("a tree of the booster runs in a circle")


def _require_readable(tree: TextTree, columns: int) -> None:
    if np.any((tree.column < 0) | (tree.column >= columns)):
        raise BundleError("a tree of the booster reads a column that there is not")
    if np.any((tree.decision < 0) | (tree.decision > _LARGEST_DECISION)):
        raise BeyondKernelError("a split decides in a way we do not know")
    sets = tree.threshold[(tree.decision & _CATEGORY) == 1]
    if not np.array_equal(np.sort(sets), np.arange(len(tree.sets))):
        raise BundleError("a tree of the booster splits by categories that it does not list")


def _sets(said: Mapping[str, str], categories: int) -> tuple[Words, ...]:
    if categories == 0:
        return ()
    bounds = _list(said, "cat_boundaries", categories + 1)
    if bounds[0] != 0 or np.any(np.diff(bounds) < 1):
        raise BundleError("a tree of the booster lists its categories out of order")
    words = _list(said, "cat_threshold", int(bounds[-1]))
    if words.min() < 0 or words.max() >= 2**32:
        raise BundleError("a tree of the booster lists categories that are none")
    return tuple(np.split(words.astype(np.uint32), bounds[1:-1]))


def _integer(said: Mapping[str, str], key: str) -> int:
    return int(_list(said, key, 1)[0])


def _list(said: Mapping[str, str], key: str, length: int) -> Ints:
    found = _integers(said.get(key, ""), key)
    if len(found) != length:
        raise BundleError(f"{key} of the booster has {len(found)} entries, not {length}")
    return found


def _integers(text: str, key: str) -> Ints:
    try:
        return np.array(_words(text), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise BundleError(f"{key} of the booster has {shown(text, 40)}") from error


def _reals(said: Mapping[str, str], key: str, length: int) -> Floats:
    """Finite numbers, save that every number may lie left of a threshold and what is missing right."""
    text = said.get(key, "")
    try:
        found = np.array(_words(text), dtype=np.float64)
    except (ValueError, OverflowError) as error:
        raise BundleError(f"{key} of the booster has {shown(text, 40)}") from error
    if len(found) != length or not (key == "threshold" or np.isfinite(found).all()):
        raise BundleError(f"{key} of the booster has not {length} numbers")
    return found


def _words(text: str) -> list[str]:
    if not _NUMBERS.fullmatch(text):
        raise ValueError("there is more than numbers")
    return text.split(" ") if text else []
