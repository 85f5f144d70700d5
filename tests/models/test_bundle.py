"""A bundle comes back bit for bit, or not at all: no altered byte is parsed, and nothing is executed."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models_made import MADE_AT, made_model

from features.errors import BundleError
from models import bundle as module
from models.bundle import (
    FORMAT,
    read_bundle,
    read_card,
    read_golden,
    read_manifest,
    write_bundle,
)
from models.calibrators import Beta, Isotonic
from models.propensity import PropensityModel

FILES = (
    "booster.txt",
    "learner.json",
    "columns.json",
    "calibrator.json",
    "definition.yaml",
    "about.json",
    "golden.json",
    "card.md",
)
CARD = "# Ein Modell – für Tests\n"


def written(root: Path, **changes: Any) -> str:
    made = made_model()
    settings_ = {"created_at": MADE_AT, "origin": "train", "card": CARD} | changes
    model = settings_.pop("model", made.model)
    return write_bundle(model, root, golden=made.frame.take(np.arange(6)), **settings_)


def remanifested(root: Path, digest: str, replaced: dict[str, bytes], **manifest: Any) -> str:
    """A bundle with other files, and a manifest that agrees with them: hostile, but consistent."""
    contents = {name: (root / digest / name).read_bytes() for name in FILES} | replaced
    old = json.loads((root / digest / "manifest.json").read_bytes())
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    text = json.dumps({**old, "files": digests, **manifest}).encode()
    made = hashlib.sha256(text).hexdigest()
    (root / made).mkdir()
    for name, content in {**contents, "manifest.json": text}.items():
        (root / made / name).write_bytes(content)
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "bundles"


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A bundle for tests that only read, or that copy it first."""
    place = tmp_path_factory.mktemp("bundles")
    return place, written(place)


def test_a_bundle_comes_back_bit_for_bit(root: Path) -> None:
    made, digest = made_model(), written(root)
    back = read_bundle(root, digest)
    assert back.digest == digest
    assert back.definition.hash == made.model.definition.hash
    assert back.encoder == made.model.encoder
    assert back.learner.trees.text == made.model.learner.trees.text
    assert back.calibrator == made.model.calibrator
    assert back.about == made.model.about
    one, other = made.model.score(made.frame), back.score(made.frame)
    assert one.raw.tobytes() == other.raw.tobytes()
    assert one.probability.tobytes() == other.probability.tobytes()


@pytest.mark.parametrize(
    "calibrator", [Beta(0.1 + 0.2, 1e-17, -1 / 3), Isotonic((-1e-9, 2.5), (0.1, 0.7))]
)
def test_every_number_of_a_calibrator_survives(root: Path, calibrator: Any) -> None:
    made = made_model()
    digest = written(root, model=made.model.recalibrated(calibrator, {}))
    assert read_bundle(root, digest).calibrator == calibrator


def test_the_digest_is_that_of_the_manifest_which_holds_those_of_all_files(root: Path) -> None:
    digest = written(root, parent="f" * 64)
    text = (root / digest / "manifest.json").read_bytes()
    assert hashlib.sha256(text).hexdigest() == digest
    manifest = json.loads(text)
    assert manifest == read_manifest(root, digest)
    assert manifest["format"] == FORMAT
    assert (manifest["created_at"], manifest["origin"]) == (MADE_AT, "train")
    assert manifest["parent"] == "f" * 64
    assert manifest["files"] == {
        name: hashlib.sha256((root / digest / name).read_bytes()).hexdigest() for name in FILES
    }
    assert manifest["booster"] == manifest["files"]["booster.txt"]
    assert sorted(path.name for path in (root / digest).iterdir()) == sorted(
        [*FILES, "manifest.json"]
    )


def test_golden_rows_and_card_are_read_as_written(root: Path) -> None:
    made, digest = made_model(), written(root)
    rows, raw = read_golden(root, digest)
    assert raw == made.model.raw(made.frame.take(np.arange(6))).tolist()
    assert rows == [made.frame.row(i) for i in range(6)]
    assert read_card(root, digest) == CARD


def test_writing_the_same_twice_is_one_bundle_and_another_card_is_another(root: Path) -> None:
    one = written(root)
    before = {path: path.stat().st_mtime_ns for path in (root / one).iterdir()}
    assert written(root) == one
    assert {path: path.stat().st_mtime_ns for path in (root / one).iterdir()} == before
    other = written(root, card="other")
    assert sorted(path.name for path in root.iterdir()) == sorted([one, other])
    assert one != other


# What was altered is refused before it is parsed


def refused(root: Path, digest: str) -> str:
    with pytest.raises(BundleError) as caught:
        read_bundle(root, digest)
    return caught.value.message


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([*FILES, "manifest.json"]),
    place=st.floats(0, 1, exclude_max=True),
    flip=st.integers(1, 255),
)
def test_any_flipped_byte_is_refused(
    untouched: tuple[Path, str], tmp_path: Path, name: str, place: float, flip: int
) -> None:
    source, digest = untouched
    root = tmp_path / "copy"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(source, root)
    path = root / digest / name
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= flip
    path.write_bytes(content)
    assert "was altered" in refused(root, digest)


@pytest.mark.slow
def test_each_of_a_thousand_flipped_bytes_is_refused(
    untouched: tuple[Path, str], tmp_path: Path
) -> None:
    """Drawn from all bytes alike, and of each file some: the shortest would hardly be drawn."""
    source, digest = untouched
    shutil.copytree(source, tmp_path / "copy")
    home = tmp_path / "copy" / digest
    sizes = {path: path.stat().st_size for path in sorted(home.iterdir())}
    places = [(path, at) for path, size in sizes.items() for at in range(size)]
    draw = np.random.default_rng(1)
    drawn = [places[i] for i in draw.choice(len(places), 1_000, replace=False)]
    drawn += [(path, int(draw.integers(size))) for path, size in sizes.items() for _ in range(20)]
    for path, at in drawn:
        whole = path.read_bytes()
        path.write_bytes(
            whole[:at] + bytes([whole[at] ^ int(draw.integers(1, 256))]) + whole[at + 1 :]
        )
        assert "was altered" in refused(tmp_path / "copy", digest), (path.name, at)
        path.write_bytes(whole)
    assert read_bundle(tmp_path / "copy", digest).digest == digest


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from([*FILES, "manifest.json"]), kept=st.floats(0, 1, exclude_max=True))
def test_any_truncated_file_is_refused(
    untouched: tuple[Path, str], tmp_path: Path, name: str, kept: float
) -> None:
    source, digest = untouched
    root = tmp_path / "copy"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(source, root)
    path = root / digest / name
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    assert "was altered" in refused(root, digest)


def missing(path: Path) -> None:
    path.unlink()


def a_link(path: Path) -> None:
    elsewhere = path.parent.parent / f"moved-{path.name}"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\n")


@pytest.mark.parametrize("harm", [missing, a_link, a_directory, a_pipe, grown])
@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_file_that_is_not_the_one_written_is_refused(
    root: Path, harm: Callable[[Path], None], name: str
) -> None:
    digest = written(root)
    harm(root / digest / name)
    message = refused(root, digest)
    assert name in message
    assert digest[:12] in message


def test_swapped_files_are_refused(root: Path) -> None:
    one, other = written(root), written(root, created_at=MADE_AT + 1, card="other")
    for name in ("card.md", "manifest.json"):
        mine, yours = root / one / name, root / other / name
        kept = mine.read_bytes()
        mine.write_bytes(yours.read_bytes())
        assert "was altered" in refused(root, one)
        mine.write_bytes(kept)
    read_bundle(root, one)


def test_a_bundle_under_another_name_is_refused(root: Path) -> None:
    digest = written(root)
    other = "0" * 64
    shutil.copytree(root / digest, root / other)
    assert "was altered" in refused(root, other)
    assert "lacks manifest.json" in refused(root, "1" * 64)


def test_a_file_larger_than_any_model_is_not_even_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = written(root)
    monkeypatch.setattr(module, "_LARGEST", 1_000)
    assert "too large" in refused(root, digest)


# A manifest that agrees with hostile files


def broken_json(name: str) -> dict[str, bytes]:
    return {name: b'{"a": '}


HOSTILE = {
    "columns that are no JSON": broken_json("columns.json"),
    "a calibrator that is no JSON": broken_json("calibrator.json"),
    "about that is no JSON": broken_json("about.json"),
    "a calibrator of no kind": {"calibrator.json": b'{"kind": "pickle"}'},
    "a calibrator that turns leads round": {
        "calibrator.json": b'{"kind": "platt", "slope": -1.0, "intercept": 0.0}'
    },
    "columns of another shape": {"columns.json": b'{"a": 1}'},
    "columns in another order": {},
    "about that is a list": {"about.json": b"[1, 2]"},
    "JSON nested beyond reason": {"about.json": b"[" * 200_000 + b"]" * 200_000},
    "text that is no UTF-8": {"card.md": b"\xff\xfe", "about.json": b"\xff\xfe"},
    "a definition that is no YAML": {"definition.yaml": b"{a: [}"},
    "a definition that runs code": {
        "definition.yaml": b"!!python/object/apply:os.system ['echo harm']"
    },
    "another definition": {"definition.yaml": b"name: other\n"},
    "a booster of other columns": {"booster.txt": b"tree\nfeature_names=a b\n"},
    "a booster that is none": {"booster.txt": b"\x00\x01\x02"},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_agrees_with_its_manifest_but_is_no_model_is_refused(root: Path, what: str) -> None:
    digest = written(root)
    files = HOSTILE[what]
    if what == "columns in another order":
        columns = json.loads((root / digest / "columns.json").read_bytes())
        files = {"columns.json": json.dumps([columns[1], columns[0], *columns[2:]]).encode()}
    assert refused(root, remanifested(root, digest, files))


def test_a_column_that_the_definition_does_not_give_rise_to_is_refused(root: Path) -> None:
    digest = written(root)
    columns = json.loads((root / digest / "columns.json").read_bytes())
    booster = (root / digest / "booster.txt").read_text()
    learner = (root / digest / "learner.json").read_text()
    name = columns[0]["name"]
    columns[0]["name"] = "deals_won"
    made = remanifested(
        root,
        digest,
        {
            "columns.json": json.dumps(columns).encode(),
            "booster.txt": booster.replace(
                f"feature_names={name} ", "feature_names=deals_won "
            ).encode(),
            "learner.json": learner.replace(
                f'"column": "{name}"', '"column": "deals_won"'
            ).encode(),
        },
    )
    assert "deals_won, which its definition lacks" in refused(root, made)


@pytest.mark.parametrize(
    "manifest",
    [{"format": 3}, {"format": None}, {"files": {}}, {"files": None}, {"files": 7}],
    ids=str,
)
def test_a_manifest_of_another_format_is_refused(root: Path, manifest: dict[str, Any]) -> None:
    digest = written(root)
    assert refused(root, remanifested(root, digest, {}, **manifest))


@pytest.mark.parametrize("text", [b"[]", b"null", b"3", b'"x"', b"", b"{}"])
def test_a_manifest_that_is_no_object_is_refused(root: Path, text: bytes) -> None:
    digest = hashlib.sha256(text).hexdigest()
    (root / digest).mkdir(parents=True)
    (root / digest / "manifest.json").write_bytes(text)
    assert refused(root, digest)


def test_a_booster_that_would_abort_the_process_is_never_parsed_when_it_was_altered(
    root: Path,
) -> None:
    """Were it parsed, this very process would end here."""
    digest = written(root)
    path = root / digest / "booster.txt"
    path.write_bytes(path.read_bytes().replace(b"num_leaves=", b"num_leaves=9", 1))
    assert "booster.txt" in refused(root, digest)


# Reading executes nothing

WATCHED = """
import sys
from pathlib import Path
import numpy as np
from models.bundle import read_bundle, read_card, read_golden
from features.catalog import column_kinds
from features.frames import FeatureFrame
import lightgbm
root, digest = Path(sys.argv[1]), sys.argv[2]

def once():
    model = read_bundle(root, digest)
    rows, _ = read_golden(root, digest)
    model.score(FeatureFrame.of_rows(rows, column_kinds(model.catalog)))
    read_card(root, digest)

once()  # imports what is imported lazily
seen = []
def hook(event, args):
    if watching:
        seen.append((event, str(args)[:200]))
watching = False
sys.addaudithook(hook)
watching = True
once()
watching = False
bad = [s for s in seen if s[0].split(".")[0] in {
    "exec", "compile", "import", "os", "subprocess", "socket", "pickle", "marshal", "shutil", "pty"}]
print(bad)
"""


def test_reading_a_bundle_imports_compiles_executes_and_connects_nothing(
    untouched: tuple[Path, str],
) -> None:
    root, digest = untouched
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(root), digest],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_no_file_of_a_bundle_is_a_pickle_or_anything_but_text(untouched: tuple[Path, str]) -> None:
    root, digest = untouched
    for path in (root / digest).iterdir():
        text = path.read_bytes()
        assert b"\x00" not in text
        text.decode("utf-8")


# Whole or not at all


def _write_until_killed(root: Path, steps: int) -> None:
    """Write a bundle, and die at the n-th flush to disk."""
    flush, done = os.fsync, 0

    def fsync(handle: int) -> None:
        nonlocal done
        done += 1
        if done == steps:
            os.kill(os.getpid(), 9)
        flush(handle)

    os.fsync = fsync
    written(root)


@pytest.mark.parametrize("steps", range(1, 11))
def test_a_writer_killed_at_any_flush_leaves_a_whole_bundle_or_none(
    root: Path, untouched: tuple[Path, str], steps: int
) -> None:
    _, digest = untouched  # the same model at the same instant: the same digest
    root.mkdir()
    made_model()  # fitted before the fork, which inherits it
    process = multiprocessing.get_context("fork").Process(
        target=_write_until_killed, args=(root, steps)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -9
    served = [path.name for path in root.iterdir() if not path.name.startswith(".new-")]
    assert served in ([], [digest])
    assert (served == [digest]) == (steps == 11), "only the last flush comes after the renaming"
    if served:
        read_bundle(root, digest)
    assert written(root) == digest
    read_bundle(root, digest)


def test_two_writers_of_one_bundle_do_not_disturb_each_other(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second finishes while the first is about to put its bundle in place."""
    rename, nested = Path.rename, []

    def slowly(path: Path, target: Path) -> Path:
        if not nested:
            nested.append(1)
            nested.append(written(root))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", slowly)
    assert written(root) == nested[1]
    monkeypatch.undo()
    read_bundle(root, nested[1])
    assert [path.name for path in root.iterdir()] == [nested[1]]


def test_a_failing_disk_is_an_error_and_leaves_nothing_behind(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OSError, match="No space"):
        written(root)
    assert list(root.iterdir()) == []


def test_a_model_whose_figures_are_not_finite_is_not_written(root: Path) -> None:
    made = made_model()
    broken = PropensityModel(
        made.model.definition,
        made.model.encoder,
        made.model.learner,
        made.model.calibrator,
        {"auc": float("nan")},
    )
    with pytest.raises(ValueError, match="JSON compliant"):
        written(root, model=broken)
    assert not root.exists() or list(root.iterdir()) == []
