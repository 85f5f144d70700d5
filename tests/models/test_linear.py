"""An additive part says what its curves and tables say, and survives JSON to the last bit."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import BundleError
from models import linear as module
from models.forest_engine import ENGINE, Engine
from models.linear import Linear, Term

finite = st.floats(-1e6, 1e6)


@pytest.fixture(scope="module", params=["compiled", "array by array"], autouse=True)
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Everything here holds whether compiled code answers or, before it is ready, numpy."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "compiled":
            assert ENGINE.wait(), ENGINE.trouble
        else:
            patch.setattr(module, "ENGINE", Engine())
        yield


@st.composite
def curves(draw: st.DrawFn) -> Term:
    knots = sorted(draw(st.sets(st.integers(-1_000, 1_000), min_size=1, max_size=7)))
    return _term(draw, tuple(knot / 8 for knot in knots), len(knots))


@st.composite
def tables(draw: st.DrawFn) -> Term:
    return _term(draw, None, draw(st.integers(0, 6)))


def _term(draw: st.DrawFn, knots: tuple[float, ...] | None, k: int) -> Term:
    several = st.lists(finite, min_size=k, max_size=k).map(tuple)
    return Term("column", knots, draw(several), draw(finite), draw(several), draw(finite))


def read_off(term: Term, value: float, values: tuple[float, ...], missing: float) -> float:
    """One value of a term, by hand."""
    if np.isnan(value) or not values:
        return missing
    if term.knots is None:
        return values[min(int(value), len(values) - 1)]
    after = bisect_right(term.knots, value)
    if after == 0:
        return values[0]
    if after == len(values):
        return values[-1]
    low, high = term.knots[after - 1], term.knots[after]
    share = (value - low) / (high - low)
    return values[after - 1] + share * (values[after] - values[after - 1])


@given(term=curves(), values=st.lists(st.floats(-200, 200) | st.just(float("nan")), min_size=1))
def test_a_curve_is_read_off_between_its_knots_and_flat_beyond(
    term: Term, values: list[float]
) -> None:
    column = np.array([*values, *(term.knots or ())])
    expected = [read_off(term, value, term.values, term.missing) for value in column]
    assert term.of(column) == pytest.approx(expected, rel=1e-9, abs=1e-6)
    expected = [read_off(term, value, term.variances, term.missing_variance) for value in column]
    assert term.variance(column) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(term=tables(), codes=st.lists(st.integers(0, 5) | st.just(float("nan")), min_size=1))
def test_a_category_is_looked_up(term: Term, codes: list[float]) -> None:
    column = np.array(codes, dtype=np.float64)
    column = np.where(column < max(len(term.values), 1), column, np.nan)
    expected = [read_off(term, value, term.values, term.missing) for value in column]
    assert term.of(column).tolist() == expected


def some_linear(columns: int = 40, seed: int = 0) -> Linear:
    """Curves and tables in turn."""
    rng = np.random.default_rng(seed)
    terms = []
    for i in range(columns):
        k = int(rng.integers(1, 9))
        knots = tuple(np.sort(rng.normal(size=k)).tolist()) if i % 2 else None
        values, variances = (tuple(rng.normal(size=k).tolist()) for _ in range(2))
        squared = tuple(v * v for v in variances)
        terms.append(Term(f"c{i}", knots, values, float(rng.normal()), squared, 0.3))
    return Linear(float(rng.normal()), tuple(terms))


def some_matrix(linear: Linear, n: int, seed: int = 1) -> np.ndarray:
    """Numbers within and beyond the curves, codes of the tables, and values not known."""
    rng = np.random.default_rng(seed)
    columns = [
        rng.integers(0, len(term.values), n) if term.knots is None else 2 * rng.normal(size=n)
        for term in linear.terms
    ]
    matrix = np.column_stack(columns).astype(np.float64)
    matrix[rng.random(matrix.shape) < 0.2] = np.nan
    return matrix


def test_raw_is_the_intercept_and_the_terms_of_every_column_by_a_plain_loop() -> None:
    linear = some_linear()
    matrix = some_matrix(linear, 50)
    for row, raw, variance in zip(matrix, linear.raw(matrix), linear.variance(matrix), strict=True):
        said, doubt = linear.intercept, 0.0
        for term, value in zip(linear.terms, row, strict=True):
            said += read_off(term, value, term.values, term.missing)
            doubt += read_off(term, value, term.variances, term.missing_variance)
        assert raw == pytest.approx(said, abs=1e-9)
        assert variance == pytest.approx(doubt, abs=1e-9)


def test_contributions_and_the_intercept_add_up_to_raw() -> None:
    linear = some_linear()
    matrix = some_matrix(linear, 300)
    total = linear.contributions(matrix).sum(axis=1) + linear.intercept
    assert np.abs(total - linear.raw(matrix)).max() < 1e-9


@pytest.mark.parametrize("columns", [1, 7, 8, 9, 40, 300])
def test_a_row_scores_the_same_bits_alone_and_among_others(columns: int) -> None:
    linear = some_linear(columns)
    matrix = some_matrix(linear, 64)
    alone = [linear.raw(matrix[i : i + 1]).tobytes() for i in range(64)]
    assert b"".join(alone) == linear.raw(matrix).tobytes()
    doubts = [linear.variance(matrix[i : i + 1]).tobytes() for i in range(64)]
    assert b"".join(doubts) == linear.variance(matrix).tobytes()


@given(terms=st.lists(curves() | tables(), max_size=4), intercept=st.floats(-1e300, 1e300))
def test_json_gives_it_back_to_the_last_bit(terms: list[Term], intercept: float) -> None:
    linear = Linear(intercept, tuple(terms))
    again = Linear.from_json(json.loads(json.dumps(linear.to_json())))
    assert again == linear
    assert np.float64(again.intercept).tobytes() == np.float64(intercept).tobytes()


Change = Callable[[dict[str, Any]], Any]


def _set(key: str, value: Any) -> Change:
    return lambda content: content | {key: value}


def _set_term(key: str, value: Any) -> Change:
    def change(content: dict[str, Any]) -> dict[str, Any]:
        return content | {"terms": [content["terms"][0] | {key: value}, *content["terms"][1:]]}

    return change


HOSTILE: dict[str, Change] = {
    "a list": lambda content: [content],
    "nothing": lambda content: None,
    "a text": lambda content: "linear",
    "a number": lambda content: 1.0,
    "no intercept": lambda content: {"terms": content["terms"]},
    "no terms": lambda content: {"intercept": 0.0},
    "intercept not a number": _set("intercept", float("nan")),
    "intercept infinite": _set("intercept", float("inf")),
    "intercept of 400 digits": _set("intercept", 10**400),
    "intercept a list": _set("intercept", [1.0]),
    "terms a number": _set("terms", 3),
    "terms of numbers": _set("terms", [1, 2]),
    "a term is nothing": _set("terms", [None]),
    "a term without all": _set("terms", [{}]),
    "values infinite": _set_term("values", [float("inf")] * 3),
    "values not numbers": _set_term("values", [float("nan")] * 3),
    "values nothing": _set_term("values", None),
    "values of words": _set_term("values", ["a", "b", "c"]),
    "a value of 400 digits": _set_term("values", [10**400, 0, 0]),
    "fewer values": _set_term("values", [0.0]),
    "fewer variances": _set_term("variances", [0.0]),
    "variance infinite": _set_term("variances", [0.0, 0.0, float("inf")]),
    "knots turn back": _set_term("knots", [0.0, 2.0, 1.0]),
    "knots stand still": _set_term("knots", [0.0, 0.0, 1.0]),
    "a knot is not a number": _set_term("knots", [0.0, float("nan"), 1.0]),
    "fewer knots": _set_term("knots", [0.0, 1.0]),
    "missing infinite": _set_term("missing", float("-inf")),
    "missing nothing": _set_term("missing", None),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_additive_part_is_refused(name: str) -> None:
    term = Term("size", (0.0, 1.0, 2.0), (0.1, 0.2, 0.3), 0.0, (1.0, 1.0, 1.0), 1.0)
    content = Linear(0.5, (term, Term("colour", None, (0.1,), 0.0, (1.0,), 1.0))).to_json()
    assert Linear.from_json(content).to_json() == content
    with pytest.raises(BundleError):
        Linear.from_json(HOSTILE[name](content))


@given(
    terms=st.lists(curves() | tables(), min_size=1, max_size=5),
    rows=st.lists(st.integers(-1_100, 1_100), max_size=6),
)
def test_all_terms_together_say_to_the_bit_what_each_says_alone(
    terms: list[Term], rows: list[int]
) -> None:
    knots = [knot for term in terms for knot in term.knots or ()]
    numbers = np.array([np.nan, np.inf, -np.inf, *(row / 7 for row in rows), *knots])
    codes = np.array([np.nan, 7, 0, *(float(abs(row) % 8) for row in rows), *(0.0 for _ in knots)])
    matrix = np.column_stack([codes if term.knots is None else numbers for term in terms])
    linear = Linear(0.25, tuple(terms))
    shares, variance = linear.read(matrix)
    alone = np.column_stack([term.of(matrix[:, i]) for i, term in enumerate(terms)])
    np.testing.assert_array_equal(shares, alone)
    total = np.zeros(len(matrix))
    for i, term in enumerate(terms):
        total += term.variance(matrix[:, i])
    np.testing.assert_array_equal(variance, total)


def test_rows_read_in_portions_are_read_alike() -> None:
    linear, rng = some_linear(), np.random.default_rng(1)
    matrix = rng.integers(0, 5, size=(2_500, 40)).astype(np.float64)
    whole = linear.read(matrix)
    for row in (0, 1_023, 1_024, 2_499):
        single = linear.read(matrix[row : row + 1])
        assert [one[0].tobytes() for one in single] == [many[row].tobytes() for many in whole]


def test_any_table_of_numbers_is_read_as_what_it_holds() -> None:
    linear = some_linear()
    matrix = some_matrix(linear, 20)
    by_column = np.asfortranarray(matrix)
    by_column.flags.writeable = False
    for one, other in zip(linear.read(by_column), linear.read(matrix), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("columns", [0, 39, 41])
def test_a_table_of_another_width_is_refused_and_nothing_beside_it_is_read(columns: int) -> None:
    with pytest.raises(ValueError, match="40 columns are read"):
        some_linear().read(np.zeros((3, columns)))
