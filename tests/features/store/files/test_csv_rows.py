"""Every quirk of real CSV files, as a real file; and whatever csv.writer writes is read back."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InputError
from features.sources import Format
from features.store.files.csv_rows import CsvTable
from features.store.files.reading import open_table
from features.store.files.tables import unique_names

AS_GUESSED = Format()


def written(folder: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / "leads.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def read(
    path: Path, said: Format = AS_GUESSED, size: int = 1000
) -> tuple[list[str], list[list[str]]]:
    """Columns and good rows."""
    table = open_table(path, said)
    return list(table.columns), [row.cells for chunk in table.chunks(size) for row in chunk.rows]


def problems(path: Path, size: int = 1000) -> list[str]:
    table = open_table(path, Format())
    return [str(bad.problem) for chunk in table.chunks(size) for bad in chunk.bad]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_that_splits_the_header_is_found(tmp_path: Path, separator: str) -> None:
    text = f"name{separator}note\nMeier{separator}x, y; z|w\n".replace(
        "|w" if separator == "|" else "~", ""
    )
    text = text.replace(", y" if separator == "," else "~", "").replace(
        "; z" if separator == ";" else "~", ""
    )
    table = open_table(written(tmp_path, text), Format())
    assert isinstance(table, CsvTable)
    assert table.separator == separator
    assert list(table.columns) == ["name", "note"]


def test_commas_in_texts_do_not_hide_a_semicolon(tmp_path: Path) -> None:
    path = written(tmp_path, "id;amount;note\n1;2,5;a, b\n2;3,5;c, d\n")
    assert read(path) == (["id", "amount", "note"], [["1", "2,5", "a, b"], ["2", "3,5", "c, d"]])


def test_a_separator_that_was_said_is_not_questioned(tmp_path: Path) -> None:
    assert read(written(tmp_path, "a;b,c\n1;2,3\n"), Format(separator=",")) == (
        ["a;b", "c"],
        [["1;2", "3"]],
    )


def test_a_first_line_of_a_spreadsheet_names_the_separator(tmp_path: Path) -> None:
    path = written(tmp_path, "sep=|\na,b|c\n1,2|3\n")
    assert read(path) == (["a,b", "c"], [["1,2", "3"]])
    table = open_table(path, Format())
    assert [row.line for chunk in table.chunks(9) for row in chunk.rows] == [3]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"]
)
def test_umlauts_survive_every_encoding(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, "Straße;Größe\nKöln – Süd;12\n", encoding)
    assert read(path) == (["Straße", "Größe"], [["Köln – Süd", "12"]])


def test_cp1252_is_the_fallback_even_when_the_first_umlaut_comes_late(tmp_path: Path) -> None:
    rows = "".join(f"{i},plain\n" for i in range(200_000))
    path = written(tmp_path, f"id,city\n{rows}1,M\u00fcnchen\n", "cp1252")
    table = open_table(path, Format())
    assert "cp1252" in table.guesses["encoding"]
    assert next(iter(table.chunks(10**6))).rows[-1].cells[1] == "München"


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = written(tmp_path, "id,b\n1,2\n", "utf-8-sig")
    assert read(path, Format(encoding="utf-8"))[0] == ["id", "b"]


def test_an_encoding_that_was_said_and_is_wrong_is_refused_with_the_place(tmp_path: Path) -> None:
    path = written(tmp_path, "id,city\n1,K\u00f6ln\n", "cp1252")
    with pytest.raises(InputError, match="position 11"):
        open_table(path, Format(encoding="utf-8"))
    with pytest.raises(InputError, match="no encoding 'utf-99'"):
        open_table(path, Format(encoding="utf-99"))


def test_quoted_line_breaks_belong_to_their_cell_and_lines_are_counted_on(tmp_path: Path) -> None:
    path = written(tmp_path, 'id,note\r\n1,"two\r\nlines ""quoted"""\r\n2,x\r\n')
    table = open_table(path, Format())
    rows = [row for chunk in table.chunks(9) for row in chunk.rows]
    assert [(row.number, row.line, row.cells) for row in rows] == [
        (1, 2, ["1", 'two\r\nlines "quoted"']),
        (2, 4, ["2", "x"]),
    ]


def test_a_row_with_too_many_or_too_few_cells_is_named_by_its_line_and_others_stay(
    tmp_path: Path,
) -> None:
    path = written(tmp_path, "a,b\n1,2\n3\n4,5,6\n7,8\n")
    assert read(path)[1] == [["1", "2"], ["7", "8"]]
    assert problems(path) == [
        "leads.csv line 3: (row) = 1 cells: the header has 2 columns",
        "leads.csv line 4: (row) = 3 cells: the header has 2 columns",
    ]


def test_empty_cells_behind_the_last_column_do_no_harm(tmp_path: Path) -> None:
    assert read(written(tmp_path, "a,b\n1,2,,\n3,4\n"))[1] == [["1", "2"], ["3", "4"]]


@pytest.mark.parametrize("rest", ["", "3,x\n4,y\n", '3,x\n4,"y"\n5,z'])
def test_a_quote_that_is_never_closed_costs_only_its_own_line(tmp_path: Path, rest: str) -> None:
    path = written(tmp_path, f'a,b\n1,ok\n2,"open\n{rest}')
    good = [line.replace('"', "").split(",") for line in rest.split()]
    assert read(path)[1] == [["1", "ok"], *good]
    assert problems(path) == [
        "leads.csv line 3: (row): a quotation mark opened here is never closed"
    ]


def test_an_open_quote_at_the_start_of_a_long_file_costs_only_its_own_line(tmp_path: Path) -> None:
    many = "".join(f"{i},{'x' * 90}\n" for i in range(3_000))
    path = written(tmp_path, f'a,b\n1,"open\n{many}')
    table = open_table(path, Format())
    chunks = list(table.chunks(500))
    assert sum(len(chunk.rows) for chunk in chunks) == 3_000
    assert [bad.row.line for chunk in chunks for bad in chunk.bad] == [2]
    assert chunks[-1].rows[-1].line == 3_002
    assert chunks[-1].rows[-1].number == 3_001


def test_quotes_inside_a_quoted_cell_do_not_swallow_lines(tmp_path: Path) -> None:
    path = written(tmp_path, 'a,b\n1,"open\n2,x\n3,"y\n4,z\n')
    assert read(path)[1] == [["2", "x"], ["4", "z"]]
    assert [text.split(":")[0] for text in problems(path)] == [
        "leads.csv line 2",
        "leads.csv line 4",
    ]


def test_unescaped_quotes_inside_one_line_are_tolerated(tmp_path: Path) -> None:
    path = written(tmp_path, 'a,b\n"the "big" one",2\n3,4\n')
    assert read(path)[1] == [['the big" one"', "2"], ["3", "4"]]


def test_a_cell_over_several_lines_in_a_ragged_row_names_them_all(tmp_path: Path) -> None:
    path = written(tmp_path, 'a,b\n1,"x\ny\nz",3\n4,5\n')
    assert problems(path) == ["leads.csv line 2 to 4: (row) = 3 cells: the header has 2 columns"]


def test_repeated_and_missing_column_names_get_names_of_their_own(tmp_path: Path) -> None:
    path = written(tmp_path, "a,,a ,column 2\n1,2,3,4\n")
    table = open_table(path, Format())
    assert list(table.columns) == ["a", "column 2", "a (2)", "column 2 (2)"]
    assert "column 3 is called 'a (2)'" in table.guesses["columns"]


@given(st.lists(st.sampled_from(["", " ", "a", "a (2)", "column 1", "b"]), max_size=8))
def test_column_names_are_unique_and_never_blank(header: list[str]) -> None:
    names, _ = unique_names(header)
    assert len(names) == len(header) == len(set(names))
    assert all(name.strip() for name in names)


def test_blank_lines_are_no_rows_wherever_they_stand(tmp_path: Path) -> None:
    path = written(tmp_path, "\n\na,b\n\n1,2\n\n\n3,4\n\n\n")
    assert read(path) == (["a", "b"], [["1", "2"], ["3", "4"]])


def test_a_header_alone_is_a_table_without_rows(tmp_path: Path) -> None:
    assert read(written(tmp_path, "a,b\n")) == (["a", "b"], [])


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"leads\.csv is empty"):
        open_table(written(tmp_path, content), Format())


def test_a_header_with_an_open_quote_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the first line cannot be read"):
        open_table(written(tmp_path, 'a,"b\n1,2\n'), Format())


def test_nul_bytes_reach_the_one_who_judges_them(tmp_path: Path) -> None:
    assert read(written(tmp_path, "a,b\nx\x00y,2\n"))[1] == [["x\x00y", "2"]]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04....", "Excel"),
        (b"\xd0\xcf\x11\xe0....", "old Excel"),
        (b"\x1f\x8b...", "gzip"),
    ],
)
def test_what_is_no_table_is_called_by_its_name(tmp_path: Path, content: bytes, what: str) -> None:
    with pytest.raises(InputError, match=what):
        open_table(written(tmp_path, content), Format())


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        open_table(tmp_path / "nowhere.csv", Format())


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_the_size_of_a_chunk_changes_no_row(tmp_path: Path, size: int) -> None:
    path = written(tmp_path, "a,b\n1,2\n3\n4,5\n6,7\n8,9,10\n")
    table = open_table(path, Format())
    chunks = list(table.chunks(size))
    assert [row for chunk in chunks for row in chunk.rows] == [
        (1, 2, ["1", "2"]),
        (3, 4, ["4", "5"]),
        (4, 5, ["6", "7"]),
    ]
    assert all(len(chunk.rows) + len(chunk.bad) <= size for chunk in chunks)
    assert chunks[-1].share == 1.0


# Lone surrogates cannot be written in any encoding.
CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LATIN = st.text(st.characters(codec="cp1252"), max_size=12)
QUOTING = st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC])


def tables(cells: st.SearchStrategy[str]) -> st.SearchStrategy[list[list[str]]]:
    return st.integers(1, 5).flatmap(
        lambda width: st.lists(
            st.lists(cells, min_size=width, max_size=width), min_size=0, max_size=8
        ).map(lambda rows: [[f"c{i}" for i in range(width)], *rows])
    )


def as_csv(rows: list[list[str]], separator: str, quoting: int) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return text.getvalue()


@given(
    st.one_of(
        st.tuples(tables(CELLS), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])),
        st.tuples(tables(LATIN), st.just("cp1252")),
    ),
    st.sampled_from([",", ";", "\t", "|", "~", " "]),
    QUOTING,
    st.integers(1, 4),
)
def test_any_table_that_csv_writes_is_read_back_cell_by_cell(
    tmp_path_factory: pytest.TempPathFactory,
    written_table: tuple[list[list[str]], str],
    separator: str,
    quoting: int,
    size: int,
) -> None:
    rows, encoding = written_table
    path = written(tmp_path_factory.mktemp("any"), as_csv(rows, separator, quoting), encoding)
    columns, found = read(path, Format(separator=separator, encoding=encoding), size)
    assert [columns, *found] == rows
    assert problems_of(path, separator, encoding) == []


def problems_of(path: Path, separator: str, encoding: str) -> list[str]:
    table = open_table(path, Format(separator=separator, encoding=encoding))
    return [str(bad.problem) for chunk in table.chunks(9) for bad in chunk.bad]


# NUL bytes in every second place are how UTF-16 without a mark is told from UTF-8.
PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)


@given(
    tables(PLAIN).filter(lambda rows: len(rows[0]) > 1),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.sampled_from([",", ";", "\t", "|"]),
    QUOTING,
)
def test_any_table_with_plain_column_names_is_read_back_by_guessing(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[str]],
    encoding: str,
    separator: str,
    quoting: int,
) -> None:
    path = written(tmp_path_factory.mktemp("guessed"), as_csv(rows, separator, quoting), encoding)
    columns, found = read(path)
    assert [columns, *found] == rows


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_and_never_crash(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = written(tmp_path_factory.mktemp("bytes"), content)
    try:
        table = open_table(path, Format())
    except InputError:
        return
    width = len(table.columns)
    for chunk in table.chunks(7):
        assert all(len(row.cells) == width for row in chunk.rows)


# Lines of quotes, separators and breaks in any order: a broken row never takes a whole one with it.
@given(st.lists(st.sampled_from(['"', ",", "x", "\n", "1,2\n"]), max_size=40).map("".join))
def test_all_lines_are_accounted_for_once(
    tmp_path_factory: pytest.TempPathFactory, body: str
) -> None:
    path = written(tmp_path_factory.mktemp("broken"), f"a,b\n{body}")
    table = open_table(path, Format(separator=","))
    starts = [
        row.line
        for chunk in table.chunks(5)
        for row in sorted([*chunk.rows, *(bad.row for bad in chunk.bad)])
    ]
    assert starts == sorted(set(starts))
    numbers = [
        row.number
        for chunk in table.chunks(5)
        for row in sorted([*chunk.rows, *(bad.row for bad in chunk.bad)])
    ]
    assert numbers == list(range(1, len(numbers) + 1))
