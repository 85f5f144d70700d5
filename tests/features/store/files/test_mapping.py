"""A row in, facts out: each block of a source, and every problem with its line, column and value."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from features.clock import to_instant
from features.definition import Definition, parse_definition
from features.facts import Answer, Event, LeadVersion, StageChange
from features.store.files.cells import Columns, Mapped
from features.store.files.checks import typed_columns
from features.store.files.dates import time_zone
from features.store.files.mapping import RowMapper
from features.store.files.opening import opening_of
from features.store.files.reading import open_table
from features.store.files.styles import styles_of
from features.store.outcomes import Deal

NOW = to_instant(datetime(2026, 5, 1, 12, tzinfo=UTC))
AGREED = """\
name: company
time: TIME
horizon_days: null
cohorts: {after_opening_hours: 0}
attributes:
  - {name: industry, type: category, values: [Retail, Software]}
  - {name: city, type: category, unanswered: ["?"]}
  - {name: employees, type: number}
  - {name: client_since, type: date}
  - {name: newsletter, type: boolean}
bant:
  budget:
    - name: budget
      ask: Is there a budget?
      answers: ["Yes", "No"]
      unknown: [Don't know]
      unanswered: [Not asked]
  need:
    - {name: pain, answers: [High, Low]}
engagement: {kinds: [visit, email_open], channels: [web, e_mail]}
stages: [{name: qualified}, {name: parked, closed: true}]
sources: SOURCES
"""


def day(year: int, month: int, number: int, hour: int = 0) -> int:
    return to_instant(datetime(year, month, number, hour, tzinfo=UTC))


def agreed(source: str, time: str = "dated") -> Definition:
    sources = [{"file": "t.csv", **yaml.safe_load(source)}]
    text = AGREED.replace("TIME", time).replace(
        "SOURCES", yaml.safe_dump(sources, default_flow_style=True, width=10**6)
    )
    return parse_definition(text)


def mapped(folder: Path, source: str, rows: str, time: str = "dated") -> list[Mapped]:
    definition = agreed(source, time)
    path = folder / "t.csv"
    path.write_text(rows, encoding="utf-8")
    (said,) = definition.sources
    table = open_table(path, said.format)
    styles = styles_of(table, *typed_columns(said, definition), said.format)
    zone = time_zone(said.format.timezone, "t")
    columns = Columns(table.columns, said.format.unanswered, styles, zone)
    opening = opening_of(said, table, styles, zone)
    mapper = RowMapper(definition, said, columns, opening, "t.csv line", NOW)
    return [mapper(row) for chunk in table.chunks(2) for row in chunk.rows]


def told(results: list[Mapped]) -> list[str]:
    return [str(problem) for result in results for problem in result.problems]


WIDE = """
lead: id
opened_at: opened
attributes: {industry: branch, city: city, employees: staff, client_since: since, newsletter: news}
"""
HEAD = "id;opened;branch;city;staff;since;news\n"


def test_a_wide_row_is_a_version_with_typed_attributes(tmp_path: Path) -> None:
    (result,) = mapped(tmp_path, WIDE, HEAD + "A1;13.02.2026;Retail; Köln ;1.234,5;01.03.2020;ja\n")
    assert result.problems == []
    assert result.records == [
        LeadVersion(
            lead="A1",
            occurred_at=day(2026, 2, 13),
            recorded_at=day(2026, 2, 13),
            attributes={
                "industry": "Retail",
                "city": "Köln",
                "employees": 1234.5,
                "client_since": float(day(2020, 3, 1)),
                "newsletter": True,
            },
            source="t.csv",
        )
    ]


def test_unanswered_texts_of_the_file_and_of_the_attribute_are_left_out(tmp_path: Path) -> None:
    (result,) = mapped(tmp_path, WIDE, HEAD + "A1;2026-02-13;Select;?;NA;-;\n")
    assert result.problems == []
    assert [fact.attributes for fact in result.records if isinstance(fact, LeadVersion)] == [{}]


def test_the_agreed_spelling_counts_whatever_the_case(tmp_path: Path) -> None:
    (result,) = mapped(tmp_path, WIDE, HEAD + "A1;2026-02-13;RETAIL;;;;\n")
    assert result.records[0].attributes["industry"] == "Retail"  # type: ignore[union-attr]


def test_all_problems_of_a_row_are_told_at_once_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    rows = HEAD + "A1;2026-02-13;Retail;;5;;\n;2026-02-30;Bakery;;many;soon;perhaps\n"
    good, bad = mapped(tmp_path, WIDE, rows)
    assert good.problems == []
    assert (bad.records, bad.deals) == ([], [])
    assert {(problem.field, problem.value) for problem in bad.problems} == {
        ("id", ""),
        ("opened", "'2026-02-30'"),
        ("staff", "'many'"),
        ("since", "'soon'"),
        ("news", "'perhaps'"),
    }
    assert all(problem.where == "t.csv line 3" for problem in bad.problems)


def test_a_value_that_is_not_allowed_names_the_column_and_what_would_be(tmp_path: Path) -> None:
    source = WIDE + "outcome: {column: city, won: [x], at: opened}"
    assert told(mapped(tmp_path, source, HEAD + "A1;2026-02-13;Bakery;x;;;\n")) == [
        "t.csv line 2: branch = 'Bakery': must be one of ['Retail', 'Software']"
    ]


def test_naive_times_are_in_the_zone_that_the_source_names(tmp_path: Path) -> None:
    source = "{lead: id, opened_at: t, format: {timezone: Europe/Berlin}}"
    first, second = mapped(tmp_path, source, "id,t\nA,2026-02-01 12:00\nB,2026-02-01T12:00Z\n")
    assert first.records[0].occurred_at == day(2026, 2, 1, 11)
    assert second.records[0].occurred_at == day(2026, 2, 1, 12)


def test_recorded_at_is_believed_and_falls_back_to_when_it_happened(tmp_path: Path) -> None:
    source = "{lead: id, opened_at: t, recorded_at: r, attributes: {city: city}}"
    first, second = mapped(
        tmp_path, source, "id,t,r,city\nA,2026-02-01,2026-02-03,x\nB,2026-02-01,,x\n"
    )
    assert first.records[0].recorded_at == day(2026, 2, 3)
    assert second.records[0].recorded_at == day(2026, 2, 1)


def test_owner_name_and_kind_come_from_their_columns(tmp_path: Path) -> None:
    source = "{lead: id, opened_at: t, owner: o, name: n, kind: {column: k, client: [Current]}}"
    rows = "id,t,o,n,k\nA,2026-02-01,Ann,ACME,current\nB,2026-02-01,,,New\n"
    facts = [fact for result in mapped(tmp_path, source, rows) for fact in result.records]
    assert [(f.owner, f.name, f.kind) for f in facts if isinstance(f, LeadVersion)] == [
        ("Ann", "ACME", "client"),
        (None, None, "prospect"),
    ]


def test_without_a_lead_column_rows_are_leads_by_number_bad_rows_included(tmp_path: Path) -> None:
    source = "{opened_at: t, attributes: {city: city}}"
    results = mapped(tmp_path, source, "t,city\n2026-02-01,x\nnever,y\n2026-02-01,x\n")
    assert [fact.lead for result in results for fact in result.records] == [
        "row-000001",
        "row-000003",
    ]


def test_months_step_a_year_when_their_number_falls(tmp_path: Path) -> None:
    source = "{opened_at: {month: m, first_year: 2008}, attributes: {city: city}}"
    rows = "m,city\n" + "".join(f"{m},x\n" for m in ("may", "may", "nov", "mar", "?", "Feb", "feb"))
    results = mapped(tmp_path, source, rows)
    assert [fact.occurred_at for result in results for fact in result.records] == [
        day(2008, 5, 1),
        day(2008, 5, 1),
        day(2008, 11, 1),
        day(2009, 3, 1),
        day(2010, 2, 1),
        day(2010, 2, 1),
    ]
    assert told(results) == ["t.csv line 6: m = '?': must be a month, such as may or 5"]


def test_a_skipped_row_still_steps_the_year(tmp_path: Path) -> None:
    source = "{opened_at: {month: m, first_year: 2008}, attributes: {city: c}, skip_without: [c]}"
    first, second, third = mapped(tmp_path, source, "m,c\nmay,x\nmar,\nmay,y\n")
    assert second.skipped
    assert not second.problems
    assert first.records[0].occurred_at == day(2008, 5, 1)
    assert third.records[0].occurred_at == day(2009, 5, 1)


def test_an_order_places_rows_a_minute_apart_and_equal_numbers_together(tmp_path: Path) -> None:
    source = "{opened_at: {order: n}, attributes: {city: city}}"
    results = mapped(tmp_path, source, "n,city\n900,x\n7,x\n900,x\n55.5,x\n,x\n", "ordered")
    start = day(2000, 1, 1)
    assert [fact.occurred_at for result in results for fact in result.records] == [
        start + 2 * 60_000_000,
        start,
        start + 2 * 60_000_000,
        start + 60_000_000,
    ]
    assert told(results) == ["t.csv line 6: n: must not be blank"]


def test_without_any_time_every_lead_opens_at_the_same_instant(tmp_path: Path) -> None:
    results = mapped(tmp_path, "{attributes: {city: city}}", "city\nx\ny\n", "none")
    assert {fact.occurred_at for result in results for fact in result.records} == {day(2000, 1, 1)}


def test_answers_in_columns_keep_unasked_unknown_and_answered_apart(tmp_path: Path) -> None:
    source = "{lead: id, opened_at: t, answers: {budget: b, pain: p}}"
    rows = (
        "id,t,b,p\nA,2026-02-01,yes,High\nB,2026-02-01,don't know,unknown\n"
        "C,2026-02-01,Not asked,\nD,2026-02-01,Maybe,High\n"
    )
    results = mapped(tmp_path, source, rows)
    answers = [
        (fact.lead, fact.question, fact.answer)
        for result in results
        for fact in result.records
        if isinstance(fact, Answer)
    ]
    assert answers == [
        ("A", "budget", "Yes"),
        ("A", "pain", "High"),
        ("B", "budget", "unknown"),
        ("B", "pain", "unknown"),
    ]
    (said,) = told(results)
    assert said.startswith("t.csv line 5: b = 'Maybe': must be one of ['Yes', 'No', 'unknown'] ")
    assert said.endswith("(unknown: asked and not known)")


def test_answer_rows_find_their_question_by_name_label_or_words(tmp_path: Path) -> None:
    source = "{lead: id, answer_rows: {question: q, answer: a, at: t, id: key}}"
    rows = (
        "id,q,a,t,key\nA,budget,Yes,2026-02-01,1\nA,Is there a budget?,No,2026-02-02,2\n"
        "A,Pain,High,2026-02-03,3\nA,mood,Good,2026-02-03,4\nA,pain,,2026-02-03,5\nA,,x,,6\n"
    )
    results = mapped(tmp_path, source, rows)
    answers = [fact for result in results for fact in result.records if isinstance(fact, Answer)]
    assert [(f.question, f.answer, f.external_id) for f in answers] == [
        ("budget", "Yes", "1"),
        ("budget", "No", "2"),
        ("pain", "High", "3"),
    ]
    assert told(results) == [
        "t.csv line 5: q = 'mood': must be one of ['budget', 'pain']",
        "t.csv line 7: q: must not be blank",
        "t.csv line 7: t: must not be blank",
    ]


def test_event_labels_become_names_unless_mapped_or_ignored(tmp_path: Path) -> None:
    source = """
    lead: id
    events:
      {kind: k, at: t, channel: c, recorded_at: r, id: key, kinds: {Besuch: visit}, ignore: [Bounce]}
    """
    rows = (
        "id,k,t,c,r,key\nA,Email Open,2026-02-01T10:00Z,E-Mail,2026-02-02,e1\n"
        "A,Besuch,2026-02-01,,,\nA,Bounce,,,,\n"
    )
    first, second, third = mapped(tmp_path, source, rows)
    assert first.records == [
        Event(
            lead="A",
            kind="email_open",
            occurred_at=day(2026, 2, 1, 10),
            recorded_at=day(2026, 2, 2),
            channel="e_mail",
            source="t.csv",
            external_id="e1",
        )
    ]
    assert second.records == [
        Event(
            lead="A",
            kind="visit",
            occurred_at=day(2026, 2, 1),
            recorded_at=day(2026, 2, 1),
            source="t.csv",
        )
    ]
    assert (third.records, third.problems) == ([], [])


def test_constants_stand_where_columns_could(tmp_path: Path) -> None:
    source = "{lead: id, events: {kind: {value: Visit}, channel: {value: web}, at: t}}"
    (result,) = mapped(tmp_path, source, "id,t\nA,2026-02-01\n")
    assert [(f.kind, f.channel) for f in result.records if isinstance(f, Event)] == [
        ("visit", "web")
    ]


def test_a_blank_time_is_a_problem_except_where_the_row_opens_the_lead(tmp_path: Path) -> None:
    rows = "id,opened,city,visited\nA,2026-02-01,x,\n"
    events = "events: {kind: {value: visit}, at: visited}"
    (alone,) = mapped(tmp_path, f"{{lead: id, {events}}}", rows)
    assert told([alone]) == ["t.csv line 2: visited: must not be blank"]
    wide = f"{{lead: id, opened_at: opened, attributes: {{city: city}}, {events}}}"
    (beside,) = mapped(tmp_path, wide, rows)
    assert [type(fact) for fact in beside.records] == [LeadVersion]


def test_stage_rows_are_stage_changes_and_closing_ones_deals(tmp_path: Path) -> None:
    source = """
    lead: id
    stages: {stage: s, at: t, stages: {SQL: qualified}}
    outcome: {column: s, won: [Closed Won], lost: [Closed Lost], at: t, amount: m, reason: why}
    """
    rows = (
        "id,s,t,m,why\nA,SQL,2026-02-01,,\nA,parked,2026-02-02,,\n"
        "A,closed won,2026-02-03,1200.50,price\n"
    )
    results = mapped(tmp_path, source, rows)
    assert [f.stage for r in results for f in r.records if isinstance(f, StageChange)] == [
        "qualified",
        "parked",
    ]
    assert [deal for result in results for deal in result.deals] == [
        Deal(
            lead="A",
            ending="won",
            occurred_at=day(2026, 2, 3),
            recorded_at=day(2026, 2, 3),
            amount=1200.5,
            reason="price",
            source="t.csv",
        )
    ]
    assert [result.left_open for result in results] == [None, None, None]


def test_a_closing_event_is_a_deal_and_no_event(tmp_path: Path) -> None:
    source = """
    lead: id
    events: {kind: k, at: t}
    outcome: {column: k, won: [bought], off_merit: [Spam], at: t, id: key}
    """
    rows = "id,k,t,key\nA,visit,2026-02-01,1\nA,bought,2026-02-02,2\nB,spam,2026-02-03,3\n"
    results = mapped(tmp_path, source, rows)
    assert [len(result.records) for result in results] == [1, 0, 0]
    assert [(d.lead, d.ending, d.external_id) for r in results for d in r.deals] == [
        ("A", "won", "2"),
        ("B", "off_merit", "3"),
    ]


CLOSING = """
lead: id
opened_at: t
attributes: {city: city}
outcome: {column: s, won: [Won], at: c}
"""


def test_other_outcomes_leave_the_lead_open_and_are_counted(tmp_path: Path) -> None:
    rows = (
        "id,t,city,s,c\nA,2026-02-01,x,Engaging,\nB,2026-02-01,x,,\nC,2026-02-01,x,WON,2026-03-01\n"
    )
    results = mapped(tmp_path, CLOSING, rows)
    assert [result.left_open for result in results] == ["Engaging", "(blank)", None]
    assert [len(result.deals) for result in results] == [0, 0, 1]


def test_a_closed_row_without_its_date_is_a_problem(tmp_path: Path) -> None:
    (result,) = mapped(tmp_path, CLOSING, "id,t,city,s,c\nA,2026-02-01,x,Won,\n")
    assert told([result]) == ["t.csv line 2: c: must not be blank"]
    assert result.records == []


def test_without_a_closing_column_a_lead_closes_a_day_after_it_opened(tmp_path: Path) -> None:
    source = """
    lead: id
    opened_at: t
    attributes: {city: city}
    outcome: {column: s, won: ["1"], lost: ["0"]}
    """
    results = mapped(tmp_path, source, "id,t,city,s\nA,2026-02-01,x,1\nB,2026-02-01,x,0\n")
    assert [(d.ending, d.occurred_at, d.recorded_at) for r in results for d in r.deals] == [
        ("won", day(2026, 2, 2), day(2026, 2, 2)),
        ("lost", day(2026, 2, 2), day(2026, 2, 2)),
    ]


def test_a_deal_of_the_future_spoils_its_whole_row(tmp_path: Path) -> None:
    (result,) = mapped(tmp_path, CLOSING, "id,t,city,s,c\nA,2026-02-01,x,Won,2027-01-01\n")
    assert told([result]) == [
        "t.csv line 2: c = '2027-01-01T00:00:00Z': a deal cannot close in the future"
    ]
    assert (result.records, result.deals) == ([], [])


def test_a_row_of_empty_cells_is_skipped(tmp_path: Path) -> None:
    results = mapped(tmp_path, WIDE, HEAD + ";;;;;;\nA1;2026-02-13;;;;;\n")
    assert [result.skipped for result in results] == [True, False]
    assert told(results) == []


@pytest.mark.parametrize("text", ["", "NA", " "])
def test_a_row_without_what_it_must_not_lack_is_skipped_not_rejected(
    tmp_path: Path, text: str
) -> None:
    source = "{lead: id, opened_at: t, attributes: {employees: n}, skip_without: [t]}"
    (result,) = mapped(tmp_path, source, f"id,t,n\nA,{text},many\n")
    assert result.skipped
    assert (result.records, result.problems) == ([], [])
