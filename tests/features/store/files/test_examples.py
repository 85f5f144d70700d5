"""The examples map five real data sets without code; expected counts are those of the sets' authors.

salvirt: Bohanec 2017 (448 opportunities, 227 won). bank: the names file of UCI Bank Marketing (41,188
rows, 4,640 yes). bpi2012: BPI Challenge 2012 (13,087 cases, 262,200 events, 2,246 approved). maven and
x_education: counted in the files by a plain `csv` loop.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select

from features.clock import DAY
from features.definition import Definition, read_definition
from features.store.engine import Store
from features.store.files.load import load
from features.store.files.report import LoadReport
from features.store.outcomes import deals
from features.store.tables import answers, events, lead_versions, leads

ROOT = Path(__file__).parents[4]
DATA = Path(os.environ.get("PROPENSITY_DATA", ROOT.parent / "shared" / "data"))
EXAMPLES = sorted(
    path for path in (ROOT / "examples").glob("*/*.yaml") if path.parent.name != "sources"
)

real = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"PROPENSITY_DATA: {DATA} is not there"),
]


def example(path: str) -> Definition:
    return read_definition(ROOT / "examples" / path)


def imported(store: Store, path: str, now: int, rejects: Path) -> LoadReport:
    folder = DATA / Path(path).parent.name
    return load(store, example(path), now=now, rejects=rejects, directory=folder)


def endings(store: Store) -> dict[str, int]:
    with store.read() as connection:
        query = select(deals.c.ending, func.count()).group_by(deals.c.ending)
        return {row[0]: row[1] for row in connection.execute(query)}


def size(store: Store, table: object) -> int:
    with store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())  # type: ignore[arg-type]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_example_parses(path: Path) -> None:
    assert read_definition(path).sources


def test_there_is_an_example_for_each_of_the_five_sets() -> None:
    assert {path.parent.name for path in EXAMPLES} == {
        "bank_additional",
        "bpi2012",
        "maven_crm",
        "salvirt_b2b",
        "x_education",
    }


def test_the_bank_example_without_macro_columns_differs_by_those_five_only() -> None:
    whole, less = (
        example(f"bank_additional/{n}.yaml") for n in ("definition", "definition_without_macro")
    )
    gone = {"employment_variation", "price_index", "confidence_index", "euribor", "employees"}
    assert set(whole.attribute_by_name) - set(less.attribute_by_name) == gone
    assert [a for a in whole.attributes if a.name not in gone] == list(less.attributes)
    assert [s.outcome for s in whole.sources] == [s.outcome for s in less.sources]


def test_known_traps_are_attributes_that_are_never_features() -> None:
    bank = example("bank_additional/definition.yaml")
    assert [a.name for a in bank.attributes if a.known_late] == ["duration"]
    school = example("x_education/definition.yaml")
    assert len([a for a in school.attributes if a.known_late]) == 9
    maven = example("maven_crm/definition.yaml")
    assert [a.name for a in maven.attributes if a.known_late] == ["close_value"]


class TestRealData:
    pytestmark = real

    def test_salvirt_is_448_leads_with_answers_and_repeated_rows_apart(
        self, sqlite_store: Store, now: int, tmp_path: Path
    ) -> None:
        report = imported(sqlite_store, "salvirt_b2b/definition.yaml", now, tmp_path)
        assert report.rejected == 0
        assert size(sqlite_store, leads) == 448
        assert endings(sqlite_store) == {"won": 227, "lost": 221}
        path = DATA / "salvirt_b2b" / "Salvirt_B2B_ML_dataset.csv"
        with path.open(newline="") as file:
            budget = Counter(row["Budgt_alloc"] for row in csv.DictReader(file, delimiter=";"))
        with sqlite_store.read() as connection:
            query = select(answers.c.answer, func.count()).group_by(answers.c.answer)
            rows = connection.execute(query.where(answers.c.question == "budget_allocated"))
            assert {row[0]: row[1] for row in rows} == {
                "Yes": budget["Yes"],
                "No": budget["No"],
                "unknown": budget["Unknown"],
            }

    def test_x_education_is_9240_leads_in_the_order_of_their_numbers(
        self, sqlite_store: Store, now: int, tmp_path: Path
    ) -> None:
        report = imported(sqlite_store, "x_education/definition.yaml", now, tmp_path)
        assert report.rejected == 0
        assert endings(sqlite_store) == {"won": 3561, "lost": 9240 - 3561}
        with (DATA / "x_education" / "Leads.csv").open(newline="") as file:
            rows = sorted(
                (int(row["Lead Number"]), row["Prospect ID"]) for row in csv.DictReader(file)
            )
        with sqlite_store.read() as connection:
            query = (
                select(leads.c.external_id)
                .join(lead_versions)
                .order_by(lead_versions.c.occurred_at)
            )
            assert list(connection.execute(query).scalars()) == [lead for _, lead in rows]

    @pytest.mark.slow
    def test_bank_is_41188_leads_in_26_months(
        self, sqlite_store: Store, now: int, tmp_path: Path
    ) -> None:
        report = imported(sqlite_store, "bank_additional/definition.yaml", now, tmp_path)
        assert report.rejected == 0
        assert endings(sqlite_store) == {"won": 4640, "lost": 41188 - 4640}
        with sqlite_store.read() as connection:
            opened = lead_versions.c.occurred_at
            months = connection.execute(select(opened).distinct().order_by(opened)).scalars().all()
        # May 2008 to November 2010, and no calls in some months between.
        assert len(months) == 26
        assert (months[0] // DAY, months[-1] // DAY) == (14000, 14914)

    def test_maven_is_8300_opened_leads_and_the_joins_fill_all_they_can(
        self, sqlite_store: Store, now: int, tmp_path: Path
    ) -> None:
        report = imported(sqlite_store, "maven_crm/definition.yaml", now, tmp_path)
        (file,) = report.files
        assert (file.rows, file.skipped, file.rejected) == (8800, 500, 0)
        assert size(sqlite_store, leads) == 8300
        assert endings(sqlite_store) == {"won": 4238, "lost": 2473}
        assert file.left_open == {"Engaging": 1589}
        assert file.warnings == []
        with sqlite_store.read() as connection:
            texts = connection.execute(select(lead_versions.c.attributes)).scalars().all()
        assert all('"sales_price"' in text and '"manager"' in text for text in texts)

    @pytest.mark.slow
    def test_bpi2012_is_13087_leads_and_5901_decided_a_day_after_they_were_opened(
        self, sqlite_store: Store, now: int, tmp_path: Path
    ) -> None:
        report = imported(sqlite_store, "bpi2012/definition.yaml", now, tmp_path)
        assert report.rejected == 0
        assert [file.rows for file in report.files] == [13087, 262_200]
        assert size(sqlite_store, leads) == 13087
        assert endings(sqlite_store) == {"won": 2246, "lost": 7635 + 2807}
        # A_REGISTERED, A_ACTIVATED, O_ACCEPTED and O_DECLINED are ignored.
        ignored = 2246 + 2246 + 2243 + 802
        assert report.files[1].skipped == ignored
        assert size(sqlite_store, events) == 262_200 - 2246 - 7635 - 2807 - ignored
        with sqlite_store.read() as connection:
            day_later = lead_versions.c.occurred_at + DAY
            rows = connection.execute(
                select(deals.c.ending)
                .join(lead_versions, lead_versions.c.lead == deals.c.lead)
                .where(deals.c.occurred_at >= day_later)
            )
            decided = Counter(row[0] for row in rows)
        assert decided.total() == 5901
        assert decided["won"] / 5901 == pytest.approx(0.376, abs=0.0005)
