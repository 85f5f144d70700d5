"""A level that is read early stands beside what rests on whole horizons, and is on record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from model_cases import simulated
from on_record import decide
from sqlalchemy import delete, select
from trained_company import END, TrainedCompany, trained_company

from features.clock import DAY
from features.errors import NotEnoughEvidenceError
from features.store.outcomes import deals
from features.store.promotions import list_bundles, list_decisions
from models.bundle import read_card, read_manifest
from models.calibrators import adjusted, calibrator_from_json
from models.workspace import Workspace
from training.ahead import read_ahead
from training.recalibrate import recalibrate
from training.unseen import all_rows, as_trained, calibrated_through, settled, unseen_rows


@pytest.fixture(scope="module")
def company() -> TrainedCompany:
    return trained_company()


@pytest.fixture
def workspace(company: TrainedCompany, tmp_path: Path) -> Iterator[Workspace]:
    """A copy whose bundle is the champion."""
    company.copy(tmp_path / "home").store.close()
    found = Workspace.of(
        {"PROPENSITY_DATA_DIR": str(tmp_path / "home"), "PROPENSITY_MLFLOW": "off"}
    )
    decide(found.store, company.digest, decided_at=END)
    yield found
    found.store.close()


def fewer_win(workspace: Workspace, since: int, share: float) -> None:
    """The world turns: of the deals won since an instant, this share never was."""
    rng = np.random.default_rng(0)
    won = select(deals.c.id).where(deals.c.ending == "won", deals.c.occurred_at >= since)
    with workspace.store.write() as connection:
        gone = [one for one in connection.scalars(won.order_by(deals.c.id)) if rng.random() < share]
        connection.execute(delete(deals).where(deals.c.id.in_(gone)))
    assert gone


def test_wins_that_stay_away_lower_the_level_long_before_a_horizon_is_over(
    workspace: Workspace, company: TrainedCompany
) -> None:
    fewer_win(workspace, END - 80 * DAY, 0.8)
    before = workspace.registry.champion()
    found = read_ahead(workspace, now=END + 1, by="ines")
    assert found is not None
    assert workspace.registry.champion_digest() == found.digest != company.digest
    after = workspace.registry.champion()
    frame = simulated().frame
    assert after.raw(frame).tobytes() == before.raw(frame).tobytes()
    early = after.about["calibration"]["early"]
    assert early["level"] < -0.2
    assert early["won"] < 0.8 * early["due"]
    said = adjusted(before.calibrator, 1.0, early["level"])
    assert after.calibrator == said
    _is_on_record(workspace, found.digest, company.digest)
    _is_never_judged_by_what_it_has_seen(workspace)
    assert settled(after) == (before.calibrator, calibrated_through(before))
    assert as_trained(after) == as_trained(before)


def _is_on_record(workspace: Workspace, digest: str, parent: str) -> None:
    with workspace.store.read() as connection:
        *_, decision = list_decisions(connection)
    assert (decision.decision, decision.bundle, decision.against) == ("promote", digest, parent)
    about = workspace.registry.champion().about["calibration"]
    shown = {name: about["early"][name] for name in decision.evidence["early"]}
    assert decision.evidence["early"] == shown
    assert "were due by now" in decision.reason
    assert decision.reason in read_card(workspace.bundles, digest)
    manifest = read_manifest(workspace.bundles, digest)
    assert (manifest["parent"], manifest["origin"]) == (parent, "recalibrate")


def _is_never_judged_by_what_it_has_seen(workspace: Workspace) -> None:
    after = workspace.registry.champion()
    rows = all_rows(workspace, after.definition)
    assert (rows.y < 0).any()
    assert calibrated_through(after) == int(rows.as_of.max()), "open rows have helped to fit"
    assert unseen_rows(workspace, after) is None


def test_a_second_reading_begins_with_whole_horizons_and_not_with_the_first(
    workspace: Workspace,
) -> None:
    fewer_win(workspace, END - 80 * DAY, 0.8)
    assert read_ahead(workspace, now=END + 1, by="ines") is not None
    first = workspace.registry.champion()
    assert read_ahead(workspace, now=END + 2, by="ines", alone=False) is None, "it moved nowhere"
    fewer_win(workspace, END - 40 * DAY, 1.0)
    with workspace.store.read() as connection:
        bundles = len(list_bundles(connection))
    assert read_ahead(workspace, now=END + 3, by="ines") is None, (
        "it moved within what is not known"
    )
    with workspace.store.read() as connection:
        assert len(list_bundles(connection)) == bundles, "no bundle was written"
    assert read_ahead(workspace, now=END + 3, by="ines", alone=False) is not None
    second = workspace.registry.champion()
    one, other = (model.about["calibration"]["early"] for model in (first, second))
    assert 0.01 < one["level"] - other["level"] <= other["spread"]
    assert other["beside"] == one["beside"]
    beside = calibrator_from_json(other["beside"])
    assert second.calibrator == adjusted(beside, 1.0, other["level"])
    reason = second.about["calibration"]["reason"]
    assert reason.count("were due by now") == 1


@pytest.mark.slow
def test_a_recalibration_compares_whole_horizons_with_whole_horizons(
    workspace: Workspace,
) -> None:
    """What was read early has seen the very rows: it is neither judge nor judged there."""
    fewer_win(workspace, END - 80 * DAY, 0.8)
    assert read_ahead(workspace, now=END + 1, by="ines") is not None
    done = recalibrate(workspace, now=END + 2, by="ines")
    rows = unseen_rows(workspace, simulated().model)
    assert rows is not None
    assert done.verdict.evidence["rows"] == len(rows)
    said = simulated().model.score(rows.dataset.frame).probability
    expected = float(np.average(said, weights=rows.weight))
    assert done.verdict.evidence["expected_champion"] == pytest.approx(expected)
    assert "early" not in workspace.registry.load(done.digest).about["calibration"]


def test_without_deals_there_is_nothing_to_read(workspace: Workspace) -> None:
    with workspace.store.write() as connection:
        connection.execute(delete(deals))
    assert read_ahead(workspace, now=END + 1, by="ines", alone=False) is None
    with pytest.raises(NotEnoughEvidenceError):
        recalibrate(workspace, now=END + 1, by="ines", follow=True)
