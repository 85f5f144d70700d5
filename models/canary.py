"""Does a bundle load and score as it did when it was written? Asked in another process.

A corrupt LightGBM text can abort the process that reads it, so a candidate is tried where that hurts
nobody: `python -m models.canary ROOT DIGEST` exits 0 when every golden row gets its raw score.
Rule: a bundle that proves nothing about itself fails its trial too.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalog import column_kinds
from features.errors import BundleError, PropensityError, shown
from features.frames import FeatureFrame
from models.bundle import read_bundle, read_golden
from models.propensity import PropensityModel

PATIENCE_SECONDS = 120

# LightGBM imports pandas and scikit-learn where it finds them: four times the work, for nothing.
_TRIAL = (
    "import sys; sys.modules.update(dict.fromkeys(('pandas', 'sklearn'))); "
    "from models.canary import main; sys.exit(main())"
)


def try_bundle(root: Path, digest: str) -> None:
    """Load and score a bundle in a process of its own.

    Raises:
        BundleError: it did not load, crashed, took too long, or scored otherwise than recorded.
    """
    # -P: a file named like a module, in the directory one happens to be in, is not run.
    command = [sys.executable, "-P", "-c", _TRIAL, str(root), digest]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command, capture_output=True, timeout=PATIENCE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BundleError(
            f"bundle {digest[:12]} did not score within {PATIENCE_SECONDS} s"
        ) from error
    if done.returncode != 0:
        raise BundleError(
            f"bundle {digest[:12]} failed its trial: {_said(done.returncode, done.stderr)}",
            hint="The champion was left as it is. Train again, or restore the data directory.",
        )


def _said(code: int, errors: bytes) -> str:
    """Why a trial failed, in its own last line – unless it crashed: that may show foreign memory."""
    if code < 0:
        return f"it crashed (signal {-code})"
    lines = errors.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    return f"{shown(lines[-1], 200)} (exit {code})"


_UNFIT = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What rows and columns that do not fit each other make numpy and our readers say."""


def check_golden(root: Path, digest: str) -> None:
    """Raise `BundleError` unless every golden row gets exactly its recorded raw score."""
    require_golden(read_bundle(root, digest), *read_golden(root, digest))


def require_golden(
    model: PropensityModel, rows: Sequence[Mapping[str, Any]], expected: Sequence[float]
) -> None:
    """Raise `BundleError` unless a model gives rows the raw scores that were recorded for them."""
    digest = model.digest
    if not rows or len(rows) != len(expected):
        raise BundleError(f"bundle {digest[:12]} has no golden rows to be tried on")
    try:
        raw = model.raw(FeatureFrame.of_rows(rows, column_kinds(model.catalog)))
    except (PropensityError, *_UNFIT) as error:
        message = f"bundle {digest[:12]} cannot score its golden rows: {shown(error, 200)}"
        raise BundleError(message) from error
    # Not "further than": a recorded score that is no number is wrong too.
    wrong = np.flatnonzero(~(np.abs(raw - _numbers(expected, digest)) <= 1e-12))
    if len(wrong):
        row = int(wrong[0])
        raise BundleError(f"golden row {row} scores {raw[row]}, recorded was {expected[row]}")


def _numbers(recorded: Sequence[float], digest: str) -> NDArray[np.float64]:
    try:
        return np.array(recorded, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BundleError(f"the golden scores of bundle {digest[:12]} are no numbers") from error


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
