"""Does a bundle that somebody planted run anything, abort anybody, or score?"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import hostile_bundles
import numpy as np
import pytest
from hostile_bundles import made
from models_made import MADE_AT, made_model, promote, put_bundle, workspace_of

from features.errors import BundleError
from features.store.engine import Store
from features.store.promotions import bundle_files
from models.bundle import write_bundle
from models.canary import check_golden, try_bundle
from serving.state import LiveModel


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hostile") / "bundles"
    one = made_model()
    golden = one.frame.take(np.arange(3))
    digest = write_bundle(
        one.model, root, created_at=MADE_AT, origin="train", golden=golden, card=""
    )
    return root / digest


READ = ("about.json: ", "golden.json: rows.0.", "manifest parent None")
"""What says nothing about how to score, and what makes no difference to the rows that are tried."""
UNUSED = (
    "missing = ",
    "missing_variance = ",
    "variances.0 = ",
    "spread",
    "rates = {}",
    "knots = None",
    "calibrator.json: ",
    "columns.json: 0.merged = []",
    "intercept = ",
)


@pytest.mark.parametrize("every", [25, pytest.param(1, marks=pytest.mark.slow)])
def test_no_planted_file_runs_anything_or_fails_otherwise_than_by_name(
    good: Path, tmp_path: Path, every: int
) -> None:
    """In another process, so that the audit hook, which cannot be taken off, is nobody else's."""
    root = tmp_path / "bundles"
    shutil.copytree(good, root / good.name)
    command = [hostile_bundles.__file__, str(root), good.name, str(every)]
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) > 500 / every
    assert not [one for one in found if one["ran"]]
    assert not [one for one in found if (one["refused"] or "").startswith("!!")]
    read = [one["case"] for one in found if one["refused"] is None]
    assert not [case for case in read if not case.startswith(READ) and not _is_number(case)]
    for said in ("altered", "lacks", "plain file"):
        assert any(said in (one["refused"] or "") for one in found), said


def _is_number(case: str) -> bool:
    return any(part in case for part in UNUSED)


BOOSTERS = {
    "half": lambda text: text[: len(text) // 2],
    "empty trees": lambda text: text.split("Tree=0")[0],
    "leaves without end": lambda text: text.replace("num_leaves=6", "num_leaves=999999999"),
    "children outside": lambda text: text.replace("left_child=", "left_child=99999999 "),
    "no digits": lambda text: text.replace("leaf_value=", "leaf_value=x "),
    "a pickle": lambda text: "\x80\x04cos\nsystem\n",
    "another objective": lambda text: text.replace("objective=binary", "objective=custom"),
    "zeroes": lambda text: "\0" * 1_000,
}


def _tried(good: Path, text: str) -> None:
    """Try the bundle with this booster in another process; a refusal is an error of ours."""
    before = (good / "booster.txt").read_text()
    if text == before:
        return
    change = lambda home: (home / "booster.txt").write_text(text)  # noqa: E731
    digest = made(good, change, True)
    with pytest.raises(BundleError):
        try_bundle(good.parent, digest)


AT_ONCE = ("half", "children outside", "no digits")


@pytest.mark.parametrize("case", AT_ONCE)
def test_a_broken_booster_fails_its_trial_and_nobody_is_aborted(good: Path, case: str) -> None:
    _tried(good, BOOSTERS[case]((good / "booster.txt").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted(set(BOOSTERS) - {"another objective", *AT_ONCE}))
def test_every_broken_booster_fails_its_trial(good: Path, case: str) -> None:
    _tried(good, BOOSTERS[case]((good / "booster.txt").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_a_booster_cut_or_changed_at_random_is_refused_or_scores_as_recorded(
    good: Path, seed: int
) -> None:
    text, draw = (good / "booster.txt").read_text(), np.random.default_rng(seed)
    at = int(draw.integers(100, len(text) - 100))
    changed = text[:at] if seed % 2 else text[:at] + str(draw.integers(10)) + text[at + 1 :]
    digest = made(good, lambda home: (home / "booster.txt").write_text(changed), True)
    try:
        try_bundle(good.parent, digest)
    except BundleError:
        return
    check_golden(good.parent, digest)


def test_a_planted_file_under_a_new_champion_leaves_the_old_one_scoring(
    sqlite_store: Store, tmp_path: Path
) -> None:
    workspace = workspace_of(sqlite_store, tmp_path)
    old = put_bundle(workspace)
    promote(workspace, old)
    live = LiveModel(workspace, lambda: MADE_AT, 180.0)
    live.look()
    new = put_bundle(workspace, seed=2)
    kept = tmp_path / "kept" / new
    shutil.copytree(workspace.bundles / new, kept)
    promote(workspace, new)
    with sqlite_store.write() as connection:
        connection.execute(bundle_files.delete())  # with them, the planted file would be put right
    planted = [(name, change) for name, change, agrees in hostile_bundles.cases(kept) if not agrees]
    assert len(planted) >= 10
    for name, change in planted:
        if name == "a huge file":
            continue  # a copy of it would not be a hole
        shutil.rmtree(workspace.bundles / new, ignore_errors=True)
        shutil.copytree(kept, workspace.bundles / new)
        change(workspace.bundles / new)
        live.look()
        assert live.scorer().model.digest == old, name
        assert live.state.model_trouble is not None
    shutil.rmtree(workspace.bundles / new)
    shutil.copytree(kept, workspace.bundles / new)
    live.look()
    assert live.scorer().model.digest == new
