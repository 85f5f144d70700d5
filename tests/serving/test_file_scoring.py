"""Does a file become a file of scores: in its order, of any size, with nothing a spreadsheet runs?"""

from __future__ import annotations

import csv
import io
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from agreed import NOW
from served import Served

from features.clock import DAY, iso
from features.definition import Definition, parse_definition
from features.errors import InputError
from features.store.ingest import set_do_not_score
from serving.file_scoring import CHUNK, FileScored, score_file
from serving.score_sinks import COLUMNS, CsvSink, open_sink
from serving.scoring import Occasion, Scorer

SOURCE = """
sources:
  - file: leads.csv
    lead: Lead
    opened_at: Created
    name: Company
    attributes: {industry: Industry, city: City, employees: Employees}
    answers: {pain: Pain}
    outcome: {column: Closed, won: [yes], lost: [no]}
"""
WIDE = """\
Lead,Created,Company,Industry,City,Employees,Pain
W-1,2026-04-01,=cmd|' /C calc'!A0,Retail,Bonn,12,Severe
W-2,2026-04-02,Contoso,Mining,Bonn,12,
W-3,2026-04-03,Contoso,Retail,Köln,many,Some
-4,2026-04-04,Contoso,Software,,,None at all
W-1,2026-04-05,Contoso,,,,
"""


@pytest.fixture
def mapped(definition_text: str) -> Definition:
    """The lead definition with a file mapped onto it."""
    return parse_definition(definition_text + SOURCE)


def run(
    served: Served, path: Path, agreed: Definition | None = None, **rest: Any
) -> tuple[list[dict[str, str]], FileScored]:
    """The scored rows, and what the run says of itself."""
    out = io.StringIO()
    scorer: Scorer = served.service.live.scorer()
    if agreed is not None:
        scorer = replace(scorer, agreed=agreed)
    occasion = Occasion(now=NOW, channel="file", reasons=2)
    done = score_file(served.store, scorer, path, CsvSink(out), occasion, **rest)
    return list(csv.DictReader(io.StringIO(out.getvalue()))), done


def written(tmp_path: Path, text: str, name: str = "leads.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_that_say_all_are_scored_from_what_they_say(
    served_lite: Served, tmp_path: Path, mapped: Definition
) -> None:
    rows, done = run(served_lite, written(tmp_path, WIDE), mapped)
    assert [row["line"] for row in rows] == ["2", "3", "4", "5", "6"]
    assert [row["lead"] for row in rows] == ["W-1", "", "", "-4", "W-1"]
    assert [bool(row["probability"]) for row in rows] == [True, False, False, True, True]
    assert "Industry: must be one of" in rows[1]["error"]
    assert "Employees: must be a number" in rows[2]["error"]
    assert (done.rows, done.scored, sum(done.refused.values())) == (5, 3, 2)
    assert sum(done.routes.values()) == 3
    as_sent = served_lite.post(
        "/v1/scores",
        json={
            "lead": "x",
            "attributes": {"industry": "Retail", "city": "Bonn", "employees": 12},
            "answers": [
                {"question": "pain", "answer": "Severe", "occurred_at": "2026-04-01T00:00:00Z"}
            ],
            "opened_at": "2026-04-01T00:00:00Z",
        },
    ).json()
    assert float(rows[0]["raw"]) == as_sent["raw"]
    assert rows[0]["model"] == as_sent["model"]


def test_rows_that_name_stored_leads_are_scored_from_the_store(
    served_lite: Served, tmp_path: Path
) -> None:
    with served_lite.store.write() as connection:
        set_do_not_score(connection, "L-0005", objected=True)
    ids = ["L-0001", "nobody", "", "L-0005", "L-0001", "L-0002"]
    path = written(tmp_path, "n,lead\n" + "\n".join(f"{i},{x}" for i, x in enumerate(ids)))
    rows, done = run(served_lite, path)
    assert [row["lead"] for row in rows] == ids
    errors = [row["error"] for row in rows]
    assert [bool(error) for error in errors] == [False, True, True, True, False, False]
    assert "objected" in errors[3]
    assert done.scored == 3
    assert rows[0]["raw"] == rows[4]["raw"] != rows[5]["raw"]
    assert rows[0]["reasons"].count(";") == 2, "two reasons and the rest"


def test_the_past_can_be_asked_for(served_lite: Served, tmp_path: Path) -> None:
    path = written(tmp_path, "lead\nL-0021\n")
    then = NOW - 5 * DAY
    rows, _ = run(served_lite, path, as_of=then)
    said = served_lite.post(
        "/v1/scores", json={"lead": "L-0021", "as_of": "2026-04-26T12:00:00Z"}
    ).json()
    assert float(rows[0]["raw"]) == said["raw"]
    assert rows[0]["as_of"] == "2026-04-26T12:00:00Z"


def test_parquet_is_read_too(served_lite: Served, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"lead": ["L-0001", "L-0002"]}), tmp_path / "ids.parquet")
    rows, _ = run(served_lite, tmp_path / "ids.parquet")
    assert [row["lead"] for row in rows] == ["L-0001", "L-0002"]
    assert all(row["raw"] for row in rows)


def test_parquet_is_written_with_the_types_that_things_have(
    served_lite: Served, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    path = written(tmp_path, "n,lead\n1,L-0001\n2,=nobody\n3,\n4,L-0002\n")
    rows, _ = run(served_lite, path)
    with open_sink(tmp_path / "scores.parquet") as sink:
        scorer = served_lite.service.live.scorer()
        score_file(served_lite.store, scorer, path, sink, Occasion(now=NOW, reasons=2))
    typed = pq.read_table(tmp_path / "scores.parquet")
    assert typed.column_names == list(COLUMNS)
    found = typed.to_pylist()
    assert [row["lead"] for row in found] == ["L-0001", "=nobody", None, "L-0002"]
    assert [row["line"] for row in found] == [int(row["line"]) for row in rows]
    assert [row["error"] is None for row in found] == [True, False, False, True]
    for row, text in zip((found[0], found[3]), (rows[0], rows[3]), strict=True):
        assert row["raw"] == float(text["raw"])
        assert row["probability"] == float(text["probability"])
        assert iso(round(row["as_of"].timestamp() * 1e6)) == text["as_of"]
        assert len(row["reasons"]) == 3, "two reasons and the rest"
        assert row["reasons"][0]["words"] in text["reasons"]
        assert row["score_id"] > 0
    assert found[1]["raw"] is None


def test_without_pyarrow_parquet_cannot_be_written_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    message = r"scores\.parquet is to be a Parquet file"
    with pytest.raises(InputError, match=message) as caught, open_sink(tmp_path / "scores.parquet"):
        pass
    assert "propensity[train]" in (caught.value.hint or "")
    assert not (tmp_path / "scores.parquet").exists()


def test_a_file_with_neither_facts_nor_ids_says_what_is_missing(
    served_lite: Served, tmp_path: Path, mapped: Definition
) -> None:
    path = written(tmp_path, "Company,City\nContoso,Bonn\n")
    with pytest.raises(InputError, match="lead-column") as caught:
        run(served_lite, path, mapped)
    fields = {problem.field for problem in caught.value.problems}
    assert {"lead", "opened_at", "attributes.industry"} <= fields
    with pytest.raises(InputError):
        run(served_lite, tmp_path / "not there.csv")


def test_a_row_that_cannot_be_read_keeps_its_place(served_lite: Served, tmp_path: Path) -> None:
    path = written(tmp_path, "n,lead\n1,L-0001\n2,L-0002,too,many\n3,L-0003\n")
    rows, done = run(served_lite, path)
    assert [row["line"] for row in rows] == ["2", "3", "4"]
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert done.scored == 2


def test_no_text_cell_of_the_output_begins_like_a_formula(
    served_lite: Served, tmp_path: Path, mapped: Definition
) -> None:
    bad = WIDE.replace("W-1", "=W").replace("W-2", "@W").replace("W-3", "+W")
    rows, _ = run(served_lite, written(tmp_path, bad), mapped)
    texts = [row[name] for row in rows for name in COLUMNS if name not in ("raw", "probability")]
    begins = ("=", "+", "-", "@", "\t", "\r")
    assert {text for text in texts if text.startswith(begins)} == {"-4"}, "an id may be a number"
    assert any(row["raw"].startswith("-") for row in rows), "numbers stay numbers"


def test_memory_does_not_grow_with_the_file(served_lite: Served, tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        path = written(tmp_path, "lead\n" + "L-0001\nnobody\n" * (rows // 2), f"{rows}.csv")
        tracemalloc.start()
        assert run_to_nowhere(served_lite, path) == rows // 2
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(CHUNK)  # what is made once
    small, large = peak(2 * CHUNK), peak(20 * CHUNK)
    assert large < 1.5 * small + 2**20


def run_to_nowhere(served: Served, path: Path) -> int:
    """How many were scored."""
    scorer = served.service.live.scorer()
    with open_sink(Path("/dev/null")) as sink:
        return score_file(served.store, scorer, path, sink, Occasion(now=NOW)).scored
