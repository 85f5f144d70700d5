"""Before a deal has closed: the agreed scorecard is trained, promoted, served, and says what it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agreed import DEFINITION_TEXT, NOW, agreed
from models_made import LEADS, company, fill, lead_id
from served import Served, TestClient, calm, make_keys
from small_datasets import dataset_of

from features.bant import AGREED
from features.clock import DAY
from features.definition import parse_definition
from features.errors import NoModelError, NotEnoughEvidenceError
from features.facts import Queries
from features.gather import FactsBuilder
from features.pipeline import compute_features
from models.agreed import AGREED_SLOPE, agreed_model
from models.workspace import Workspace
from serving.app import create_app
from training.config import TrainConfig
from training.day_zero import not_judged, nothing_known, plan, unknown_lead
from training.learn import learn_little
from training.promote import promote
from training.run import train

RATE = 0.15
EXPECTING = DEFINITION_TEXT + f"expected_win_rate: {RATE}\n"
QUICK = TrainConfig(leaves=(2,), most_trees=30, folds=3)


def installation(place: Path, migrated_sqlite: Path, text: str) -> Workspace:
    """Leads with answers and events, a definition, no deal, no model, no MLflow."""
    (place / "propensity.db").write_bytes(migrated_sqlite.read_bytes())
    (place / "definition.yaml").write_text(text, encoding="utf-8")
    found = Workspace.of({"PROPENSITY_DATA_DIR": str(place)})
    found = replace(found, mlflow_uri="http://127.0.0.1:9")
    fill(found.store, agreed())
    return found


@pytest.fixture
def workspace(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Workspace]:
    found = installation(tmp_path, migrated_sqlite, EXPECTING)
    yield found
    found.store.close()


def agreed_scores() -> dict[str, float]:
    """The agreed score of every lead of the company."""
    facts = FactsBuilder.of_records(agreed(), company()).build()
    frame = compute_features(facts, Queries.at(np.arange(LEADS), NOW), agreed())
    return dict(zip(frame.lead_ids, np.asarray(frame.columns[AGREED]).tolist(), strict=True))


def test_without_a_deal_the_agreed_scorecard_is_trained_and_says_so(workspace: Workspace) -> None:
    trained = train(workspace, QUICK, now=NOW)
    model = workspace.registry.load(trained.digest)
    assert model.learner.trees is None
    assert model.learner.weight == 1.0
    assert model.about["judged"]["figures"] is None
    assert any("agreed, not learned" in warning for warning in model.about["warnings"])
    assert model.about["data"]["rows"] == 0
    assert workspace.registry.champion_digest() is None, "training promotes nothing"


def test_it_is_promoted_as_the_first_model_and_not_twice(workspace: Workspace) -> None:
    digest = train(workspace, QUICK, now=NOW).digest
    verdict = promote(workspace, "newest", now=NOW, by="tests")
    assert verdict.decision == "promote"
    assert "agreed" in verdict.reason
    assert workspace.registry.champion_digest() == digest
    assert promote(workspace, digest, now=NOW, by="tests").decision == "keep"


def test_served_it_says_the_expected_rate_moved_by_the_agreed_score(workspace: Workspace) -> None:
    train(workspace, QUICK, now=NOW)
    promote(workspace, "newest", now=NOW, by="tests")
    with TestClient(create_app(calm(), workspace, lambda: NOW)) as client:
        served = Served(client, workspace, lambda: NOW, make_keys(workspace.store))  # type: ignore[arg-type]
        said = {i: served.get(f"/v1/leads/{lead_id(i)}/score").json() for i in range(1, LEADS, 9)}
        card = served.get("/v1/model").text
    scores = agreed_scores()
    for i, answer in said.items():
        expected = np.log(RATE / (1 - RATE)) + AGREED_SLOPE * scores[lead_id(i)]
        assert answer["raw"] == pytest.approx(expected, abs=1e-9)
        assert answer["probability"] == pytest.approx(1 / (1 + np.exp(-expected)), abs=1e-9)
        lower, upper = answer["interval"]
        assert lower < answer["probability"] < upper
        # RATE_SPREAD is a standard deviation of .5, as if from 1 / (.25 p (1 − p)) leads at most.
        assert 0 < answer["leads_like_this"] < 1 / (0.25 * lower * (1 - lower))
    mean = np.mean([answer["probability"] for answer in said.values()])
    assert RATE / 2 < mean < RATE * 2
    assert "agreed, not learned" in card


def test_without_an_expected_rate_it_is_refused_with_what_to_do(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    workspace = installation(tmp_path, migrated_sqlite, DEFINITION_TEXT)
    with pytest.raises(NotEnoughEvidenceError) as caught:
        train(workspace, QUICK, now=NOW)
    assert caught.value.hint
    assert not workspace.bundles.exists()
    workspace.store.close()


# The parts

DATED = parse_definition(EXPECTING)
PLAIN = agreed()


def few(n: int, wins: int) -> Any:
    return dataset_of(range(n), [NOW - DAY] * n, [1] * wins + [0] * (n - wins))


def test_too_short_a_history_has_no_split_only_where_a_rate_is_agreed_on() -> None:
    for rows in (few(0, 0), few(8, 2)):
        assert plan(rows, DATED, QUICK) == []
        with pytest.raises(NotEnoughEvidenceError):
            plan(rows, PLAIN, QUICK)


def test_what_takes_the_place_of_figures_says_how_few_rows_there_were() -> None:
    judged = not_judged(few(8, 2), DATED, QUICK)
    assert judged.figures is None
    assert "agreed, not learned" in judged.how
    assert "8 rows with a known outcome, 2 won" in judged.how
    assert judged.bounds is not None
    assert judged.bounds.judge_from == NOW - DAY + 1, "later rows may judge"
    assert judged.warnings == (judged.how,)


def test_of_nobody_nothing_is_known_but_the_columns_are_there() -> None:
    nothing, nobody = nothing_known(DATED, NOW), unknown_lead(DATED, NOW)
    assert len(nothing) == 0
    assert len(nobody) == 1
    assert set(nothing.frame.columns) == set(nobody.columns)
    assert np.asarray(nobody.columns[AGREED]).tolist() == [0.0]


def test_what_serves_without_a_model_says_what_training_on_nothing_says(
    workspace: Workspace,
) -> None:
    definition = workspace.definition()
    learned = learn_little(nothing_known(definition, NOW), definition, TrainConfig()).model
    facts = FactsBuilder.of_records(definition, company()).build()
    frame = compute_features(facts, Queries.at(np.arange(LEADS), NOW), definition)
    agreed_on = agreed_model(definition)
    np.testing.assert_allclose(agreed_on.raw(frame), learned.raw(frame), atol=1e-9)
    assert np.ptp(agreed_on.raw(frame)) > 1
    assert agreed_model(definition).digest == agreed_on.digest
    assert len(agreed_on.digest) == 64
    with pytest.raises(NoModelError, match="nothing is agreed"):
        agreed_model(agreed())
