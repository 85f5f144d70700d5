"""A refit learns from the rows that judged it, and never speaks of rows it has learned from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_cases import simulated
from scipy.special import expit
from trained_company import CONFIG, END, TrainedCompany, trained_company, workspace_at

from features.clock import DAY
from features.errors import NotEnoughEvidenceError
from features.store.promotions import list_bundles, list_decisions, settled
from features.store.replaying import copy_recorded, first_recorded
from models.bundle import read_card, read_manifest, write_bundle
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.calibrate import fit_calibrator
from training.dataset import Dataset
from training.evaluate import evaluate
from training.loop.retrain import decide, retrain, succession
from training.loop.stage import scratch
from training.promote import promote
from training.recalibrate import recalibrate
from training.refit import refit
from training.splits import Bounds, Piece, pieces
from training.unseen import (
    after_boosters,
    as_trained,
    bounds_of,
    is_agreed,
    matured_rows,
    raw_unseen,
)
from training.verdicts import Verdict


@pytest.fixture(scope="module")
def company() -> TrainedCompany:
    return trained_company()


@pytest.fixture(scope="module")
def made(company: TrainedCompany, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """An installation whose trained model was fitted once more; tests only look at it."""
    found = company.copy(tmp_path_factory.mktemp("refit") / "home")
    assert refit(found, company.digest, now=END + DAY) is not None
    yield found
    found.store.close()


@pytest.fixture(scope="module")
def again(made: Workspace) -> PropensityModel:
    with made.store.read() as connection:
        (refitted,) = [one for one in list_bundles(connection) if one.origin == "refit"]
    return made.registry.load(refitted.digest)


@pytest.fixture(scope="module")
def matured(made: Workspace, again: PropensityModel) -> Dataset:
    return matured_rows(made, again.definition)


@pytest.fixture
def refitted(made: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of that installation, to be changed, without MLflow."""
    shutil.copytree(made.data_dir, tmp_path / "home")
    found = replace(workspace_at(tmp_path / "home"), mlflow_uri="off")
    yield found
    found.store.close()


@pytest.fixture
def workspace(company: TrainedCompany, tmp_path: Path) -> Iterator[Workspace]:
    found = replace(company.copy(tmp_path / "home"), mlflow_uri="off")
    yield found
    found.store.close()


@pytest.fixture(scope="module")
def held(matured: Dataset) -> Piece:
    """The rows that judged."""
    return pieces(matured, Bounds(**simulated().model.about["judged"]["bounds"]))[2]


def test_a_refit_is_another_booster_made_of_the_judged_one(
    made: Workspace, again: PropensityModel, matured: Dataset, held: Piece
) -> None:
    judged = simulated().model
    manifest = read_manifest(made.bundles, again.digest)
    assert (manifest["origin"], manifest["parent"]) == ("refit", judged.digest)
    frame = matured.frame.take(held.rows)
    assert np.abs(again.raw(frame) - judged.raw(frame)).max() > 0.05


def test_the_judged_model_speaks_on_the_level_of_the_refit(
    made: Workspace, again: PropensityModel, matured: Dataset, held: Piece
) -> None:
    """Of the rows that judged both say as many wins, and the walk begins with what was said then."""
    rows = matured.take(held.rows)
    apart = raw_unseen(made, again, rows, matured)
    means = [np.average(expit(raw), weights=held.weight) for raw in (apart, again.raw(rows.frame))]
    assert means[0] == pytest.approx(means[1], abs=1e-6)
    then = simulated().model.score(rows.frame).probability
    begun = as_trained(again).apply(apart)
    assert np.average(begun, weights=held.weight) == pytest.approx(
        np.average(then, weights=held.weight), abs=1e-6
    )
    assert begun == pytest.approx(then, abs=0.01)


def test_it_has_learned_from_every_matured_row_there_is(
    again: PropensityModel, matured: Dataset
) -> None:
    """More leads than the pieces hold: the rows between them judge nobody, so they may teach."""
    assert again.about["data"]["rows"] == len(matured)
    assert again.about["refit"]["through_instant"] == max(matured.as_of.tolist())
    bounds = Bounds(**simulated().model.about["judged"]["bounds"])
    used = sum(len(piece) for piece in pieces(matured, bounds))
    assert used < len(matured)


def test_of_leads_it_has_learned_from_the_judged_model_speaks(
    made: Workspace, again: PropensityModel, matured: Dataset
) -> None:
    """Held against a loop over leads, also where only some of them had come when it learned."""
    judged = simulated().model
    middle = int(np.median(matured.as_of))
    earlier = again.recalibrated(
        again.calibrator,
        {**again.about, "refit": {**again.about["refit"], "through_instant": middle}},
    )
    both = [judged.raw(matured.frame) + again.about["refit"]["level"], again.raw(matured.frame)]
    for model, through in ((again, int(matured.as_of.max())), (earlier, middle)):
        known = {
            lead
            for lead, at in zip(matured.lead.tolist(), matured.as_of.tolist(), strict=True)
            if at <= through
        }
        wanted = [both[lead not in known][row] for row, lead in enumerate(matured.lead.tolist())]
        assert raw_unseen(made, model, matured, matured).tolist() == wanted
    assert len({lead not in known for lead in matured.lead.tolist()}) == 2
    plain = judged.raw(matured.frame)
    assert np.array_equal(raw_unseen(made, judged, matured, matured), plain)


def test_evidence_about_a_refit_is_of_what_the_judged_model_said(
    made: Workspace, again: PropensityModel, matured: Dataset
) -> None:
    found = evaluate(made, again.digest).evidence
    rows = after_boosters(matured, again)
    assert found is not None
    assert rows is not None
    apart = dict(_by_row(rows.dataset, raw_unseen(made, again, rows.dataset, matured)))
    said = dict(_by_row(found.rows, found.raw))
    assert len(said) > 100
    assert found.how.startswith("Leads that it has learned from are said by the model ")
    assert simulated().model.digest[:12] in found.how
    assert said == {row: apart[row] for row in said}
    own = dict(_by_row(rows.dataset, again.raw(rows.dataset.frame)))
    assert not set(said.values()) & {own[row] for row in said}, "they would flatter it"


def _by_row(rows: Dataset, said: np.ndarray) -> Iterator[tuple[tuple[str, int], float]]:
    return zip(
        zip(rows.frame.lead_ids, rows.as_of.tolist(), strict=True), said.tolist(), strict=True
    )


def test_its_card_says_whose_figures_these_are(made: Workspace, again: PropensityModel) -> None:
    card = read_card(made.bundles, again.digest)
    assert f"model `{simulated().model.digest[:12]}`" in card
    assert "fitted once more" in card
    assert "fitted once more" not in read_card(made.bundles, simulated().model.digest)


def test_a_calibration_of_a_refit_waits_for_outcomes_that_it_has_not_learned_from(
    refitted: Workspace, company: TrainedCompany, again: PropensityModel
) -> None:
    """The judged model could be recalibrated on these very rows; the refit has used them up."""
    promote(refitted, company.digest, now=END, by="ines", force="a test")
    assert recalibrate(refitted, now=END + 1, by="ines", follow=True).verdict is not None
    promote(refitted, again.digest, now=END + 2, by="ines", force="a test")
    with pytest.raises(NotEnoughEvidenceError, match="0 won and 0 not won"):
        recalibrate(refitted, now=END + 3, by="ines", follow=True)


def test_a_recalibrated_refit_learns_its_calibration_from_the_judged_model_and_new_rows(
    refitted: Workspace, company: TrainedCompany, again: PropensityModel, matured: Dataset
) -> None:
    """As if it had been fitted when half of the rows that judged had come."""
    after = after_boosters(matured, again)
    assert after is not None
    through = int(np.quantile(after.dataset.as_of, 0.4))
    about = dict(again.about)
    about["calibration"] = {**about["calibration"], "through_instant": through}
    about["refit"] = {**about["refit"], "through_instant": through}
    earlier = write_bundle(
        again.recalibrated(again.calibrator, about),
        refitted.bundles,
        created_at=END + 2,
        origin="refit",
        golden=simulated().frame.take(np.arange(3)),
        card="",
        parent=company.digest,
    )
    refitted.registry.add(earlier, {})
    promote(refitted, earlier, now=END + 2, by="ines", force="a test")
    done = recalibrate(refitted, now=END + 3, by="ines")
    raw = raw_unseen(refitted, refitted.registry.load(earlier), after.dataset, matured)
    wanted = fit_calibrator(
        raw,
        after.dataset.y,
        groups=after.dataset.lead,
        weights=after.weight,
        seed=0,
        start=again.calibrator,
    )
    assert done.calibration.calibrator == wanted.calibrator
    learned_from = refitted.registry.load(done.digest).about["learned_from"]["booster"]
    assert learned_from["rows"] == int((matured.as_of <= through).sum())


def test_a_decision_about_a_challenger_puts_its_refit_in_force_and_settles_both(
    workspace: Workspace, company: TrainedCompany
) -> None:
    done = decide(workspace, company.digest, now=END + DAY, by="loop", seed=0, warn=pytest.fail)
    assert done.verdict.decision == "promote"
    assert workspace.registry.champion_digest() == done.digest != company.digest
    assert done.verdict.evidence["judged"] == company.digest
    with workspace.store.read() as connection:
        assert settled(connection) == {company.digest, done.digest}
        assert {bundle.origin for bundle in list_bundles(connection)} == {"train", "refit"}


def test_a_refit_that_a_killed_run_left_undecided_is_not_promoted_as_the_newest(
    refitted: Workspace, company: TrainedCompany, again: PropensityModel
) -> None:
    """As a kill leaves it between fitting once more and the decision."""
    with refitted.store.read() as connection:
        assert list_decisions(connection) == []
    promote(refitted, "newest", now=END + 2, by="ines")
    assert refitted.registry.champion_digest() == company.digest
    promote(refitted, again.digest, now=END + 3, by="ines", force="a test")
    assert refitted.registry.find("newest") == again.digest


def with_curves_times(workspace: Workspace, digest: str, factor: float) -> str:
    """Another model: the additive part alone, each of its curves multiplied."""
    model = workspace.registry.load(digest)
    assert model.learner.linear is not None
    terms = tuple(
        replace(
            term,
            values=tuple(factor * value for value in term.values),
            missing=factor * term.missing,
        )
        for term in model.learner.linear.terms
    )
    linear = replace(model.learner.linear, terms=terms)
    learner = replace(model.learner, linear=linear, trees=None, weight=1.0, spread=None)
    made = write_bundle(
        replace(model, learner=learner, digest=""),
        workspace.bundles,
        created_at=END,
        origin="train",
        golden=simulated().frame.take(np.arange(3)),
        card="",
    )
    workspace.registry.add(made, {})
    return made


def test_what_is_not_promoted_is_not_fitted_again(
    workspace: Workspace, company: TrainedCompany
) -> None:
    """A challenger that puts those first who buy last."""
    promote(workspace, company.digest, now=END, by="ines", force="a test")
    digest = with_curves_times(workspace, company.digest, -1.0)
    done = decide(workspace, digest, now=END + DAY, by="loop", seed=0, warn=pytest.fail)
    assert (done.digest, done.verdict.decision) == (digest, "keep")
    assert workspace.registry.champion_digest() == company.digest
    assert len(list(workspace.bundles.iterdir())) == 2


@pytest.mark.slow
def test_a_refit_of_a_refit_is_one_of_the_model_that_was_judged(
    refitted: Workspace, company: TrainedCompany, again: PropensityModel
) -> None:
    """Its own scores of the rows that judged would be those of a model that has learned from them."""
    once_more = refit(refitted, again.digest, now=END + 2 * DAY)
    assert once_more is not None
    model = refitted.registry.load(once_more)
    assert read_manifest(refitted.bundles, once_more)["parent"] == company.digest
    assert model.about["refit"]["judged"] == company.digest
    assert model.about["refit"]["level"] == again.about["refit"]["level"]
    assert as_trained(model) == as_trained(again)


@pytest.mark.parametrize(
    ("evidence", "decision"),
    [
        ({"difference": 0.025, "standard_error": 0.01, "objections": ""}, "promote"),
        ({"difference": -0.5, "standard_error": 0.01, "objections": ""}, "promote"),
        ({"difference": 0.026, "standard_error": 0.01, "objections": ""}, "undecided"),
        (
            {"difference": -0.5, "standard_error": 1.0, "objections": "its order is worse"},
            "undecided",
        ),
        ({"wins": 3, "more_wins_needed": 17}, "undecided"),
    ],
)
def test_a_challenger_succeeds_unless_it_is_worse_or_spoils_something(
    evidence: dict[str, object], decision: str
) -> None:
    found = succession(Verdict("undecided", "undecided: no difference", evidence))
    assert found.decision == decision


def test_what_one_look_of_many_finds_worse_may_succeed_and_what_is_surely_worse_may_not() -> None:
    """Two and a half standard errors are what 99 % asks, on both sides (2.576 of a normal)."""
    for difference, decision in ((0.0257, "promote"), (0.0258, "keep")):
        evidence = {"difference": difference, "standard_error": 0.01, "objections": ""}
        assert succession(Verdict("keep", "worse", evidence)).decision == decision


def test_a_first_model_is_asked_to_be_better_than_none_not_to_be_no_worse(
    workspace: Workspace, company: TrainedCompany
) -> None:
    """One that is no better than knowing nothing has a difference, too, and nothing against it."""
    digest = with_curves_times(workspace, company.digest, 0.0)
    done = decide(workspace, digest, now=END + DAY, by="loop", seed=0, warn=pytest.fail)
    assert "difference" in done.verdict.evidence
    assert done.verdict.decision == "undecided"
    assert workspace.registry.champion_digest() is None


@pytest.mark.parametrize("age", [130, 640])
def test_a_young_company_gets_what_is_agreed_and_no_model_that_nothing_has_judged(
    company: TrainedCompany, tmp_path: Path, age: int
) -> None:
    history = company.read_only()
    young = scratch(tmp_path / "young", history.definition_path)
    begun = first_recorded(history.store)
    assert begun is not None
    now = begun + age * DAY
    copy_recorded(history.store, young.store, history.definition(), since=0, until=now)
    done = retrain(young, now=now, by="tests", config=CONFIG)
    assert done.verdict.decision == "promote"
    model = young.registry.champion()
    assert is_agreed(model) or bounds_of(model) is not None
    with young.store.read() as connection:
        origins = {one.digest: one.origin for one in list_bundles(connection)}
    assert origins[done.digest] == ("train" if is_agreed(model) else "refit")
    assert is_agreed(model) == (age == 130)
    for one in (history, young):
        one.store.close()
