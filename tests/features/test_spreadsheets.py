"""Does no text of anybody's choosing run in a spreadsheet, and does every number stay a number?"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import Problem
from features.spreadsheets import guarded
from features.store.files.rejects import Rejects
from features.store.files.tables import Row

FORMULAS = [
    "=1+1",
    '=HYPERLINK("http://evil.example")',
    "+49 30 1234",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "＋1+cmd",
    "－x",
    "＠x",
    "-",
    "=",
    "+1e99999",
]
LEFT_ALONE = [
    "",
    "Contoso",
    "1-2",
    "a=b",
    " =1",
    "'=1",
    "-2",
    "-2.5",
    "+3",
    "-1,5",
    "-1e-3",
    "-5 %",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_what_begins_like_a_formula_gets_a_quote(text: str) -> None:
    assert guarded(text) == f"'{text}"


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_does_not_and_every_number_is_left_alone(text: str) -> None:
    assert guarded(text) == text


@given(st.text(max_size=8) | st.text(st.sampled_from("=+-@\t\r\n0123456789.,eE% x"), max_size=8))
def test_whatever_still_begins_like_a_formula_is_a_number(text: str) -> None:
    if guarded(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        number = text.removesuffix("%").strip().replace(",", "").replace(".", "")
        assert float(number) is not None


@pytest.mark.parametrize("text", [*FORMULAS, *LEFT_ALONE])
def test_no_cell_of_the_rejects_can_be_run(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rejects.csv"
    problem = Problem("row 1", text or "field", text, "is wrong")
    with Rejects(path, ["lead", text]) as rejects:
        rejects.add(Row(1, 2, [text, "Contoso"]), [problem])
    with path.open(encoding="utf-8-sig", newline="") as file:
        heading, row = csv.reader(file)
    assert heading[2:] == ["lead", guarded(text)]
    assert row[0] == "2"
    assert row[1].startswith(("'", text or "field"))
    assert not row[1].startswith(("=", "+", "@", "\t", "\r", "\n"))
    assert row[2:] == [guarded(text), "Contoso"]
