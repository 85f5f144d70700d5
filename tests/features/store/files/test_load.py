"""Files into the store: idempotent, in any chunks, after any kill; bad rows aside and named."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Table, select

from features.definition import Definition, parse_definition
from features.errors import DefinitionError, InputError
from features.store import recording
from features.store.engine import Store
from features.store.files import load as load_module
from features.store.files.load import load
from features.store.files.report import LoadReport
from features.store.ingest import IngestReport
from features.store.outcomes import deals
from features.store.tables import answers, events, lead_versions, leads, stages

TABLES = (lead_versions, answers, events, stages, deals)

AGREED = """\
name: company
horizon_days: 90
attributes:
  - {name: industry, type: category}
  - {name: employees, type: number}
  - {name: price, type: number}
bant:
  need: [{name: pain, answers: [High, Low], unknown: ["?"]}]
engagement: {kinds: [visit, webinar], channels: [web]}
sources:
  - file: leads.csv
    lead: id
    opened_at: created
    owner: rep
    replace: {product: {ProX: Pro X}}
    join: [{file: products.csv, on: {product: name}}]
    attributes: {industry: branch, employees: staff, price: price}
    answers: {pain: pain}
    outcome: {column: status, won: [Won], lost: [Lost], at: closed, amount: worth}
  - file: events.csv
    lead: lead
    events: {kind: what, at: when, channel: where, id: key}
"""
LEADS = """\
id;created;rep;product;branch;staff;pain;status;closed;worth
L1;01.02.2026;ann;ProX;Retail;1.200;High;Won;14.03.2026;5.000,50
L2;02.02.2026;bob;Basic;Retail;15;?;Open;;
L3;03.02.2026;bob;Nothing;Select;many;Low;Lost;05.03.2026;
L4;04.02.2026;ann;;Software;7;Middling;Open;;
L5;05.02.2026;ann;Basic;Software;8;;Lost;06.03.2026;
L6;06.02.2026;ann;Basic
"""
PRODUCTS = "name,price\nPro X,4821.5\nBasic,550\nBasic,551\n"
EVENTS = """\
key,lead,what,where,when
e1,L1,Visit,web,2026-02-10T10:00:00Z
e2,L1,Webinar,,2026-02-11T10:00:00Z
e3,L2,Visit,web,2026-02-12T10:00:00Z
e3,L2,Visit,web,2026-02-12T10:00:00Z
e4,L9,Visit,web,2026-02-12T10:00:00Z
e5,L5,Nap,web,2026-02-12T10:00:00Z
e6,L5,Visit,moon,2027-02-12T10:00:00Z
e1,L1,Visit,web,2026-02-13T10:00:00Z
"""


@pytest.fixture
def agreed() -> Definition:
    return parse_definition(AGREED)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = tmp_path / "files"
    files.mkdir()
    for name, text in (("leads", LEADS), ("products", PRODUCTS), ("events", EVENTS)):
        (files / f"{name}.csv").write_text(text, encoding="utf-8")
    return files


def imported(
    store: Store, agreed: Definition, folder: Path, now: int, chunk_rows: int = 10_000
) -> LoadReport:
    rejects = folder.parent / "rejects"
    return load(store, agreed, now=now, rejects=rejects, directory=folder, chunk_rows=chunk_rows)


def state(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """All that the store says, without its own keys."""
    with store.read() as connection:
        return {table.name: sorted(_rows(connection, table), key=repr) for table in TABLES}


def _rows(connection: Connection, table: Table) -> Iterator[tuple[object, ...]]:
    said = [column for column in table.c if column.name not in ("id", "lead")]
    query = select(leads.c.external_id, *said).join(leads, leads.c.id == table.c.lead)
    return (tuple(row) for row in connection.execute(query))


def test_good_rows_are_kept_and_every_bad_one_is_named(
    store: Store, agreed: Definition, folder: Path, now: int
) -> None:
    report = imported(store, agreed, folder, now)
    first, second = report.files
    assert (first.rows, first.rejected, first.skipped) == (6, 3, 0)
    assert (first.added, first.unchanged) == (3 + 2 + 2, 0)
    allowed = "must be one of ['High', 'Low', 'unknown'] (unknown: asked and not known)"
    assert [str(problem) for problem in first.problems] == [
        "leads.csv line 4: staff = 'many': must be a number with ',' before the decimals",
        f"leads.csv line 5: pain = 'Middling': {allowed}",
        "leads.csv line 7: (row) = 4 cells: the header has 10 columns",
    ]
    assert (second.rows, second.rejected) == (8, 4)
    assert [(problem.where, problem.field) for problem in second.problems] == [
        ("events.csv line 6", "lead"),
        ("events.csv line 7", "what"),
        ("events.csv line 8", "when"),
        ("events.csv line 8", "where"),
        ("events.csv line 9", "key"),
    ]
    stored = state(store)
    assert [(row[0], json.loads(str(row[6]))) for row in stored["lead_versions"]] == [
        ("L1", {"employees": 1200.0, "industry": "Retail", "price": 4821.5}),
        ("L2", {"employees": 15.0, "industry": "Retail", "price": 550.0}),
        ("L5", {"employees": 8.0, "industry": "Software", "price": 550.0}),
    ]
    assert [(row[0], row[3], row[4]) for row in stored["deals"]] == [
        ("L1", "won", 5000.5),
        ("L5", "lost", None),
    ]
    assert [row[0] for row in stored["events"]] == ["L1", "L1", "L2"]


def test_the_report_says_what_was_guessed_and_what_was_odd(
    sqlite_store: Store, agreed: Definition, folder: Path, now: int
) -> None:
    report = imported(sqlite_store, agreed, folder, now)
    first = report.files[0]
    assert first.guesses["separator"].startswith("semicolon")
    assert first.guesses["decimal of worth"] == ","
    assert first.guesses["order of closed"] == "day first"
    assert first.left_open == {"Open": 1}
    assert first.warnings == [
        "products.csv: 1 keys are there twice; the first row counts",
        "products.csv: 1 rows found no product there, such as 'Nothing'",
    ]
    assert first.counts[("(row)", "the header has 10 columns")] == 1
    assert json.loads(json.dumps(report.to_json()))["rejected"] == 7


def test_rejected_rows_are_written_with_their_line_their_problems_and_their_cells(
    sqlite_store: Store, agreed: Definition, folder: Path, now: int
) -> None:
    report = imported(sqlite_store, agreed, folder, now)
    path = report.files[0].rejects
    assert path is not None
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    header, *original = (line.split(";") for line in LEADS.splitlines())
    assert rows[0] == ["line", "problems", *header]
    assert [int(row[0]) for row in rows[1:]] == [4, 5, 7]
    assert [row[2:] for row in rows[1:]] == [original[2], original[3], original[5]]
    assert rows[1][1] == "staff: must be a number with ',' before the decimals"


def test_corrected_rejects_can_be_imported_and_leave_none(
    sqlite_store: Store, agreed: Definition, folder: Path, now: int
) -> None:
    rejects = imported(sqlite_store, agreed, folder, now).files[0].rejects
    assert rejects is not None
    text = rejects.read_text(encoding="utf-8-sig")
    corrected = folder / "corrected.csv"
    lines = text.replace("many", "3").replace("Middling", "Low").splitlines()
    corrected.write_text("\n".join(lines[:-1]) + "\n")
    again = load(
        sqlite_store,
        agreed,
        now=now,
        rejects=rejects.parent,
        files={"leads.csv": corrected, "products.csv": folder / "products.csv"},
    )
    assert [file.file for file in again.files] == ["leads.csv"]
    assert (again.rejected, again.files[0].rejects) == (0, None)
    assert not rejects.exists()
    assert len(state(sqlite_store)["lead_versions"]) == 5


def test_importing_again_changes_nothing(
    store: Store, agreed: Definition, folder: Path, now: int
) -> None:
    first = imported(store, agreed, folder, now)
    before = state(store)
    second = imported(store, agreed, folder, now)
    assert second.added == 0
    assert second.unchanged == first.added + first.unchanged
    assert second.rejected == first.rejected
    assert state(store) == before


@pytest.mark.parametrize("chunk_rows", [1, 2, 3])
def test_the_size_of_a_chunk_does_not_matter(
    tmp_path: Path,
    migrated_sqlite: Path,
    sqlite_store: Store,
    agreed: Definition,
    folder: Path,
    now: int,
    chunk_rows: int,
) -> None:
    whole = imported(sqlite_store, agreed, folder, now)
    other = tmp_path / "other.db"
    other.write_bytes(migrated_sqlite.read_bytes())
    parts_store = Store(f"sqlite:///{other}")
    parts = imported(parts_store, agreed, folder, now, chunk_rows)
    assert state(parts_store) == state(sqlite_store)
    assert parts.to_json() == whole.to_json()
    parts_store.close()


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("writes", range(1, 11))
def test_an_import_killed_anywhere_and_run_again_ends_in_the_same_state(
    tmp_path: Path,
    migrated_sqlite: Path,
    sqlite_store: Store,
    agreed: Definition,
    folder: Path,
    now: int,
    writes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = writes

    def dying(*args: object, **more: object) -> IngestReport:
        nonlocal left
        left -= 1
        report = recording.record_facts(*args, **more)  # type: ignore[arg-type]
        if left == 0:  # after the facts of a chunk, before its deals and its commit
            raise Killed
        return report

    with monkeypatch.context() as patched:
        patched.setattr(load_module, "record_facts", dying)
        with pytest.raises(Killed):
            imported(sqlite_store, agreed, folder, now, chunk_rows=1)
    imported(sqlite_store, agreed, folder, now, chunk_rows=1)
    other = tmp_path / "other.db"
    other.write_bytes(migrated_sqlite.read_bytes())
    untouched = Store(f"sqlite:///{other}")
    imported(untouched, agreed, folder, now)
    assert state(sqlite_store) == state(untouched)
    untouched.close()


def test_progress_is_told_after_every_chunk_and_ends_with_the_whole_file(
    sqlite_store: Store, agreed: Definition, folder: Path, now: int
) -> None:
    told: list[tuple[str, int, float]] = []
    load(
        sqlite_store,
        agreed,
        now=now,
        rejects=folder.parent / "rejects",
        directory=folder,
        progress=lambda *what: told.append(what),
        chunk_rows=3,
    )
    assert [(file, rows) for file, rows, _ in told] == [
        ("leads.csv", 3), ("leads.csv", 6), ("events.csv", 3), ("events.csv", 6), ("events.csv", 8),
    ]  # fmt: skip
    assert told[1][2] == told[-1][2] == 1.0
    assert all(0 < share <= 1 for _, _, share in told)


def test_everything_missing_is_named_before_anything_is_written(
    sqlite_store: Store, agreed: Definition, folder: Path, now: int
) -> None:
    (folder / "events.csv").unlink()
    (folder / "products.csv").unlink()
    with pytest.raises(InputError) as caught:
        imported(sqlite_store, agreed, folder, now)
    assert {problem.where for problem in caught.value.problems} == {"leads.csv", "events.csv"}
    assert not any(state(sqlite_store).values())


def test_columns_that_are_not_there_are_all_named_with_the_nearest_one(
    sqlite_store: Store, agreed: Definition, folder: Path, now: int
) -> None:
    (folder / "leads.csv").write_text("id;Created;branch;staff;pain;status;closed;product\n")
    (folder / "events.csv").write_text("key,lead,what,where\n")
    with pytest.raises(DefinitionError) as caught:
        imported(sqlite_store, agreed, folder, now)
    assert {(p.where, p.field, p.value) for p in caught.value.problems} == {
        ("leads.csv", "opened_at", "'created'"),
        ("leads.csv", "owner", "'rep'"),
        ("leads.csv", "outcome.amount", "'worth'"),
        ("events.csv", "events.at", "'when'"),
    }
    assert "did you mean 'Created'?" in str(caught.value)


def test_a_file_the_definition_does_not_know_is_refused_with_those_it_knows(
    sqlite_store: Store, agreed: Definition, folder: Path, now: int
) -> None:
    with pytest.raises(InputError, match=r"no source for other\.csv") as caught:
        load(sqlite_store, agreed, now=now, rejects=folder, files={"other.csv": folder / "x.csv"})
    assert "events.csv, leads.csv, products.csv" in caught.value.hint


def test_a_definition_without_sources_says_what_to_do(
    sqlite_store: Store, folder: Path, now: int
) -> None:
    with pytest.raises(DefinitionError, match="propensity init"):
        imported(sqlite_store, parse_definition("name: x"), folder, now)


OPEN = "opened_at: t, attributes: {x: x}"


@pytest.mark.parametrize(
    ("sources", "field"),
    [
        ("{file: a.csv, lead: id, attributes: {x: x}}", "opened_at"),
        ("{file: a.csv, lead: id, opened_at: t, outcome: {column: s, won: [a]}}", "outcome.at"),
        ("{file: a.csv, lead: id, outcome: {column: s, won: [a]}}", "outcome.at"),
        (f"{{file: a.csv, {OPEN}}}, {{file: b.csv, {OPEN}}}", "lead"),
        ("{file: a.csv, lead: i, events: {kind: k, at: t, kinds: {A: nap}}}", "events.kinds.A"),
        ("{file: a.csv, lead: i, stages: {stage: k, at: t, stages: {A: nap}}}", "stages.stages.A"),
        ("{file: a.csv, lead: i, outcome: {column: s, won: [a], lost: [A], at: t}}", "outcome"),
    ],
)
def test_a_mapping_that_cannot_work_is_refused_before_a_file_is_opened(
    sqlite_store: Store, tmp_path: Path, now: int, sources: str, field: str
) -> None:
    agreed = parse_definition(
        f"name: x\nattributes: [{{name: x, type: category}}]\nsources: [{sources}]"
    )
    with pytest.raises(DefinitionError) as caught:
        imported(sqlite_store, agreed, tmp_path, now)
    assert [problem.field for problem in caught.value.problems] == [field]


def test_repeated_rows_are_leads_of_their_own_and_repeated_facts_are_one(
    sqlite_store: Store, tmp_path: Path, now: int
) -> None:
    agreed = parse_definition(
        "name: x\ntime: none\nhorizon_days: null\ncohorts: {after_opening_hours: 0}\n"
        "attributes: [{name: x, type: category}]\nengagement: {kinds: [a]}\nsources:\n"
        "  - {file: a.csv, attributes: {x: x}, outcome: {column: y, won: ['1'], lost: ['0']}}\n"
        "  - {file: b.csv, lead: lead, events: {kind: k, at: t, id: id}}\n"
    )
    (tmp_path / "a.csv").write_text("x,y\nq,1\nq,1\nq,0\n")
    (tmp_path / "b.csv").write_text(
        "lead,k,t,id\n" + "row-000001,a,2026-01-01,7\n" * 3 + "row-000001,a,2026-01-01,8\n"
    )
    report = imported(sqlite_store, agreed, tmp_path, now)
    stored = state(sqlite_store)
    assert [row[0] for row in stored["lead_versions"]] == ["row-000001", "row-000002", "row-000003"]
    assert [row[3] for row in stored["deals"]] == ["won", "won", "lost"]
    assert len(stored["events"]) == 2
    assert (report.added, report.unchanged) == (3 + 3 + 2, 2)


def test_two_sources_may_read_one_file_and_reject_into_files_of_their_own(
    sqlite_store: Store, tmp_path: Path, now: int
) -> None:
    agreed = parse_definition(
        "name: x\nattributes: [{name: x, type: number}]\nengagement: {kinds: [a]}\nsources:\n"
        "  - {file: a.csv, lead: id, opened_at: t, attributes: {x: x}}\n"
        "  - {file: a.csv, lead: id, events: {kind: {value: a}, at: e}}\n"
    )
    (tmp_path / "a.csv").write_text("id,t,x,e\nA,2026-01-01,y,2026-01-02\nB,2026-01-01,1,soon\n")
    report = imported(sqlite_store, agreed, tmp_path, now)
    assert [file.rejects and file.rejects.name for file in report.files] == [
        "a.csv.rejects.csv",
        "a.csv.2.rejects.csv",
    ]
