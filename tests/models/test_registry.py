"""Names mean one model or none, a decision is tried first, and holds only against its champion."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from agreed import NOW
from models_made import MADE_AT, forget_bytes, made_model, promote, put_bundle, workspace_of
from sqlalchemy import func, select

from features.errors import BundleError, ConflictError, NoModelError, NotFoundError
from features.store.engine import Store
from features.store.promotions import (
    Decision,
    DecisionRecord,
    bundle_files,
    list_bundles,
    list_decisions,
)
from models.bundle import read_manifest
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


@pytest.mark.parametrize("origin", ["refit", "recalibrate"])
def test_what_a_run_made_of_a_model_is_the_newest_only_once_it_was_decided_about(
    workspace: Workspace, registry: Registry, origin: str
) -> None:
    trained = put(workspace, 1)
    made = put_bundle(workspace, created_at=MADE_AT + 2, origin=origin, parent=trained)
    assert registry.find("newest") == trained, "left behind by a run that came to no end"
    assert registry.find(made[:16]) == made
    registry.decide(decision("undecided", made, None))
    assert registry.find("newest") == made


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
def test_a_bundle_that_is_not_what_its_digest_says_leaves_the_champion(
    workspace: Workspace, registry: Registry, kind: Decision
) -> None:
    good, bad = put(workspace, 0), put(workspace, 1)
    promote(workspace, good)
    (workspace.bundles / bad / "booster.txt").write_text("tree\n")
    forget_bytes(workspace)
    with pytest.raises(BundleError, match="was altered"):
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


def files_of(root: Path, digest: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / digest).iterdir()}


def elsewhere(workspace: Workspace, tmp_path: Path) -> Registry:
    """The same database, seen from a host that has none of the bundles."""
    return Registry(workspace.store, tmp_path / "another host" / "bundles")


def test_a_host_without_a_bundle_gets_it_from_the_database(
    workspace: Workspace, registry: Registry, tmp_path: Path
) -> None:
    digest = put(workspace, 0)
    there = elsewhere(workspace, tmp_path)
    assert there.load(digest).digest == digest
    assert files_of(there.root, digest) == files_of(registry.root, digest)
    assert there.bring(digest) == "disk", "it is fetched once"
    assert [path.name for path in there.root.iterdir()] == [digest], "nothing else is left"


@pytest.mark.parametrize("fault", ["another", "none", "all gone"])
def test_bytes_that_are_not_what_their_digest_says_are_never_placed(
    workspace: Workspace, tmp_path: Path, fault: str
) -> None:
    digest = put(workspace, 0)
    sha256 = read_manifest(workspace.bundles, digest)["files"]["booster.txt"]
    with workspace.store.write() as connection:
        if fault == "another":
            altered = bundle_files.update().where(bundle_files.c.sha256 == sha256)
            connection.execute(altered.values(content=b"tree\n"))
        elif fault == "none":
            connection.execute(bundle_files.delete().where(bundle_files.c.sha256 == sha256))
        else:
            connection.execute(bundle_files.delete())
    there = elsewhere(workspace, tmp_path)
    with pytest.raises(BundleError, match=r"booster\.txt|manifest\.json"):
        there.load(digest)
    assert not there.root.exists() or not list(there.root.iterdir())


def test_what_fails_its_trial_is_not_placed_where_it_could_be_taken_for_good(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crashes(root: Path, digest: str) -> None:
        raise BundleError(f"bundle {digest[:12]} failed its trial: it crashed (signal 6)")

    digest = put(workspace, 0)
    there = elsewhere(workspace, tmp_path)
    monkeypatch.setattr("models.registry.try_bundle", crashes)
    for _ in range(2):
        with pytest.raises(BundleError, match="signal 6"):
            there.load(digest)
    assert list(there.root.iterdir()) == []


def test_two_bundles_share_the_files_that_are_alike(workspace: Workspace) -> None:
    put(workspace, 0)
    with workspace.store.read() as connection:
        before = connection.execute(select(func.count()).select_from(bundle_files)).scalar_one()
    put(workspace, 1)
    with workspace.store.read() as connection:
        after = connection.execute(select(func.count()).select_from(bundle_files)).scalar_one()
    assert after == before + 1, "another manifest, and nothing else"


def test_a_decision_brings_the_bytes_of_an_older_release_into_the_database(
    workspace: Workspace, registry: Registry, tmp_path: Path
) -> None:
    digest = put(workspace, 0)
    forget_bytes(workspace)
    registry.decide(decision("promote", digest, None))
    assert elsewhere(workspace, tmp_path).champion().digest == digest


def test_an_upgrade_shares_what_is_whole_on_this_host_and_goes_past_what_is_not(
    workspace: Workspace, registry: Registry, tmp_path: Path
) -> None:
    good, bad, gone = (put(workspace, i) for i in range(3))
    forget_bytes(workspace)
    (workspace.bundles / bad / "card.md").write_text("another card")
    shutil.rmtree(workspace.bundles / gone)
    assert registry.share_all() == 1
    assert registry.share_all() == 0
    assert [registry.is_kept(digest) for digest in (good, bad, gone)] == [True, False, False]
    assert elsewhere(workspace, tmp_path).load(good).digest == good
