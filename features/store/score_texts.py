"""How does the ledger write a feature row and reasons? As JSON, the row with a digest of what it says.

Rule: equal rows have equal texts for ever, whatever writes them, or their digests would tell nothing.
Python's own way to write a number is the one that counts; the quick writer is used where it agrees.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any

import orjson

_SMALL = re.compile(rb"e-[5-9]")
"""Where the two would write `1e-7` and `1e-07`; exponents from -4 on are written out by both."""

Inputs = Mapping[str, str | float | None]


def compact(content: Any) -> str:
    """Plain content as JSON."""
    return orjson.dumps(content).decode()


def inputs_text(inputs: Inputs) -> tuple[str, str]:
    """A feature row as JSON, and the SHA-256 (hex) of the same with its names in order.

    Raises:
        ValueError: a number is not finite.
    """
    text = orjson.dumps(inputs)
    if not _is_as_python_writes(text, inputs):
        return _written_by_python(inputs)
    ordered = orjson.dumps(inputs, option=orjson.OPT_SORT_KEYS)
    return text.decode(), hashlib.sha256(ordered).hexdigest()


def _is_as_python_writes(text: bytes, inputs: Inputs) -> bool:
    """Whether Python would have written just this; False where it might not.

    It escapes DEL and all but ASCII, writes small numbers as `1e-05`, and refuses what is not finite.
    """
    return (
        text.isascii()
        and b"\x7f" not in text
        and b"0.0000" not in text
        and not (b"e-" in text and _SMALL.search(text))
        and text.count(b"null") == list(inputs.values()).count(None)
    )


def _written_by_python(inputs: Inputs) -> tuple[str, str]:
    names, in_order = _named(tuple(inputs))
    cells = [name + _cell(value) for name, value in zip(names, inputs.values(), strict=True)]
    ordered = ",".join(in_order(cells)) if len(cells) > 1 else "".join(cells)
    digest = hashlib.sha256(f"{{{ordered}}}".encode()).hexdigest()
    return f"{{{','.join(cells)}}}", digest


@lru_cache(maxsize=64)
def _named(names: tuple[str, ...]) -> tuple[list[str], Callable[[list[str]], tuple[str, ...]]]:
    """Names as JSON writes them, and what puts a row's cells into the order of the names."""
    order = sorted(range(len(names)), key=names.__getitem__)
    return [f"{_encode(name)}:" for name in names], itemgetter(*order or (0,))


def _cell(value: str | float | None) -> str:
    if value is None:
        return "null"
    if type(value) is float and "n" not in (text := repr(value)):  # neither inf nor nan
        return text
    return _encode(value)


# Made once: `json.dumps` would make one for each of a row's texts.
_encode = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode
