"""How does a Python function become machine code? By Numba, once, and kept for the next process.

Imported on demand, by `models.forest_engine`: importing Numba costs a second. Rule: indices are unsigned
wherever they are many, or Numba would look for negative ones at every access.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Matrix = NDArray[np.float64]
Codes = NDArray[np.uint16]
Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = {"nogil": True, "error_model": "numpy"}


def _digest() -> str:
    """Of all that is compiled: Numba itself looks only whether the file of a function has changed."""
    here = Path(__file__).parent
    sources = sorted([*here.glob("forest*.py"), *here.glob("term_*.py")])
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


_SOURCE = _digest()


def inlined(function: Function) -> Function:
    """A part of functions that are `compiled`, and of no other: it becomes a part of each.

    Where it were called instead, which of several versions of it ran would depend on what is cached.
    """
    return cast("Function", nb.njit(forceinline=True, **_OPTIONS)(function))


def compiled(function: Function) -> Function:
    """Machine code of the function, made at its first call and kept beside the byte code."""
    function.__qualname__ = f"{function.__qualname__}_{_SOURCE}"
    try:
        return cast("Function", nb.njit(cache=True, **_OPTIONS)(function))
    except RuntimeError:  # there is no directory that could be written to
        return cast("Function", nb.njit(**_OPTIONS)(function))
