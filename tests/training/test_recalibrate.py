"""A recalibration keeps the booster's bytes, follows a world that moved, and refuses to fit noise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from model_cases import simulated
from on_record import decide
from quiet_mlflow import tracking
from sqlalchemy import select
from trained_company import END, TrainedCompany, trained_company

from features.clock import DAY
from features.definition import parse_definition
from features.errors import NoModelError, NotEnoughEvidenceError
from features.store.outcomes import Deal, Ending, deals
from features.store.promotions import list_bundles, list_decisions
from features.store.recording import record_deals
from features.store.tables import leads
from models.bundle import read_card, read_manifest, write_bundle
from models.calibrators import Calibrator, Identity, Offset, calibrator_from_json
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.evaluate import evaluate
from training.fitters import fit_offset
from training.forward import LEAST_WINS, out_of_fold
from training.metrics import observed_over_expected
from training.recalibrate import recalibrate
from training.splits import Bounds, pieces
from training.unseen import matured_rows, unseen_rows


@pytest.fixture(scope="module")
def company() -> TrainedCompany:
    return trained_company()


@pytest.fixture
def workspace(company: TrainedCompany, tmp_path: Path) -> Iterator[Workspace]:
    """A copy whose bundle is the champion."""
    found = company.copy(tmp_path / "home")
    promoted(found, company.digest, None)
    yield found
    found.store.close()


def crown(workspace: Workspace, model: PropensityModel, against: str) -> str:
    """Make a model the champion, on record; its digest."""
    rows = simulated().frame.take(np.arange(3))
    digest = write_bundle(
        model, workspace.bundles, created_at=END, origin="train", golden=rows, card=""
    )
    workspace.registry.add(digest, {})
    promoted(workspace, digest, against)
    return digest


def promoted(workspace: Workspace, digest: str, against: str | None) -> None:
    """Put a promotion on record."""
    decide(workspace.store, digest, decided_at=END, against=against)


def calibrated(calibrator: Calibrator, **calibration: Any) -> PropensityModel:
    model = simulated().model
    about = {**model.about, "calibration": {**model.about["calibration"], **calibration}}
    return model.recalibrated(calibrator, about)


def turn(workspace: Workspace, was: Ending, into: Ending, share: float, since: int) -> int:
    """The world turns: of the deals that ended one way since an instant, some ended another way."""
    rng = np.random.default_rng(0)
    query = select(deals, leads.c.external_id.label("of")).join(leads)
    query = query.where(deals.c.ending == was, deals.c.occurred_at >= since).order_by(deals.c.id)
    with workspace.store.write() as connection:
        revised = [
            Deal(
                lead=row.of,
                ending=into,
                occurred_at=row.occurred_at,
                recorded_at=END - 1,
                source=row.source,
                external_id=row.external_id,
            )
            for row in connection.execute(query)
            if rng.random() < share
        ]
        report = record_deals(connection, revised, workspace.definition(), END)
    assert not report.problems
    return len(revised)


def judge_from() -> int:
    return int(simulated().model.about["judged"]["bounds"]["judge_from"])


def test_a_world_that_moved_is_followed_and_the_booster_stays(
    workspace: Workspace, company: TrainedCompany
) -> None:
    assert turn(workspace, "lost", "won", 0.25, judge_from()) > 50
    before = workspace.registry.champion()
    told: list[str] = []
    done = recalibrate(workspace, now=END + 1, by="ines", warn=told.append)
    assert told == []
    assert done.verdict.decision == "promote"
    assert workspace.registry.champion_digest() == done.digest != company.digest
    after = workspace.registry.champion()
    assert after.learner.trees.text == before.learner.trees.text
    ours = workspace.bundles
    assert (ours / done.digest / "booster.txt").read_bytes() == (
        ours / company.digest / "booster.txt"
    ).read_bytes()
    frame = simulated().frame
    assert after.raw(frame).tobytes() == before.raw(frame).tobytes()
    assert after.score(frame).probability.mean() > 1.3 * before.score(frame).probability.mean()
    _says_where_it_comes_from(workspace, done.digest, company.digest)
    _is_catalogued(workspace, done.digest)
    _is_shown_by_what_was_said_on_the_way(workspace, done.digest)
    with pytest.raises(NotEnoughEvidenceError, match="0 won and 0 not won leads have matured"):
        recalibrate(workspace, now=END + 1, by="ines")


def _is_shown_by_what_was_said_on_the_way(workspace: Workspace, digest: str) -> None:
    """All outcomes were taken to fit it: none is left, and the page does not claim one."""
    found = evaluate(workspace, digest)
    assert found.evidence is not None
    assert found.report.source == "evidence"
    about = found.model.about["judged"]
    assert found.report.how == about["how"]
    for figure in ("n", "wins", "log_loss"):
        assert found.report.figures[figure] == pytest.approx(about["figures"][figure])


def _says_where_it_comes_from(workspace: Workspace, digest: str, parent: str) -> None:
    manifest = read_manifest(workspace.bundles, digest)
    assert (manifest["parent"], manifest["origin"]) == (parent, "recalibrate")
    assert manifest["booster"] == read_manifest(workspace.bundles, parent)["booster"]
    with workspace.store.read() as connection:
        known = {bundle.digest: bundle for bundle in list_bundles(connection)}
        *_, decision = list_decisions(connection)
    assert known[digest].parent == parent
    assert (decision.decision, decision.bundle, decision.against) == ("promote", digest, parent)
    assert decision.evidence["difference"] < 0
    about = workspace.registry.load(digest).about
    assert about["calibration"]["name"] in about["calibration"]["reason"]
    rows = unseen_rows(workspace, workspace.registry.load(parent))
    assert rows is not None
    assert about["calibration"]["through_instant"] == int(rows.dataset.as_of.max())
    assert about["judged"]["how"].startswith("Judged forward in time as a recal")
    assert about["judged"]["bounds"] == simulated().model.about["judged"]["bounds"]
    assert "Judged forward in time as a recal" in read_card(workspace.bundles, digest)
    assert unseen_rows(workspace, workspace.registry.load(digest)) is None


def _is_catalogued(workspace: Workspace, digest: str) -> None:
    client = tracking.MlflowClient(workspace.mlflow_uri)
    versions = client.search_model_versions(f"name = '{tracking.MODEL_NAME}'")
    assert {version.tags["digest"] for version in versions} == {digest}
    run = client.get_run(versions[0].run_id)
    assert run.data.tags["origin"] == "recalibrate"
    assert run.data.metrics["log_loss"] > 0


def test_where_nothing_has_moved_beyond_noise_the_champion_stays(
    workspace: Workspace, company: TrainedCompany
) -> None:
    model = simulated().model
    rows = unseen_rows(workspace, model)
    assert rows is not None
    raw = model.raw(rows.dataset.frame)
    level = fit_offset(raw, rows.dataset.y.astype(float), 10 * rows.weight)
    champion = crown(workspace, calibrated(level), company.digest)
    done = recalibrate(workspace, now=END + 1, by="ines")
    assert done.verdict.decision == "undecided"
    assert workspace.registry.champion_digest() == champion
    assert done.calibration.calibrator == level, "what is right is left as it is"
    assert done.calibration.reason.startswith("offset as it was: with ")
    assert "there is nothing to change" in done.verdict.reason
    with workspace.store.read() as connection:
        *_, decision = list_decisions(connection)
    assert (decision.decision, decision.bundle) == ("undecided", done.digest)
    assert workspace.registry.find("newest") == done.digest, "it can still be promoted by a person"
    json.dumps(done.calibration.to_json(), allow_nan=False)


def test_the_figures_shown_are_forward_in_time_beside_those_of_the_training(
    workspace: Workspace, company: TrainedCompany
) -> None:
    """The world turns within the rows: out of fold nothing is to be seen, forward the newest are off."""
    cohorts = np.unique(unseen_rows(workspace, simulated().model).dataset.as_of)  # type: ignore[union-attr]
    turn(workspace, "lost", "won", 0.4, int(cohorts[-1]))
    done = recalibrate(workspace, now=END + 1, by="ines")
    about = workspace.registry.load(done.digest).about
    judged, before = about["judged"], simulated().model.about["judged"]
    assert about["judged_when_trained"] == before
    assert judged["cohorts"][-1]["recalibrated"]["lower"] > 1
    assert judged["figures"]["observed_over_expected"]["estimate"] > 1.1
    rows = unseen_rows(workspace, simulated().model)
    assert rows is not None
    known, raw = rows.dataset, simulated().model.raw(rows.dataset.frame)
    folded = out_of_fold(raw, known.y, known.lead, rows.weight, 0, Identity())
    level = observed_over_expected(folded, known.y, groups=known.lead, weights=rows.weight)
    assert level.estimate == pytest.approx(1.0, abs=0.06)
    assert sum(cohort["rows"] for cohort in judged["cohorts"]) == judged["figures"]["n"]
    card = read_card(workspace.bundles, done.digest)
    now, then = card.index("## How good it is\n"), card.index("## How good it was as trained")
    assert now < card.index("Judged forward in time as a recalibrated model") < then
    assert then < card.index(before["how"])
    assert "Observed ÷ expected, recalibrated" in card[now:then]
    assert "Each interval holds on its own" in card
    assert [w for w in about["warnings"] if w.startswith("Its figures since the recalibration")]


def test_the_card_counts_what_the_booster_and_what_the_calibration_learned_from(
    workspace: Workspace,
) -> None:
    model = simulated().model
    done = recalibrate(workspace, now=END + 1, by="ines")
    about = workspace.registry.load(done.digest).about
    matured = matured_rows(workspace, model.definition)
    fit, chosen, judge = pieces(matured, Bounds(**model.about["judged"]["bounds"]))
    booster, calibration = about["learned_from"]["booster"], about["learned_from"]["calibration"]
    assert booster["rows"] == len(fit) + len(chosen)
    assert booster["wins"] == int(matured.y[np.r_[fit.rows, chosen.rows]].sum())
    assert calibration["rows"] == len(judge)
    assert calibration["leads"] == len(np.unique(matured.lead[judge.rows]))
    assert about["data"] == model.about["data"], (
        "what was there when it was trained stays on record"
    )
    card = read_card(workspace.bundles, done.digest)
    assert f"| The booster was fitted on | {booster['rows']:,} rows" in card
    assert f"| The calibration was fitted on | {calibration['rows']:,} rows" in card
    assert "Rows with a known outcome when it was trained" in card


def test_what_the_definition_warns_of_is_still_warned_of(
    workspace: Workspace, company: TrainedCompany
) -> None:
    model = simulated().model
    content = yaml.safe_load(model.definition.to_yaml())
    content |= {"horizon_days": None, "cohorts": {"after_opening_hours": 0}}
    open_ended = parse_definition(yaml.safe_dump(content))
    crown(workspace, replace(model, definition=open_ended), company.digest)
    done = recalibrate(workspace, now=END + 1, by="ines")
    warnings = workspace.registry.load(done.digest).about["warnings"]
    assert [one for one in warnings if one.startswith("The promise has no horizon")]


def test_a_second_recalibration_remembers_the_training_and_decides_by_what_is_new(
    workspace: Workspace, company: TrainedCompany
) -> None:
    trained = simulated().model
    rows = unseen_rows(workspace, trained)
    assert rows is not None
    through = int(np.unique(rows.dataset.as_of)[0])
    turn(workspace, "lost", "won", 0.25, through + 1)
    first = calibrated(
        Offset(-0.4), through_instant=through, as_trained=trained.calibrator.to_json()
    )
    crown(workspace, first, company.digest)
    done = recalibrate(workspace, now=END + 1, by="ines")
    about = workspace.registry.load(done.digest).about
    assert calibrator_from_json(about["calibration"]["as_trained"]) == trained.calibrator
    assert about["judged_when_trained"] == trained.about["judged"]
    newer = unseen_rows(workspace, first)
    assert newer is not None
    assert 0 < len(newer) == done.verdict.evidence["rows"]
    known = newer.dataset
    said = first.score(known.frame).probability
    level = observed_over_expected(said, known.y, groups=known.lead, weights=newer.weight)
    assert done.verdict.evidence["level_estimate"] == pytest.approx(level.estimate)


def test_too_few_outcomes_are_refused_with_their_number(
    workspace: Workspace, company: TrainedCompany
) -> None:
    turn(workspace, "won", "lost", 0.9, judge_from() - 90 * DAY)
    rows = unseen_rows(workspace, simulated().model)
    assert rows is not None
    won = len(np.unique(rows.dataset.lead[rows.dataset.y == 1]))
    assert 0 < won < LEAST_WINS
    with pytest.raises(NotEnoughEvidenceError) as caught:
        recalibrate(workspace, now=END + 1, by="ines")
    assert caught.value.message.startswith(f"{won} won and ")
    assert f"Wait for {LEAST_WINS - won} more" in caught.value.hint
    assert workspace.registry.champion_digest() == company.digest
    assert len(list(workspace.bundles.iterdir())) == 1, "no bundle was written"


def test_without_a_champion_there_is_nothing_to_recalibrate(
    company: TrainedCompany, tmp_path: Path
) -> None:
    bare = company.copy(tmp_path / "bare")
    with pytest.raises(NoModelError):
        recalibrate(bare, now=END + 1, by="ines")
    bare.store.close()


def test_nobody_is_told_by_a_calibrator_that_has_seen_their_lead() -> None:
    """Were a lead's own outcome used, saying its probability would improve with its weight."""
    rng = np.random.default_rng(0)
    raw = np.repeat(rng.normal(-1, 1, 150), 3)
    lead = np.repeat(np.arange(150), 3)
    y = (rng.random(150) < 0.3).astype(np.int64)[lead]
    base = out_of_fold(raw, y, lead, np.ones(450), 0)
    for who in (0, 77):
        flipped = np.where(lead == who, 1 - y, y)
        said = out_of_fold(raw, flipped, lead, np.ones(450), 0)
        assert said[lead == who].tobytes() == base[lead == who].tobytes()
        assert (said != base).any()
