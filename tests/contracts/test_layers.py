"""Do the arrows between the packages hold, and would the build notice if they did not?

A contract that cannot fail protects nothing: a copy of the source gets a forbidden import, and the
linter must name the contract that it breaks.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("features", "models", "training", "serving")

NO_DEALS = "features, models and scoring cannot name a deal"
ONE_WRITER = "of serving, intake alone writes deals, and nobody reads them"
PURE = "feature code is pure: it never reads the store"
LAYERS = "training and serving stand on models, models on features; the siblings do not meet"


def _lint(source: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    environment = {"PATH": "", "COLUMNS": "200", "PYTHONPATH": str(source), "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=source, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages and their contracts, in a place where they may be spoilt."""
    home = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "static", "templates")
        shutil.copytree(ROOT / package, home / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", home)
    return home


def test_the_contracts_hold() -> None:
    result = _lint(ROOT)
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


def test_the_contracts_hold_in_the_copy_that_the_other_tests_spoil(copied: Path) -> None:
    assert _lint(copied).returncode == 0


@pytest.mark.parametrize(
    ("module", "statement", "broken"),
    [
        ("features/engagement.py", "import features.store.outcomes", [NO_DEALS, PURE]),
        ("features/gather.py", "from features.store import schema", [NO_DEALS, PURE]),
        ("features/store/history.py", "from features.store.outcomes import Deal", [NO_DEALS]),
        ("models/trees.py", "def peek():\n    import features.store.outcomes", [NO_DEALS]),
        ("serving/scoring.py", "import features.store.outcomes", [NO_DEALS, ONE_WRITER]),
        ("serving/once.py", "import features.store.recording", [ONE_WRITER]),
        ("serving/intake.py", "from features.store.outcomes import Deal", [ONE_WRITER]),
        ("features/store/ledger.py", "import features.store.recording", [NO_DEALS]),
        ("serving/queueing.py", "from features.store.schema import outcomes", [NO_DEALS]),
        ("models/encoder.py", "import training.labels", [LAYERS, NO_DEALS]),
        ("serving/state.py", "import training.labels", [LAYERS, NO_DEALS]),
        ("features/definition.py", "import sqlalchemy", [PURE]),
        ("training/labels.py", "import sqlalchemy", ["sqlalchemy only in the store"]),
        ("models/trees.py", "import fastapi", ["the web only in serving"]),
        ("serving/scoring.py", "import mlflow", ["mlflow only where models are catalogued"]),
        (
            "serving/scoring.py",
            "import lightgbm",
            ["lightgbm only where a booster is fitted or read"],
        ),
        (
            "features/pipeline.py",
            "import pandas",
            ["scikit-learn and pandas only where models are trained"],
        ),
    ],
)
def test_a_forbidden_import_breaks_the_contract_that_forbids_it(
    copied: Path, module: str, statement: str, broken: list[str]
) -> None:
    path = copied / module
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text}\n\n{statement}\n", encoding="utf-8")
    try:
        result = _lint(copied)
    finally:
        path.write_text(text, encoding="utf-8")
    assert result.returncode == 1, result.stdout
    verdicts = " ".join(result.stdout.split())  # long names are wrapped
    assert [name for name in broken if f"{name} BROKEN" in verdicts] == broken
