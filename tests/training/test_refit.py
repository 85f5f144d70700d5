"""A refit learns from the rows that judged, says as many wins of them, and never speaks of its own rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_cases import simulated
from scipy.special import expit
from trained_company import END, TrainedCompany, trained_company

from features.clock import DAY
from features.store.promotions import list_bundles, settled
from models.bundle import read_card, read_manifest, write_bundle
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.dataset import Dataset
from training.evaluate import evaluate
from training.loop.retrain import decide, succession
from training.promote import paired_verdict, promote
from training.recalibrate import recalibrate
from training.refit import refit
from training.splits import Bounds, pieces
from training.unseen import after_boosters, bounds_of, matured_rows, raw_unseen
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
    return made.registry.load(made.registry.find("newest"))


@pytest.fixture(scope="module")
def matured(made: Workspace, again: PropensityModel) -> Dataset:
    return matured_rows(made, again.definition)


@pytest.fixture
def workspace(company: TrainedCompany, tmp_path: Path) -> Iterator[Workspace]:
    found = company.copy(tmp_path / "home")
    yield found
    found.store.close()


def test_a_refit_is_another_booster_at_the_level_of_the_model_that_was_judged(
    made: Workspace, again: PropensityModel, matured: Dataset
) -> None:
    judged = simulated().model
    manifest = read_manifest(made.bundles, again.digest)
    assert (manifest["origin"], manifest["parent"]) == ("refit", judged.digest)
    bounds = bounds_of(judged)
    assert bounds is not None
    held = pieces(matured, bounds)[2]
    frame = matured.frame.take(held.rows)
    ours, theirs = again.raw(frame), judged.raw(frame)
    assert np.abs(ours - theirs).max() > 0.05
    means = [np.average(expit(raw), weights=held.weight) for raw in (ours, theirs)]
    assert means[0] == pytest.approx(means[1], abs=1e-6)
    assert again.calibrator == judged.calibrator


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
    both = [model.raw(matured.frame) for model in (judged, again)]
    for model, through in ((again, int(matured.as_of.max())), (earlier, middle)):
        known = {
            lead
            for lead, at in zip(matured.lead.tolist(), matured.as_of.tolist(), strict=True)
            if at <= through
        }
        wanted = [both[lead not in known][row] for row, lead in enumerate(matured.lead.tolist())]
        assert raw_unseen(made, model, matured, matured).tolist() == wanted
    assert len({lead not in known for lead in matured.lead.tolist()}) == 2
    assert np.array_equal(raw_unseen(made, judged, matured, matured), both[0])


def test_evidence_about_a_refit_is_evidence_about_what_was_judged(
    made: Workspace, again: PropensityModel, matured: Dataset
) -> None:
    judged = simulated().model
    found, then = evaluate(made, again.digest), evaluate(made, judged.digest)
    assert found.evidence is not None
    assert then.evidence is not None
    assert np.array_equal(found.evidence.raw, then.evidence.raw)
    assert found.report.figures["log_loss"] == pytest.approx(then.report.figures["log_loss"])
    rows = after_boosters(matured, again)
    assert rows is not None
    assert not np.array_equal(again.raw(rows.dataset.frame), found.evidence.raw), (
        "its own scores of rows it has learned from would flatter it"
    )
    verdict = paired_verdict(made, judged.digest, again.digest, 0)
    assert verdict.evidence["difference"] == 0.0


def test_its_card_says_whose_figures_these_are(made: Workspace, again: PropensityModel) -> None:
    card = read_card(made.bundles, again.digest)
    assert f"model `{simulated().model.digest[:12]}`" in card
    assert "fitted once more" in card
    assert "fitted once more" not in read_card(made.bundles, simulated().model.digest)


def test_a_recalibration_of_a_refit_is_fitted_to_what_the_judged_model_said(
    workspace: Workspace, company: TrainedCompany
) -> None:
    """The very calibration that the judged model would get: the refit's own scores know the outcomes."""
    promote(workspace, company.digest, now=END, by="ines", force="a test")
    plain = recalibrate(workspace, now=END + 1, by="ines", follow=True)
    made = refit(workspace, company.digest, now=END + 2)
    assert made is not None
    promote(workspace, made, now=END + 2, by="ines", force="a test")
    done = recalibrate(workspace, now=END + 3, by="ines", follow=True)
    assert done.calibration.calibrator == plain.calibration.calibrator
    about = workspace.registry.load(done.digest).about
    assert about["refit"]["judged"] == company.digest
    assert about["learned_from"]["booster"]["rows"] == about["data"]["rows"]


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


def test_what_is_not_promoted_is_not_fitted_again(
    workspace: Workspace, company: TrainedCompany
) -> None:
    """A challenger that puts those first who buy last."""
    promote(workspace, company.digest, now=END, by="ines", force="a test")
    model = workspace.registry.load(company.digest)
    assert model.learner.linear is not None
    turned = tuple(
        replace(term, values=tuple(-value for value in term.values), missing=-term.missing)
        for term in model.learner.linear.terms
    )
    linear = replace(model.learner.linear, terms=turned)
    learner = replace(model.learner, linear=linear, trees=None, weight=1.0, spread=None)
    digest = write_bundle(
        replace(model, learner=learner, digest=""),
        workspace.bundles,
        created_at=END,
        origin="train",
        golden=simulated().frame.take(np.arange(3)),
        card="",
    )
    workspace.registry.add(digest, {})
    done = decide(workspace, digest, now=END + DAY, by="loop", seed=0, warn=pytest.fail)
    assert (done.digest, done.verdict.decision) == (digest, "keep")
    assert workspace.registry.champion_digest() == company.digest
    assert len(list(workspace.bundles.iterdir())) == 2


@pytest.mark.parametrize(
    ("evidence", "decision"),
    [
        ({"difference": 0.0009, "standard_error": 0.001, "objections": []}, "promote"),
        ({"difference": -0.5, "standard_error": 1.0, "objections": []}, "promote"),
        ({"difference": 0.0011, "standard_error": 0.001, "objections": []}, "undecided"),
        ({"difference": -0.5, "standard_error": 1.0, "objections": ["order"]}, "undecided"),
        ({"wins": 3, "more_wins_needed": 17}, "undecided"),
    ],
)
def test_a_challenger_succeeds_unless_it_is_worse_or_spoils_something(
    evidence: dict[str, object], decision: str
) -> None:
    found = succession(Verdict("undecided", "undecided: no difference", evidence))
    assert found.decision == decision


def test_nothing_else_is_made_a_promotion() -> None:
    worse = Verdict("keep", "worse", {"difference": 0.1, "standard_error": 1.0, "objections": []})
    assert succession(worse) == worse
