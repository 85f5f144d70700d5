"""Is a promotion taken back when it was a mistake, and only then? On the trained company, with planted ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trained_company import END, trained_company

from features.clock import DAY, iso
from features.store.promotions import DecisionRecord, list_decisions, record_decision
from features.store.shadows import undecided
from models.bundle import write_bundle
from models.calibrators import adjusted
from models.workspace import Workspace
from training.about import summary
from training.day_zero import unknown_lead
from training.loop.act import Look, Loop
from training.loop.policy import Policy
from training.loop.retrain import decide, reconsider
from training.loop.roll_back import on_probation

PROMOTED = END - 190 * DAY


@dataclass(frozen=True)
class Advised:
    action: str = "nothing"
    reason: str = "as a monitor would say"


@dataclass(frozen=True)
class Raised:
    is_raised: bool = True


@dataclass(frozen=True)
class Seen:
    """What a monitor found, planted."""

    verdict: Advised = field(default_factory=Advised)
    alarm: Raised = field(default_factory=Raised)

    def to_json(self) -> dict[str, Any]:
        return {}


def decided(workspace: Workspace, digest: str, against: str | None, at: int, how: str) -> None:
    record = DecisionRecord(
        decided_at=at,
        decision=how,  # type: ignore[arg-type]
        bundle=digest,
        against=against,
        decided_by="tests",
        reason="planted",
        evidence={},
    )
    with workspace.store.write() as connection:
        record_decision(connection, record)


def recalibrated(workspace: Workspace, digest: str, shift: float) -> str:
    """A bundle around the same booster that says `shift` log-odds more, known to the database."""
    model = workspace.registry.load(digest)
    about = dict(model.about)
    about["calibration"] = {
        **about["calibration"],
        "through_instant": PROMOTED - 1,
        "as_trained": model.calibrator.to_json(),
    }
    golden = unknown_lead(model.definition, END)
    made = write_bundle(
        model.recalibrated(adjusted(model.calibrator, 1.0, shift), about),
        workspace.bundles,
        created_at=PROMOTED,
        origin="recalibrate",
        golden=golden,
        card="# Planted\n",
        parent=digest,
    )
    workspace.registry.add(made, summary(about))
    return made


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """The trained company, its model champion for a year, without MLflow."""
    made = replace(trained_company().copy(tmp_path / "home"), mlflow_uri="off")
    decided(made, trained_company().digest, None, END - 365 * DAY, "promote")
    yield made
    made.store.close()


def look(workspace: Workspace, seen: Seen, now: int = END) -> Look:
    loop = Loop(workspace, lambda _: seen, "the loop", policy=Policy(rest_days=10_000.0))
    return loop.look(now)


def test_a_bad_promotion_is_rolled_back_when_the_alarm_fires_and_the_evidence_is_kept(
    workspace: Workspace,
) -> None:
    good = trained_company().digest
    bad = recalibrated(workspace, good, shift=2.0)
    decided(workspace, bad, good, PROMOTED, "promote")
    did = look(workspace, Seen())
    assert (did.action, did.champion) == ("roll_back", good)
    assert did.also == {"gone": bad}
    with workspace.store.read() as connection:
        last = list_decisions(connection)[-1]
    assert (last.decision, last.bundle, last.against) == ("roll_back", good, bad)
    assert last.evidence["difference"] < 0
    assert last.evidence["alarm"]["raised"] is True
    assert "the model before is better" in last.reason
    again = look(workspace, Seen())
    assert again.action == "nothing", "the model that scores again has no promotion to take back"


def test_an_alarm_that_both_models_share_is_no_mistake_of_the_new_one(workspace: Workspace) -> None:
    good = trained_company().digest
    same = recalibrated(workspace, good, shift=0.001)
    decided(workspace, same, good, PROMOTED, "promote")
    assert look(workspace, Seen()).champion == same


def test_nothing_is_rolled_back_without_an_alarm_or_after_the_probation(
    workspace: Workspace,
) -> None:
    good = trained_company().digest
    bad = recalibrated(workspace, good, shift=2.0)
    decided(workspace, bad, good, PROMOTED, "promote")
    assert look(workspace, Seen(alarm=Raised(False))).champion == bad
    over = PROMOTED + round((90 + 21 + Policy().probation_days) * DAY)
    assert on_probation(workspace, over - 1, Policy()) is not None
    assert on_probation(workspace, over, Policy()) is None
    assert look(workspace, Seen(), now=over).champion == bad


def test_a_model_at_rest_is_left_alone_whatever_is_advised(workspace: Workspace) -> None:
    champion = trained_company().digest
    loop = Loop(
        workspace,
        lambda _: Seen(Advised("retrain"), Raised(False)),
        "the loop",
        policy=Policy(rest_days=400.0),
    )
    did = loop.look(END)
    assert (did.action, did.champion, did.decision) == ("nothing", champion, None)
    assert iso(END + 35 * DAY) in did.reason


def test_an_undecided_challenger_is_looked_at_again_only_with_more_evidence(
    workspace: Workspace,
) -> None:
    good = trained_company().digest
    other = recalibrated(workspace, good, shift=0.001)
    options: dict[str, Any] = {"now": END, "by": "the loop", "seed": 0, "warn": lambda _: None}
    first = decide(workspace, other, **options)
    assert first.verdict.decision == "undecided"
    assert first.verdict.evidence["rows_from"] == "matured rows that neither has learned from"
    with workspace.store.read() as connection:
        before = len(list_decisions(connection))
        assert undecided(connection) == [], "a recalibration is no shadow"
    assert reconsider(workspace, **options, growth=0.25) == []
    with workspace.store.read() as connection:
        assert len(list_decisions(connection)) == before


def test_what_is_rolled_back_scores_as_it_did(workspace: Workspace) -> None:
    good = trained_company().digest
    before = workspace.registry.champion()
    someone = unknown_lead(before.definition, END)
    bad = recalibrated(workspace, good, shift=2.0)
    decided(workspace, bad, good, PROMOTED, "promote")
    look(workspace, Seen())
    after = workspace.registry.champion().score(someone)
    assert np.array_equal(after.probability, before.score(someone).probability)
