"""A column's way of writing is found from what it holds, reported, and overruled by the definition."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.sources import Format
from features.store.files.reading import open_table
from features.store.files.styles import Style, Styles, styles_of


def found(folder: Path, text: str, said: Format | None = None) -> Styles:
    path = folder / "t.csv"
    path.write_text(text)
    return styles_of(open_table(path, said or Format()), ["n", "m"], ["d", "e"], said or Format())


def test_one_certain_cell_settles_a_column(tmp_path: Path) -> None:
    styles = found(tmp_path, "n;d\n1.234;01/02/2026\n1.234,5;13/02/2026\n")
    assert styles.of("n") == Style(decimal=",")
    assert styles.of("d") == Style(day_first=True)
    assert styles.guesses == {"decimal of n": ",", "order of d": "day first"}
    assert styles.warnings == []


def test_a_certain_cell_is_found_however_late_it_comes(tmp_path: Path) -> None:
    text = "n;d\n" + "1,234;01/02/2026\n" * 30_000 + "2,5;02/13/2026\n"
    styles = found(tmp_path, text)
    assert styles.of("n").decimal == ","
    assert not styles.of("d").day_first
    assert styles.warnings == []


def test_a_column_that_cannot_tell_follows_the_others_of_its_file(tmp_path: Path) -> None:
    styles = found(tmp_path, "n;m;d;e\n1.234;2,5;01/02/2026;31/12/2025\n")
    assert styles.of("n").decimal == ","
    assert styles.of("d").day_first
    assert styles.warnings == []


@pytest.mark.parametrize(
    ("separator", "date", "day_first"),
    [(",", "01/02/2026", False), (";", "01/02/2026", True), (",", "01.02.2026", True)],
)
def test_where_no_cell_tells_custom_decides_and_a_warning_says_so(
    tmp_path: Path, separator: str, date: str, day_first: bool
) -> None:
    styles = found(tmp_path, f"d{separator}x\n{date}{separator}y\n")
    assert styles.of("d").day_first is day_first
    assert len(styles.warnings) == 1
    assert "say `format: day_first`" in styles.warnings[0]


def test_a_lone_point_is_a_decimal_point_even_with_three_digits(tmp_path: Path) -> None:
    # The three-month interest rates of a real file with semicolons: 4.857, 4.962, …
    assert found(tmp_path, "n;x\n4.857;1\n4.962;2\n").of("n").decimal == "."
    assert found(tmp_path, "n;x\n4,857;1\n4,962;2\n").of("n").decimal == ","
    assert found(tmp_path, 'n,x\n"4,857",1\n"4,962",2\n').of("n").decimal == "."


def test_cells_that_disagree_are_told(tmp_path: Path) -> None:
    styles = found(tmp_path, "d;x\n13/02/2026;1\n14/02/2026;1\n02/13/2026;1\n")
    assert styles.of("d").day_first
    assert styles.warnings == [
        "d: its cells disagree (2 say 'day', 1 say 'month'); 'day' was taken"
    ]


def test_what_was_said_is_not_questioned(tmp_path: Path) -> None:
    said = Format(decimal=".", day_first=False)
    styles = found(tmp_path, "n;d\n1.234,5;13/02/2026\n", said)
    assert styles.of("n") == Style(decimal=".", day_first=False)
    assert styles.of("d") == Style(decimal=".", day_first=False)
    assert styles.guesses == {}


def test_a_column_nobody_asks_about_has_the_plain_style(tmp_path: Path) -> None:
    assert found(tmp_path, "n\n1,5\n").of("x") == Style()
