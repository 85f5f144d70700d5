"""Is a feature row written for ever as it was first written? The quick writer against Python's own."""

from __future__ import annotations

import hashlib
import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from features.store.score_texts import inputs_text

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=8)
NUMBERS = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-30, 30).map(lambda n: 10.0**n)
    | st.integers(-30, 30).map(lambda n: 1.2345 * 10.0**n)
)
CELLS = (
    NUMBERS | st.none() | st.text(max_size=8) | st.sampled_from(["null", "e-7", "0.00001", "\x7f"])
)


def python_text(inputs: dict[str, object], *, sort: bool = False) -> str:
    return json.dumps(inputs, sort_keys=sort, allow_nan=False, separators=(",", ":"))


@given(st.dictionaries(NAMES, CELLS, max_size=12))
@example({"b": 1e-7, "a": 1e-05, "c": 1e16, "d": 123456789.0, "e": 5e-324, "f": -0.0})
@example({})
def test_a_row_and_its_digest_are_what_pythons_own_writer_makes(inputs: dict[str, object]) -> None:
    text, digest = inputs_text(inputs)  # type: ignore[arg-type]
    assert text == python_text(inputs)
    assert digest == hashlib.sha256(python_text(inputs, sort=True).encode()).hexdigest()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_never_written(value: float) -> None:
    with pytest.raises(ValueError, match=r"[Oo]ut of range|not JSON compliant"):
        inputs_text({"a": 1.0, "b": value, "c": None})
