"""How is a model kept on disk? As plain text and JSON, addressed by digest, checked before it is read.

    manifest.json     format, creation, parent, and the SHA-256 of every other file
    booster.txt       LightGBM's text
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
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.definition import parse_definition
from features.errors import BundleError
from features.frames import FeatureFrame
from models.calibrators import CalibratorError, calibrator_from_json
from models.encoder import Encoder
from models.propensity import PropensityModel
from models.trees import Trees

FORMAT = 1
_LARGEST = 512 * 2**20
_FILES = (
    "booster.txt",
    "columns.json",
    "calibrator.json",
    "definition.yaml",
    "about.json",
    "golden.json",
    "card.md",
)


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
        origin: `train` or `recalibrate`.
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
    directory = root / digest
    manifest = read_manifest(root, digest)
    texts = {name: _checked(directory / name, manifest["files"][name]) for name in _FILES}
    definition = parse_definition(texts["definition.yaml"], f"bundle {digest[:12]}")
    if definition.hash != manifest["definition"]:
        raise BundleError(f"bundle {digest[:12]} holds another definition than it says")
    try:
        calibrator = calibrator_from_json(json.loads(texts["calibrator.json"]))
    except CalibratorError as error:
        raise BundleError(
            f"the calibrator of bundle {digest[:12]} cannot be read: {error}"
        ) from error
    return PropensityModel(
        definition=definition,
        encoder=Encoder.from_json(json.loads(texts["columns.json"])),
        trees=Trees(texts["booster.txt"]),
        calibrator=calibrator,
        about=json.loads(texts["about.json"]),
        digest=digest,
    )


def read_manifest(root: Path, digest: str) -> dict[str, Any]:
    """A bundle's manifest, checked against the digest.

    Raises:
        BundleError: missing, altered, or of a format we do not know.
    """
    manifest = json.loads(_checked(root / digest / "manifest.json", digest))
    if manifest.get("format") != FORMAT or set(manifest["files"]) != set(_FILES):
        raise BundleError(
            f"bundle {digest[:12]} has format {manifest.get('format')}, this version reads {FORMAT}",
            hint="Train again, or use the version that wrote it.",
        )
    return dict(manifest)


def read_golden(root: Path, digest: str) -> tuple[list[dict[str, Any]], list[float]]:
    """The golden rows of a bundle and the raw scores they must get."""
    manifest = read_manifest(root, digest)
    golden = json.loads(_checked(root / digest / "golden.json", manifest["files"]["golden.json"]))
    return golden["rows"], golden["raw"]


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
        "booster.txt": model.trees.text.encode(),
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
        if not (root / digest).exists():
            beside.chmod(0o755)
            beside.rename(root / digest)
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
        if path.is_symlink() or path.stat().st_size > _LARGEST:
            raise BundleError(
                f"{path.name} of bundle {path.parent.name[:12]} is a link or too large"
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
    return content.decode()


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _json(content: Any) -> bytes:
    return json.dumps(
        content, sort_keys=True, ensure_ascii=True, allow_nan=False, indent=1
    ).encode()
