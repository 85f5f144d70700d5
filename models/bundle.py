"""How is a model kept on disk? As plain text and JSON, addressed by digest, checked before it is read.

    manifest.json     format, creation, parent, and the SHA-256 of every other file
    booster.txt       LightGBM's text; empty before there are trees
    learner.json      the additive part, its weight, and how uncertain the sum is
    columns.json      which columns, and how categories are coded
    calibrator.json   log-odds -> probability
    definition.yaml   the lead definition it was learned with
    about.json        data window, figures, warnings
    golden.json       rows with the raw scores they must get
    card.md           the same for people

A bundle's digest is the SHA-256 of its manifest. Nothing is parsed before its bytes were compared
with the manifest, and the manifest with the digest that *our database* holds: a corrupt booster
would abort the process or score silently wrong.

Changing the format: raise FORMAT, keep reading the old one, and keep a bundle of it under
tests/golden so that old bundles load for ever.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from features.definition import parse_definition
from features.errors import BundleError, PropensityError, shown
from features.frames import FeatureFrame
from features.json_text import read_json
from models.blend import Blend
from models.calibrators import calibrator_from_json
from models.encoder import Encoder
from models.propensity import PropensityModel
from models.trees import Trees

FORMAT = 2
_LARGEST = 512 * 2**20
_FILES = (
    "booster.txt",
    "learner.json",
    "columns.json",
    "calibrator.json",
    "definition.yaml",
    "about.json",
    "golden.json",
    "card.md",
)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_FILES_OF = {1: tuple(name for name in _FILES if name != "learner.json"), 2: _FILES}
"""Format 1 had trees alone."""


def write_bundle(
    model: PropensityModel,
    root: Path,
    *,
    created_at: int,
    origin: str,
    golden: FeatureFrame,
    card: str,
    parent: str | None = None,
) -> str:
    """Write a model under `root/<digest>`: whole or not at all.

    Args:
        model: what to write.
        root: the directory of all bundles.
        created_at: an instant.
        origin: `train`, `refit` or `recalibrate`.
        golden: a few rows whose raw scores every later reader must reproduce.
        card: the model card, Markdown.
        parent: the digest of the bundle it was made from.

    Returns:
        The bundle's digest (64 hex digits).
    """
    contents = _contents(model, golden, card)
    manifest = {
        "format": FORMAT,
        "created_at": created_at,
        "origin": origin,
        "parent": parent,
        "definition": model.definition.hash,
        "booster": _sha(contents["booster.txt"]),
        "learner": _sha(contents["learner.json"]),
        "files": {name: _sha(content) for name, content in sorted(contents.items())},
    }
    contents["manifest.json"] = _json(manifest)
    digest = _sha(contents["manifest.json"])
    _place(contents, root, digest)
    return digest


def read_bundle(root: Path, digest: str) -> PropensityModel:
    """The model under `root/<digest>`, after every byte was checked.

    Raises:
        BundleError: missing, altered, incomplete, too large, or of a format we do not know.
    """
    manifest = read_manifest(root, digest)
    files = manifest["files"]
    texts = {name: _checked(root / digest / name, files[name]) for name in files}
    with _told(digest):
        model = PropensityModel(
            definition=parse_definition(texts["definition.yaml"], f"bundle {digest[:12]}"),
            encoder=Encoder.from_json(read_json(texts["columns.json"])),
            learner=_learner(texts),
            calibrator=calibrator_from_json(read_json(texts["calibrator.json"])),
            about=dict(read_json(texts["about.json"])),
            digest=digest,
        )
    _require_one_story(model, manifest)
    return model


def _learner(texts: Mapping[str, str]) -> Blend:
    if "learner.json" not in texts:
        learner = Blend.of_trees(Trees(texts["booster.txt"]))
    else:
        learner = Blend.from_json(read_json(texts["learner.json"]), texts["booster.txt"])
    if learner.trees is not None:
        _ = learner.trees.forest  # a damaged text is refused here; LightGBM would abort the process
    return learner


def _require_one_story(model: PropensityModel, manifest: Mapping[str, Any]) -> None:
    """The parts belong together: each was digested, but nothing says they were written together."""
    named = f"bundle {model.digest[:12]}"
    if model.definition.hash != manifest["definition"]:
        raise BundleError(f"{named} holds another definition than it says")
    if model.learner.columns != model.encoder.names:
        raise BundleError(f"the learner of {named} reads other columns than it says")
    if strange := sorted(set(model.encoder.names) - {spec.name for spec in model.catalog}):
        raise BundleError(f"{named} reads {', '.join(strange[:3])}, which its definition lacks")


_UNREADABLE = (
    PropensityError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""What content that is not what its writer wrote makes readers say."""


@contextmanager
def _told(digest: str) -> Iterator[None]:
    """Whatever a bundle's content makes our readers say is told as one kind of error."""
    try:
        yield
    except BundleError:
        raise
    except _UNREADABLE as error:
        raise BundleError(
            f"bundle {digest[:12]} cannot be read: {shown(error, 200)}",
            hint="Train again, or roll back to another model.",
        ) from error


def read_manifest(root: Path, digest: str) -> dict[str, Any]:
    """A bundle's manifest, checked against the digest.

    Raises:
        BundleError: missing, altered, or of a format we do not know.
    """
    return _manifest(_checked(root / digest / "manifest.json", digest), digest)


def read_files(root: Path, digest: str) -> dict[str, bytes]:
    """All files of a bundle by name, manifest included, after every byte was checked.

    Raises:
        BundleError: missing, altered, incomplete, too large, or of a format we do not know.
    """
    files = {"manifest.json": digest, **read_manifest(root, digest)["files"]}
    return {name: _checked(root / digest / name, files[name]).encode() for name in files}


def gather_files(digest: str, kept: Callable[[str], bytes | None]) -> dict[str, bytes]:
    """All files of a bundle by name, from wherever they are kept by SHA-256; each is checked.

    Raises:
        BundleError: one is missing there, or is not what its SHA-256 promises.
    """

    def checked(name: str, sha256: str) -> bytes:
        content = kept(sha256)
        if content is None or _sha(content) != sha256:
            state = "lacks" if content is None else "holds another"
            raise BundleError(f"what is kept of bundle {digest[:12]} {state} {name}")
        return content

    manifest = checked("manifest.json", digest)
    with _told(digest):
        files = _manifest(manifest.decode(), digest)["files"]
    found = {name: checked(name, files[name]) for name in files}
    return {"manifest.json": manifest, **found}


def by_digest(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Files by their SHA-256 (hex): what `gather_files` finds them by."""
    return {_sha(content): content for content in files.values()}


def place_files(files: Mapping[str, bytes], root: Path, digest: str) -> None:
    """Put a bundle under `root/<digest>`, whole or not at all; whatever was there is replaced."""
    with suppress(FileNotFoundError):
        aside = Path(tempfile.mkdtemp(prefix=".new-", dir=root))
        try:
            (root / digest).rename(aside / digest)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    _place(files, root, digest)


def _manifest(text: str, digest: str) -> dict[str, Any]:
    with _told(digest):
        manifest = dict(read_json(text))
        files = _FILES_OF.get(manifest["format"])
        if files is None or set(manifest["files"]) != set(files):
            raise BundleError(
                f"bundle {digest[:12]} has format {manifest['format']}, this version reads {FORMAT}",
                hint="Train again, or use the version that wrote it.",
            )
        _require_plain(manifest)
    return manifest


def _require_plain(manifest: Mapping[str, Any]) -> None:
    """Raise unless a manifest says what manifests say: an instant, an origin, and digests."""
    digests = [manifest["definition"], manifest["booster"], *manifest["files"].values()]
    if manifest["parent"] is not None:
        digests.append(manifest["parent"])
    if not all(isinstance(one, str) and _DIGEST.fullmatch(one) for one in digests):
        raise ValueError("a digest of its manifest is none")
    made_at = manifest["created_at"]
    if type(made_at) is not int or made_at < 0 or not isinstance(manifest["origin"], str):
        raise ValueError("its manifest does not say when and how it was made")


def read_golden(root: Path, digest: str) -> tuple[list[dict[str, Any]], list[float]]:
    """The golden rows of a bundle and the raw scores they must get."""
    manifest = read_manifest(root, digest)
    text = _checked(root / digest / "golden.json", manifest["files"]["golden.json"])
    with _told(digest):
        golden = read_json(text)
        return list(golden["rows"]), list(golden["raw"])


def read_card(root: Path, digest: str) -> str:
    """The model card, Markdown."""
    manifest = read_manifest(root, digest)
    return _checked(root / digest / "card.md", manifest["files"]["card.md"])


def _contents(model: PropensityModel, golden: FeatureFrame, card: str) -> dict[str, bytes]:
    rows = {
        "rows": [golden.row(i) for i in range(len(golden))],
        "raw": model.raw(golden).tolist(),
    }
    return {
        "booster.txt": b"" if model.learner.trees is None else model.learner.trees.text.encode(),
        "learner.json": _json(model.learner.to_json()),
        "columns.json": _json(model.encoder.to_json()),
        "calibrator.json": _json(model.calibrator.to_json()),
        "definition.yaml": model.definition.model_copy(update={"sources": ()}).to_yaml().encode(),
        "about.json": _json(model.about),
        "golden.json": _json(rows),
        "card.md": card.encode(),
    }


def _place(contents: Mapping[str, bytes], root: Path, digest: str) -> None:
    """Write beside, flush to disk, then rename: a reader sees all of a bundle or none of it."""
    root.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".new-", dir=root))
    try:
        for name, content in contents.items():
            with (beside / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        beside.chmod(0o750)
        _flush_directory(beside)
        try:
            beside.rename(root / digest)
        except OSError:
            # The same bundle is there already, perhaps since a moment ago: nothing is to be done.
            if not (root / digest).is_dir():
                raise
        _flush_directory(root)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _flush_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _checked(path: Path, digest: str) -> str:
    """A file's text, after its bytes matched the digest."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            raise BundleError(
                f"{path.name} of bundle {path.parent.name[:12]} is no plain file, or too large"
            )
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"bundle {path.parent.name[:12]} lacks {path.name}: {error.strerror}",
            hint="`propensity models` lists the bundles; roll back, or restore the data directory.",
        ) from error
    if _sha(content) != digest:
        raise BundleError(
            f"{path.name} of bundle {path.parent.name[:12]} was altered: its SHA-256 is not the one "
            f"recorded",
            hint="Restore the data directory from a backup, or roll back to another model.",
        )
    with _told(path.parent.name):
        return content.decode()


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(content: Any) -> bytes:
    return json.dumps(
        content, sort_keys=True, ensure_ascii=True, allow_nan=False, indent=1
    ).encode()
