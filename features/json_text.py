"""What does a JSON text of ours say? Read strictly: no number that is none, no key given twice.

What some readers take and others refuse can be two things at once; a file that decides scores may not.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

_MOST_DIGITS = 30


def read_json(text: str) -> Any:
    """The content of a JSON text.

    Raises:
        ValueError: not JSON, a number that is none, a key that is there twice, or nested too deep.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_integer,
        )
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object names a key twice")
    return found


def _no_number(_: str) -> NoReturn:
    raise ValueError("NaN and infinities are no numbers")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number has more than {_MOST_DIGITS} digits")
    return int(text)
