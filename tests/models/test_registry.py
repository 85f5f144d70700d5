"""Names mean one model or none, a decision is tried first, and holds only against its champion."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from agreed import NOW
from models_made import MADE_AT, made_model, promote, put_bundle, workspace_of

from features.errors import BundleError, ConflictError, NoModelError, NotFoundError
from features.store.engine import Store
from features.store.promotions import Decision, DecisionRecord, list_bundles, list_decisions
from models.registry import Registry
from models.workspace import Workspace


@pytest.fixture
def workspace(store: Store, tmp_path: Path) -> Iterator[Workspace]:
    home = tmp_path / "home"
    home.mkdir()
    found = workspace_of(store, home)
    yield found
    found.store.close()


@pytest.fixture
def registry(workspace: Workspace) -> Registry:
    return workspace.registry


def put(workspace: Workspace, number: int) -> str:
    """One of several bundles of the same model, told apart by when they were made."""
    return put_bundle(workspace, created_at=MADE_AT + number)


def decision(kind: Decision, bundle: str, against: str | None) -> DecisionRecord:
    return DecisionRecord(
        decided_at=NOW,
        decision=kind,
        bundle=bundle,
        against=against,
        decided_by="ines",
        reason="it is better",
        evidence={"difference": -0.01},
    )


def decided(registry: Registry) -> list[tuple[str, str]]:
    with registry.store.read() as connection:
        return [(d.decision, d.bundle) for d in list_decisions(connection)]


def test_an_empty_registry_says_what_to_do(registry: Registry) -> None:
    assert registry.champion_digest() is None
    with pytest.raises(NoModelError, match="no champion yet") as caught:
        registry.champion()
    assert "propensity train" in caught.value.hint
    with pytest.raises(NotFoundError, match="no earlier champion"):
        registry.previous()


def test_names_find_the_model_they_mean(workspace: Workspace, registry: Registry) -> None:
    first, second, third = (put(workspace, i) for i in range(3))
    promote(workspace, first)
    promote(workspace, second)
    assert registry.find("champion") == registry.champion_digest() == second
    assert registry.find("previous") == registry.previous() == first
    assert registry.find("newest") == third
    for digest in (first, second, third):
        assert registry.find(digest) == digest
        assert registry.find(digest[:16].upper()) == digest
        assert registry.load(digest[:16]).digest == digest
    assert registry.champion().digest == second


@pytest.mark.parametrize("name", ["", "champion", "previous", "newest", "nobody", "../etc", "%"])
def test_a_name_that_means_nothing_is_an_error(registry: Registry, name: str) -> None:
    with pytest.raises(NotFoundError, match=f"0 models are called {name!r}"):
        registry.find(name)


def test_digits_that_two_models_share_find_neither(
    workspace: Workspace, registry: Registry
) -> None:
    digests = sorted(put(workspace, i) for i in range(17))
    shared = next(a[0] for a, b in pairwise(digests) if a[0] == b[0])
    with pytest.raises(NotFoundError, match="models are called"):
        registry.find(shared)


def test_adding_a_bundle_again_changes_nothing(workspace: Workspace, registry: Registry) -> None:
    digest = put(workspace, 0)
    registry.add(digest, {"auc": 0.9})
    with registry.store.read() as connection:
        (known,) = list_bundles(connection)
    assert (known.digest, known.created_at, known.origin) == (digest, MADE_AT, "train")
    assert known.parent is None
    assert known.summary == {}
    assert known.definition == made_model().model.definition.hash


def test_a_bundle_that_is_not_on_disk_cannot_be_added(registry: Registry) -> None:
    with pytest.raises(BundleError, match="lacks manifest"):
        registry.add("0" * 64, {})


def test_a_promotion_is_tried_then_recorded(workspace: Workspace, registry: Registry) -> None:
    digest = put(workspace, 0)
    registry.decide(decision("promote", digest, None))
    assert registry.champion_digest() == digest
    with registry.store.read() as connection:
        (known,) = list_decisions(connection)
    assert known == decision("promote", digest, None)


@pytest.mark.parametrize("kind", ["promote", "roll_back"])
def test_a_bundle_that_fails_its_trial_leaves_the_champion(
    workspace: Workspace, registry: Registry, kind: Decision
) -> None:
    good, bad = put(workspace, 0), put(workspace, 1)
    promote(workspace, good)
    (workspace.bundles / bad / "booster.txt").write_text("tree\n")
    with pytest.raises(BundleError, match="failed its trial"):
        registry.decide(decision(kind, bad, good))
    assert registry.champion_digest() == good
    assert decided(registry) == [("promote", good)]


@pytest.mark.parametrize("kind", ["keep", "undecided"])
def test_what_does_not_come_to_score_needs_no_trial(
    workspace: Workspace, registry: Registry, kind: Decision
) -> None:
    good, bad = put(workspace, 0), put(workspace, 1)
    promote(workspace, good)
    shutil.rmtree(workspace.bundles / bad)
    registry.decide(decision(kind, bad, good))
    assert decided(registry)[-1] == (kind, bad)
    assert registry.champion_digest() == good


def test_a_decision_against_a_champion_that_has_gone_is_refused(
    workspace: Workspace, registry: Registry
) -> None:
    first, second, third = (put(workspace, i) for i in range(3))
    promote(workspace, first)
    promote(workspace, second)
    for against in (first, None):
        with pytest.raises(ConflictError, match="in the meantime"):
            registry.decide(decision("keep", third, against))
    assert registry.champion_digest() == second
    assert len(decided(registry)) == 2


def test_rolling_back_and_forward_follows_the_line_of_champions(
    workspace: Workspace, registry: Registry
) -> None:
    first, second, third = (put(workspace, i) for i in range(3))
    for digest in (first, second, third):
        promote(workspace, digest)
    promote(workspace, second, "roll_back")
    assert (registry.champion_digest(), registry.previous()) == (second, first)
    promote(workspace, first, "roll_back")
    assert registry.champion_digest() == first
    with pytest.raises(NotFoundError):
        registry.previous()
    promote(workspace, third)
    assert (registry.champion_digest(), registry.previous()) == (third, first)
