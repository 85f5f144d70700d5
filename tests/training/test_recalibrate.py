"""A recalibration keeps the booster's bytes, follows a world that moved, and refuses to fit noise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from model_cases import simulated
from quiet_mlflow import tracking
from sqlalchemy import select
from trained_company import END, TrainedCompany, trained_company

from features.clock import DAY
from features.errors import NoModelError, NotEnoughEvidenceError
from features.store.outcomes import Deal, Ending, deals, record_deals
from features.store.promotions import DecisionRecord, list_bundles, list_decisions, record_decision
from features.store.tables import leads
from models.bundle import read_card, read_manifest
from models.workspace import Workspace
from training.recalibrate import LEAST_WINS, out_of_fold, recalibrate
from training.unseen import unseen_rows


@pytest.fixture(scope="module")
def company() -> TrainedCompany:
    return trained_company()


@pytest.fixture
def workspace(company: TrainedCompany, tmp_path: Path) -> Iterator[Workspace]:
    """A copy whose bundle is the champion."""
    found = company.copy(tmp_path / "home")
    decision = DecisionRecord(
        decided_at=END,
        decision="promote",
        bundle=company.digest,
        against=None,
        decided_by="ines",
        reason="the first",
        evidence={},
    )
    with found.store.write() as connection:
        record_decision(connection, decision)
    yield found
    found.store.close()


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
    assert after.trees.text == before.trees.text
    ours = workspace.bundles
    assert (ours / done.digest / "booster.txt").read_bytes() == (
        ours / company.digest / "booster.txt"
    ).read_bytes()
    frame = simulated().frame
    assert after.raw(frame).tobytes() == before.raw(frame).tobytes()
    assert after.score(frame).probability.mean() > 1.5 * before.score(frame).probability.mean()
    _says_where_it_comes_from(workspace, done.digest, company.digest)
    _is_catalogued(workspace, done.digest)
    with pytest.raises(NotEnoughEvidenceError, match="0 won and 0 not won leads have matured"):
        recalibrate(workspace, now=END + 1, by="ines")


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
    done = recalibrate(workspace, now=END + 1, by="ines")
    assert done.verdict.decision == "undecided"
    assert workspace.registry.champion_digest() == company.digest
    with workspace.store.read() as connection:
        *_, decision = list_decisions(connection)
    assert (decision.decision, decision.bundle) == ("undecided", done.digest)
    assert workspace.registry.find("newest") == done.digest, "it can still be promoted by a person"
    json.dumps(done.calibration.to_json(), allow_nan=False)


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
