"""Is the simulated company what it claims: reproducible files of a world with the promised traits?"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from simulated_company import (
    CHANGE,
    END,
    LAG,
    START,
    TIMES,
    Company,
    read,
    simulated_company,
    with_outcomes,
)

from features.definition import DIMENSIONS, Definition, read_definition
from features.errors import InputError
from training.simulate import Truth, World, simulate
from training.simulated import words
from training.simulated.world import BLOCK

IDS = {"answers": "answer_id", "events": "event_id", "stages": "change_id", "deals": "deal_id"}


@pytest.fixture(scope="module")
def company() -> Company:
    return simulated_company()


@pytest.fixture(scope="module")
def matured(company: Company) -> pd.DataFrame:
    """Truly open rows of the truth whose horizon has passed, with what the files say came of them."""
    return with_outcomes(company, company.truth[company.truth["open"]])


class TestFiles:
    def test_the_same_settings_give_the_same_bytes(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            simulate(tmp_path / name, leads=300, events=3_000, seed=4)
        simulate(tmp_path / "other", leads=300, events=3_000, seed=5)
        names = sorted(path.name for path in (tmp_path / "one").iterdir())
        expected = [f"{name}.csv" for name in TIMES]
        assert names == sorted([*expected, "definition.yaml", "simulation.json", "truth.parquet"])
        for name in names:
            one, two, other = (
                (tmp_path / where / name).read_bytes() for where in ("one", "two", "other")
            )
            assert one == two, name
            assert name == "definition.yaml" or one != other, name

    def test_more_leads_leave_the_first_blocks_as_they_are(self, tmp_path: Path) -> None:
        simulate(tmp_path / "few", leads=BLOCK, events=20 * BLOCK)
        simulate(tmp_path / "many", leads=BLOCK + 100, events=20 * (BLOCK + 100))
        for name in TIMES:
            few, many = (
                (tmp_path / where / f"{name}.csv").read_bytes() for where in ("few", "many")
            )
            assert len(many) > len(few)
            assert many.startswith(few)

    def test_the_definition_agrees_with_the_files(self, company: Company) -> None:
        definition = read_definition(company.directory / "definition.yaml")
        files = company.files
        assert set(files["events"]["kind"]) == {kind.name for kind in definition.engagement.kinds}
        assert set(files["events"]["channel"]) == set(definition.engagement.channels)
        assert set(files["stages"]["stage"]) == {stage.name for stage in definition.stages}
        for question, given in files["answers"].groupby("question"):
            agreed = definition.question_by_name[str(question)]
            assert set(given["answer"]) == {*agreed.answers.sales, *agreed.unknown}
        for attribute in definition.attributes:
            if attribute.values:
                assert set(files["leads"][attribute.name].dropna()) == set(attribute.values)

    def test_every_column_that_the_definition_maps_is_there(self, company: Company) -> None:
        definition = read_definition(company.directory / "definition.yaml")
        assert [source.file for source in definition.sources] == [f"{name}.csv" for name in TIMES]
        for source in definition.sources:
            mapped = {source.lead, *source.attributes.values()}
            for part in (source.answer_rows, source.events, source.stages, source.outcome):
                values = part.model_dump().values() if part else ()
                mapped |= {value for value in values if isinstance(value, str)}
            with (company.directory / source.file).open(encoding="utf-8") as file:
                header = next(csv.reader(file))
            assert mapped - {None} <= set(header)

    def test_the_definition_has_what_a_lead_definition_needs(self, company: Company) -> None:
        definition = read_definition(company.directory / "definition.yaml")
        assert all(getattr(definition.bant, dimension) for dimension in DIMENSIONS)
        assert 1 <= sum(not question.agreed for question in definition.questions) <= 2
        assert {a.name for a in definition.attributes if a.sensitive} == {"gender", "birth_year"}
        assert [a.name for a in definition.attributes if a.known_late] == ["discount_granted"]
        assert all(stage.responsible and stage.backup for stage in definition.stages)
        assert definition.reporting_lag_days >= LAG / pd.Timedelta(days=1)

    def test_every_route_gets_leads_by_their_true_probability(
        self, company: Company, matured: pd.DataFrame
    ) -> None:
        definition: Definition = read_definition(company.directory / "definition.yaml")
        routes = (
            matured["p_won"]
            .map(lambda p: definition.route_for(p).name)
            .value_counts(normalize=True)
        )
        assert set(routes.index) == {route.name for route in definition.routes}
        assert routes.min() > 0.05

    def test_nothing_is_recorded_before_it_happens_or_after_the_end(self, company: Company) -> None:
        for name, (at, recorded) in TIMES.items():
            facts = company.files[name]
            assert (facts[recorded] >= facts[at]).all(), name
            assert facts[at].min() >= START
            assert facts[recorded].max() < END

    def test_nothing_happens_or_is_recorded_before_the_lead_itself(self, company: Company) -> None:
        first = company.files["leads"].groupby("lead_id")[["valid_from", "recorded_at"]].min()
        for name in IDS:
            facts, (at, recorded) = company.files[name], TIMES[name]
            lead = first.loc[facts["lead_id"]].reset_index(drop=True)  # fails on an unknown lead
            assert (facts[at] >= lead["valid_from"]).all(), name
            assert (facts[recorded] >= lead["recorded_at"]).all(), name

    def test_facts_are_recorded_late_days_and_weeks(self, company: Company) -> None:
        for name, (at, recorded) in TIMES.items():
            days = (company.files[name][recorded] - company.files[name][at]) / pd.Timedelta(days=1)
            assert (days > 1).mean() > 0.02, name
            assert (days > 7).any(), name
        deals = company.files["deals"]
        assert (deals["recorded_at"] - deals["closed_at"]).max() <= LAG

    def test_some_rows_are_there_twice_and_no_id_means_two_things(self, company: Company) -> None:
        for name, column in IDS.items():
            facts = company.files[name]
            assert facts.duplicated().mean() == pytest.approx(0.003, abs=0.003)
            assert facts.drop_duplicates()[column].is_unique
            assert facts.duplicated().any(), name

    def test_the_summary_counts_what_is_in_the_files(self, company: Company) -> None:
        summary, files = asdict(company.summary), company.files
        for name in ("answers", "events", "stages", "deals"):
            assert summary[name] == len(files[name])
        distinct = files["deals"].drop_duplicates()["outcome"].value_counts()
        assert summary["won"] == distinct["won"]
        assert summary["lost"] == distinct["lost"]
        assert summary["off_merit"] == distinct["junk"] + distinct["duplicate"]
        assert summary["versions"] == len(files["leads"])
        assert summary["truth_rows"] == len(company.truth)
        assert (summary["start"], summary["end"]) == (
            "2024-01-01T00:00:00Z",
            "2026-01-01T00:00:00Z",
        )
        assert pd.Timestamp(summary["change"]) == CHANGE

    def test_about_as_many_events_come_out_as_were_asked_for(self, company: Company) -> None:
        # The sum over 8,000 leads, whose numbers of events spread about as widely as their mean.
        assert company.summary.events == pytest.approx(160_000, rel=0.1)

    def test_it_tells_how_far_it_is_and_says_so_only_when_it_is_done(self, tmp_path: Path) -> None:
        told: list[tuple[int, int]] = []
        simulate(
            tmp_path, leads=BLOCK + 5, events=0, years=0.1, progress=lambda *now: told.append(now)
        )
        assert told == [(0, BLOCK + 5), (BLOCK, BLOCK + 5), (BLOCK + 5, BLOCK + 5)]

        def stop(done: int, total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            simulate(tmp_path, leads=10, events=0, years=0.1, progress=stop)
        with pytest.raises(InputError, match="no finished simulated company"):
            Truth.of(tmp_path)

    def test_one_lead_and_a_few_days_are_a_company_too(self, tmp_path: Path) -> None:
        summary = simulate(tmp_path, leads=1, events=0, years=0.02)
        assert (summary.leads, summary.events, summary.truth_rows) == (1, 0, 0)
        assert read(tmp_path, "leads")["lead_id"].tolist() in ([], ["L0000000"])

    def test_settings_out_of_range_are_refused_all_at_once(self, tmp_path: Path) -> None:
        noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
        with pytest.raises(InputError) as refused:
            simulate(tmp_path, leads=0, events=-1, years=0, seed=-1, start=noon)
        for setting in ("leads", "events", "years", "seed", "start"):
            assert setting in refused.value.message
        with pytest.raises(InputError, match="truth_every_days"):
            simulate(tmp_path, leads=1, truth_every_days=0)
        with pytest.raises(InputError, match="time zone"):
            World(start=datetime(2024, 1, 1))  # noqa: DTZ001 - the point
        assert list(tmp_path.iterdir()) == []

    def test_a_directory_that_cannot_be_written_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(InputError, match="file"):
            simulate(tmp_path / "file", leads=1)


class TestWorld:
    def test_the_base_rate_is_that_of_a_company_and_falls(self, matured: pd.DataFrame) -> None:
        assert 0.06 < matured["won"].mean() < 0.12
        # The same season a year apart, so that neither season nor the first weeks explain it.
        spring = matured["as_of"].dt.month.between(4, 8)
        by_year = matured[spring].groupby(matured["as_of"].dt.year)["p_won"].mean()
        assert by_year[2025] < 0.9 * by_year[2024]

    def test_fewer_deals_are_won_in_summer_than_in_autumn(self, company: Company) -> None:
        deals = company.files["deals"].drop_duplicates()
        won = deals[deals["outcome"] == "won"].groupby(
            [deals["closed_at"].dt.year, deals["closed_at"].dt.month]
        )
        for year in (2024, 2025):
            assert len(won.get_group((year, 8))) < 0.8 * len(won.get_group((year, 9)))

    def test_most_deals_are_closed_on_working_days_in_office_hours(self, company: Company) -> None:
        closed = company.files["deals"]["closed_at"]
        assert (closed.dt.day_of_week >= 5).mean() < 0.1
        assert closed.dt.hour.between(8, 17).all()

    def test_the_process_changes_on_its_day(self, company: Company) -> None:
        stages, leads = company.files["stages"], company.files["leads"].drop_duplicates("lead_id")
        qualified = stages.loc[stages["stage"] == "qualified", "changed_at"]
        assert len(qualified) > 100
        assert qualified.min() >= CHANGE
        assert (leads.loc[leads["source"] == "website", "valid_from"] < CHANGE).all()
        assert (leads.loc[leads["source"] == "web enquiry", "valid_from"] >= CHANGE).all()

    def test_from_then_on_an_approved_budget_means_less(self, company: Company) -> None:
        """More on the website's form give that answer, and fewer of them have the budget."""
        leads = company.files["leads"].drop_duplicates("lead_id").set_index("lead_id")
        answers = company.files["answers"].drop_duplicates()
        answers = answers[answers["question"] == "budget_status"]
        on_form = answers["answered_at"] == answers["lead_id"].map(leads["valid_from"])
        approved = (answers["answer"] == "approved").groupby(
            [answers["lead_id"].map(leads["source"]), on_form]
        )
        share = approved.mean()
        assert share["web enquiry", True] > 2 * share["website", True]
        assert share["web enquiry", False] < 1.3 * share["website", False]
        truth = Truth.of(company.directory)
        numbers = range(company.summary.leads)
        approved_in_truth = pd.Series(
            {f"L{i:07d}": truth.block(i // BLOCK).leads.budget[i % BLOCK] == 0 for i in numbers}
        )
        form = answers[on_form & (answers["answer"] == "approved")]
        honest = (
            form["lead_id"].map(approved_in_truth).groupby(form["lead_id"].map(leads["source"]))
        )
        assert honest.mean()["web enquiry"] < 0.7 * honest.mean()["website"]

    def test_every_question_is_not_asked_not_known_and_answered_for_some(
        self, company: Company
    ) -> None:
        everybody = company.files["leads"]["lead_id"].nunique()
        for question, rows in company.files["answers"].groupby("question"):
            assert rows["lead_id"].nunique() < 0.9 * everybody
            assert 0.1 < (rows["answer"] == words.UNKNOWN).mean() < 0.4
            assert rows["answer"].value_counts(normalize=True).min() > 0.02, question

    def test_answers_change_and_contradict_each_other(self, company: Company) -> None:
        answers = company.files["answers"]
        given = answers[answers["answer"] != words.UNKNOWN].groupby(["lead_id", "question"])[
            "answer"
        ]
        assert (given.nunique() > 1).sum() > 1_000

    def test_wins_close_sooner_than_losses(self, company: Company) -> None:
        opened = company.files["leads"].groupby("lead_id")["valid_from"].min()
        deals = company.files["deals"].drop_duplicates("lead_id")
        days = (deals["closed_at"] - deals["lead_id"].map(opened)) / pd.Timedelta(days=1)
        mean = days.groupby(deals["outcome"]).mean()
        assert mean["won"] < 0.9 * mean["lost"]

    def test_winners_become_clients_who_come_back_and_win_again(self, company: Company) -> None:
        deals, leads = company.files["deals"].drop_duplicates(), company.files["leads"]
        won = deals[deals["outcome"] == "won"]
        assert (won.groupby("lead_id").size() > 1).sum() > 20
        first = won.groupby("lead_id")["closed_at"].min()
        since = leads["valid_from"] >= leads["lead_id"].map(first)
        assert (leads.loc[since, "kind"] == "client").all()
        assert set(leads["kind"]) == {"prospect", "client"}
        new = company.files["stages"].drop_duplicates().query("stage == 'new'")
        again = new[new.groupby("lead_id").cumcount() > 0]
        assert len(again) > 100
        rest = again["changed_at"] - again["lead_id"].map(first)
        assert rest.min() >= pd.Timedelta(days=119)

    def test_the_discount_is_filled_in_by_a_win_only(self, company: Company) -> None:
        leads = company.files["leads"]
        deals = company.files["deals"]
        first = deals[deals["outcome"] == "won"].groupby("lead_id")["closed_at"].min()
        since = leads["valid_from"] >= leads["lead_id"].map(first)
        assert leads["discount_granted"].notna().equals(since)

    def test_leads_are_put_right_in_later_versions(self, company: Company) -> None:
        versions = company.files["leads"].sort_values(["lead_id", "valid_from"], kind="stable")
        for column in ("employees", "job_title"):
            given = versions.dropna(subset=[column]).groupby("lead_id")[column]
            assert (given.first() != given.last()).sum() > 100, column
        by_lead = versions.groupby("lead_id")["employees"]
        filled = versions.groupby("lead_id").head(1)["employees"].isna().to_numpy() & (
            by_lead.last().notna()
        )
        assert filled.sum() > 100

    def test_leads_seem_open_exactly_as_the_files_say(self, company: Company) -> None:
        """Known, and not closed by the last change that is known: the store's rule, in plain loops."""
        leads = sorted(company.files["leads"]["lead_id"].unique())[::16]
        first: dict[str, datetime] = {}
        changes: dict[str, list[tuple[datetime, datetime, bool]]] = defaultdict(list)
        for row in company.files["leads"].itertuples():
            first[row.lead_id] = min(row.recorded_at, first.get(row.lead_id, row.recorded_at))
        for row in company.files["stages"].itertuples():
            changes[row.lead_id].append((row.changed_at, row.recorded_at, False))
        for row in company.files["deals"].itertuples():
            changes[row.lead_id].append((row.closed_at, row.recorded_at, True))
        seen = company.truth[company.truth["seems_open"]]
        stated = set(zip(seen["lead_id"], seen["as_of"], strict=True))
        checked = 0
        for as_of in sorted(company.truth["as_of"].unique()):
            for lead in leads:
                known = [
                    change for change in changes[lead] if change[1] < as_of and change[0] < as_of
                ]
                is_open = first[lead] < as_of and not (known and max(known)[2])
                assert is_open == ((lead, as_of) in stated), (lead, as_of)
                checked += is_open
        assert checked > 1_000

    def test_closed_leads_are_not_open_in_the_truth(self, company: Company) -> None:
        deals = company.files["deals"].drop_duplicates()
        lost = deals[deals["outcome"] != "won"].groupby("lead_id")["closed_at"].min()
        rows = company.truth[company.truth["open"]]
        assert not (rows["as_of"] > rows["lead_id"].map(lost)).any()
        assert company.truth["p_won"].between(0, 1).all()
        assert company.truth["p_off_merit"].between(0, 1).all()

    def test_thousands_are_open_at_the_end_of_the_usual_size(self, company: Company) -> None:
        assert company.summary.open_at_end * 20_000 / company.summary.leads > 2_000


_PEAK = """
import sys
from pathlib import Path
from benchmarks.batch import peak_mb
from training.simulate import simulate
simulate(Path(sys.argv[1]), leads=int(sys.argv[2]), events=20 * int(sys.argv[2]))
print(round(peak_mb()))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_leads(tmp_path: Path) -> None:
    """100,000 leads need at most 150 MB more than 4,000; their facts alone are several times that."""

    def peak(leads: int) -> int:
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, str(tmp_path / str(leads)), str(leads)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            cwd=Path(__file__).parents[2],
            check=True,
            capture_output=True,
            text=True,
        )
        return int(done.stdout)

    assert peak(100_000) - peak(4_000) < 150
