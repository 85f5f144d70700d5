"""Is a promotion taken back when it was a mistake, and only then? On the trained company."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from on_record import decide
from trained_company import END, trained_company

from features.clock import DAY, iso
from features.store.promotions import Decision, list_decisions
from features.store.shadows import undecided
from models.bundle import write_bundle
from models.calibrators import adjusted
from models.propensity import PropensityModel
from models.workspace import Workspace
from training.about import summary
from training.day_zero import unknown_lead
from training.loop.act import Look, Loop
from training.loop.line import line_of_champion
from training.loop.policy import Policy
from training.loop.retrain import reconsider
from training.loop.roll_back import is_on_probation

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


def decided(
    workspace: Workspace,
    digest: str,
    against: str | None,
    at: int,
    how: Decision,
    evidence: dict[str, Any] | None = None,
) -> None:
    decide(
        workspace.store,
        digest,
        how,
        decided_at=at,
        against=against,
        reason="planted",
        evidence=evidence or {},
    )


def written(workspace: Workspace, model: PropensityModel, origin: str, parent: str) -> str:
    """A bundle known to the database, made when the mistake was promoted."""
    digest = write_bundle(
        model,
        workspace.bundles,
        created_at=PROMOTED,
        origin=origin,
        golden=unknown_lead(model.definition, END),
        card="# Planted\n",
        parent=parent,
    )
    workspace.registry.add(digest, summary(dict(model.about)))
    return digest


def recalibrated(workspace: Workspace, digest: str, shift: float) -> str:
    """The same booster, saying `shift` log-odds more."""
    model = workspace.registry.load(digest)
    about = dict(model.about)
    about["calibration"] = {
        **about["calibration"],
        "through_instant": PROMOTED - 1,
        "as_trained": model.calibrator.to_json(),
    }
    calibrator = adjusted(model.calibrator, 1.0, shift)
    return written(workspace, model.recalibrated(calibrator, about), "recalibrate", digest)


def upside_down(workspace: Workspace, digest: str) -> str:
    """Another booster, which puts those first who buy last."""
    model = workspace.registry.load(digest)
    linear = model.learner.linear
    assert linear is not None
    turned = tuple(
        replace(term, values=tuple(-v for v in term.values), missing=-term.missing)
        for term in linear.terms
    )
    learner = replace(
        model.learner, linear=replace(linear, terms=turned), trees=None, weight=1.0, spread=None
    )
    return written(workspace, replace(model, learner=learner, digest=""), "train", digest)


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
    bad = upside_down(workspace, good)
    decided(workspace, bad, good, PROMOTED, "promote")
    before = workspace.registry.read(good).score(unknown_lead(workspace.definition(), END))
    assert look(workspace, Seen(alarm=Raised(False))).champion == bad, "no alarm, no roll-back"
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
    assert again.action == "nothing", "the model that scores again has nothing before it"
    after = workspace.registry.champion().score(unknown_lead(workspace.definition(), END))
    assert np.array_equal(after.probability, before.probability)


def test_a_bad_booster_goes_with_all_of_its_calibrations(workspace: Workspace) -> None:
    good = trained_company().digest
    bad = upside_down(workspace, good)
    again = recalibrated(workspace, bad, shift=0.1)
    decided(workspace, bad, good, PROMOTED, "promote")
    decided(workspace, again, bad, PROMOTED + DAY, "promote")
    did = look(workspace, Seen())
    assert (did.action, did.champion) == ("roll_back", good)
    with workspace.store.read() as connection:
        assert [d.bundle for d in list_decisions(connection)[-2:]] == [bad, good]


def test_a_calibration_is_made_anew_and_not_rolled_back(workspace: Workspace) -> None:
    good = trained_company().digest
    off = recalibrated(workspace, good, shift=2.0)
    decided(workspace, off, good, PROMOTED, "promote")
    assert look(workspace, Seen()).champion == off


def test_a_booster_is_on_probation_until_its_outcomes_could_have_spoken(
    workspace: Workspace,
) -> None:
    good = trained_company().digest
    bad = upside_down(workspace, good)
    decided(workspace, bad, good, PROMOTED, "promote")
    with workspace.store.read() as connection:
        line = line_of_champion(connection)
    assert line is not None
    over = PROMOTED + round((90 + 21 + Policy().probation_days) * DAY)
    assert is_on_probation(workspace, line, over - 1, Policy())
    assert not is_on_probation(workspace, line, over, Policy())
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


@pytest.mark.parametrize(("leads", "looked"), [(1_000_000, False), (1, True)])
def test_an_undecided_challenger_is_looked_at_again_only_with_more_evidence(
    workspace: Workspace, leads: int, looked: bool
) -> None:
    good = trained_company().digest
    other = upside_down(workspace, good)
    decided(workspace, other, good, PROMOTED, "undecided", {"leads": leads})
    with workspace.store.read() as connection:
        assert undecided(connection) == [other]
    again = reconsider(workspace, now=END, by="the loop", seed=0, growth=0.25, warn=lambda _: None)
    assert [(one.digest, one.verdict.decision) for one in again] == [(other, "keep")] * looked
    with workspace.store.read() as connection:
        last = list_decisions(connection)[-1]
        assert undecided(connection) == ([] if looked else [other])
    expected = "matured rows that neither has learned from" if looked else None
    assert last.evidence.get("rows_from") == expected
