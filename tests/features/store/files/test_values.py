"""Numbers and truth values as people write them; what is none is refused in words."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.store.files.values import FALSE, TRUE, boolean, decimal_evidence, number


@pytest.mark.parametrize(
    ("text", "decimal", "value"),
    [
        ("12", ".", 12.0),
        ("-1.5", ".", -1.5),
        (".5", ".", 0.5),
        ("5.", ".", 5.0),
        ("1e3", ".", 1000.0),
        ("1,234.5", ".", 1234.5),
        ("1,234,567", ".", 1234567.0),
        ("1.234,5", ",", 1234.5),
        ("1,5", ",", 1.5),
        ("1 234,5", ",", 1234.5),
        ("1\u00a0234\u00a0567,5", ",", 1234567.5),
        ("1\u202f234", ",", 1234.0),
        ("12'345.60", ".", 12345.6),
        ("€ 1,000.50", ".", 1000.5),
        ("1.000,50 €", ",", 1000.5),
        ("-$5", ".", -5.0),
        ("$-5", ".", -5.0),
        ("CHF 20", ".", 20.0),
        ("12 %", ".", 12.0),
        ("12,5%", ",", 12.5),
        ("(1,000)", ".", -1000.0),
        ("−3", ".", -3.0),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, decimal: str, value: float) -> None:
    assert number(text, "," if decimal == "," else ".") == value


@pytest.mark.parametrize(
    "text",
    ["", "abc", "1,5", "12,34,567", "1.2.3", "1_000", "nan", "inf", "-", "€", "%", "5-", "(5", "5)",
     "1e400", "٣", "1 2", "0x10", "1" + " " * 100 + "2"],
)  # fmt: skip
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a"):
        number(text, ".")


def test_a_decimal_point_is_no_thousands_sign_where_commas_are_decimals() -> None:
    with pytest.raises(ValueError, match="','"):
        number("3.5", ",")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_whatever_python_writes_is_read_back_exactly(value: float) -> None:
    assert number(repr(value)) == value


@given(st.integers(-(10**12), 10**12), st.integers(0, 99))
def test_grouped_amounts_of_both_worlds_are_read_alike(whole: int, cents: int) -> None:
    english = f"{whole:,}.{cents:02d}"
    german = english.replace(",", "~").replace(".", ",").replace("~", ".")
    assert number(english, ".") == number(german, ",") == float(f"{whole}.{cents:02d}")


@given(st.text(max_size=80))
def test_any_text_is_a_finite_number_or_a_value_error(text: str) -> None:
    for decimal in (".", ","):
        with suppress(ValueError):
            assert math.isfinite(number(text.strip(), "," if decimal == "," else "."))


@pytest.mark.parametrize("text", ["yes", "Yes", "TRUE", "1", "y", "Ja", "wahr", "1.0", "on"])
def test_yes_is_yes(text: str) -> None:
    assert boolean(text) is True


@pytest.mark.parametrize("text", ["no", "No", "FALSE", "0", "n", "Nein", "0.0", "off"])
def test_no_is_no(text: str) -> None:
    assert boolean(text) is False


def test_what_is_neither_is_refused_and_nothing_is_both() -> None:
    with pytest.raises(ValueError, match="yes or no"):
        boolean("maybe")
    assert not TRUE & FALSE


@pytest.mark.parametrize(
    ("text", "evidence"),
    [
        ("5", ""),
        ("abc", ""),
        ("1.5", "."),
        ("1,5", ","),
        ("1.234", "?."),
        ("1,234", "?,"),
        ("0,234", ","),
        ("0.857", "."),
        ("1234,567", ","),
        ("1.234.567", ","),
        ("1,234,567", "."),
        ("1.234,5", ","),
        ("1,234.567", "."),
        ("€ 12,50", ","),
    ],
)
def test_a_cell_tells_its_decimal_sign_only_where_it_can(text: str, evidence: str) -> None:
    assert decimal_evidence(text) == evidence


@given(st.floats(0, 1e6), st.sampled_from([".", ","]))
def test_certain_evidence_is_never_wrong_about_ungrouped_numbers(value: float, sign: str) -> None:
    text = f"{value:.2f}".replace(".", sign)
    assert decimal_evidence(text) == sign
