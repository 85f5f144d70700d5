"""Killed with SIGKILL at each step that changes something: whole before or whole after, and it goes on.

After every kill the database passes its own integrity check, the champion and its bytes are what they
were (or, for a promotion that was recorded, the new ones), every bundle that is known can be read, and
the same job run again succeeds. Steps next to one another are `slow`, as are kills at points in time.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from _pytest.mark import ParameterSet
from shop import (
    NOW,
    Shop,
    Zygote,
    champion_of,
    counts,
    look_at_what_was_acknowledged,
    write_files,
)

from features.store.idempotency import HELD
from features.store.promotions import list_bundles
from models.workspace import Workspace


def late(*step: object) -> ParameterSet:
    """A step next to one of the others: run by `make test-all`."""
    return pytest.param(*step, marks=pytest.mark.slow)


TRAIN = [
    ("training.run.learn", "after", 1),
    ("os.fsync", "before", 1),
    ("training.run.write_bundle", "after", 1),
    ("models.registry.record_bundle", "after", 1),
    ("training.run.catalogue", "after", 1),
    late("training.run.build_dataset", "before", 1),
    late("training.run.look_for_leakage", "after", 1),
    late("training.run.write_bundle", "before", 1),
    late("os.fsync", "after", 5),
    late("models.bundle._flush_directory", "before", 1),
    late("models.bundle._flush_directory", "before", 2),
    late("models.registry.record_bundle", "before", 1),
    late("training.run.catalogue", "before", 1),
]


@pytest.mark.parametrize(("call", "when", "nth"), TRAIN)
def test_a_training_killed_at_a_step(
    zygote: Zygote, shop: Shop, copy: Path, call: str, when: str, nth: int
) -> None:
    before = counts(copy)
    killed = zygote("train", copy, now=NOW + 2, call=call, when=when, nth=nth)
    assert killed["exit"] == -9, killed
    assert champion_of(copy) == shop.champion
    after = counts(copy)
    known = call == "training.run.catalogue"  # by then the transaction is over
    assert after == {**before, "bundles": before["bundles"] + known}
    again = zygote("train", copy, now=NOW + 2)
    assert again["exit"] == 0, again
    assert champion_of(copy) == shop.champion
    assert counts(copy)["bundles"] == before["bundles"] + 1


PROMOTE = [
    ("models.registry.try_bundle", "after", 1, False),
    ("models.registry.record_decision", "after", 1, False),
    ("training.tracking.mirror_aliases", "before", 1, True),
    late("training.promote.paired_verdict", "after", 1, False),
    late("models.registry.try_bundle", "before", 1, False),
    late("models.registry.record_decision", "before", 1, False),
    late("training.promote.mirror", "before", 1, True),
    late("training.promote.mirror", "after", 1, True),
]


@pytest.mark.parametrize(("call", "when", "nth", "done"), PROMOTE)
def test_a_promotion_killed_at_a_step_is_done_or_not_and_never_half(
    zygote: Zygote, shop: Shop, copy: Path, call: str, when: str, nth: int, done: bool
) -> None:
    killed = zygote("promote", copy, digest=shop.challenger, call=call, when=when, nth=nth)
    assert killed["exit"] == -9, killed
    assert champion_of(copy) == (shop.challenger if done else shop.champion)
    again = zygote("promote", copy, digest=shop.challenger)
    assert again["exit"] == 0, again
    assert again["said"] == ("keep" if done else "promote")
    assert champion_of(copy) == shop.challenger
    assert counts(copy)["decisions"] == 2, "a promotion is on record once"


IMPORT = [
    ("features.store.files.load.record_facts", "after", 1),
    ("features.store.files.load.record_facts", "before", 9),
    ("features.store.files.load.record_deals", "before", 25),
    ("features.store.files.load.record_deals", "after", 30),
]


@pytest.mark.parametrize(("call", "when", "nth"), IMPORT)
def test_an_import_killed_at_a_step_holds_whole_chunks_and_is_completed_by_the_next(
    zygote: Zygote,
    shop: Shop,
    migrated_sqlite: Path,
    tmp_path: Path,
    call: str,
    when: str,
    nth: int,
) -> None:
    write_files(tmp_path)
    shutil.copy(migrated_sqlite, tmp_path / "propensity.db")
    killed = zygote("import", tmp_path, call=call, when=when, nth=nth)
    assert killed["exit"] == -9, killed
    half = counts(tmp_path)
    assert half["lead_versions"] in (700, *range(0, 700, 40))
    assert half["deals"] == half["stages"], "a deal is never there without the closing of its lead"
    assert half["deals"] % 40 == 0
    again = zygote("import", tmp_path)
    assert again["exit"] == 0, again
    whole = counts(shop.home)
    assert counts(tmp_path) == {**whole, "bundles": 0, "decisions": 0}


@pytest.mark.parametrize("job", ["score", "tell", late("close"), late("tell once")])
def test_what_was_acknowledged_by_a_killed_process_is_there(
    zygote: Zygote, shop: Shop, copy: Path, job: str
) -> None:
    killed = zygote(job, copy, call="zygote.acknowledge", when="after", nth=17)
    assert killed["exit"] == -9, killed
    assert len((copy / "acknowledged").read_text().splitlines()) == 17
    look_at_what_was_acknowledged(copy, job)
    assert champion_of(copy) == shop.champion
    assert zygote(job, copy, now=NOW + HELD)["exit"] == 0
    look_at_what_was_acknowledged(copy, job)


def test_a_recalibration_killed_before_its_decision_leaves_the_champion(
    zygote: Zygote, shop: Shop, copy: Path
) -> None:
    killed = zygote(
        "recalibrate", copy, now=NOW + 3, call="training.recalibrate.carry_out", when="before"
    )
    assert killed["exit"] == -9, killed
    assert champion_of(copy) == shop.champion
    again = zygote("recalibrate", copy, now=NOW + 4)
    assert again["exit"] == 0, again
    assert champion_of(copy) in (shop.champion, again["said"])


def test_what_a_killed_writer_left_is_never_served(zygote: Zygote, shop: Shop, copy: Path) -> None:
    call = {"call": "models.bundle._flush_directory", "when": "before", "nth": 1}
    assert zygote("train", copy, now=NOW + 5, **call)["exit"] == -9
    left = [path for path in (copy / "bundles").iterdir() if path.name.startswith(".new-")]
    assert len(left) == 1, "it is there, whole but for its name"
    assert (left[0] / "manifest.json").exists()
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": str(copy)})
    with workspace.store.read() as connection:
        assert {b.digest for b in list_bundles(connection)} == {shop.champion, shop.challenger}
    workspace.store.close()
    assert champion_of(copy) == shop.champion


# At once


@pytest.mark.parametrize("later", [0, 1], ids=["at the same instant", "an instant apart"])
def test_two_trainings_at_once_both_end_well(
    zygote: Zygote, shop: Shop, copy: Path, later: int
) -> None:
    before = counts(copy)["bundles"]
    order = {"job": "train", "home": str(copy)}
    done = zygote.at_once([{**order, "now": NOW + 7}, {**order, "now": NOW + 7 + later}])
    assert [one["exit"] for one in done] == [0, 0], done
    assert len({one["said"] for one in done}) == 1 + later
    assert counts(copy)["bundles"] == before + 1 + later
    assert champion_of(copy) == shop.champion


def test_two_promotions_at_once_are_one_promotion(zygote: Zygote, shop: Shop, copy: Path) -> None:
    order = {"job": "promote", "home": str(copy), "digest": shop.challenger}
    done = zygote.at_once([order, order])
    assert champion_of(copy) == shop.challenger
    assert counts(copy)["decisions"] == 2, "the first one's, and one more"
    assert [one["exit"] for one in done].count(0) >= 1, done
    for one in done:
        assert one["exit"] == 0 or one["said"].startswith(
            "ConflictError: another model was promoted"
        )


def test_an_import_a_training_and_a_promotion_at_once_do_not_disturb_each_other(
    zygote: Zygote, shop: Shop, copy: Path
) -> None:
    jobs = [
        {"job": "import", "home": str(copy)},
        {"job": "train", "home": str(copy), "now": NOW + 8},
        {"job": "promote", "home": str(copy), "digest": shop.challenger},
    ]
    done = zygote.at_once(jobs)
    assert [one["exit"] for one in done] == [0, 0, 0], done
    assert champion_of(copy) == shop.challenger


# At any moment


@pytest.mark.slow
@pytest.mark.parametrize("share", np.linspace(0.02, 0.98, 25).round(2).tolist())
@pytest.mark.parametrize("job", ["train", "promote", "recalibrate"])
def test_killed_at_any_moment(
    zygote: Zygote, shop: Shop, copy: Path, job: str, share: float
) -> None:
    order = {"digest": shop.challenger} if job == "promote" else {"now": NOW + 2}
    shutil.copytree(copy, copy.parent / "measured")
    took = zygote(job, copy.parent / "measured", **order)["seconds"]
    zygote(job, copy, **order, seconds=share * took)
    champion = champion_of(copy)
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": str(copy)})
    known = {path.name for path in workspace.bundles.iterdir() if len(path.name) == 64}
    assert champion in known
    if job == "train":
        assert champion == shop.champion
    again = zygote(job, copy, **{**order, "now": NOW + 9})
    assert again["exit"] == 0, again
    assert champion_of(copy) in known | {again["said"]}
