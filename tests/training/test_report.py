"""A report's figures are those of plain loops, its verdicts name what is wrong, and its page is safe."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom
from trained_company import CONFIG, END, trained_company
from typer.testing import CliRunner

from features.clock import iso
from features.facts import LeadVersion
from features.frames import Category
from features.store.ingest import ingest
from features.store.outcomes import Deal
from features.store.recording import record_deals
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.commands import app
from training.config import TrainConfig
from training.evaluate import curve_of, evaluate, other_model
from training.evidence import Evidence
from training.learning_curve import learning_curve, some_of
from training.pictures import draw_all
from training.promote import promote
from training.report import lasting, report_of
from training.report_page import report_page
from training.report_words import answers, words
from training.run import train
from training.splits import Fold, Lesson, Piece
from training.wrong_where import SHARE_OF_FALSE_ALARMS

QUICK = TrainConfig(leaves=(2,), most_trees=20, folds=3, half_lives=())


def as_if_right(evidence: Evidence, seed: int) -> Evidence:
    """The same rows with outcomes drawn from what was said of them, a lead's rows together."""
    draws = np.random.default_rng(seed).random(int(evidence.rows.lead.max()) + 1)
    y = (draws[evidence.rows.lead] < evidence.probability).astype(np.int64)
    return replace(evidence, rows=replace(evidence.rows, y=y))


def tripled(evidence: Evidence) -> Evidence:
    """Three times the rows, of three times the leads: more outcomes of the same sort."""
    rows = np.tile(np.arange(len(evidence)), 3)
    copy = np.repeat(np.arange(3), len(evidence)) * (int(evidence.rows.lead.max()) + 1)
    taken = evidence.rows.take(rows)
    return replace(
        evidence,
        rows=replace(taken, lead=taken.lead + copy),
        raw=evidence.raw[rows],
        probability=evidence.probability[rows],
        weight=evidence.weight[rows],
    )


def test_the_figures_are_those_of_plain_loops(model: PropensityModel, evidence: Evidence) -> None:
    said = json.loads(json.dumps(report_of(model, evidence).to_json(), allow_nan=False))
    rows, weight = evidence.rows, evidence.weight.tolist()
    n, total = len(rows), sum(weight)
    assert said["model"] == model.digest
    assert said["rows"] == said["figures"]["n"] == n
    assert said["span"] == [iso(int(rows.as_of.min())), iso(int(rows.as_of.max()))]
    loss = 0.0
    for p, y, w in zip(evidence.probability.tolist(), rows.y.tolist(), weight, strict=True):
        loss -= w * math.log(p if y == 1 else 1 - p) / total
    assert said["figures"]["log_loss"] == pytest.approx(loss)
    parts = said["figures"]["log_loss_parts"]
    assert parts["miscalibration"] - parts["discrimination"] + parts["uncertainty"] == (
        pytest.approx(loss)
    )
    won = {int(lead) for lead, y in zip(rows.lead, rows.y, strict=True) if y == 1}
    lost = {int(lead) for lead, y in zip(rows.lead, rows.y, strict=True) if y == 0}
    assert (said["enough"]["wins"], said["enough"]["losses"]) == (len(won), len(lost))


def test_months_routes_and_agreed_segments_are_counted_row_by_row(
    model: PropensityModel, evidence: Evidence
) -> None:
    where = report_of(model, evidence).where
    assert where is not None
    assert list(dict.fromkeys(part.dimension for part in where.parts)) == [
        "Month",
        "Route",
        "Region",
        "Product asked for",
    ]
    rows = evidence.rows
    region = rows.frame.columns["attr_region"]
    assert isinstance(region, Category)
    for part in where.parts:
        wins = n = 0
        for i in range(len(rows)):
            inside = {
                "Month": iso(int(rows.as_of[i]))[:7] == part.name,
                "Route": model.definition.route_for(evidence.probability[i]).label == part.name,
                "Region": region.labels()[i] == part.name if part.dimension == "Region" else False,
            }.get(part.dimension)
            if inside:
                n, wins = n + 1, wins + int(rows.y[i])
        if part.dimension != "Product asked for":
            assert (part.rows, part.wins) == (n, wins), part.name


def test_what_drives_it_is_what_the_bundle_recorded_and_its_curves(
    model: PropensityModel, evidence: Evidence
) -> None:
    drives = report_of(model, evidence).drives
    recorded = model.about["learner"]["importance"]
    assert {d.name: d.size for d in drives.columns} == recorded
    assert [d.size for d in drives.columns] == sorted(recorded.values(), reverse=True)
    facts = {spec.name: spec.fact for spec in model.catalog}
    for fact in drives.facts[:3]:
        own = sum(size for name, size in recorded.items() if facts[name] == fact.name)
        assert fact.size == pytest.approx(own)
    linear = model.learner.linear
    assert linear is not None
    terms = {term.column: term for term in linear.terms}
    assert len(drives.shapes) == 6
    for shape in drives.shapes:
        term = terms[shape.column]
        if shape.numeric:
            assert term.knots is not None
            for level, knot, value in zip(shape.levels, term.knots, term.values, strict=True):
                assert level.at == knot
                assert level.log_odds == pytest.approx(model.learner.weight * value)


def test_a_region_whose_outcomes_are_turned_round_is_named_on_the_page_and_in_words(
    model: PropensityModel, evidence: Evidence, tmp_path: Path
) -> None:
    right = tripled(as_if_right(evidence, 1))
    region = right.rows.frame.columns["attr_region"]
    assert isinstance(region, Category)
    there = np.array([label == "Benelux" for label in region.labels()])
    y = np.where(there, 1 - right.rows.y, right.rows.y)
    wrong = replace(right, rows=replace(right.rows, y=y))
    report = report_of(model, wrong)
    assert report.where is not None
    assert [part.name for part in report.where.named if part.dimension == "Region"] == ["Benelux"]
    assert "Region Benelux: more bought than it said" in words(report)
    assert answers(report)[2].verdict.endswith(f"of {report.where.tested} parts")
    page = report_page(report, draw_all(tmp_path, model, report, wrong))
    assert "<tr class=off><th scope=row>Benelux</th>" in page


def test_of_twenty_reports_on_a_right_model_hardly_one_names_a_part(
    model: PropensityModel, evidence: Evidence
) -> None:
    alarms = 0
    for seed in range(20):
        where = report_of(model, as_if_right(evidence, seed)).where
        assert where is not None
        assert where.tested > 8
        alarms += bool(where.named)
    # More than this come once in a thousand such tests, at the rate that the page states.
    assert alarms <= binom.ppf(0.999, 20, SHARE_OF_FALSE_ALARMS)


def test_a_right_model_with_many_outcomes_gets_good_answers(
    model: PropensityModel, evidence: Evidence
) -> None:
    many = as_if_right(tripled(tripled(evidence)), 0)
    signal, calibrated, where, *_ = answers(report_of(model, many))
    assert signal.verdict == "yes"
    assert calibrated.verdict == "yes"
    assert where.verdict == "nowhere beyond noise"


@pytest.mark.parametrize(("shift", "said"), [(1.5, "more bought"), (-1.5, "fewer bought")])
def test_a_level_that_is_off_is_no_calibration(
    model: PropensityModel, evidence: Evidence, shift: float, said: str
) -> None:
    odds = np.log(evidence.probability / (1 - evidence.probability)) - shift
    off = replace(as_if_right(evidence, 0), probability=1 / (1 + np.exp(-odds)))
    calibrated = answers(report_of(model, off))[1]
    assert calibrated.verdict == "no"
    assert said in calibrated.why
    assert "propensity recalibrate" in calibrated.why


def test_few_outcomes_are_said_to_be_few_with_the_number_that_is_missing(
    model: PropensityModel, evidence: Evidence
) -> None:
    won = np.flatnonzero(evidence.rows.y == 1)
    leads = np.unique(evidence.rows.lead[won])[:3]
    keep = np.flatnonzero(np.isin(evidence.rows.lead, leads) | (evidence.rows.y == 0))
    few = replace(
        evidence,
        rows=evidence.rows.take(keep),
        raw=evidence.raw[keep],
        probability=evidence.probability[keep],
        weight=evidence.weight[keep],
    )
    report = report_of(model, few)
    signal, calibrated, *_, more = answers(report)
    assert signal.verdict == calibrated.verdict == more.verdict == "not enough outcomes"
    assert report.enough.more_to_judge == 17
    assert "17 more won before this can be told" in signal.why


def test_outcomes_of_one_kind_judge_nothing_and_the_page_says_so(
    model: PropensityModel, evidence: Evidence, tmp_path: Path
) -> None:
    lost = replace(evidence, rows=replace(evidence.rows, y=np.zeros_like(evidence.rows.y)))
    report = report_of(model, lost)
    assert report.figures is None
    assert report.warnings[0].startswith("Not judged: All ")
    assert answers(report)[0].verdict == "not known"
    page = report_page(report, draw_all(tmp_path, model, report, lost))
    assert "20 more won before this can be told" in page
    assert report.enough.for_level is not None, "the base rate that it learned from is known"


def test_warnings_of_older_figures_are_dropped_and_those_of_the_columns_are_kept() -> None:
    kept = ("Forward validation was impossible: …", "`status` may be filled in late")
    dropped = (
        "No discrimination: AUC 0.5",
        "0.68 times as many won as it said (0.52 to 0.91): the level has moved",
        "Few outcomes: 3 won of 9 judged rows.",
    )
    assert lasting([*dropped, *kept]) == kept


def test_signal_that_is_not_seen_yet_shows_with_about_as_many_leads_as_are_said(
    model: PropensityModel, evidence: Evidence
) -> None:
    before = report_of(model, evidence)
    assert before.figures is not None
    assert not before.figures["discrimination"]["found"]
    more = before.enough.more_for_signal
    assert more is not None
    assert f"about {more:,} more leads show signal" in words(before)
    leads = len(np.unique(evidence.rows.lead))
    assert 0 < more < 4 * leads
    # With three times the leads, and the same gain, it is seen.
    after = report_of(model, tripled(evidence))
    assert after.figures is not None
    assert after.figures["discrimination"]["found"]
    assert after.enough.more_for_signal == 0


# Models that nothing, or only folds, have judged


@pytest.fixture
def bare(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Workspace]:
    (tmp_path / "propensity.db").write_bytes(migrated_sqlite.read_bytes())
    found = Workspace.of(
        {"PROPENSITY_DATA_DIR": str(tmp_path), "PROPENSITY_MLFLOW": "http://127.0.0.1:9"}
    )
    yield found
    found.store.close()


DEFINITION = """
name: shop
{time}
expected_win_rate: 0.2
attributes:
  - {{name: size, type: number}}
  - {{name: colour, type: category}}
bant:
  budget:
    - {{name: money, ask: "Is there a budget?", answers: ["yes", "no"]}}
"""
UNDATED = DEFINITION.format(
    time="time: none\nhorizon_days: null\ncohorts: {after_opening_hours: 0}"
)


def test_what_is_agreed_and_not_learned_says_that_nothing_has_judged_it(bare: Workspace) -> None:
    (bare.data_dir / "definition.yaml").write_text(DEFINITION.format(time="horizon_days: 90"))
    train(bare, QUICK, now=END)
    found = evaluate(bare, "newest")
    assert found.evidence is None
    assert found.report.source == "nothing"
    assert json.dumps(found.report.to_json(), allow_nan=False)
    said = words(found.report)
    assert "Is there signal? not known" in said
    assert "it scores by what was agreed" in said
    assert "agreed, not learned" in said
    assert "<h1>How good is shop?</h1>" in found.page()
    assert found.report.enough.for_level == 1538, "at the expected 20 %"


def fill(workspace: Workspace, n: int) -> None:
    rng = np.random.default_rng(1)
    sizes = rng.normal(size=n)
    won = rng.random(n) < 1 / (1 + np.exp(-1.5 * sizes))
    leads = [
        LeadVersion(
            lead=f"L{i}",
            occurred_at=0,
            recorded_at=0,
            attributes={"size": float(sizes[i]), "colour": ("red", "<script>alert(1)")[i % 2]},
        )
        for i in range(n)
    ]
    deals = [
        Deal(lead=f"L{i}", ending="won" if won[i] else "lost", occurred_at=9, recorded_at=9)
        for i in range(n)
    ]
    with workspace.store.write() as connection:
        assert not ingest(connection, leads, workspace.definition(), END).problems
        assert not record_deals(connection, deals, workspace.definition(), END).problems


def test_without_time_the_folds_figures_are_shown_and_what_they_are_worth(bare: Workspace) -> None:
    (bare.data_dir / "definition.yaml").write_text(UNDATED)
    fill(bare, 300)
    trained = train(bare, QUICK, now=END)
    found = evaluate(bare, "newest")
    assert found.report.source == "training"
    assert found.report.figures == trained.model.about["judged"]["figures"]
    said = words(found.report)
    assert "Forward validation was impossible" in said
    assert "Judged in 3 seeded folds" in said
    assert "Is there signal? yes" in said
    assert "the page in the MLflow run of its training" in said
    page = found.page()
    assert "Forward validation was impossible" in page
    assert "not known" in page, "the intervals that hold all at once need the rows"


# The learning curve


def test_a_share_of_a_lesson_holds_whole_leads_and_nests_in_larger_ones() -> None:
    lead = np.repeat(np.arange(100), 3)
    fit, calibrate = np.arange(0, 200), np.arange(210, 300)
    lesson = Lesson((Fold(Piece.plain(fit), Piece.plain(calibrate)),))
    before: set[int] = set()
    for share in (0.1, 0.4, 1.0):
        some = some_of(lesson, lead, share, np.random.default_rng(7))
        rows = some.everything.rows
        kept = set(lead[rows].tolist())
        taught = len(np.unique(lead[lesson.everything.rows]))
        assert len(kept) == round(share * taught)
        everything = {i for i in lesson.everything.rows.tolist() if lead[i] in kept}
        assert set(rows.tolist()) == everything
        assert before <= kept
        before = kept


def test_more_leads_are_seen_to_help_where_they_do(model: PropensityModel) -> None:
    """On outcomes that follow from one column, a tenth of the leads teaches less than all."""
    from training.splits import forward_split
    from training.unseen import matured_rows

    workspace = trained_company().read_only()
    matured = matured_rows(workspace, model.definition)
    workspace.store.close()
    revenue = np.nan_to_num(np.asarray(matured.frame.columns["attr_employees"]))
    rank = np.argsort(np.argsort(revenue)) / len(revenue)
    draws = np.random.default_rng(2).random(len(rank))
    few = ("attr_employees", "attr_region", "lead_age_days", "bant_answers")
    frame = replace(matured.frame, columns={name: matured.frame.columns[name] for name in few})
    y = (draws < np.where(rank > 0.5, 0.6, 0.1)).astype(np.int64)
    matured = replace(matured, frame=frame, y=y)
    split = forward_split(matured, model.definition, CONFIG)
    told: list[str] = []
    curve = learning_curve(matured, split, model.definition, QUICK, told.append, draws=1)
    assert [point.share for point in curve.points] == [0.1, 0.2, 0.4, 0.7, 1.0]
    assert curve.points[-1].mean < curve.points[0].mean < curve.base_rate
    assert curve.points[-1].leads == len(np.unique(matured.lead[split.lesson.everything.rows]))
    assert "10 %" in told[0]
    assert curve.change is not None
    assert curve.change.contains(curve.points[-1].mean - curve.points[2].mean)


# On the command line


def test_evaluate_writes_the_page_and_says_in_words_what_is_in_it(tmp_path: Path) -> None:
    company = trained_company()
    page = tmp_path / "page.html"
    environment = {"PROPENSITY_DATA_DIR": str(company.home), "COLUMNS": "200"}
    done = CliRunner().invoke(
        app, ["evaluate", "newest", "--html", str(page)], env=environment, catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    for question in ("Is there signal?", "Is it calibrated?", "Where is it wrong?"):
        assert question in done.stdout
        assert question in page.read_text(encoding="utf-8")
    assert "What drives it?" in done.stdout


def test_a_challenger_is_held_against_the_champion_and_the_other_way_round(
    tmp_path: Path,
) -> None:
    company = trained_company()
    workspace = company.copy(tmp_path / "home")
    quiet = replace(workspace, mlflow_uri="http://127.0.0.1:9")
    promote(quiet, company.digest, now=END, by="ines")
    champion = workspace.registry.load("champion")
    assert other_model(workspace, champion, 0) is None, "it is the only one"
    challenger = train(quiet, QUICK, now=END + 1_000_000).digest
    name, verdict = other_model(workspace, champion, 0) or ("", None)
    assert name == f"The newest model {challenger[:12]} against it"
    assert verdict is not None
    report = evaluate(workspace, challenger).report
    assert report.comparison is not None
    assert report.comparison["against"] == f"Against the champion {company.digest[:12]}"
    assert report.comparison["decision"] == verdict.decision
    assert verdict.reason in words(report)
    workspace.store.close()


def test_what_was_agreed_has_no_learning_curve(bare: Workspace) -> None:
    (bare.data_dir / "definition.yaml").write_text(DEFINITION.format(time="horizon_days: 90"))
    trained = train(bare, QUICK, now=END)
    assert curve_of(bare, trained.model) is None
