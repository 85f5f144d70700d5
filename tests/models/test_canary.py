"""A candidate that would abort whoever reads it is found out in another process, and hurts nobody."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from models_made import MADE_AT, made_model

from features.errors import BundleError
from models import canary
from models.bundle import read_bundle, write_bundle
from models.canary import check_golden, main, try_bundle


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    root = tmp_path_factory.mktemp("bundles")
    return root, put(root)


def put(root: Path) -> str:
    made = made_model()
    return write_bundle(
        made.model,
        root,
        created_at=MADE_AT,
        origin="train",
        golden=made.frame.take(np.arange(5)),
        card="",
    )


def with_file(root: Path, digest: str, name: str, content: bytes) -> str:
    """The bundle with another file and a manifest that agrees with it."""
    manifest = json.loads((root / digest / "manifest.json").read_bytes())
    manifest["files"][name] = hashlib.sha256(content).hexdigest()
    text = json.dumps(manifest).encode()
    other = hashlib.sha256(text).hexdigest()
    (root / other).mkdir(exist_ok=True)
    for path in (root / digest).iterdir():
        (root / other / path.name).write_bytes(path.read_bytes())
    (root / other / name).write_bytes(content)
    (root / other / "manifest.json").write_bytes(text)
    return other


def booster(root: Path, digest: str) -> bytes:
    return (root / digest / "booster.txt").read_bytes()


def test_a_whole_bundle_passes_in_this_and_in_another_process(whole: tuple[Path, str]) -> None:
    check_golden(*whole)
    try_bundle(*whole)


def test_a_booster_that_aborts_lightgbm_is_refused_and_this_process_lives(
    whole: tuple[Path, str],
) -> None:
    root, digest = whole
    longer = booster(root, digest).replace(b"leaf_value=", b"leaf_value=1", 1)
    with pytest.raises(BundleError, match="tree 0 of the booster is not as long as it says"):
        read_bundle(root, with_file(root, digest, "booster.txt", longer))
    # A format that our reader leaves to LightGBM is not looked into …
    unknown = longer.replace(b"version=v4", b"version=v9", 1)
    hostile = with_file(root, digest, "booster.txt", unknown)
    assert read_bundle(root, hostile).digest == hostile
    # … and LightGBM is gone. What a dying library prints may be anybody's memory.
    with pytest.raises(BundleError) as caught:
        try_bundle(root, hostile)
    assert caught.value.message == f"bundle {hostile[:12]} failed its trial: it crashed (signal 6)"


def test_a_booster_that_scores_otherwise_than_recorded_is_refused(whole: tuple[Path, str]) -> None:
    root, digest = whole
    text = booster(root, digest)
    # One digit of one leaf: the text keeps its length, or LightGBM would abort.
    place = text.index(b"leaf_value=") + len(b"leaf_value=-0.")
    digit = b"1" if text[place : place + 1] != b"1" else b"7"
    shifted = text[:place] + digit + text[place + 1 :]
    hostile = with_file(root, digest, "booster.txt", shifted)
    with pytest.raises(BundleError, match=r"golden row \d scores .* recorded was"):
        check_golden(root, hostile)
    with pytest.raises(BundleError, match=r"failed its trial: 'golden row .* \(exit 1\)"):
        try_bundle(root, hostile)


@pytest.mark.parametrize("golden", [{}, {"rows": [], "raw": [1.0]}, {"rows": [{}], "raw": ["x"]}])
def test_golden_rows_that_make_no_sense_are_refused(
    whole: tuple[Path, str], golden: dict[str, object]
) -> None:
    root, digest = whole
    hostile = with_file(root, digest, "golden.json", json.dumps(golden).encode())
    with pytest.raises(BundleError):
        check_golden(root, hostile)


def test_a_score_recorded_as_no_number_is_wrong_and_not_equal_to_everything(
    whole: tuple[Path, str],
) -> None:
    root, digest = whole
    golden = json.loads((root / digest / "golden.json").read_bytes())
    golden["raw"] = [float("nan")] * len(golden["raw"])
    hostile = with_file(root, digest, "golden.json", json.dumps(golden).encode())
    with pytest.raises(BundleError, match="golden row 0 scores"):
        check_golden(root, hostile)


def test_a_bundle_without_golden_rows_proves_nothing(whole: tuple[Path, str]) -> None:
    root, digest = whole
    empty = with_file(root, digest, "golden.json", b'{"rows": [], "raw": []}')
    with pytest.raises(BundleError, match="no golden rows"):
        check_golden(root, empty)


def test_the_other_process_says_what_is_wrong_on_its_last_line(
    whole: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, digest = whole
    monkeypatch.setattr("sys.argv", ["canary", str(root), digest])
    assert main() == 0
    monkeypatch.setattr("sys.argv", ["canary", str(root), "0" * 64])
    assert main() == 1
    assert "lacks manifest.json" in capsys.readouterr().err


def test_a_trial_that_takes_too_long_is_a_failed_one(
    whole: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "PATIENCE_SECONDS", 0.01)
    with pytest.raises(BundleError, match="did not score within"):
        try_bundle(*whole)


def test_only_the_last_line_of_a_crash_is_repeated_and_not_all_of_it(
    whole: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    talker = tmp_path / "talker"
    talker.write_text("#!/bin/sh\necho secret memory >&2\nprintf 'x%.0s' $(seq 900) >&2\nexit 3\n")
    talker.chmod(0o755)
    monkeypatch.setattr(canary.sys, "executable", str(talker))
    with pytest.raises(BundleError) as caught:
        try_bundle(*whole)
    assert "secret" not in caught.value.message
    assert "exit 3" in caught.value.message
    assert len(caught.value.message) < 300
