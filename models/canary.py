"""Does a bundle load and score as it did when it was written? Asked in another process.

A corrupt LightGBM text can abort the process that reads it, so a candidate is tried where that hurts
nobody: `python -m models.canary ROOT DIGEST` exits 0 when every golden row gets its raw score.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from features.catalog import column_kinds
from features.errors import BundleError, PropensityError
from features.frames import FeatureFrame
from models.bundle import read_bundle, read_golden

PATIENCE_SECONDS = 120


def try_bundle(root: Path, digest: str) -> None:
    """Load and score a bundle in a process of its own.

    Raises:
        BundleError: it did not load, crashed, took too long, or scored otherwise than recorded.
    """
    command = [sys.executable, "-m", "models.canary", str(root), digest]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BundleError(
            f"bundle {digest[:12]} did not score within {PATIENCE_SECONDS} s"
        ) from error
    if done.returncode != 0:
        # The last line only: what a crashing library prints may hold foreign memory.
        said = (done.stderr.strip().splitlines() or ["nothing"])[-1][:200]
        raise BundleError(
            f"bundle {digest[:12]} failed its trial (exit {done.returncode}): {said}",
            hint="The champion was left as it is. Train again, or restore the data directory.",
        )


def check_golden(root: Path, digest: str) -> None:
    """Raise `BundleError` unless every golden row gets exactly its recorded raw score."""
    model = read_bundle(root, digest)
    rows, expected = read_golden(root, digest)
    frame = FeatureFrame.of_rows(rows, column_kinds(model.catalog))
    raw = model.raw(frame)
    wrong = np.flatnonzero(np.abs(raw - np.array(expected)) > 1e-12)
    if len(wrong):
        row = int(wrong[0])
        raise BundleError(f"golden row {row} scores {raw[row]}, recorded was {expected[row]}")


def main() -> int:
    """Try the bundle named on the command line."""
    try:
        check_golden(Path(sys.argv[1]), sys.argv[2])
    except PropensityError as error:
        print(error.message, file=sys.stderr)  # noqa: T201 - this is a command
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
