"""Is the compiled kernel ready? Made once in a process, beside whatever else it does.

Until then – and for good, where Numba cannot be loaded – LightGBM answers, with the same numbers. Rule:
importing this module imports nothing heavy, and nobody waits who did not ask to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.forest import Forest, forest_of
from models.forest_text import TextTree
from models.term_tables import Tables

Floats = NDArray[np.float64]


class Kernel(Protocol):
    """What compiled code can do; see `models.{forest_raw,forest_shapley,term_kernel}`."""

    def write_raw(self, matrix: Floats, forest: Forest, raw: Floats) -> None:
        """Write the log-odds of each row into `raw`, shape (n,)."""

    def write_told(self, matrix: Floats, forest: Forest, raw: Floats, shares: Floats) -> None:
        """Write log-odds, and contributions and the base into `shares`, shape (n, columns + 1)."""

    def write_terms(self, matrix: Floats, tables: Tables, shares: Floats, variance: Floats) -> None:
        """Write what each column adds into `shares`, shape (n, columns), and the variance, (n,)."""


class Engine:
    """The kernel of this process, once it was asked for.

    Attributes:
        trouble: why there will be no kernel; None: nothing is known against it.
    """

    def __init__(self) -> None:
        self.trouble: str | None = None
        self._kernel: Kernel | None = None
        self._done = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def kernel(self) -> Kernel | None:
        """The kernel, when it is ready."""
        return self._kernel

    def begin(self, tell: Callable[[str], object] = lambda _: None) -> None:
        """Make the kernel in the background, unless that was begun before.

        Args:
            tell: called with the trouble, from the background, if there will be no kernel.
        """
        with self._starting:
            if self._thread is None:
                # Not a daemon: a process that ends in the middle of a compilation may crash.
                self._thread = threading.Thread(target=self._make, args=(tell,), name="kernel")
                self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until the kernel is ready or cannot be; say whether it is ready."""
        self.begin()
        self._done.wait(seconds)
        return self._kernel is not None

    def _make(self, tell: Callable[[str], object]) -> None:
        try:
            self._kernel = _compiled()
        except Exception as error:  # whatever Numba says, LightGBM is there
            self.trouble = f"{type(error).__name__}: {error}"
            tell(self.trouble)
        finally:
            self._done.set()


ENGINE = Engine()
"""Compiled code belongs to the process, not to a model."""


def plain(matrix: Floats) -> Floats:
    """As the one kind of matrix compiled for; another would be compiled while somebody waits."""
    if matrix.dtype == np.float64 and matrix.flags.carray:
        return matrix
    return np.array(matrix, dtype=np.float64, order="C")


def _compiled() -> Kernel:
    """The kernel, each of its functions called once, for the types that every forest has."""
    from models import forest_kernel

    forest, rows = forest_of(1, [_smallest_tree()]), np.zeros((1, 1))
    forest_kernel.write_raw(rows, forest, np.empty(1))
    forest_kernel.write_told(rows, forest, np.empty(1), np.empty((1, 2)))
    forest_kernel.write_terms(rows, Tables.of([]), np.empty((1, 1)), np.empty(1))
    return forest_kernel


def _smallest_tree() -> TextTree:
    def one(number: int) -> NDArray[np.int64]:
        return np.array([number], dtype=np.int64)

    return TextTree(
        column=one(0),
        threshold=np.zeros(1),
        decision=one(0),
        left=one(-1),
        right=one(-2),
        value=np.array([-1.0, 1.0]),
        split_count=one(2),
        leaf_count=np.array([1, 1], dtype=np.int64),
        sets=(),
    )
