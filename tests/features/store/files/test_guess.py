"""A starter definition says what was guessed and doubted, parses, and imports its files as it is."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from features.definition import Definition, parse_definition
from features.errors import InputError
from features.quality import LATEST
from features.store.engine import Store
from features.store.files.guess import Guess, guess_definition
from features.store.files.load import load
from features.store.files.report import LoadReport
from features.store.outcomes import deals
from features.store.tables import answers, events, leads, stages

DATA = Path(os.environ.get("PROPENSITY_DATA", Path(__file__).parents[5] / "shared" / "data"))
FAR = 4_102_444_800_000_000
"""2100-01-01: no date of a test lies behind it."""


def guessed(folder: Path, **texts: str) -> Guess:
    paths = []
    for name, text in texts.items():
        path = folder / f"{name}.csv"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return guess_definition(paths)


def imported(store: Store, definition: Definition, folder: Path, now: int = FAR) -> LoadReport:
    return load(store, definition, now=now, rejects=folder / "rejects", directory=folder)


def count(store: Store, table: object) -> int:
    with store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


def rows(header: str, *columns: list[object] | str) -> str:
    """A table of 40 rows; shorter columns are repeated."""
    lines = [header]
    for i in range(40):
        lines.append(",".join(str(column[i % len(column)]) for column in columns))
    return "\n".join(lines) + "\n"


IDS: list[object] = [f"L{i:03d}" for i in range(40)]
DATES: list[object] = [f"2025-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(40)]
STATUS: list[object] = ["Won", "Lost", "Open", "Lost"]


def test_the_text_is_the_definition(tmp_path: Path) -> None:
    guess = guessed(tmp_path, leads=rows("id,created,status,size", IDS, DATES, STATUS, [1, 2, 3]))
    assert parse_definition(guess.text) == guess.definition
    assert guess.text.startswith("# A first lead definition")


def test_roles_are_found_by_name_and_by_what_stands_in_the_columns(tmp_path: Path) -> None:
    table = rows(
        "opportunity_id,Created On,Closed On,Deal Status,Deal Value,Sales Rep,Lost Reason,Industry",
        IDS, DATES, ["2026-01-01", "2026-01-02"], STATUS, [100, 250.5, 17], ["Ann", "Bob"],
        ["price", "time", ""], ["Retail", "Software", "Steel"],
    )  # fmt: skip
    (source,) = guessed(tmp_path, leads=table).definition.sources
    assert source.lead == "opportunity_id"
    assert source.opened_at == "Created On"
    assert source.owner == "Sales Rep"
    assert source.attributes == {"sales_rep": "Sales Rep", "industry": "Industry"}
    assert source.outcome is not None
    assert (source.outcome.column, source.outcome.won, source.outcome.lost) == (
        "Deal Status",
        ("Won",),
        ("Lost",),
    )
    assert (source.outcome.at, source.outcome.amount, source.outcome.reason) == (
        "Closed On",
        "Deal Value",
        "Lost Reason",
    )


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["Yes", "No"], "boolean"),
        (["ja", "nein", "Unknown"], "boolean"),
        (["1", "0"], "boolean"),
        (["1", "2", "3"], "number"),
        (["1.234,5", "2,5"], "number"),
        (["€ 5", "€ 1,000"], "number"),
        (["2020-01-01", "2021-06-30"], "date"),
        (["13/02/2020", "14/02/2020"], "date"),
        (["01067", "80331"], "category"),
        (["Retail", "Steel"], "category"),
        (["1", "two", "3"], "category"),
    ],
)
def test_types_are_guessed_from_all_cells(tmp_path: Path, cells: list[str], kind: str) -> None:
    quoted = [f'"{cell}"' for cell in cells]
    table = rows("id,created,thing,y", IDS, DATES, quoted, ["yes", "no"])
    definition = guessed(tmp_path, leads=table).definition
    assert [(a.name, a.type) for a in definition.attributes] == [("thing", kind)]


def test_columns_without_use_are_left_out_and_named(tmp_path: Path) -> None:
    notes: list[object] = [f"called {i} times and seemed keen" for i in range(40)]
    guess = guessed(
        tmp_path,
        leads=rows("id,country,notes,empty,branch,y", IDS, ["DE"], notes, [""], ["a", "b"], [0, 1]),
    )
    assert [a.name for a in guess.definition.attributes] == ["branch"]
    for said in ("country (the same", "notes (different", "empty (empty)"):
        assert said in guess.text.replace("\n# ", " ")


def test_sensitive_and_late_columns_are_marked_and_told(tmp_path: Path) -> None:
    header = "id,gender,Date of Birth,Last Activity,amount,amount_requested,tags,y"
    guess = guessed(
        tmp_path,
        leads=rows(
            header,
            IDS,
            ["f", "m", "d"],
            DATES,
            ["call", "mail"],
            [7, 8],
            [1, 2],
            ["a", "b"],
            [0, 1],
        ),
    )
    by_name = guess.definition.attribute_by_name
    assert {name for name, a in by_name.items() if a.sensitive} == {"gender", "date_of_birth"}
    late = {name for name, a in by_name.items() if a.known_late}
    assert late == {"last_activity", "tags"}
    assert guess.definition.sources[0].outcome is not None
    assert guess.definition.sources[0].outcome.amount == "amount"
    assert any("Last Activity, tags" in warning for warning in guess.warnings)
    assert any("gender, Date of Birth" in warning for warning in guess.warnings)


def test_bant_like_columns_become_questions_to_be_agreed(tmp_path: Path) -> None:
    header = "id,Budget allocated,Decision maker,RFP sent,Needs,budget_eur,y"
    guess = guessed(
        tmp_path,
        leads=rows(
            header, IDS, ["No", "Yes", "Unknown"], ["Low", "High", "Mid", "Select"], ["no", "yes"],
            ["Unclear", "Clear"], [1000, 2000, 3000], [0, 1],
        ),
    )  # fmt: skip
    definition = guess.definition
    assert {name: definition.dimension_of[name] for name in definition.question_by_name} == {
        "budget_allocated": "budget",
        "decision_maker": "authority",
        "needs": "need",
        "rfp_sent": "timeline",
    }
    budget = definition.question_by_name["budget_allocated"]
    assert (budget.answers.sales, budget.unknown) == (("Yes", "No"), ("Unknown",))
    assert definition.question_by_name["decision_maker"].answers.sales == ("High", "Mid", "Low")
    assert [a.name for a in definition.attributes] == ["budget_eur"]
    assert guess.text.count("TO BE AGREED") == 4
    assert any("must rank their answers" in warning for warning in guess.warnings)


def test_a_number_that_stands_for_none_is_unanswered(tmp_path: Path) -> None:
    guess = guessed(tmp_path, leads=rows("id,days,y", IDS, [3, 6, 12, 999], [0, 1]))
    assert guess.definition.attribute_by_name["days"].unanswered == ("999",)
    close = guessed(tmp_path, leads=rows("id,days,y", IDS, [980, 990, 999], [0, 1]))
    assert close.definition.attribute_by_name["days"].unanswered == ()


def test_without_an_outcome_the_first_warning_says_what_to_add(
    tmp_path: Path, sqlite_store: Store
) -> None:
    guess = guessed(tmp_path, leads=rows("id,branch", IDS, ["a", "b"]))
    assert guess.warnings[0].startswith("NO OUTCOME")
    assert "outcome: {column:" in guess.text
    assert imported(sqlite_store, guess.definition, tmp_path).rejected == 0


def test_a_month_in_an_ordered_file_gives_dates_and_asks_for_the_year(tmp_path: Path) -> None:
    months: list[object] = ["may"] * 15 + ["nov"] * 15 + ["mar"] * 10
    guess = guessed(tmp_path, calls=rows("month,job,y", months, ["a", "b"], ["yes", "no"]))
    assert guess.definition.time == "dated"
    assert guess.definition.sources[0].opened_at is not None
    assert any("SAY THE FIRST YEAR" in warning for warning in guess.warnings)


def test_a_lead_number_orders_where_there_is_no_date(tmp_path: Path) -> None:
    numbers: list[object] = [5000 - 3 * i for i in range(40)]
    guess = guessed(tmp_path, leads=rows("uuid,Lead Number,x,y", IDS, numbers, ["a", "b"], [0, 1]))
    assert guess.definition.time == "ordered"
    assert guess.definition.sources[0].lead == "uuid"


def test_without_date_and_order_time_is_none_and_a_warning_says_so(tmp_path: Path) -> None:
    guess = guessed(tmp_path, leads=rows("x,y", ["a", "b", "c"], [0, 1]))
    assert guess.definition.time == "none"
    assert any("past and future cannot be told apart" in warning for warning in guess.warnings)
    assert any("a lead is a row" in warning for warning in guess.warnings)


def test_several_files_are_joined_by_what_they_share(tmp_path: Path, sqlite_store: Store) -> None:
    products = "name,price,made_in\nPro X,100,DE\nBasic,20,FR\nMini,5,DE\n"
    guess = guessed(
        tmp_path,
        products=products,
        leads=rows(
            "id,created,product,status,closed", IDS, DATES, ["ProX", "Basic", "Mini"], STATUS,
            ["2026-01-01"],
        ),
        touches=rows(
            "lead,activity,channel,at", IDS, ["Web Visit", "Call", "Mail"], ["web", "phone"], DATES
        ),
        answers=rows("lead,question,answer,at", IDS, ["Budget?", "Scope"], ["Yes", "No"], DATES),
        stage_log=rows("lead,stage,at", IDS, ["New", "Talking"], DATES),
    )  # fmt: skip
    definition = guess.definition
    by_file = {source.file: source for source in definition.sources}
    assert set(by_file) == {"leads.csv", "touches.csv", "answers.csv", "stage_log.csv"}
    (join,) = by_file["leads.csv"].join
    assert (join.file, join.keys) == ("products.csv", ("product", "name"))
    assert by_file["leads.csv"].replace == {"product": {"ProX": "Pro X"}}
    assert set(definition.attribute_by_name) == {"product", "price", "made_in"}
    assert {kind.name for kind in definition.engagement.kinds} == {"web_visit", "call", "mail"}
    assert set(definition.engagement.channels) == {"web", "phone"}
    assert {name: definition.dimension_of[name] for name in definition.question_by_name} == {
        "budget": "budget",
        "scope": "need",
    }
    assert [stage.name for stage in definition.stages] == ["new", "talking"]
    assert imported(sqlite_store, definition, tmp_path).rejected == 0
    assert (count(sqlite_store, leads), count(sqlite_store, events)) == (40, 40)
    assert (count(sqlite_store, answers), count(sqlite_store, deals)) == (40, 30)
    assert count(sqlite_store, stages) == 40 + 30


def test_deals_in_a_file_of_their_own_are_found(tmp_path: Path, sqlite_store: Store) -> None:
    guess = guessed(
        tmp_path,
        leads=rows("id,created,branch", IDS, DATES, ["a", "b"]),
        deals="lead,result,closed,amount\n"
        + "".join(
            f"{lead},{'won' if i % 3 else 'lost'},2026-02-0{1 + i % 9},{i}\n"
            for i, lead in enumerate(IDS)
        ),
    )
    assert guess.definition.sources[1].outcome is not None
    assert imported(sqlite_store, guess.definition, tmp_path).rejected == 0
    assert count(sqlite_store, deals) == 40


def test_several_versions_of_a_lead_and_ids_of_facts_are_recognised(
    tmp_path: Path, sqlite_store: Store
) -> None:
    twice = [lead for lead in IDS for _ in range(2)]
    versions = "lead_id,valid_from,recorded_at,kind,branch,size\n" + "".join(
        f"{lead},2025-0{1 + i % 2}-01,2025-0{2 + i % 2}-01,"
        f"{'client' if i % 5 else 'prospect'},a{i % 3},{i % 7}\n"
        for i, lead in enumerate(twice)
    )
    log = "event_id,lead_id,event,at,recorded_at\n" + "".join(
        f"E{i},{lead},visit,2025-03-0{1 + i % 9},2025-03-1{i % 9}\n" for i, lead in enumerate(twice)
    )
    log += log.splitlines()[-1] + "\n"
    results = "deal_id,lead_id,outcome,closed_at,lost_reason\n" + "".join(
        f"D{i},{lead},{'won' if i % 3 else 'lost'},2025-04-0{1 + i % 9},price\n"
        for i, lead in enumerate(IDS)
    )
    guess = guessed(tmp_path, versions=versions, log=log, results=results)
    first, second, third = guess.definition.sources
    assert (first.file, first.lead, first.opened_at) == ("versions.csv", "lead_id", "valid_from")
    assert first.recorded_at == "recorded_at"
    assert first.kind is not None
    assert first.kind.client == ("client",)
    assert second.events is not None
    assert (second.events.id, second.events.recorded_at) == ("event_id", "recorded_at")
    assert third.outcome is not None
    assert (third.outcome.id, third.outcome.at) == ("deal_id", "closed_at")
    report = imported(sqlite_store, guess.definition, tmp_path)
    assert (report.rejected, report.unchanged) == (0, 1)
    assert (count(sqlite_store, leads), count(sqlite_store, events)) == (40, 80)


def test_closing_events_are_the_outcome_where_no_column_is(tmp_path: Path) -> None:
    log = "case,activity,at\n"
    for i, lead in enumerate(IDS):
        end = "A_APPROVED" if i % 3 else "A_DECLINED"
        log += f"{lead},A_SUBMITTED,2025-01-01\n{lead},O_SENT,2025-01-02\n{lead},{end},2025-01-09\n"
        log += f"{lead},O_DECLINED,2025-01-09\n" * (i % 3 == 0)
    guess = guessed(tmp_path, cases=rows("case,reg_date,size", IDS, DATES, [1, 2, 3]), log=log)
    outcome = guess.definition.sources[1].outcome
    assert outcome is not None
    assert (outcome.won, outcome.lost) == (("A_APPROVED",), ("A_DECLINED",))
    assert any("events that say so again" in warning for warning in guess.warnings)


def test_a_horizon_is_taken_only_where_the_history_is_long_enough(tmp_path: Path) -> None:
    def table(months: int) -> str:
        opened = [f"2025-{1 + i % months:02d}-01" for i in range(40)]
        closed = [f"2025-{1 + i % months:02d}-{5 + i % 20:02d}" for i in range(40)]
        return rows(
            "id,created,closed,status,x",
            IDS,
            list(opened),
            list(closed),
            ["Won", "Lost"],
            ["a", "b"],
        )

    long, short = (guessed(tmp_path, leads=table(months)).definition for months in (12, 1))
    # Closing takes 4 to 23 days; nine in ten take at most 22.
    assert (long.horizon_days, long.cohorts.every_days) == (30, 10)
    assert (short.horizon_days, short.cohorts.after_opening_hours) == (None, 0)


def test_a_closing_date_that_is_mostly_missing_is_taken_back(
    tmp_path: Path, sqlite_store: Store
) -> None:
    table = rows(
        "id,created,closed,status,x",
        IDS,
        DATES,
        ["2026-01-01", "", "", ""],
        ["Won", "Lost"],
        ["a", "b"],
    )
    guess = guessed(tmp_path, leads=table)
    outcome = guess.definition.sources[0].outcome
    assert outcome is not None
    assert outcome.at is None
    assert "closed (does not fit as at)" in guess.text
    assert imported(sqlite_store, guess.definition, tmp_path).rejected == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n", "no row that fits"),
        ("a\n" + "x" * 400 + "\n", "no column that could describe a lead"),
    ],
)
def test_a_file_that_says_nothing_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        guessed(tmp_path, leads=text)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    paths = [tmp_path / "a.csv", tmp_path / "other" / "a.csv"]
    for path in paths:
        path.write_text("x,y\n1,2\n")
    with pytest.raises(InputError, match=r"two files are called a\.csv"):
        guess_definition(paths)


NAMES = st.one_of(
    st.sampled_from(
        [
            "id",
            "lead_id",
            "created",
            "closed",
            "close_date",
            "status",
            "Converted",
            "budget",
            "Scope",
            "age",
            "notes",
            "amount",
            "owner",
            "company",
            "month",
            "number",
            "last_activity",
            "y",
            "event",
            "stage",
            "question",
            "answer",
            "at",
            "price",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
CELLS = {
    "integer": st.integers(-5, 2000).map(str),
    "decimal": st.floats(-1e6, 1e6).map(lambda x: f"{x:.2f}".replace(".", ",")),
    "grouped": st.integers(0, 10**7).map(lambda x: f"{x:,}"),
    "iso": st.datetimes().map(lambda d: d.isoformat()),
    "slashed": st.dates().map(lambda d: f"{d.day}/{d.month}/{d.year:04d}"),
    "flag": st.sampled_from(["Yes", "No", "Unknown"]),
    "ending": st.sampled_from(["Won", "Lost", "Open", "", "won"]),
    "month": st.sampled_from(["jan", "may", "dec"]),
    "word": st.sampled_from(["Retail", "Steel", "Select", "?", "Öl", "no", "No"]),
    "text": st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    "long": st.integers(290, 310).map(lambda n: "x" * n),
}


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    height = draw(st.integers(1, 25))
    header: list[str] = []
    columns: list[list[str]] = []
    for _ in range(draw(st.integers(1, 6))):
        kinds = draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=2))
        cell = st.one_of(
            *(CELLS[kind] for kind in kinds), *([st.just("")] if draw(st.booleans()) else [])
        )
        header.append(draw(NAMES))
        columns.append(draw(st.lists(cell, min_size=height, max_size=height)))
    return [header, *(list(row) for row in zip(*columns, strict=True))]


@settings(max_examples=150)
@given(tables())
def test_any_table_gives_a_definition_that_imports_it_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path, table: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = folder / "table.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(table)
    try:
        guess = guess_definition([path])
    except InputError:
        return
    assert parse_definition(guess.text) == guess.definition
    copy = folder / "store.db"
    copy.write_bytes(migrated_sqlite.read_bytes())
    store = Store(f"sqlite:///{copy}")
    report = imported(store, guess.definition, folder, now=LATEST - 1)
    # Rows without a readable opening or closing date are rejected, and the guess has said so.
    if report.rejected:
        assert any("will be rejected because of" in warning for warning in guess.warnings)
    store.close()


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.is_dir(), reason=f"PROPENSITY_DATA: {DATA} is not there")
@pytest.mark.parametrize(
    ("folder", "time", "leads_found", "won"),
    [
        ("salvirt_b2b", "none", 448, 227),
        ("x_education", "ordered", 9240, 3561),
        ("maven_crm", "dated", 8300, 4238),
        pytest.param("bank_additional", "dated", 41188, 4640, marks=pytest.mark.slow),
        pytest.param("bpi2012", "dated", 13087, 2246, marks=pytest.mark.slow),
    ],
)
def test_the_five_real_sets_import_with_their_guessed_definitions(
    sqlite_store: Store, tmp_path: Path, folder: str, time: str, leads_found: int, won: int
) -> None:
    files = [p for p in sorted((DATA / folder).iterdir()) if p.suffix in (".csv", ".parquet")]
    guess = guess_definition(files)
    assert parse_definition(guess.text) == guess.definition
    assert guess.definition.time == time
    report = load(
        sqlite_store, guess.definition, now=FAR, rejects=tmp_path, directory=DATA / folder
    )
    assert report.rejected == 0
    assert count(sqlite_store, leads) == leads_found
    with sqlite_store.read() as connection:
        query = select(func.count()).where(deals.c.ending == "won")
        assert connection.execute(query).scalar_one() == won
