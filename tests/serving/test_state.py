"""Does the service always score with one whole model, and go on when another cannot be loaded?"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agreed import NOW
from models_made import forget_bytes, lead_id, made_model, promote, put_bundle
from served import Served

from features.errors import DefinitionError, NoModelError, StoreError
from features.store.engine import Store
from models.bundle import place_files, read_files, write_bundle
from models.registry import Registry
from models.workspace import Workspace
from serving.scoring import LeadScore, Occasion, score_stored
from serving.state import FETCH_AGAIN, LiveModel, Repeating


@pytest.fixture
def workspace(company_store: Store, tmp_path: Path) -> Workspace:
    """An installation with a company and a champion, and nobody serving it."""
    url = company_store.url.render_as_string(hide_password=False)
    return Workspace(tmp_path, url, tmp_path / "definition.yaml", "")


@pytest.fixture
def live(workspace: Workspace) -> LiveModel:
    found = LiveModel(workspace, lambda: NOW, 180.0)
    found.look()
    return found


def damage(workspace: Workspace, digest: str, name: str = "booster.txt") -> bytes:
    """Change one byte of the only copy of a bundle's file; gives what it held."""
    forget_bytes(workspace)
    path = workspace.bundles / digest / name
    content = path.read_bytes()
    path.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    return content


def test_the_promoted_model_is_the_one_that_scores(workspace: Workspace, live: LiveModel) -> None:
    assert live.scorer().model.digest == workspace.registry.champion_digest()
    assert live.state.model_trouble is None
    other = put_bundle(workspace, seed=2)
    live.look()
    assert live.scorer().model.digest != other, "made, but not promoted"
    promote(workspace, other)
    live.look()
    assert live.scorer().model.digest == other


def test_a_roll_back_brings_the_earlier_model_back(workspace: Workspace, live: LiveModel) -> None:
    first, second = live.scorer().model.digest, put_bundle(workspace, seed=2)
    promote(workspace, second)
    live.look()
    promote(workspace, first, "roll_back")
    live.look()
    assert live.scorer().model.digest == first


@pytest.mark.parametrize(
    "name", ["booster.txt", "manifest.json", "calibrator.json", "columns.json"]
)
def test_a_damaged_champion_leaves_the_last_good_one_and_says_so(
    workspace: Workspace, live: LiveModel, name: str
) -> None:
    first, second = live.scorer().model.digest, put_bundle(workspace, seed=2)
    whole = damage(workspace, second, name)
    promote(workspace, second)
    live.look()
    assert live.scorer().model.digest == first
    assert second[:12] in (live.state.model_trouble or "")
    (workspace.bundles / second / name).write_bytes(whole)
    live.look()
    assert live.scorer().model.digest == second
    assert live.state.model_trouble is None


def test_going_back_from_a_damaged_model_ends_the_trouble(
    workspace: Workspace, live: LiveModel
) -> None:
    first, second = live.scorer().model.digest, put_bundle(workspace, seed=2)
    damage(workspace, second)
    promote(workspace, second)
    live.look()
    assert live.state.model_trouble
    promote(workspace, first)
    live.look()
    assert live.state.model_trouble is None


def test_without_a_good_model_there_is_none(workspace: Workspace) -> None:
    digest = workspace.registry.champion_digest()
    assert digest is not None
    damage(workspace, digest)
    live = LiveModel(workspace, lambda: NOW, 180.0)
    live.look()
    with pytest.raises(NoModelError):
        live.scorer()
    assert live.state.model_trouble


def test_a_damaged_copy_is_replaced_by_the_databases_and_said_to_come_from_there(
    workspace: Workspace, live: LiveModel
) -> None:
    assert live.state.champion is not None
    assert live.state.champion.source == "disk"
    second = put_bundle(workspace, seed=2)
    path = workspace.bundles / second / "booster.txt"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    promote(workspace, second)
    live.look()
    assert live.scorer().model.digest == second
    assert live.state.champion.source == "database"
    assert live.state.model_trouble is None
    assert path.read_bytes() == whole


def test_a_process_that_cannot_load_the_champion_goes_back_to_the_one_before(
    workspace: Workspace, live: LiveModel
) -> None:
    first, second = live.scorer().model.digest, put_bundle(workspace, seed=2)
    damage(workspace, second)
    promote(workspace, second)
    fresh = LiveModel(workspace, lambda: NOW, 180.0)
    fresh.look()
    assert fresh.scorer().model.digest == first
    assert second[:12] in (fresh.state.model_trouble or "")
    (found,) = score_stored(workspace.store, fresh.scorer(), [lead_id(1)], Occasion(now=NOW))
    assert isinstance(found, LeadScore)
    (doubt,) = [c for c in found.caveats if c.code == "not_the_champion"]
    assert "made 2026-04-01" in doubt.message, "it says how old the model is that scores instead"


def test_a_model_that_scores_otherwise_here_than_where_it_was_made_is_not_used(
    workspace: Workspace, live: LiveModel
) -> None:
    first, made = live.scorer().model.digest, made_model(2)
    calm = replace(made.model, learner=replace(made.model.learner, shift=9.0))
    root = workspace.bundles
    rows = {"golden": made.frame.take(np.arange(4)), "card": "", "origin": "train"}
    other = write_bundle(calm, root, created_at=NOW, **rows)
    golden = json.loads((root / other / "golden.json").read_text())
    golden["raw"][2] += 1e-6
    wrong = rewritten(root, other, "golden.json", golden)
    workspace.registry.add(wrong, {})
    promote(workspace, wrong)
    live.look()
    assert live.scorer().model.digest == first
    assert live.state.model_trouble


def rewritten(root: Path, digest: str, name: str, content: Any) -> str:
    """A copy of a bundle with another file, whose digests are all right; gives its digest."""
    files = read_files(root, digest)
    files[name] = json.dumps(content).encode()
    manifest = json.loads(files["manifest.json"])
    manifest["files"][name] = hashlib.sha256(files[name]).hexdigest()
    files["manifest.json"] = json.dumps(manifest).encode()
    made = hashlib.sha256(files["manifest.json"]).hexdigest()
    place_files(files, root, made)
    return made


def test_a_model_that_cannot_be_fetched_is_not_tried_every_second(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(Registry, "_fetch", lambda self, digest: bool(asked.append(digest)))
    now = [NOW]
    live = LiveModel(workspace, lambda: now[0], 180.0)
    live.look()
    second = put_bundle(workspace, seed=2)
    damage(workspace, second)
    promote(workspace, second)
    for _ in range(5):
        live.look()
    assert asked == [second]
    now[0] += FETCH_AGAIN
    live.look()
    assert asked == [second, second]


def test_an_edited_definition_is_used_and_a_broken_one_is_not(
    workspace: Workspace, live: LiveModel, definition_text: str
) -> None:
    before = live.agreed.hash
    path = workspace.definition_path
    path.write_text(definition_text.replace("at_least: 0.3", "at_least: 0.25"))
    live.look()
    assert live.agreed.routes[0].at_least == 0.25
    edited = live.agreed.hash
    assert edited != before
    path.write_text("name: [")
    live.look()
    assert live.agreed.hash == edited
    assert live.state.definition_trouble
    path.unlink()
    live.look()
    assert live.agreed.hash == edited
    path.write_text(definition_text)
    live.look()
    assert live.agreed.hash == before
    assert live.state.definition_trouble is None


def test_without_a_definition_the_service_does_not_start(workspace: Workspace) -> None:
    workspace.definition_path.unlink()
    with pytest.raises(DefinitionError):
        LiveModel(workspace, lambda: NOW, 180.0)


def test_the_service_starts_on_no_other_database_than_its_own(serve: Any, tmp_path: Path) -> None:
    empty = Store(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(StoreError, match="no tables"):
        serve(empty, with_model=None)
    empty.close()


def test_a_swap_under_load_never_mixes_models(workspace: Workspace, live: LiveModel) -> None:
    digests = [live.scorer().model.digest, put_bundle(workspace, seed=2)]
    leads = [lead_id(i) for i in range(8)]
    expected = {}
    for digest in digests:
        promote(workspace, digest)
        live.look()
        found = score_stored(workspace.store, live.scorer(), leads, Occasion(now=NOW))
        expected |= {(s.model, s.lead): s.raw for s in found if isinstance(s, LeadScore)}
    assert len(set(expected.values())) > len(leads)
    wrong: list[Any] = []
    answered: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            scorer = live.scorer()
            for found in score_stored(workspace.store, scorer, leads, Occasion(now=NOW)):
                assert isinstance(found, LeadScore)
                answered.append(found.model)
                if found.raw != expected[found.model, found.lead]:
                    wrong.append(found)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    for i in range(12):
        promote(workspace, digests[i % 2])
        live.look()
    over.set()
    for asker in askers:
        asker.join()
    assert not wrong
    assert set(answered) == set(digests)


def test_a_promotion_reaches_a_running_service_by_itself(serve: Any, company_store: Store) -> None:
    served: Served = serve(company_store, champion_poll_seconds=0.02)
    second = put_bundle(served.workspace, seed=2)
    promote(served.workspace, second)
    deadline = time.monotonic() + 30
    while served.get("/v1/model").json()["model"] != second:
        assert time.monotonic() < deadline, "the service did not notice"
        time.sleep(0.02)
    said = served.post("/v1/scores", json={"lead": "L-0001"}).json()
    assert said["model"] == second
    assert served.get("/v1/model/card").text.startswith("# Model of seed 2")


def test_trouble_is_told_by_the_model_and_the_figures(served_lite: Served) -> None:
    second = put_bundle(served_lite.workspace, seed=2)
    damage(served_lite.workspace, second)
    promote(served_lite.workspace, second)
    served_lite.service.live.look()
    assert second[:12] in served_lite.get("/v1/model").json()["trouble"][0]
    assert 'propensity_trouble{of="model"} 1.0' in served_lite.get("/metrics").text
    assert served_lite.get("/v2/health/ready").status_code == 200
    assert served_lite.post("/v1/scores", json={"lead": "L-0001"}).status_code == 200


def test_ready_means_a_model_and_a_database(served_lite: Served, serve: Any) -> None:
    for path in ("/v2/health/ready", "/health/ready"):
        assert served_lite.get(path, "anonymous").json()["status"] == "ok"


def test_not_ready_is_said_with_its_reason_while_alive(serve: Any, sqlite_store: Store) -> None:
    served: Served = serve(sqlite_store, with_model=False)
    answer = served.get("/v2/health/ready", "anonymous")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert [problem["where"] for problem in answer.json()["problems"]] == ["model"]
    for path in ("/v2/health/live", "/health/live", "/health"):
        assert served.get(path, "anonymous").status_code == 200


def test_a_turn_that_fails_does_not_end_the_turns() -> None:
    turns: list[int] = []
    enough = threading.Event()

    def turn() -> None:
        turns.append(len(turns))
        if len(turns) == 1:
            raise StoreError("busy")
        if len(turns) == 2:
            raise ZeroDivisionError
        enough.set()

    thread = Repeating("tests", 0.001, turn)
    thread.start()
    assert enough.wait(30)
    thread.stop()
    assert not thread.is_alive()
