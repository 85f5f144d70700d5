"""Who scores is decided by paired evidence on rows neither model has learned from, and on record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_cases import simulated
from models_made import forget_bytes
from scipy.special import expit
from trained_company import END, TrainedCompany, trained_company

from features.definition import parse_definition
from features.errors import BundleError, NotFoundError
from features.store.promotions import DecisionRecord, list_decisions
from models.bundle import write_bundle
from models.calibrators import Calibrator, Offset, Platt
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.config import TrainConfig
from training.promote import paired_verdict, promote, roll_back
from training.run import train
from training.splits import Bounds, pieces
from training.unseen import matured_rows, standing_for, unseen_rows
from training.verdicts import LEAST_WINS, compare

# Two models and the outcomes of leads, without any store


def world(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True probabilities, outcomes, and a lead for each row."""
    rng = np.random.default_rng(seed)
    p = expit(rng.normal(-1, 1.2, n))
    return p, (rng.random(n) < p).astype(np.int64), np.arange(n)


def test_the_better_model_is_promoted_and_the_worse_kept_out() -> None:
    p, y, lead = world(4_000)
    blurred = np.full(4_000, p.mean())
    assert compare(p, blurred, y, lead, 0).decision == "promote"
    kept = compare(blurred, p, y, lead, 0)
    assert kept.decision == "keep"
    assert kept.reason.startswith("worse: log loss +")
    assert kept.evidence["lower"] > 0


def test_two_that_hardly_differ_are_undecided_and_it_says_how_many_more_leads_it_takes() -> None:
    p, y, lead = world(600)
    near = expit(np.log(p / (1 - p)) + 0.05)
    verdict = compare(near, p, y, lead, 0)
    assert verdict.decision == "undecided"
    more = verdict.evidence["more_leads_needed"]
    assert f"about {more:,} more would decide" in verdict.reason
    assert more > 600


def test_two_that_say_the_same_can_never_be_decided() -> None:
    p, y, lead = world(600)
    verdict = compare(p, p, y, lead, 0)
    assert verdict.decision == "undecided"
    assert "no number of outcomes would decide" in verdict.reason


@pytest.mark.parametrize("won", [0, 5, LEAST_WINS - 1])
def test_too_few_won_leads_decide_nothing_and_it_says_how_many_are_missing(won: int) -> None:
    y = np.r_[np.ones(won), np.zeros(500)].astype(np.int64)
    better = np.where(y == 1, 0.9, 0.1)
    verdict = compare(better, 1 - better, y, np.arange(len(y)), 0)
    assert verdict.decision == "undecided"
    assert verdict.evidence == {"wins": won, "more_wins_needed": LEAST_WINS - won}
    assert f"{LEAST_WINS - won} more are needed" in verdict.reason


def test_rows_of_one_lead_do_not_make_it_surer() -> None:
    p, y, lead = world(300)
    noisy = expit(np.log(p / (1 - p)) + np.random.default_rng(1).normal(0, 0.5, 300))
    once = compare(p, noisy, y, lead, 0)
    often = compare(*(np.repeat(x, 12) for x in (p, noisy, y, lead)), 0)
    assert often.decision == once.decision
    assert often.evidence["leads"] == 300
    assert often.evidence["standard_error"] == pytest.approx(once.evidence["standard_error"])


def test_a_row_that_stands_for_three_counts_for_three() -> None:
    p, y, lead = world(900)
    flat = np.full(900, p.mean())
    weight = np.where(np.arange(900) < 300, 3.0, 1.0)
    thrice = np.concatenate([np.arange(900), np.arange(300), np.arange(300)])
    weighted = compare(p, flat, y, lead, 0, weight)
    counted = compare(p[thrice], flat[thrice], y[thrice], lead[thrice], 0)
    assert weighted.evidence["difference"] == pytest.approx(counted.evidence["difference"])
    assert weighted.evidence["observed"] == pytest.approx(counted.evidence["observed"])


def test_evidence_is_plain_json_with_what_was_promised_and_what_came() -> None:
    p, y, lead = world(900)
    evidence = compare(p, np.full(900, 0.5), y, lead, 0).evidence
    assert evidence["observed"] == pytest.approx(y.mean())
    assert evidence["expected_challenger"] == pytest.approx(p.mean())
    assert evidence["expected_champion"] == 0.5
    assert evidence["rows"] == 900
    assert all(isinstance(value, int | float | str) for value in evidence.values())


# In an installation


@pytest.fixture(scope="module")
def company() -> TrainedCompany:
    return trained_company()


@pytest.fixture
def workspace(company: TrainedCompany, tmp_path: Path) -> Iterator[Workspace]:
    found = company.copy(tmp_path / "home")
    yield found
    found.store.close()


def put(workspace: Workspace, model: PropensityModel, number: int = 1) -> str:
    """A bundle of a model, made known; its digest."""
    rows = simulated().frame.take(np.arange(3))
    digest = write_bundle(
        model, workspace.bundles, created_at=END + number, origin="train", golden=rows, card=""
    )
    workspace.registry.add(digest, {})
    return digest


def calibrated(calibrator: Calibrator, **about: Any) -> PropensityModel:
    model = simulated().model
    return model.recalibrated(calibrator, {**model.about, **about})


def decisions(workspace: Workspace) -> list[DecisionRecord]:
    with workspace.store.read() as connection:
        return list_decisions(connection)


def decide(workspace: Workspace, name: str, **given: Any) -> Any:
    return promote(workspace, name, now=END, by="ines", **given)


def test_a_first_model_that_is_better_than_none_is_promoted(
    workspace: Workspace, company: TrainedCompany
) -> None:
    verdict = decide(workspace, "newest")
    assert verdict.decision == "promote"
    assert workspace.registry.champion_digest() == company.digest
    assert verdict.reason.startswith("the first model, and better than none: AUC 0.6")
    (recorded,) = decisions(workspace)
    assert (recorded.decision, recorded.bundle, recorded.against) == (
        "promote",
        company.digest,
        None,
    )
    assert (recorded.decided_at, recorded.decided_by) == (END, "ines")
    assert decide(workspace, "newest").decision == "keep", "it is the champion already"
    assert len(decisions(workspace)) == 1, "and that is no decision"


def test_a_worse_model_is_kept_out_and_a_better_one_let_in(
    workspace: Workspace, company: TrainedCompany
) -> None:
    wild = put(workspace, calibrated(Offset(2.5)))
    assert decide(workspace, wild, force="a try").decision == "promote"
    right = decide(workspace, company.digest[:10])
    assert right.decision == "promote"
    assert right.reason.startswith("better: log loss -")
    assert right.evidence["expected_champion"] > 2 * right.evidence["observed"]
    wrong = decide(workspace, wild)
    assert wrong.decision == "keep"
    assert workspace.registry.champion_digest() == company.digest
    assert [(d.decision, d.against) for d in decisions(workspace)] == [
        ("promote", None),
        ("promote", wild),
        ("keep", company.digest),
    ]


def test_a_reason_promotes_whatever_the_evidence_says_and_is_on_record(
    workspace: Workspace, company: TrainedCompany
) -> None:
    decide(workspace, company.digest)
    wild = put(workspace, calibrated(Offset(2.5)))
    verdict = decide(workspace, wild, force="the regulator wants it")
    assert verdict.decision == "promote"
    assert workspace.registry.champion_digest() == wild
    assert decisions(workspace)[-1].reason.startswith(
        "forced: the regulator wants it (worse: log loss"
    )
    assert decisions(workspace)[-1].evidence["lower"] > 0, "the evidence against it is kept"


def test_rolling_back_makes_the_champion_before_score_again(
    workspace: Workspace, company: TrainedCompany
) -> None:
    decide(workspace, company.digest)
    wild = put(workspace, calibrated(Offset(2.5)))
    decide(workspace, wild, force="a try")
    told: list[str] = []
    back = roll_back(workspace, now=END, by="ines", reason="it cries wolf", on_warning=told.append)
    assert back == workspace.registry.champion_digest() == company.digest
    assert decisions(workspace)[-1].reason == "it cries wolf"
    assert decisions(workspace)[-1].against == wild
    with pytest.raises(NotFoundError, match="no earlier champion"):
        roll_back(workspace, now=END, by="ines", reason="again", on_warning=told.append)


def test_a_bundle_altered_after_training_is_not_promoted(
    workspace: Workspace, company: TrainedCompany
) -> None:
    path = workspace.bundles / company.digest / "booster.txt"
    path.write_bytes(path.read_bytes()[:-10])
    forget_bytes(workspace)
    with pytest.raises(BundleError, match="was altered"):
        decide(workspace, "newest")
    assert workspace.registry.champion_digest() is None
    assert decisions(workspace) == []


@pytest.mark.parametrize("what", ["definition", "dates", "nothing new"])
def test_what_cannot_be_compared_says_why(
    workspace: Workspace, company: TrainedCompany, what: str
) -> None:
    champion, model = company.digest, simulated().model
    bounds = model.about["judged"]["bounds"]
    judged = {
        "definition": model.about["judged"],
        "dates": {**model.about["judged"], "bounds": None},
        "nothing new": {**model.about["judged"], "bounds": {**bounds, "judge_from": END}},
    }[what]
    other = calibrated(Offset(0.0), judged=judged)
    if what == "definition":
        text = model.definition.to_yaml().replace("horizon_days: 90", "horizon_days: 91")
        other = replace(other, definition=parse_definition(text))
    verdict = paired_verdict(workspace, put(workspace, other), champion, seed=0)
    assert verdict.decision == "undecided"
    assert {
        "definition": "different lead definitions",
        "dates": "without dates",
        "nothing new": "no matured rows that neither model has learned from",
    }[what] in verdict.reason


def test_a_booster_is_compared_with_one_that_was_recalibrated_on_all_there_is(
    workspace: Workspace, company: TrainedCompany
) -> None:
    """Weekly recalibrations would otherwise leave no rows on which boosters could ever be compared."""
    model = simulated().model
    newest = int(unseen_rows(workspace, model).dataset.as_of.max())  # type: ignore[union-attr]
    calibration = {**model.about["calibration"], "through_instant": newest}
    champion = put(workspace, calibrated(Offset(-0.4), calibration=calibration))
    few = TrainConfig(leaves=(2,), most_trees=3)
    away = replace(workspace, mlflow_uri="http://127.0.0.1:9")
    challenger = train(away, few, now=END + 5).digest
    for one, other in ((challenger, champion), (champion, challenger)):
        verdict = paired_verdict(workspace, one, other, seed=0)
        assert verdict.evidence["calibrations"] == "out of fold"
        assert verdict.evidence["rows"] == model.about["judged"]["figures"]["n"]
        assert "both recalibrated on other leads of the same time" in verdict.reason
        # The level, which the champion's calibration has put right, is nobody's advantage.
        for said in ("expected_challenger", "expected_champion"):
            assert verdict.evidence[said] == pytest.approx(verdict.evidence["observed"], rel=0.1)
    again = paired_verdict(workspace, challenger, champion, seed=0)
    assert again.evidence["difference"] == pytest.approx(-verdict.evidence["difference"])
    assert again.decision != "promote", "three stumps are no better than what was learned"


def test_an_agreed_model_scores_until_a_learned_one_is_better(
    workspace: Workspace, company: TrainedCompany
) -> None:
    """Nothing was learned, so there is nothing to prove at first, and every row is new to it."""
    about = simulated().model.about
    nothing = {
        "data": {**about["data"], "rows": 0},
        "judged": {"how": "", "bounds": None, "figures": None},
    }
    agreed = put(workspace, calibrated(Platt(0.0, 1.0), **nothing))
    first = decide(workspace, agreed)
    assert (first.decision, first.evidence) == ("promote", {})
    assert "agreed on and not learned" in first.reason
    learned = decide(workspace, company.digest)
    assert learned.decision == "promote"
    assert learned.reason.startswith("better: log loss -")
    assert learned.evidence["rows"] == about["judged"]["figures"]["n"]


def test_a_first_model_without_dates_is_judged_by_its_folds(workspace: Workspace) -> None:
    judged = {**simulated().model.about["judged"], "bounds": None}
    blind = {**judged["figures"], "auc": {"estimate": 0.51, "lower": 0.44, "upper": 0.58}}
    for figures, decision in ((judged["figures"], "promote"), (blind, "undecided")):
        model = calibrated(Offset(0.0), judged={**judged, "figures": figures})
        assert paired_verdict(workspace, put(workspace, model), None, 0).decision == decision


# Rows that nobody has learned from


def test_unseen_rows_are_the_judging_ones_with_their_weights(workspace: Workspace) -> None:
    model = simulated().model
    unseen = unseen_rows(workspace, model)
    assert unseen is not None
    dataset = matured_rows(workspace, model.definition)
    judge = pieces(dataset, Bounds(**model.about["judged"]["bounds"]))[2]
    assert unseen.dataset.fingerprint == dataset.take(judge.rows).fingerprint
    assert unseen.weight.tolist() == judge.weight.tolist()
    assert len(unseen) == model.about["judged"]["figures"]["n"]


def test_rows_a_recalibration_was_fitted_on_are_seen(workspace: Workspace) -> None:
    model = simulated().model
    newest = int(unseen_rows(workspace, model).dataset.as_of.max())  # type: ignore[union-attr]
    calibration = {**model.about["calibration"], "through_instant": newest - 1}
    later = calibrated(Offset(0.0), calibration=calibration)
    unseen = unseen_rows(workspace, model, later)
    assert unseen is not None
    assert set(unseen.dataset.as_of.tolist()) == {newest}
    calibration = {**calibration, "through_instant": newest}
    assert unseen_rows(workspace, calibrated(Offset(0.0), calibration=calibration)) is None


@pytest.mark.parametrize("same_seed", [True, False])
def test_rows_that_judge_two_models_stand_for_all_rows_of_their_time(
    workspace: Workspace, same_seed: bool
) -> None:
    """Over 150 draws the weights add up to the rows; 5 standard errors err once in 1.7 million."""
    model, totals, wins = simulated().model, [], []
    dataset = matured_rows(workspace, model.definition)
    bounds = Bounds(**model.about["judged"]["bounds"])
    # The second model was trained on less: its pieces lie earlier.
    earlier = replace(
        bounds,
        judge_from=int(np.sort(np.unique(dataset.as_of))[-6]),
        calibrate_from=bounds.calibrate_from - (bounds.judge_from - bounds.calibrate_from) // 2,
    )
    late = dataset.as_of >= max(bounds.judge_from, earlier.judge_from)
    for seed in range(150):
        other = seed if same_seed else seed + 1_000
        weight = standing_for(dataset, [replace(bounds, seed=seed), replace(earlier, seed=other)])
        assert not weight[~late].any()
        totals.append(weight.sum())
        wins.append(weight @ dataset.y)
    for drawn, whole in ((totals, late.sum()), (wins, dataset.y[late].sum())):
        error = np.std(drawn, ddof=1) / np.sqrt(len(drawn))
        assert abs(np.mean(drawn) - whole) < 5 * error
