"""Killed with SIGKILL at each step that changes something: whole before or whole after, and it goes on.

After every kill the database passes its own integrity check, the champion and its bytes are what they
were (or, for a promotion that was recorded, the new ones), every bundle that is known can be read, and
the same job run again succeeds. Kills at points in time, which hit what has no name, are `slow`.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.clock import DAY
from features.store.promotions import list_bundles
from models.bundle import read_bundle
from models.workspace import Workspace

ROOT = Path(__file__).parent.parent.parent
OPENED, NOW = 18_000 * DAY, 18_900 * DAY
DEFINITION = """
name: shop
horizon_days: 30
cohorts: {every_days: 30}
attributes:
  - {name: size, type: number}
  - {name: colour, type: category}
sources:
  - file: leads.csv
    lead: lead
    opened_at: opened
    attributes: {size: size, colour: colour}
  - file: deals.csv
    lead: lead
    outcome: {column: outcome, won: [won], lost: [lost], at: closed, id: deal}
"""


class Zygote:
    """The process whose children do the jobs."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "zygote.py")],
            cwd=ROOT,
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONPATH": str(ROOT),
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, job: str, home: Path, **order: Any) -> dict[str, Any]:
        return self.at_once([{"job": job, "home": str(home), **order}])[0]

    def at_once(self, orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        # A port of this machine on which nobody listens: MLflow is down in these tests.
        common = {"mlflow": "http://127.0.0.1:9", "now": NOW}
        print(json.dumps([common | order for order in orders]), file=self.process.stdin, flush=True)
        return list(json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        self.process.communicate(timeout=30)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    made = Zygote()
    yield made
    made.close()


def write_files(home: Path) -> None:
    """A shop of 700 leads in 900 days, of whom the larger buy, and its definition."""
    rng = np.random.default_rng(2)
    leads, deals = ["lead,opened,size,colour"], ["deal,lead,closed,outcome"]
    for i in range(700):
        opened = OPENED + int(rng.integers(0, 880)) * DAY
        size = rng.normal()
        leads.append(f"L{i},{_day(opened)},{size:.3f},{'rgb'[i % 3]}")
        closed = opened + int(rng.integers(20, 100)) * DAY
        if closed < NOW:
            won = rng.random() < 1 / (1 + np.exp(-1.5 * size))
            deals.append(f"D{i},L{i},{_day(closed)},{'won' if won else 'lost'}")
    (home / "leads.csv").write_text("\n".join(leads))
    (home / "deals.csv").write_text("\n".join(deals))
    (home / "definition.yaml").write_text(DEFINITION)


def _day(instant: int) -> str:
    return str(np.datetime64(instant // DAY, "D"))


@dataclass(frozen=True)
class Shop:
    """An installation with a champion and a challenger."""

    home: Path
    champion: str
    challenger: str


@pytest.fixture(scope="module")
def shop(zygote: Zygote, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    home = tmp_path_factory.mktemp("shop")
    write_files(home)
    shutil.copy(migrated_sqlite, home / "propensity.db")
    digests = []
    for job, order in (
        ("import", {}),
        ("train", {}),
        ("promote", {"digest": "newest"}),
        ("train", {"now": NOW + 1}),
    ):
        done = zygote(job, home, **order)
        assert done["exit"] == 0, done
        digests.append(done["said"])
    return Shop(home, digests[1], digests[3])


@pytest.fixture
def copy(shop: Shop, tmp_path: Path) -> Path:
    shutil.copytree(shop.home, tmp_path / "home")
    return tmp_path / "home"


def champion_of(home: Path) -> str:
    """The champion, after looking at everything that could have been left half done."""
    with sqlite3.connect(home / "propensity.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    workspace = Workspace.of({"PROPENSITY_DATA_DIR": str(home)})
    registry = workspace.registry
    with workspace.store.read() as connection:
        known = [bundle.digest for bundle in list_bundles(connection)]
    for digest in known:
        read_bundle(workspace.bundles, digest)
        assert registry.find(digest) == digest
    served = [p.name for p in workspace.bundles.iterdir() if not p.name.startswith(".new-")]
    for digest in served:
        read_bundle(workspace.bundles, digest)
    found = registry.champion()
    workspace.store.close()
    return found.digest


def counts(home: Path) -> dict[str, int]:
    with sqlite3.connect(home / "propensity.db") as database:
        return {
            table: database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in ("leads", "lead_versions", "stages", "deals", "bundles", "decisions")
        }


TRAIN = [
    ("training.run.build_dataset", "before", 1),
    ("training.run.look_for_leakage", "after", 1),
    ("training.run.learn", "after", 1),
    ("training.run.write_bundle", "before", 1),
    ("os.fsync", "before", 1),
    ("os.fsync", "after", 5),
    ("models.bundle._flush_directory", "before", 1),
    ("models.bundle._flush_directory", "before", 2),
    ("training.run.write_bundle", "after", 1),
    ("models.registry.record_bundle", "before", 1),
    ("models.registry.record_bundle", "after", 1),
    ("training.run.catalogue", "before", 1),
    ("training.run.catalogue", "after", 1),
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
    ("training.promote.paired_verdict", "after", 1, False),
    ("models.registry.try_bundle", "before", 1, False),
    ("models.registry.try_bundle", "after", 1, False),
    ("models.registry.record_decision", "before", 1, False),
    ("models.registry.record_decision", "after", 1, False),
    ("training.promote.mirror", "before", 1, True),
    ("training.tracking.mirror_aliases", "before", 1, True),
    ("training.promote.mirror", "after", 1, True),
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
    ("features.store.files.load.ingest", "after", 1),
    ("features.store.files.load.ingest", "before", 9),
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
